// What is written again: the model and nothing else; and read again it is the same model.
#include "http/write.h"

#include <doctest/doctest.h>

#include "unit/http/transcript.h"

using namespace sluice::http;
using namespace sluice::http::testing;

namespace {

const std::string host = "Host: a.example\r\n";

RequestHead request(const std::string& bytes) {
  auto heads = heads_of(bytes);
  REQUIRE(heads.size() == 1);
  return std::move(heads.front());
}

ResponseHead response(const std::string& bytes, const std::string& to = "GET / HTTP/1.1\r\nHost: a\r\n\r\n") {
  ResponseReader reader;
  REQUIRE(reader.expect(request(to)));
  sluice::ByteReader in(bytes_of(bytes));
  const Event event = reader.next(in);
  REQUIRE((event.kind == Event::Kind::head || event.kind == Event::Kind::interim));
  return std::move(reader.head());
}

std::string written(const RequestHead& head) {
  std::string out;
  write_head(head, out);
  return out;
}

std::string written(const ResponseHead& head, const ResponseWriting& how = {}, Framing* framing = nullptr) {
  std::string out;
  const Framing result = write_head(head, out, how);
  if (framing != nullptr) *framing = result;
  return out;
}

}  // namespace

TEST_CASE("a plain request is written as it came") {
  const std::string bytes =
      "POST /a?b HTTP/1.1\r\nhost: A.example\r\nConnection: keep-alive\r\nX-One: 1\r\nx-one: 2\r\nEmpty: \r\n"
      "content-length: 5\r\nCookie: caf\xe9\r\nTrailer: T\r\nExpect: 100-continue\r\n\r\n";
  CHECK(written(request(bytes)) == bytes);
}

TEST_CASE("RFC 9110 7.6.1: what belongs to one hop stays there, and what Connection names goes") {
  CHECK(written(request(
            "GET / HTTP/1.1\r\n" + host +
            "Connection: close, X-Secret , te\r\nX-Secret: 1\r\nx-secret: 2\r\nKeep-Alive: timeout=5\r\n"
            "Proxy-Connection: keep-alive\r\nTE: gzip, trailers\r\nX: y\r\n\r\n")) ==
        "GET / HTTP/1.1\r\n" + host + "Connection: close, TE\r\nTE: trailers\r\nX: y\r\n\r\n");
}

TEST_CASE("Connection cannot take away what is meant for the other end") {
  const std::string fields =
      "Content-Encoding: deflate\r\nContent-Type: text/plain\r\ncontent-disposition: attachment\r\nContent-Range: bytes 0-1/2\r\n"
      "Cache-Control: no-store\r\nUser-Agent: x\r\nSet-Cookie: a=b\r\n";
  const std::string listed =
      "Connection: content-encoding, Content-Type,Content-Disposition , Content-Range, Cache-Control, User-Agent, Set-Cookie, X\r\n";
  CHECK(written(response("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + listed + "X: y\r\n" + fields + "\r\n")) ==
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + fields + "\r\n");
  CHECK(written(request("POST / HTTP/1.1\r\n" + host + "Content-Length: 0\r\n" + listed + "X: y\r\n" + fields + "\r\n")) ==
        "POST / HTTP/1.1\r\n" + host + "Content-Length: 0\r\n" + fields + "\r\n");
}

TEST_CASE("Connection cannot take away Host or the framing") {
  const std::string fields = "Content-Length: 2\r\n";
  CHECK(written(request("POST / HTTP/1.1\r\n" + host + "Connection: Host, Content-Length\r\n" + fields +
                        "\r\n")) == "POST / HTTP/1.1\r\n" + host + fields + "\r\n");
}

TEST_CASE("one length, in plain digits, at its place") {
  CHECK(written(request("POST / HTTP/1.1\r\nContent-Length:  007\r\n" + host + "\r\n")) ==
        "POST / HTTP/1.1\r\nContent-Length: 7\r\n" + host + "\r\n");
  RequestHead head = request("POST / HTTP/1.1\r\n" + host + "Content-Length: 7\r\nX: y\r\n\r\n");
  head.framing = Framing::chunked;
  CHECK(written(head) == "POST / HTTP/1.1\r\n" + host + "X: y\r\nTransfer-Encoding: chunked\r\n\r\n");
  head.framing = Framing::none;
  CHECK(written(head) == "POST / HTTP/1.1\r\n" + host + "X: y\r\n\r\n");
}

TEST_CASE("RFC 9112 3.2.2: Host is rewritten to the target's host") {
  RequestHead head = request("GET http://Real.example:81?q HTTP/1.1\r\nX: y\r\nHost: front.example\r\n\r\n");
  CHECK(written(head) == "GET http://Real.example:81?q HTTP/1.1\r\nX: y\r\nHost: Real.example:81\r\n\r\n");
  head.use_origin_form();
  CHECK(written(head) == "GET /?q HTTP/1.1\r\nX: y\r\nHost: Real.example:81\r\n\r\n");
}

TEST_CASE("an upgrade is passed on, but for protocols that would hide HTTP") {
  const std::string begin = "GET / HTTP/1.1\r\n" + host;
  CHECK(written(request(begin + "Connection: keep-alive, upgrade\r\nUpgrade: websocket\r\n\r\n")) ==
        begin + "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n");
  CHECK(written(request(begin + "Connection: upgrade\r\nUpgrade: h2c, websocket\r\n\r\n")) ==
        begin + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  CHECK(written(request(
            begin + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n")) ==
        begin + "\r\n");
  CHECK(written(request(begin + "Upgrade: websocket\r\n\r\n")) == begin + "\r\n");
}

TEST_CASE("HTTP/1.0 requests stay what they are") {
  CHECK(written(request("GET / HTTP/1.0\r\n\r\n")) == "GET / HTTP/1.0\r\n\r\n");
  CHECK(written(request("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")) ==
        "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
}

TEST_CASE("fields that were changed are written as changed") {
  RequestHead head =
      request("GET / HTTP/1.1\r\n" + host + "Range: bytes=0-\r\nrange: x\r\nA: 1\r\na: 2\r\n\r\n");
  CHECK(head.headers.remove("RANGE") == 2);
  head.headers.set("A", "3");
  head.headers.add("B", "4");
  CHECK(written(head) == "GET / HTTP/1.1\r\n" + host + "A: 3\r\nB: 4\r\n\r\n");
}

TEST_CASE("a plain response is written as it came, with nothing of the hop") {
  const std::string bytes =
      "HTTP/1.1 299 Sort of\xc3\xa9 OK\r\nServer: x\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: "
      "3\r\n\r\n";
  CHECK(written(response(bytes)) == bytes);
  CHECK(written(response("HTTP/1.1 200 OK\r\nConnection: Upgrade, Keep-Alive\r\nUpgrade: h2,h2c\r\n"
                         "Keep-Alive: timeout=5\r\nTransfer-Encoding: Chunked\r\n\r\n")) ==
        "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n");
}

TEST_CASE("a response that ends with its connection says so") {
  Framing framing{};
  CHECK(written(response("HTTP/1.1 200 OK\r\n\r\n"), {}, &framing) ==
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
  CHECK(framing == Framing::until_close);
  CHECK(written(response("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), {.close = true}) ==
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}

TEST_CASE("an HTTP/1.0 client gets no chunks, and is told when the connection stays") {
  Framing framing{};
  const std::string chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  CHECK(written(response(chunked), {.client_version_minor = 0}, &framing) ==
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
  CHECK(framing == Framing::until_close);
  CHECK(written(response("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), {.client_version_minor = 0}) ==
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n");
}

TEST_CASE("responses without a body: HEAD and 304 keep the length that they tell, 204 and 1xx have none") {
  const std::string head = "HEAD / HTTP/1.1\r\n" + host + "\r\n";
  const std::string ok = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
  CHECK(written(response(ok, head)) == ok);
  const std::string unmodified = "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n";
  CHECK(written(response(unmodified)) == unmodified);
  CHECK(written(response("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n")) ==
        "HTTP/1.1 204 No Content\r\n\r\n");
  CHECK(written(response("HTTP/1.1 103 Early Hints\r\nLink: x\r\nConnection: close\r\n\r\n")) ==
        "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
  CHECK(written(response("HTTP/1.1 200 OK\r\n\r\n", head)) == "HTTP/1.1 200 OK\r\n\r\n");
}

TEST_CASE("101 passes with its Upgrade") {
  const std::string to = "GET / HTTP/1.1\r\n" + host + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
  const std::string bytes =
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "
      "websocket\r\nSec-WebSocket-Accept: x\r\n\r\n";
  CHECK(written(response(bytes, to)) == bytes);
}

TEST_CASE("bodies: by length, in chunks with trailers, until close; a short one is noticed") {
  std::string out;
  BodyWriter length(Framing::length, 5);
  length.body(bytes_of("hel"), out);
  CHECK_FALSE(length.end({}, out));
  length.count_plain(2);
  CHECK(length.end({}, out));
  CHECK(out == "hel");

  out.clear();
  Headers trailers;
  trailers.add("T", "1");
  trailers.add("Content-Length", "5");
  trailers.add("Set-Cookie", "a");
  BodyWriter chunked(Framing::chunked, 0);
  chunked.body(bytes_of(std::string(26, 'x')), out);
  chunked.body({}, out);  // must not look like the last chunk
  chunked.body(bytes_of("y"), out);
  CHECK(chunked.end(trailers, out));
  CHECK(out == "1a\r\n" + std::string(26, 'x') + "\r\n1\r\ny\r\n0\r\nT: 1\r\n\r\n");

  out.clear();
  BodyWriter until_close(Framing::until_close, 0);
  CHECK(until_close.is_plain());
  until_close.body(bytes_of("abc"), out);
  CHECK(until_close.end(trailers, out));
  CHECK(out == "abc");
}

TEST_CASE("what was written reads as the same model") {
  const std::string tail = "X: y\r\nx: \xff\r\nAccept: */*\r\n\r\n";
  for (const std::string& bytes :
       {"GET / HTTP/1.1\r\n" + host + tail, "POST /x HTTP/1.1\r\n" + host + "Content-Length: 05\r\n" + tail,
        "X / HTTP/1.1\r\n" + host + "Transfer-Encoding: CHUNKED\r\n" + tail,
        "OPTIONS * HTTP/1.1\r\n" + host + "Connection: close\r\n" + tail,
        "CONNECT a:1 HTTP/1.1\r\nHost: b\r\n" + tail, "GET https://a/ HTTP/1.1\r\nHost: b\r\n" + tail,
        "GET / HTTP/1.0\r\nConnection: keep-alive\r\n" + tail,
        "GET / HTTP/1.1\r\n" + host + "TE: trailers\r\nConnection: x, upgrade\r\nUpgrade: irc\r\n" + tail}) {
    CAPTURE(bytes);
    const RequestHead first = request(bytes);
    const std::string once = written(first);
    const RequestHead second = request(once);
    CHECK(written(second) == once);
    CHECK(second.method() == first.method());
    CHECK(second.target() == first.target());
    CHECK(second.host() == first.host());
    CHECK(second.framing == first.framing);
    CHECK(second.content_length == first.content_length);
    CHECK(second.keep_alive == first.keep_alive);
    CHECK(second.upgrade == first.upgrade);
    CHECK(second.trailers_wanted == first.trailers_wanted);
  }
}
