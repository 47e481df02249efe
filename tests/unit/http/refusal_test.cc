// Every reason of refusal.def, reached by bytes, whole and byte by byte; and the limits, at each and one past
// it.
#include <doctest/doctest.h>

#include <set>

#include "base/limits.h"
#include "unit/http/transcript.h"

using namespace sluice::http;
using namespace sluice::http::testing;
namespace limits = sluice::limits;
using std::string_view_literals::operator""sv;

namespace {

struct Case {
  Refusal reason;
  std::string bytes;
};

const std::string host = "Host: a.example\r\n";
const std::string get = "GET / HTTP/1.1\r\n" + host;

std::string line(std::string_view request_line) { return std::string(request_line) + "\r\n" + host + "\r\n"; }
std::string with(std::string_view fields) { return get + std::string(fields) + "\r\n\r\n"; }
std::string chunks(std::string_view body) {
  return get + "Transfer-Encoding: chunked\r\n\r\n" + std::string(body);
}
std::string fields(size_t count) {
  std::string text;
  for (size_t i = 0; i < count; ++i) text += "X: y\r\n";
  return text;
}

/// A request whose head has exactly so many bytes.
std::string head_of(size_t bytes) {
  const std::string begin = get + "X: ";
  return begin + std::string(bytes - begin.size() - 4, 'x') + "\r\n\r\n";
}

std::vector<Case> request_cases() {
  using enum Refusal;
  return {
      {not_http, "\x16\x03\x01\x02"},
      {not_http, ": x\r\n"},
      {not_http, std::string("\0", 1)},
      {empty_lines, "\r\n\r\n\r\n\r\n\r\n" + with("X: y")},
      {bad_method, "GET\r\n\r\n"},
      {bad_method, "GET\t/ HTTP/1.1\r\n"},
      {bad_method, "G(T / HTTP/1.1\r\n"},
      {bad_method, "SSH-2.0-OpenSSH_9.2\r\n"},
      {method_too_long, line(std::string(limits::http_method_bytes_max + 1, 'M') + " / HTTP/1.1")},
      {bad_target, line("GET index.html HTTP/1.1")},
      {bad_target, line("GET a.example:443 HTTP/1.1")},
      {bad_target, line("GET * HTTP/1.1")},
      {bad_target, line("GET ftp://a.example/ HTTP/1.1")},
      {bad_target, line("GET http:///path HTTP/1.1")},
      {bad_target, line("GET http://a..b/ HTTP/1.1")},
      {bad_target, line("GET http://a:99999/ HTTP/1.1")},
      {bad_target, line("GET /a#b HTTP/1.1")},
      {bad_target, line("GET /a\tb HTTP/1.1")},
      {bad_target, line("GET /a\x01 HTTP/1.1")},
      {bad_target, line("GET /a\x7f HTTP/1.1")},
      {bad_target, line("CONNECT / HTTP/1.1")},
      {bad_target, line("CONNECT a.example HTTP/1.1")},
      {bad_target, line("CONNECT http://a.example/ HTTP/1.1")},
      {target_too_long, line("GET /" + std::string(limits::http_target_bytes_max, 'x') + " HTTP/1.1")},
      {target_too_long, line("GET /" + std::string(limits::http_head_bytes_max, 'x') + " HTTP/1.1")},
      {userinfo_in_target, line("GET http://bank.example@evil.example/ HTTP/1.1")},
      {userinfo_in_target, line("GET http://user:word@a.example/ HTTP/1.1")},
      {bad_version, line("GET / HTTP/1.2")},
      {bad_version, line("GET / HTTP/0.9")},
      {bad_version, line("GET / HTTP/2.0")},
      {bad_version, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
      {bad_version, line("GET / RTSP/1.0")},
      {bad_version, line("GET / ICE/1.0")},
      {bad_version, line("GET /")},
      {bad_start_line, line("GET / HTTQ/1.1")},
      {bad_start_line, line("GET / HTTP/1.1 x")},
      {bad_start_line, line("GET /a b HTTP/1.1")},

      {head_too_large, head_of(limits::http_head_bytes_max + 1)},
      {too_many_headers, get + fields(limits::http_headers_max) + "\r\n"},
      {too_many_options, with([] {
         std::string value = "Connection: a";
         for (size_t i = 0; i < limits::http_connection_options_max; ++i) value += ",b";
         return value;
       }())},
      {bad_header_name, with("foo")},
      {bad_header_name, with(": x")},
      {bad_header_name, with("a(b: x")},
      {bad_header_name, with("a\xc3\xa9: x")},
      {bad_header_value, with("a: \x01")},
      {bad_header_value, with("a: b\x7f")},
      {bad_header_value, with("a: \x1b[31m")},
      {space_before_colon, with("Content-Length : 5")},
      {space_before_colon, with("Transfer-Encoding\t: chunked")},
      {folded_header, with("a: b\r\n c")},
      {folded_header, with("a: b\r\n\tc")},
      {folded_header, "GET / HTTP/1.1\r\n " + host + "\r\n"},
      {bare_cr, with("a: b\rc")},
      {bare_cr, with("a: b\r\rc: d")},
      {bare_cr, get + "\rX"},
      {bare_cr, "\rGET / HTTP/1.1\r\n"},
      {bare_lf, with("a: b\nc: d")},
      {bare_lf, get + "\n"},
      {bare_lf, "\nGET / HTTP/1.1\r\n"},
      {bare_lf, "GET / HTTP/1.1\n" + host + "\r\n"},
      {bad_header_value, with("a: b\0c"sv)},
      {bad_header_name, with("a\0b: c"sv)},

      {missing_host, "GET / HTTP/1.1\r\n\r\n"},
      {missing_host, "GET http://a.example/ HTTP/1.1\r\n\r\n"},
      {duplicate_host, with("Host: a.example")},
      {duplicate_host, with("hOST: b.example")},
      {bad_host, "GET / HTTP/1.1\r\nHost:\r\n\r\n"},
      {bad_host, "GET / HTTP/1.1\r\nHost: a.example, b.example\r\n\r\n"},
      {bad_host, "GET / HTTP/1.1\r\nHost: user@a.example\r\n\r\n"},
      {bad_host, "GET / HTTP/1.1\r\nHost: a.example/\r\n\r\n"},
      {bad_host, "GET http://a.example/ HTTP/1.1\r\nHost: a b\r\n\r\n"},

      {length_and_encoding, with("Content-Length: 5\r\nTransfer-Encoding: chunked")},
      {length_and_encoding, with("Transfer-Encoding: chunked\r\nContent-Length: 5")},
      {length_and_encoding, with("Content-Length: 0\r\nTransfer-Encoding: identity")},
      {duplicate_length, with("Content-Length: 5\r\nContent-Length: 5")},
      {duplicate_length, with("Content-Length: 5\r\nContent-Length: 6")},
      {bad_length, with("Content-Length:")},
      {bad_length, with("Content-Length: 5, 5")},
      {bad_length, with("Content-Length: +5")},
      {bad_length, with("Content-Length: -5")},
      {bad_length, with("Content-Length: 0x5")},
      {bad_length, with("Content-Length: 5 6")},
      {bad_length, with("Content-Length: 5.0")},
      {body_too_large, with("Content-Length: 9223372036854775808")},
      {body_too_large, with("Content-Length: 18446744073709551621")},
      {bad_encoding, with("Transfer-Encoding:")},
      {bad_encoding, with("Transfer-Encoding: gzip")},
      {bad_encoding, with("Transfer-Encoding: identity")},
      {bad_encoding, with("Transfer-Encoding: xchunked")},
      {bad_encoding, with("Transfer-Encoding: chunked;q=1")},
      {bad_encoding, with("Transfer-Encoding: chunked, identity")},
      {bad_encoding, with("Transfer-Encoding: chunked, chunked")},
      {bad_encoding, with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked")},
      {unknown_encoding, with("Transfer-Encoding: gzip, chunked")},
      {unknown_encoding, with("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked")},
      {encoding_in_http_1_0, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"},

      {bad_chunk_size, chunks("\r\n")},
      {bad_chunk_size, chunks("0x5\r\nhello\r\n")},
      {bad_chunk_size, chunks("-5\r\nhello\r\n")},
      {bad_chunk_size, chunks("5 \r\nhello\r\n")},
      {bad_chunk_size, chunks(" 5\r\nhello\r\n")},
      {bad_chunk_size, chunks("g\r\n")},
      {body_too_large, chunks("8000000000000000\r\n")},
      {body_too_large, chunks("10000000000000005\r\nhello\r\n")},
      {bad_chunk_extension, chunks("5;a=\x01\r\nhello\r\n")},
      {bad_chunk_extension, chunks("5;a=\"b\nc\"\r\nhello\r\n")},
      {chunk_line_too_long,
       chunks("5;" + std::string(limits::http_chunk_line_bytes_max, 'x') + "\r\nhello\r\n")},
      {chunk_line_too_long, chunks(std::string(limits::http_chunk_line_bytes_max, '0') + "5\r\nhello\r\n")},
      {bare_lf, chunks("5\nhello\r\n")},
      {bare_lf, chunks("5;a\nhello\r\n")},
      {bare_cr, chunks("5\rhello\r\n")},
      {bad_chunk_end, chunks("5\r\nhelloX\r\n")},
      {bad_chunk_end, chunks("5\r\nhello\n")},
      {bad_chunk_end, chunks("5\r\nhello\rX")},
      {bad_chunk_end, chunks("5\r\nhello0\r\n\r\n")},
      {trailers_too_large,
       chunks("0\r\nX: " + std::string(limits::http_trailer_bytes_max, 'x') + "\r\n\r\n")},
      {too_many_headers, chunks("0\r\n" + fields(limits::http_headers_max + 1) + "\r\n")},
      {bad_trailer, chunks("0\r\nContent-Length: 5\r\n\r\n")},
      {bad_trailer, chunks("0\r\nTransfer-Encoding: chunked\r\n\r\n")},
      {bad_trailer, chunks("0\r\nHost: b.example\r\n\r\n")},
      {space_before_colon, chunks("0\r\nX : y\r\n\r\n")},
      {folded_header, chunks("0\r\nX: y\r\n z\r\n\r\n")},
      {bare_lf, chunks("0\r\n\nGET / HTTP/1.1\r\n")},
  };
}

std::vector<Case> response_cases() {
  using enum Refusal;
  const std::string ok = "HTTP/1.1 200 OK\r\n";
  return {
      {not_http, "hello, this is HTTP/0.9"},
      {not_http, "ICY 200 OK\r\n\r\n"},
      {not_http, "\x15\x03\x03\x00\x02\x02\x28"},
      {bad_version, "HTTP/2.0 200 OK\r\n\r\n"},
      {bad_version, "HTTP/1.7 200 OK\r\n\r\n"},
      {bad_status, "HTTP/1.1 099 Low\r\n\r\n"},
      {bad_status, "HTTP/1.1 20 Short\r\n\r\n"},
      {bad_status, "HTTP/1.1 2x0 OK\r\n\r\n"},
      {bad_start_line, "HTTP/1.1 2000 OK\r\n\r\n"},
      {bad_start_line, "HTTP/1.1 200 O\x01K\r\n\r\n"},
      {bare_cr, "HTTP/1.1 200 OK\rX: y\r\n\r\n"},
      {bare_lf, "HTTP/1.1 200 OK\nX: y\r\n\r\n"},
      {head_too_large, ok + "X: " + std::string(limits::http_head_bytes_max, 'x')},
      {head_too_large, "HTTP/1.1 200 " + std::string(limits::http_head_bytes_max, 'x')},
      {too_many_headers, ok + fields(limits::http_headers_max + 1) + "\r\n"},
      {folded_header, ok + "X: y\r\n z\r\n\r\n"},
      {space_before_colon, ok + "Content-Length : 5\r\n\r\n"},
      {bad_header_value, ok + std::string("X: \0\r\n\r\n", 8)},
      {length_and_encoding, ok + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"},
      {length_and_encoding, ok + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"},
      {duplicate_length, ok + "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"},
      {bad_length, ok + "Content-Length: 5, 5\r\n\r\n"},
      {body_too_large, ok + "Content-Length: 9223372036854775808\r\n\r\n"},
      {bad_encoding, ok + "Transfer-Encoding: gzip\r\n\r\n"},
      {bad_encoding, ok + "Transfer-Encoding: chunked, gzip\r\n\r\n"},
      {unknown_encoding, ok + "Transfer-Encoding: gzip, chunked\r\n\r\n"},
      {encoding_in_http_1_0, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"},
      {bad_chunk_size, ok + "Transfer-Encoding: chunked\r\n\r\nzz\r\n"},
      {bad_chunk_end, ok + "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n"},
      {bad_trailer, ok + "Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n"},
      {unsolicited, ok + "Content-Length: 0\r\n\r\n" + ok},
      {unexpected_upgrade, "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"},
      {too_many_interim,
       [] {
         std::string text;
         for (size_t i = 0; i <= limits::http_interim_max; ++i) text += "HTTP/1.1 102 Processing\r\n\r\n";
         return text;
       }()},
  };
}

std::string refused_for(const Transcript& transcript) {
  for (const std::string& it : transcript.lines) {
    if (it.starts_with("refused:")) return it.substr(8);
  }
  return "not at all:\n" + transcript.text();
}

}  // namespace

TEST_CASE("every request that could be read in two ways is refused with its reason, whatever its cuts") {
  for (const Case& it : request_cases()) {
    CAPTURE(it.bytes.substr(0, 200));
    const Transcript whole = read_requests(it.bytes);
    CHECK(refused_for(whole) == name_of(it.reason));
    if (it.bytes.size() < 4096) CHECK(read_requests(it.bytes, every_offset(it.bytes.size())) == whole);
  }
}

TEST_CASE("every response that could be read in two ways is refused with its reason, whatever its cuts") {
  for (const Case& it : response_cases()) {
    CAPTURE(it.bytes.substr(0, 200));
    const Transcript whole = read_responses(with("X: y"), it.bytes);
    CHECK(refused_for(whole) == name_of(it.reason));
    if (it.bytes.size() < 4096) {
      CHECK(read_responses(with("X: y"), it.bytes, every_offset(it.bytes.size())) == whole);
    }
  }
}

TEST_CASE("every row of the table is reached, and has a name, a sentence and a status") {
  std::set<Refusal> reached;
  for (const Case& it : request_cases()) reached.insert(it.reason);
  for (const Case& it : response_cases()) reached.insert(it.reason);
  std::set<std::string> names;
#define SLUICE_REFUSAL(name, status, text)                  \
  CHECK_MESSAGE(reached.count(Refusal::name) == 1, #name);  \
  CHECK(name_of(Refusal::name) == std::string_view(#name)); \
  CHECK(text_of(Refusal::name) == std::string_view(text));  \
  CHECK(status_of_request(Refusal::name) == status);        \
  names.insert(#name);
#include "http/refusal.def"
#undef SLUICE_REFUSAL
  CHECK(reached.size() == names.size());
}

TEST_CASE("statuses of refused requests are those of RFC 9110 and RFC 6585") {
  CHECK(status_of_request(Refusal::length_and_encoding) == 400);
  CHECK(status_of_request(Refusal::body_too_large) == 413);
  CHECK(status_of_request(Refusal::target_too_long) == 414);
  CHECK(status_of_request(Refusal::head_too_large) == 431);
  CHECK(status_of_request(Refusal::too_many_headers) == 431);
  CHECK(status_of_request(Refusal::unknown_encoding) == 501);
  CHECK(status_of_request(Refusal::bad_version) == 505);
  CHECK(status_of_response == 502);
}

TEST_CASE("each limit lets through what is just at it") {
  const auto is_read = [](const std::string& request) {
    return read_requests(request).lines.front().starts_with("head");
  };
  CHECK(is_read(head_of(limits::http_head_bytes_max)));
  CHECK(is_read(line("GET /" + std::string(limits::http_target_bytes_max - 1, 'x') + " HTTP/1.1")));
  CHECK(is_read(line(std::string(limits::http_method_bytes_max, 'M') + " / HTTP/1.1")));
  CHECK(is_read(get + fields(limits::http_headers_max - 1) + "\r\n"));
  CHECK(is_read("\r\n\r\n\r\n\r\n" + with("X: y")));
  CHECK(is_read(with("Content-Length: 9223372036854775807")));
  const auto is_complete = [](const std::string& request) {
    return read_requests(request).text().find("\nend:") != std::string::npos;
  };
  // The size line with its CRLF; the trailers with the empty line behind them.
  CHECK(is_complete(chunks("0;" + std::string(limits::http_chunk_line_bytes_max - 4, 'x') + "\r\n\r\n")));
  CHECK(is_complete(chunks("0\r\nX: " + std::string(limits::http_trailer_bytes_max - 7, 'x') + "\r\n\r\n")));
  CHECK(is_complete(chunks("0\r\n" + fields(limits::http_headers_max) + "\r\n")));
  std::string interim;
  for (size_t i = 0; i < limits::http_interim_max; ++i) interim += "HTTP/1.1 103 Early Hints\r\n\r\n";
  CHECK(read_responses(with("X: y"), interim + "HTTP/1.1 204 No Content\r\n\r\n").lines.back() ==
        "finish:idle");
}

TEST_CASE("a reader that has refused says so for ever") {
  RequestReader reader;
  const std::string bytes = "GET / HTTP/1.1\nHost: a\r\n\r\n" + with("X: y");
  sluice::ByteReader in(bytes_of(bytes));
  CHECK(reader.next(in).kind == Event::Kind::refused);
  CHECK(reader.next(in).kind == Event::Kind::refused);
  CHECK(reader.next(in).refusal == Refusal::bare_lf);
  CHECK(reader.finish() == Ending::truncated);
}
