// Messages, cut at every offset: what they are, where they end, and what an end in the middle means.
#include <doctest/doctest.h>

#include "base/limits.h"
#include "unit/http/transcript.h"

using namespace sluice::http;
using namespace sluice::http::testing;
using sluice::ByteReader;

namespace {

const std::string host = "Host: a.example\r\n";
const std::string get = "GET / HTTP/1.1\r\n" + host + "\r\n";
const std::string head_request = "HEAD / HTTP/1.1\r\n" + host + "\r\n";
const std::string websocket =
    "GET /chat HTTP/1.1\r\n" + host +
    "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n";

/// The transcript, after making sure that no cut in two and not even one-byte pieces change it.
template <class Read>
Transcript whatever_cuts(const std::string& bytes, const Read& read) {
  const Transcript whole = read({});
  for (size_t cut = 1; cut < bytes.size(); ++cut) {
    const Transcript split = read({cut});
    if (!(split == whole)) FAIL("cut at " << cut << ":\n" << split.text() << "instead of\n" << whole.text());
  }
  CHECK(read(every_offset(bytes.size())) == whole);
  return whole;
}

std::vector<std::string> requests(const std::string& bytes, bool upgrade = true) {
  return whatever_cuts(bytes,
                       [&](const std::vector<size_t>& cuts) { return read_requests(bytes, cuts, upgrade); })
      .lines;
}

std::vector<std::string> responses(const std::string& to, const std::string& bytes) {
  return whatever_cuts(bytes,
                       [&](const std::vector<size_t>& cuts) { return read_responses(to, bytes, cuts); })
      .lines;
}

using Lines = std::vector<std::string>;

std::string kinds(const Lines& lines) {
  std::string text;
  for (const std::string& line : lines) text += line.substr(0, line.find(':')) + " ";
  return text;
}

}  // namespace

TEST_CASE("a request's fields keep order, spelling, duplicates and bytes above 0x7f") {
  const std::string bytes =
      "GET /a%20b?c=d HTTP/1.1\r\nhost: A.Example.:8443\r\nX-One:\t 1 \t\r\nx-one: 2\r\nEmpty:\r\n"
      "Name: caf\xe9 \xc3\xa9\r\n\r\n";
  CHECK(requests(bytes) == Lines{"head:GET /a%20b?c=d HTTP/1.1 host=a.example port=8443 "
                                 "url=https://a.example:8443/a%20b?c=d body=none keep"
                                 "\n  [host]=[A.Example.:8443]\n  [X-One]=[1]\n  [x-one]=[2]\n  [Empty]=[]\n "
                                 " [Name]=[caf\xe9 \xc3\xa9]",
                                 "end:", "finish:idle"});
}

TEST_CASE("S22: every method is read, also those that nobody has registered") {
  for (const std::string method :
       {"GET", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH", "PUT", "TRACE", "PROPFIND", "BREW", "get",
        "M-SEARCH", "SOURCE", "PRI", "X!#$%&'*+-.^_`|~9"}) {
    const Lines lines = requests(method + " /x HTTP/1.1\r\n" + host + "Content-Length: 2\r\n\r\nok");
    CHECK(kinds(lines) == "head body end finish ");
    CHECK(lines.front().starts_with("head:" + method + " /x HTTP/1.1 "));
  }
}

TEST_CASE("pipelined requests end where they end, and the next one is left alone") {
  const std::string bytes =
      "POST /1 HTTP/1.1\r\n" + host + "Content-Length: 5\r\n\r\nhello" + "POST /2 HTTP/1.1\r\n" + host +
      "Transfer-Encoding: chunked\r\n\r\n5;x=\"y\"\r\nGET /\r\n1\r\n!\r\n0\r\nT: 1\r\nt: 2\r\n\r\n" +
      "\r\nGET /3 HTTP/1.1\r\n" + host + "Connection: close\r\n\r\nGET /4 HTTP/1.1\r\n";
  const Lines lines = requests(bytes);
  CHECK(kinds(lines) == "head body end head body end head end over finish ");
  CHECK(lines[1] == "body:hello");
  CHECK(lines[4] == "body:GET /!");
  CHECK(lines[5] == "end:\n  [T]=[1]\n  [t]=[2]");
}

TEST_CASE("next() takes exactly what belongs to the event it returns") {
  const std::string body = "hello";
  const std::string first = "POST /1 HTTP/1.1\r\n" + host + "Content-Length: 5\r\n\r\n";
  const std::string bytes = first + body + get;
  ByteReader in(bytes_of(bytes));
  RequestReader reader;
  CHECK(reader.next(in).kind == Event::Kind::head);
  CHECK(in.left() == body.size() + get.size());
  const Event event = reader.next(in);
  CHECK(event.kind == Event::Kind::body);
  CHECK(static_cast<const void*>(event.bytes.data()) == bytes.data() + first.size());  // a view, not a copy
  CHECK(in.left() == get.size());
  CHECK(reader.next(in).kind == Event::Kind::end);
  CHECK(in.left() == get.size());
  CHECK(reader.is_idle());
  CHECK(reader.next(in).kind == Event::Kind::head);
  CHECK(in.empty());
}

TEST_CASE("chunks: the same, event by event") {
  const std::string head = "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n";
  const std::string bytes = head + "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n" + get;
  ByteReader in(bytes_of(bytes));
  RequestReader reader;
  CHECK(reader.next(in).kind == Event::Kind::head);
  CHECK(in.left() == bytes.size() - head.size());
  CHECK(sluice::as_text(reader.next(in).bytes) == "abc");
  CHECK(sluice::as_text(reader.next(in).bytes) == "de");
  CHECK(in.left() == std::string("\r\n0\r\n\r\n").size() + get.size());
  CHECK(reader.next(in).kind == Event::Kind::end);
  CHECK(in.left() == get.size());
}

TEST_CASE("whether a connection stays open is said by version and Connection") {
  const auto keeps = [](const std::string& version, const std::string& fields) {
    return requests("GET / HTTP/" + version + "\r\n" + host + fields + "\r\n").back() == "finish:idle" &&
           requests("GET / HTTP/" + version + "\r\n" + host + fields + "\r\n" + get).size() == 5;
  };
  CHECK(keeps("1.1", ""));
  CHECK(keeps("1.1", "Connection: Keep-Alive\r\n"));
  CHECK(keeps("1.0", "Connection: Keep-Alive\r\n"));
  CHECK_FALSE(keeps("1.0", ""));
  CHECK_FALSE(keeps("1.1", "Connection: x, CLOSE\r\n"));
  CHECK_FALSE(keeps("1.1", "Connection: keep-alive\r\nConnection: close\r\n"));
}

TEST_CASE("RFC 9112 3.2.2: a target with a host of its own wins over Host") {
  const Lines lines = requests("GET HTTP://Real.Example:80?q HTTP/1.1\r\nHost: other.example\r\n\r\n");
  CHECK(
      lines.front().starts_with("head:GET HTTP://Real.Example:80?q HTTP/1.1 host=real.example port=80 "
                                "url=http://real.example/?q body=none"));
}

TEST_CASE("URLs of the other forms of target") {
  const auto url = [](const std::string& request) {
    const std::string line = requests(request).front();
    const size_t at = line.find("url=");
    return line.substr(at + 4, line.find(" body=") - at - 4);
  };
  CHECK(url("OPTIONS * HTTP/1.1\r\n" + host + "\r\n") == "https://a.example");
  CHECK(url("CONNECT A.example:8443 HTTP/1.1\r\n" + host + "\r\n") == "a.example:8443");
  CHECK(url("GET /x HTTP/1.0\r\n\r\n") == "https://fallback.example/x");
  CHECK(url("GET //b.example/x HTTP/1.1\r\n" + host + "\r\n") == "https://a.example//b.example/x");
  CHECK(url("GET / HTTP/1.1\r\nHost: [2001:DB8:0::1]:443\r\n\r\n") == "https://[2001:db8::1]/");
  CHECK(url("GET /x/../y HTTP/1.1\r\nHost: 192.0.2.1.:80\r\n\r\n") == "https://192.0.2.1:80/x/../y");
}

TEST_CASE("an upgrade waits for the response: raw bytes after 101, HTTP after anything else") {
  CHECK(kinds(requests(websocket + "\x81\x05hello")) == "head end undecided raw finish ");
  CHECK(requests(websocket + "\x81\x05hello")[3] == "raw:\x81\x05hello");
  CHECK(requests(websocket + "\x81\x05hello").back() == "finish:raw");
  CHECK(kinds(requests(websocket + get, false)) == "head end undecided head end finish ");
  CHECK(kinds(requests("CONNECT a.example:443 HTTP/1.1\r\n" + host + "\r\n\x16\x03")) ==
        "head end undecided raw finish ");
}

TEST_CASE("HTTP in other clothes is never upgraded to") {
  for (const std::string protocol : {"h2c", "H2C", "HTTP/2.0", "TLS/1.2", "tls", "h2c, HTTP/3"}) {
    CAPTURE(protocol);
    CHECK(kinds(requests("GET / HTTP/1.1\r\n" + host + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: " +
                         protocol + "\r\nHTTP2-Settings: x\r\n\r\n" + get)) == "head end head end finish ");
  }
}

TEST_CASE("where the bytes end decides whether the end is clean") {
  const auto finish = [](const std::string& bytes) { return read_requests(bytes).lines.back(); };
  CHECK(finish("") == "finish:idle");
  CHECK(finish(get) == "finish:idle");
  CHECK(finish(get + "\r\n") == "finish:idle");
  CHECK(finish("G") == "finish:truncated");
  CHECK(finish(get.substr(0, get.size() - 1)) == "finish:truncated");
  const std::string length = "POST / HTTP/1.1\r\n" + host + "Content-Length: 2\r\n\r\n";
  CHECK(finish(length) == "finish:truncated");
  CHECK(finish(length + "a") == "finish:truncated");
  CHECK(finish(length + "ab") == "finish:idle");
  const std::string chunked = "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n";
  for (const std::string part :
       {"", "1", "1\r\n", "1\r\na", "1\r\na\r\n", "1\r\na\r\n0", "1\r\na\r\n0\r\n", "1\r\na\r\n0\r\nX: y",
        "1\r\na\r\n0\r\nX: y\r\n", "1\r\na\r\n0\r\nX: y\r\n\r"}) {
    CAPTURE(part);
    CHECK(finish(chunked + part) == "finish:truncated");
  }
  CHECK(finish(chunked + "1\r\na\r\n0\r\nX: y\r\n\r\n") == "finish:idle");
}

// --- responses
// ------------------------------------------------------------------------------------------------------

TEST_CASE("each pipelined request's method reaches its response") {
  const std::string ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
  const Lines lines = responses(get + head_request + get, ok + "ab" + ok + ok + "cd");
  CHECK(kinds(lines) == "head body end head end head body end finish ");
  CHECK(lines[3].starts_with("head:HTTP/1.1 200 OK body=none keep"));
  CHECK(lines[6] == "body:cd");
}

TEST_CASE("responses without a body, whatever their fields say (RFC 9112 section 6.3)") {
  for (const std::string status : {"204 No Content", "304 Not Modified"}) {
    for (const std::string field : {"Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", ""}) {
      const Lines lines =
          responses(get + get, "HTTP/1.1 " + status + "\r\n" + field + "\r\nHTTP/1.1 204 x\r\n\r\n");
      CHECK(kinds(lines) == "head end head end finish ");
      CHECK(lines.back() == "finish:idle");
    }
  }
  CHECK(kinds(responses(head_request, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")) ==
        "head end finish ");
  CHECK(kinds(responses(head_request, "HTTP/1.1 200 OK\r\n\r\n")) == "head end finish ");
}

TEST_CASE("interim responses come before theirs and are not counted as it") {
  const Lines lines =
      responses(get + get,
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 100 x\r\n\r\nHTTP/1.1 204 y\r\n\r\n");
  CHECK(kinds(lines) == "interim interim head body end interim head end finish ");
}

TEST_CASE("a body until the connection's end is complete there, and only there") {
  const Lines lines =
      responses(get + get, "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\nHTTP/1.1 200 OK\r\n\r\n");
  CHECK(kinds(lines) == "head body finish ");
  CHECK(lines.front().starts_with("head:HTTP/1.1 200 OK body=until_close close"));
  CHECK(lines[1] == "body:HTTP/1.1 200 OK\r\n\r\n");
  CHECK(lines.back() == "finish:complete");
  CHECK(responses(get, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell").back() == "finish:truncated");
  CHECK(responses(get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n").back() ==
        "finish:truncated");
  CHECK(responses(get, "HTTP/1.1 20").back() == "finish:truncated");
  CHECK(responses(get, "").back() == "finish:unanswered");
  CHECK(responses(get, "HTTP/1.1 100 Continue\r\n\r\n").back() == "finish:unanswered");
}

TEST_CASE("nothing is read behind the connection's last response") {
  const Lines lines =
      responses(get + get, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\naHTTP/1.1");
  CHECK(kinds(lines) == "head body end over finish ");
}

TEST_CASE("101 to who asked for it, and 2xx to CONNECT, end HTTP") {
  const std::string switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: ";
  CHECK(kinds(responses(websocket, switching + "websocket\r\n\r\n\x81\x00")) == "head raw finish ");
  CHECK(kinds(responses(websocket, switching + "h2c\r\n\r\n")) == "refused finish ");
  CHECK(kinds(responses(websocket, "HTTP/1.1 101 Switching Protocols\r\n\r\n")) == "refused finish ");
  CHECK(kinds(responses(websocket, "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")) == "head end finish ");
  const std::string connect = "CONNECT a.example:443 HTTP/1.1\r\n" + host + "\r\n";
  CHECK(kinds(responses(connect, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nraw")) == "head raw finish ");
  CHECK(kinds(responses(connect, "HTTP/1.1 407 No\r\nContent-Length: 3\r\n\r\nraw")) ==
        "head body end finish ");
}

TEST_CASE("no more requests are outstanding than the limit") {
  const auto heads = heads_of(get);
  ResponseReader reader;
  for (size_t i = 0; i < sluice::limits::http_pipelined_max; ++i) CHECK(reader.expect(heads.front()));
  CHECK_FALSE(reader.expect(heads.front()));
  CHECK(reader.outstanding() == sluice::limits::http_pipelined_max);
}

TEST_CASE("an idle reader holds no memory, a busy one what its head needs") {
  RequestReader reader;
  CHECK(sizeof reader <= 360);
  CHECK(sizeof(ResponseReader) <= 360);
  std::string many = "GET / HTTP/1.1\r\n" + host;
  for (int i = 0; i < 100; ++i) many += "X-Field: some value\r\n";
  ByteReader in(bytes_of(many));
  CHECK(reader.next(in).kind == Event::Kind::need_more);
  CHECK(reader.bytes_held() > many.size() / 2);
  CHECK(reader.bytes_held() < 3 * many.size() + 8192);
  const std::string end = "\r\n";
  ByteReader rest(bytes_of(end));
  CHECK(reader.next(rest).kind == Event::Kind::head);
  CHECK(reader.head().headers.size() == 101);
  CHECK(reader.next(rest).kind == Event::Kind::end);
  reader.release();
  CHECK(reader.bytes_held() == 0);
  ByteReader again(bytes_of(get));
  CHECK(reader.next(again).kind == Event::Kind::head);
}

TEST_CASE("a head can be moved away while its body is still being read") {
  const std::string bytes =
      "POST /x HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nT: v\r\n\r\n" + get;
  ByteReader in(bytes_of(bytes));
  RequestReader reader;
  CHECK(reader.next(in).kind == Event::Kind::head);
  const RequestHead kept = std::move(reader.head());
  CHECK(reader.next(in).kind == Event::Kind::body);
  CHECK(reader.next(in).kind == Event::Kind::end);
  CHECK(reader.trailers().size() == 1);
  CHECK(reader.next(in).kind == Event::Kind::head);
  CHECK(kept.target() == "/x");
  CHECK(kept.headers.size() == 2);
  CHECK(reader.head().target() == "/");
}

TEST_CASE("the first bytes of a connection: HTTP or not") {
  const auto is = [](std::string_view text) { return recognise(bytes_of(text)); };
  CHECK(is("") == Protocol::need_more);
  CHECK(is("\r\n") == Protocol::need_more);
  CHECK(is("GET") == Protocol::need_more);
  CHECK(is("GET ") == Protocol::need_more);
  CHECK(is("BREW /pot HTTP/1.1") == Protocol::need_more);
  CHECK(is("GET / HTTP/1.1\r\n") == Protocol::http);
  CHECK(is("\r\nBREW /pot HTTP/1.0\n") == Protocol::http);
  CHECK(is("GET /" + std::string(40000, 'x')) == Protocol::http);
  CHECK(is("PRI * HTTP/2.0\r\n") == Protocol::http);
  CHECK(is("SSH-2.0-OpenSSH_9.2\r\n") == Protocol::other);
  CHECK(is("SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n") == Protocol::other);
  CHECK(is("EHLO mail.example\r\n") == Protocol::other);
  CHECK(is("EHLO http.example\r\n") == Protocol::other);
  CHECK(is("USER anonymous\r\n") == Protocol::other);
  CHECK(is("NICK someone\r\nUSER someone 0 * :Some One\r\n") == Protocol::other);
  CHECK(is("a001 LOGIN someone secret\r\n") == Protocol::other);
  CHECK(is("get key\r\n") == Protocol::other);
  CHECK(is("CONNECT\naccept-version:1.2\n") == Protocol::other);  // STOMP
  CHECK(is("OPTIONS rtsp://camera.example/ RTSP/1.0\r\n") == Protocol::other);
  CHECK(is("example.com\r\n") == Protocol::other);  // whois
  CHECK(is("<?xml version='1.0'?>") == Protocol::other);
  CHECK(is("{\"method\": \"mining.subscribe\"}") == Protocol::other);
  CHECK(is("\x16\x03\x01") == Protocol::other);
  CHECK(is("\x13"
           "BitTorrent protocol") == Protocol::other);
}

TEST_CASE("what a server might answer as a request is HTTP, however it is wrapped (http.non_http)") {
  const auto is = [](std::string_view text) { return recognise(bytes_of(text)); };
  CHECK(is("\nGET /secret HTTP/1.1\r\n") == Protocol::http);
  CHECK(is("\r\n\n\r\nGET /secret HTTP/1.1\r\n") == Protocol::http);
  CHECK(is(" \t\v\fGET /secret HTTP/1.1\r\n") == Protocol::http);
  CHECK(is("GET\t/secret\tHTTP/1.1\r\n") == Protocol::http);
  CHECK(is("BREW\t\v/pot\fHTTP/1.1\r\n") == Protocol::http);
  CHECK(is("BREW pot\tHTTP/1.1\r\n") == Protocol::http);
  CHECK(is("GET /secret\r\n") == Protocol::http);  // HTTP/0.9
  CHECK(is("GET secret\r\n") == Protocol::http);
  CHECK(is("BREW /pot\n") == Protocol::http);
  CHECK(is("BREW HTTPS://shop.example/\n") == Protocol::http);
  CHECK(is("GET /secret http/1.1\r\n") == Protocol::http);
  CHECK(is("G!T /secret HTTP/1.1\r\n") == Protocol::http);
  CHECK(is("CONNECT shop.example:443 HTTP/1.1\r\n") == Protocol::http);
  CHECK(is(std::string(33, 'A') + " /secret HTTP/1.1\r\n") == Protocol::http);
  CHECK(is(std::string(40000, 'A')) == Protocol::http);
  CHECK(is(std::string(40000, '\n')) == Protocol::http);
  // Undecided as long as more bytes may make it one.
  for (const std::string_view text : {"\n", " ", "GE", "GET\r", "GE\t", "B /x", "B http://shop.example"})
    CHECK(is(text) == Protocol::need_more);
}

TEST_CASE("what the first bytes are stays so, wherever they are cut") {
  for (const std::string_view text :
       {"\r\n GET /secret HTTP/1.1\r\n", "BREW /pot HTTP/1.1\r\nHost: x\r\n", "EHLO mail.example\r\nGET / HTTP/1.1\r\n",
        "SSH-2.0-x Debian\r\n", "OPTIONS rtsp://x/ RTSP/1.0\r\n HTTP/1.1\r\n"}) {
    const Protocol whole = recognise(bytes_of(text));
    for (size_t size = 0; size < text.size(); ++size) {
      const Protocol part = recognise(bytes_of(text.substr(0, size)));
      CHECK((part == whole || part == Protocol::need_more));
    }
  }
}
