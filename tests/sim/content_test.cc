// Rules that judge by what a body is (S19, S22): what is held, released, replaced and cut off, in both directions.

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "sim/talk.h"
#include "tls/digest.h"

namespace sluice::sim {
namespace {

// What file(1) calls a PE executable, as far as the first bytes tell.
std::string program(size_t size) {
  std::string text = "MZ";
  text.resize(0x80, '\0');
  text[0x3c] = '\x80';
  text += std::string("PE\0\0\x64\x86", 6);
  text.resize(std::max<size_t>(size, 0x100), 'p');
  return text;
}
std::string words(size_t size) {
  std::string text;
  while (text.size() < size) text += "just some words, and no more than that\n";
  text.resize(size);
  return text;
}
std::string gzip(const std::string& plain) {
  z_stream stream{};
  REQUIRE(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&stream, plain.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}
std::string sha256_of(const std::string& text) {
  std::array<uint8_t, 32> digest{};
  tls::sha256({reinterpret_cast<const uint8_t*>(text.data()), text.size()}, digest);
  std::string hex;
  for (const uint8_t byte : digest) {
    hex += "0123456789abcdef"[byte >> 4];
    hex += "0123456789abcdef"[byte & 15];
  }
  return hex;
}

std::string response(const std::string& body, std::string_view fields = "") {
  return "HTTP/1.1 200 OK\r\n" + std::string(fields) + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}
std::string chunked(const std::string& body, std::string_view fields = "", size_t chunk = 1000) {
  std::string text = "HTTP/1.1 200 OK\r\n" + std::string(fields) + "Transfer-Encoding: chunked\r\n\r\n";
  for (size_t at = 0; at < body.size(); at += chunk) {
    const std::string piece = body.substr(at, chunk);
    char size[20];
    (void)snprintf(size, sizeof size, "%zx\r\n", piece.size());
    text += size + piece + "\r\n";
  }
  return text + "0\r\n\r\n";
}
/// The body of a response in chunks.
std::string unchunked(const std::string& text) {
  std::string body;
  size_t at = text.find("\r\n\r\n") + 4;
  for (;;) {
    size_t end = 0;
    const size_t size = std::stoul(text.substr(at, 8), &end, 16);
    REQUIRE(text.substr(at + end, 2) == "\r\n");
    body += text.substr(at + end + 2, size);
    at += end + 2 + size + 2;
    if (size == 0) break;
  }
  CHECK(at == text.size());
  return body;
}
std::string post(const std::string& body, std::string_view fields = "") {
  return "POST /up HTTP/1.1\r\nHost: a.test\r\n" + std::string(fields) + "Content-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}

constexpr std::string_view no_programs = R"(
[[access.rules]]
name = "no programs"
when = { file_type = "executable" }
)";
constexpr std::string_view no_video = R"(
[[access.rules]]
name = "no video"
when = { mime = "video/*" }
)";
constexpr std::string_view not_too_large = R"(
[[access.rules]]
name = "not too large"
when = { size = "> 100 KiB" }
)";

void check_page(const std::string& down, bool closes) {
  CHECK(down.starts_with("HTTP/1.1 403"));
  CHECK(count_of(down, "HTTP/1.1 ") == 1);
  CHECK(count_of(down, "Connection: close") == (closes ? 1 : 0));
}

}  // namespace

// --- responses
// -------------------------------------------------------------------------------------------------------

TEST_CASE("a response that is blocked by its head: the page in its place, its body is thrown away, and all goes on") {
  Talk talk(get, no_video);
  talk.answer(response(words(5'000), "Content-Type: Video/MP4; codecs=x\r\n"));
  check_page(talk.at_client(), false);
  talk.say(get_of("/2"));
  talk.answer(ok_of("two"));
  CHECK(talk.at_client() == ok_of("two"));
  CHECK(talk.end() == CloseReason::finished);
  REQUIRE(talk.requests().size() == 2);
  CHECK(talk.requests()[0].action == "block");
  CHECK(talk.requests()[0].access_rule == "no video");
  CHECK(talk.requests()[0].status == 403);
  CHECK(talk.requests()[0].mime == "Video/MP4");
  CHECK(talk.requests()[0].bytes_down == 0);
  CHECK(talk.requests()[1].action == "allow");
}

TEST_CASE("a blocked response with too much behind it closes the connection behind its page") {
  const std::string heads[] = {
      "HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: 10000000\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n",
      "HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nConnection: close\r\nContent-Length: 9\r\n\r\n"};
  for (const std::string& head : heads) {
    CAPTURE(head);
    Talk talk(get_of("/1") + get_of("/2"), no_video);
    talk.answer(head + "begin");
    check_page(talk.at_client(), true);
    CHECK(talk.client->got_fin());
    talk.client->finish();
    CHECK(talk.reason() == CloseReason::rule_block);
    CHECK(talk.requests().size() == 2);
  }
}

TEST_CASE("HEAD of what is forbidden has a page without a body, and the connection goes on") {
  Talk talk("HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n", no_video);
  talk.answer("HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: 10000000\r\n\r\n");
  const std::string down = talk.at_client();
  check_page(down, false);
  CHECK(down.ends_with("\r\n\r\n"));
  talk.say(get);
  talk.answer(ok);
  CHECK(talk.at_client() == ok);
  CHECK(talk.end() == CloseReason::finished);
}

TEST_CASE("a response that is redirected by its content") {
  Talk talk(get, R"(
[[access.rules]]
name = "elsewhere"
action = "redirect"
to = "https://portal.test/"
when = { file_type = "executable" }
)");
  talk.answer(response(program(20'000)));
  const std::string down = talk.at_client();
  CHECK(down.starts_with("HTTP/1.1 302"));
  CHECK(count_of(down, "Location: https://portal.test/") == 1);
  talk.say(get);
  talk.answer(ok);
  CHECK(talk.at_client() == ok);
  CHECK(talk.end() == CloseReason::finished);
  CHECK(talk.requests()[0].action == "redirect");
}

namespace {

/// The response, sent in such pieces, is refused as a program, and nothing of it is passed on.
void check_refused(const std::string& form, size_t piece) {
  Talk talk(get, no_programs);
  for (size_t at = 0; at < form.size() && talk.lab.session_of(*talk.client) != nullptr; at += piece)
    (void)talk.origin().send(bytes(std::string_view(form).substr(at, piece))), talk.lab.settle();
  const std::string down = talk.at_client();
  CHECK(down.starts_with("HTTP/1.1 403"));
  CHECK(count_of(down, "MZ") == 0);
  talk.client->finish();
  talk.lab.settle();
  talk.origin().finish();
  (void)talk.reason();
  REQUIRE(talk.requests().size() == 1);
  CHECK(talk.requests()[0].access_rule == "no programs");
}

}  // namespace

TEST_CASE("a type by content is found whatever the body is called and however it comes") {
  const std::string body = program(20'000);
  const std::string heads = "Content-Type: image/png\r\n";
  const std::string forms[] = {response(body, heads), chunked(body, heads), chunked(body, heads, 1),
                               response(gzip(body), heads + "Content-Encoding: gzip\r\n"),
                               response(gzip(gzip(body)), heads + "Content-Encoding: gzip, gzip\r\n"),
                               response(program(300), heads)};
  for (const std::string& form : forms)
    for (const size_t piece : {1u, 7u, 1'000u, 100'000u}) {
      if (piece == 1 && form.size() > 30'000) continue;
      CAPTURE(form.substr(0, 100));
      CAPTURE(piece);
      check_refused(form, piece);
    }
}

TEST_CASE("a type is found of a body as it came, too, in whatever pieces, and both readings are waited for") {
  // A deflate stream of "abc" that begins like a program, and the program's rest.
  const std::string stub("\x4d\x5a\x81\x08\0\0\0\x62\xfd\xff\x05\x05\x97\x01\x75", 15);
  const std::string body = stub + program(20'000).substr(stub.size());
  const std::string form = response(body, "Content-Encoding: deflate\r\nConnection: Content-Encoding\r\n");
  for (const size_t piece : {1u, 15u, 100u, 100'000u}) {
    CAPTURE(piece);
    check_refused(form, piece);
  }
  // Without the rest it is no program.
  Talk talk(get, no_programs);
  const std::string harmless = response(std::string("\x4b\x4c\x4a\x06\0", 5), "Content-Encoding: deflate\r\n");
  talk.answer(harmless);
  CHECK(talk.at_client() == harmless);
  CHECK(talk.end() == CloseReason::finished);
}

TEST_CASE("what is harmless passes byte for byte, however it comes, behind its verdict") {
  const std::string body = words(30'000);
  const std::string zipped = gzip(body);
  const std::string forms[] = {response(body), chunked(body), response(zipped, "Content-Encoding: gzip\r\n"), response(""),
                               "HTTP/1.1 204 No Content\r\n\r\n", response(words(10))};
  for (const std::string& form : forms)
    for (const size_t piece : {13u, 1'000u, 100'000u}) {
      CAPTURE(form.substr(0, 100));
      CAPTURE(piece);
      Talk talk(get, no_programs);
      for (size_t at = 0; at < form.size(); at += piece) talk.answer(std::string_view(form).substr(at, piece));
      const std::string down = talk.at_client();
      if (count_of(form.substr(0, 100), "chunked") == 0) {
        CHECK(down == form);
      } else {
        CHECK(unchunked(down) == body);
      }
      CHECK(talk.end() == CloseReason::finished);
      REQUIRE(talk.requests().size() == 1);
      CHECK(talk.requests()[0].action == "allow");
      CHECK(talk.requests()[0].status.has_value());
    }
}

TEST_CASE("nothing of a response is released before its verdict") {
  Talk talk(get, no_programs);
  talk.answer("HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n" + words(8'000));
  CHECK(talk.at_client().empty());
  talk.answer(words(1'000));
  CHECK(talk.at_client().size() > 9'000);
  talk.answer(words(11'000));
  CHECK(talk.end() == CloseReason::finished);
}

TEST_CASE("a coding that cannot be undone, or is broken: what a rule forbids is not let through unseen") {
  const std::string whole = gzip(program(20'000));
  const std::string bodies[] = {response(program(20'000), "Content-Encoding: exotic\r\n"),
                                response("not gzip at all, really not", "Content-Encoding: gzip\r\n"),
                                response(whole.substr(0, 20), "Content-Encoding: gzip\r\n")};
  for (const std::string& body : bodies) {
    CAPTURE(body.substr(0, 100));
    Talk talk(get, no_programs);
    talk.answer(body);
    check_page(talk.at_client(), false);
    talk.say(get);
    talk.answer(ok);
    CHECK(talk.at_client() == ok);
    CHECK(talk.end() == CloseReason::finished);
  }
}

TEST_CASE("hashes: the body is known by them at its end, and passes or not") {
  const std::string bad = words(50'000);
  const std::string rules = "[[access.rules]]\nname = \"known\"\nwhen = { sha256 = \"" + sha256_of(bad) + "\" }\n";
  for (const bool zipped : {false, true}) {
    Talk talk(get_of("/1") + get_of("/2"), rules);
    const std::string coding = zipped ? "Content-Encoding: gzip\r\n" : "";
    talk.answer(response(zipped ? gzip(bad) : bad, coding));
    check_page(talk.at_client(), false);
    const std::string good = words(50'001);
    const std::string form = response(zipped ? gzip(good) : good, coding);
    talk.answer(form);
    CHECK(talk.at_client() == form);
    CHECK(talk.end() == CloseReason::finished);
    CHECK(talk.requests()[0].access_rule == "known");
    CHECK(talk.requests()[1].action == "allow");
  }
  // The same by MD5, of "abc".
  Talk talk(get, "[[access.rules]]\nname = \"known\"\nwhen = { md5 = \"900150983cd24fb0d6963f7d28e17f72\" }\n");
  talk.answer(chunked("abc"));
  check_page(talk.at_client(), false);
  CHECK(talk.end() == CloseReason::finished);
}

TEST_CASE("size: by its length at once, without one when it has grown past the bound") {
  Talk at_once(get, not_too_large);
  at_once.answer("HTTP/1.1 200 OK\r\nContent-Length: 102401\r\n\r\n");
  check_page(at_once.at_client(), false);
  at_once.answer(words(102'401));
  CHECK(at_once.at_client().empty());
  CHECK(at_once.end() == CloseReason::finished);

  Talk exactly(get, not_too_large);
  const std::string body = words(102'400);
  exactly.answer(response(body));
  CHECK(exactly.at_client() == response(body));
  CHECK(exactly.end() == CloseReason::finished);

  Talk grown(get, not_too_large);
  grown.answer(chunked(words(250'000)));
  check_page(grown.at_client(), true);
  grown.client->finish();
  grown.lab.settle();
  CHECK(grown.reason() == CloseReason::rule_block);

  Talk small(get, not_too_large);
  small.answer(chunked(words(102'400)));
  CHECK(small.at_client().ends_with("0\r\n\r\n"));
  CHECK(small.end() == CloseReason::finished);
}

TEST_CASE("past hold_limit the oldest bytes go, and a late block is a reset: the last hold_limit bytes never arrive") {
  constexpr uint64_t hold_limit = 20'000;
  const std::string bad = words(90'000);
  const std::string rules = "[[access.rules]]\nname = \"known\"\nwhen = { sha256 = \"" + sha256_of(bad) + "\" }\n";
  for (const bool with_length : {true, false})
    for (const size_t piece : {999u, 10'000u, 200'000u}) {
      CAPTURE(with_length);
      CAPTURE(piece);
      Talk talk(get, rules, hold_limit);
      const std::string form = with_length ? response(bad) : chunked(bad);
      std::string down;
      for (size_t at = 0; at < form.size() && talk.lab.session_of(*talk.client) != nullptr; at += piece) {
        talk.answer(std::string_view(form).substr(at, piece));
        CHECK(talk.lab.world.relay_memory_bytes <= hold_limit + 2 * limits::relay_copy_bytes);
        down += talk.at_client();
      }
      CHECK(down.size() <= bad.size() + bad.size() / 50 - hold_limit + 500);
      if (piece < 200'000) CHECK(down.starts_with("HTTP/1.1 200"));
      CHECK(talk.client->got_reset());
      CHECK(talk.reason() == CloseReason::rule_block);
      REQUIRE(talk.requests().size() == 1);
      CHECK(talk.requests()[0].action == "block");
      CHECK(talk.requests()[0].access_rule == "known");
    }
  // The same with a harmless end: everything arrives.
  Talk talk(get, rules, hold_limit);
  const std::string form = response(words(90'001));
  talk.answer(form);
  CHECK(talk.at_client() == form);
  CHECK(talk.end() == CloseReason::finished);
}

TEST_CASE("a body until close that is judged at its end: page, or all of it and an end in order") {
  const std::string bad = words(5'000);
  const std::string rules = "[[access.rules]]\nname = \"known\"\nwhen = { sha256 = \"" + sha256_of(bad) + "\" }\n";
  Talk blocked(get, rules);
  blocked.answer("HTTP/1.1 200 OK\r\n\r\n" + bad);
  CHECK(blocked.at_client().empty());
  blocked.origin().finish();
  blocked.lab.settle();
  check_page(blocked.at_client(), true);
  CHECK(blocked.client->got_fin());
  blocked.client->finish();
  CHECK(blocked.reason() == CloseReason::rule_block);

  Talk passed(get, rules);
  passed.answer("HTTP/1.1 200 OK\r\n\r\n" + bad + "x");
  passed.origin().finish();
  passed.lab.settle();
  CHECK(passed.at_client().ends_with(bad + "x"));
  CHECK(passed.client->got_fin());
  passed.client->finish();
  CHECK(passed.reason() == CloseReason::finished);

  Talk cut(get, rules);
  cut.answer("HTTP/1.1 200 OK\r\n\r\n" + bad + "x");
  cut.origin().reset();
  cut.lab.pass_ms(100);
  CHECK(cut.at_client().empty());
  CHECK(cut.client->got_reset());
  CHECK(cut.reason() == CloseReason::origin_reset);
}

TEST_CASE("a held response that is cut off, or turns bad: nothing of it, and no clean end") {
  Talk cut(get, no_programs);
  cut.answer("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + words(100));
  cut.origin().finish();
  cut.lab.pass_ms(100);
  CHECK(cut.at_client().empty());
  CHECK(cut.client->got_reset());
  CHECK(cut.reason() == CloseReason::origin_truncated);

  Talk bad(get, no_programs);
  bad.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n");
  CHECK(bad.at_client().starts_with("HTTP/1.1 502"));
  bad.client->close();
  bad.lab.pass_ms(limits::linger_ms + 10);
  CHECK(bad.reason() == CloseReason::response_refused);
}

TEST_CASE("held bytes count as relay memory: past it the connection ends as overload") {
  Talk talk(get, "[[access.rules]]\nname = \"known\"\nwhen = { sha256 = \"" + sha256_of("x") + "\" }\n");
  talk.lab.world.relay_memory_max_bytes = 100'000;
  talk.answer("HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n");
  for (int i = 0; i < 20 && talk.lab.session_of(*talk.client) != nullptr; ++i) talk.answer(words(10'000));
  CHECK(talk.at_client().empty());
  CHECK(talk.client->got_reset());
  CHECK(talk.reason() == CloseReason::overload);
  CHECK(talk.lab.counters.relay_memory_limit_hits == 1);
}

TEST_CASE("a bypass rule that allows passes what the rules behind it forbid, without holding it") {
  Talk talk(get, std::string(no_programs) + R"(
[[bypass.rules]]
name = "trusted"
action = "allow"
when = { host = "a.test" }
)");
  const std::string form = response(program(20'000));
  talk.answer(std::string_view(form).substr(0, 200));
  CHECK(talk.at_client() == form.substr(0, 200));
  talk.answer(std::string_view(form).substr(200));
  CHECK(talk.at_client() == form.substr(200));
  CHECK(talk.end() == CloseReason::finished);
  CHECK(talk.requests()[0].bypass_rule == "trusted");
}

TEST_CASE("file names: of Content-Disposition, and of the URL") {
  constexpr std::string_view rules = "[[access.rules]]\nname = \"names\"\nwhen = { file_name = \"*.exe\" , direction = \"response\" }\n";
  Talk disposition(get, rules);
  disposition.answer(response("x", "Content-Disposition: attachment; filename*=UTF-8''Set%20Up.EXE\r\n"));
  check_page(disposition.at_client(), false);
  CHECK(disposition.end() == CloseReason::finished);
  Talk url("GET /x/%73etup.e%78e?y=z HTTP/1.1\r\nHost: a.test\r\n\r\n", rules);
  CHECK(url.at_origin().starts_with("GET /x/%73etup.e%78e?y=z HTTP/1.1\r\n"));
  url.answer(ok);
  check_page(url.at_client(), false);
  CHECK(url.end() == CloseReason::finished);
  Talk other("GET /x/setup.exe/ HTTP/1.1\r\nHost: a.test\r\n\r\n", rules);
  other.answer(ok);
  CHECK(other.at_client() == ok);
  CHECK(other.end() == CloseReason::finished);
}

TEST_CASE("S34: requests ask for what can be read whole, and only where rules look at responses") {
  constexpr std::string_view asks =
      "GET /a HTTP/1.1\r\nHost: a.test\r\nRange: bytes=5-\r\nIf-Range: \"x\"\r\n"
      "Accept-Encoding: gzip;q=0.5, dcb, br, exotic;q=1, *;q=0.1\r\n\r\n";
  Talk plain(asks);
  CHECK(plain.at_origin() == asks);
  plain.answer(ok);
  CHECK(plain.end() == CloseReason::finished);
  Talk ruled(asks, no_programs);
  CHECK(ruled.at_origin() == "GET /a HTTP/1.1\r\nHost: a.test\r\nAccept-Encoding: gzip;q=0.5, br\r\n\r\n");
  ruled.answer(ok);
  CHECK(ruled.end() == CloseReason::finished);
  Talk only_exotic("GET /a HTTP/1.1\r\nHost: a.test\r\nAccept-Encoding: exotic\r\n\r\n", no_programs);
  CHECK(only_exotic.at_origin() == "GET /a HTTP/1.1\r\nHost: a.test\r\nAccept-Encoding: identity\r\n\r\n");
  only_exotic.answer(ok);
  CHECK(only_exotic.end() == CloseReason::finished);
}

// --- requests
// --------------------------------------------------------------------------------------------------------

TEST_CASE("a request body that is forbidden: nothing of it reaches the origin, the client has its page, all goes on") {
  for (const size_t piece : {1u, 1'000u, 100'000u}) {
    CAPTURE(piece);
    Talk talk(get_of("/1"), no_programs);
    talk.answer(ok);
    CHECK(talk.at_client() == ok);
    (void)talk.at_origin();
    const std::string up = post(program(9'000));
    for (size_t at = 0; at < up.size(); at += piece) talk.say(std::string_view(up).substr(at, piece));
    CHECK(talk.at_origin().empty());
    check_page(talk.at_client(), false);
    talk.say(get_of("/3"));
    CHECK(talk.at_origin().starts_with("GET /3"));
    talk.answer(ok);
    CHECK(talk.at_client() == ok);
    CHECK(talk.end() == CloseReason::finished);
    REQUIRE(talk.requests().size() == 3);
    CHECK(talk.requests()[1].access_rule == "no programs");
    CHECK(talk.requests()[1].bytes_up == 9'000);
  }
}

TEST_CASE("a request body that is allowed arrives whole, behind its verdict") {
  const std::string body = words(30'000);
  for (const size_t piece : {13u, 100'000u}) {
    Talk talk("", no_programs);
    const std::string up = post(body);
    for (size_t at = 0; at < up.size(); at += piece) talk.say(std::string_view(up).substr(at, piece));
    CHECK(talk.at_origin() == up);
    talk.answer(ok);
    CHECK(talk.at_client() == ok);
    CHECK(talk.end() == CloseReason::finished);
    CHECK(talk.requests()[0].bytes_up == 30'000);
  }
}

TEST_CASE("a client that waits for 100 (Continue) while we hold hears it from us, in its turn") {
  Talk talk(get_of("/1"), no_programs);
  talk.say("POST /up HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
  CHECK(talk.at_client().empty());
  talk.answer(ok);
  CHECK(talk.at_client() == std::string(ok) + "HTTP/1.1 100 Continue\r\n\r\n");
  (void)talk.at_origin();
  talk.say("abc");
  CHECK(talk.at_origin() == "POST /up HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc");
  talk.answer(ok);
  CHECK(talk.at_client() == ok);
  CHECK(talk.end() == CloseReason::finished);

  Talk blocked("POST /up HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 9000\r\n\r\n", no_programs);
  CHECK(blocked.at_client() == "HTTP/1.1 100 Continue\r\n\r\n");
  blocked.say(program(9'000));
  check_page(blocked.at_client(), false);
  CHECK_FALSE(blocked.is_dialled());
  CHECK(blocked.end() == CloseReason::finished);
}

TEST_CASE("a request body past hold_limit: a late block cuts it off at the origin") {
  const std::string bad = words(90'000);
  const std::string rules = "[[access.rules]]\nname = \"known\"\nwhen = { sha256 = \"" + sha256_of(bad) + "\" }\n";
  Talk talk("", rules, 20'000);
  const std::string sent = post(bad);
  std::string up;
  for (size_t at = 0; at < sent.size() && talk.lab.session_of(*talk.client) != nullptr; at += 10'000) {
    talk.say(std::string_view(sent).substr(at, 10'000));
    up += talk.at_origin();
  }
  CHECK(up.starts_with("POST /up"));
  CHECK(up.size() < 71'000);
  CHECK(talk.origin().got_reset());
  CHECK(talk.client->got_reset());
  CHECK(talk.reason() == CloseReason::rule_block);
  CHECK(talk.requests()[0].access_rule == "known");
  Talk good("", rules, 20'000);
  good.say(post(bad + "x"));
  CHECK(good.at_origin() == post(bad + "x"));
  good.answer(ok);
  CHECK(good.end() == CloseReason::finished);
}

TEST_CASE("an origin that ends while a request is held back from it: the client is told") {
  Talk talk(get, no_programs);
  talk.answer(ok);
  CHECK(talk.at_client() == ok);
  talk.say("POST /up HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9000\r\n\r\nbegin");
  talk.origin().finish();
  talk.lab.settle();
  CHECK(talk.at_client().starts_with("HTTP/1.1 502"));
  CHECK(talk.client->got_fin());
  talk.client->finish();
  CHECK(talk.reason() == CloseReason::origin_truncated);
  CHECK(talk.requests()[1].status == 502);
}

TEST_CASE("a held request that is cut off or turns bad never begins at the origin") {
  Talk cut("POST /up HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9000\r\n\r\nbegin", no_programs);
  cut.client->finish();
  cut.lab.settle();
  CHECK_FALSE(cut.is_dialled());
  CHECK(cut.reason() == CloseReason::client_truncated);
  CHECK(cut.requests().size() == 1);
  Talk bad("POST /up HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n", no_programs);
  CHECK(bad.at_client().starts_with("HTTP/1.1 400"));
  CHECK_FALSE(bad.is_dialled());
  bad.client->finish();
  CHECK(bad.reason() == CloseReason::request_refused);
  CHECK(bad.requests().size() == 1);
}

// --- any cut, any order, any end
// -----------------------------------------------------------------------------------

TEST_CASE("seeded: conversations of every kind of message, cut anywhere, give the same answers in the same order") {
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    CAPTURE(seed);
    Random random(seed);
    const uint64_t hold_limit = seed % 3 == 0 ? 30'000 : 1 << 20;
    Talk talk("", no_programs, hold_limit);
    talk.lab.kernel.chaos.short_receive = talk.lab.kernel.chaos.short_send = seed % 2 == 0 ? 0.2 : 0;
    std::string requests, responses, expected_up;
    std::vector<std::string> expected_down;  // each whole, or the beginning of a page
    const size_t total = 1 + random.below(12);
    for (size_t i = 0; i < total; ++i) {
      const size_t size = random.below(2) == 0 ? random.below(200) : random.below(40'000);
      switch (random.below(6)) {
        case 0: {  // an upload that is blocked
          requests += post(program(size));
          expected_down.push_back("HTTP/1.1 403");
          break;
        }
        case 1: {  // and one that is not
          requests += post(words(size));
          expected_up += post(words(size));
          responses += ok;
          expected_down.emplace_back(ok);
          break;
        }
        case 2: {  // a response that is blocked
          requests += get;
          expected_up += get;
          responses += response(program(size));
          expected_down.push_back("HTTP/1.1 403");
          break;
        }
        default: {
          requests += get;
          expected_up += get;
          responses += response(words(size));
          expected_down.push_back(response(words(size)));
          break;
        }
      }
    }
    std::string up, down;
    size_t asked = 0, answered = 0, sent = 0;
    for (int turn = 0; turn < 20'000; ++turn) {
      const bool done = asked == requests.size() && answered == responses.size();
      if (asked < requests.size() && random.below(2) == 0) {
        const size_t piece = std::min(requests.size() - asked, 1 + random.below(random.below(2) == 0 ? 50 : 20'000));
        asked += talk.client->send(bytes(std::string_view(requests).substr(asked, piece)));
        talk.lab.settle();
      }
      if (Connection* origin = talk.lab.origin_of(*talk.client); origin != nullptr) {
        up += text(origin->read(1'000'000));
        // An origin answers what it has been asked.
        const size_t due = count_of(up, "HTTP/1.1\r\nHost");
        size_t until = 0, at = 0;
        for (size_t i = 0; i < due; ++i) {
          at = responses.find("HTTP/1.1 200", until == 0 ? 0 : until);
          if (at == std::string::npos) break;
          until = responses.find("HTTP/1.1 200", at + 1);
          if (until == std::string::npos) until = responses.size();
        }
        sent = until;
        if (answered < sent) {
          const size_t piece = std::min(sent - answered, 1 + random.below(random.below(2) == 0 ? 50 : 20'000));
          answered += origin->send(bytes(std::string_view(responses).substr(answered, piece)));
          talk.lab.settle();
        }
      }
      down += text(talk.client->read(1'000'000));
      talk.lab.settle();
      if (done) break;
    }
    REQUIRE(asked == requests.size());
    for (int i = 0; i < 50; ++i) {
      talk.lab.pass_ms(1);
      down += text(talk.client->read(1'000'000));
      if (Connection* origin = talk.lab.origin_of(*talk.client); origin != nullptr) up += text(origin->read(1'000'000));
    }
    REQUIRE(up == expected_up);
    size_t at = 0;
    for (const std::string& each : expected_down) {
      REQUIRE(down.substr(at, each.size()) == each);
      at = std::min(down.find("HTTP/1.1 ", at + 1), down.size());
    }
    REQUIRE(at == down.size());
    REQUIRE(talk.end() == CloseReason::finished);
    REQUIRE(talk.requests().size() == total);
  }
}

TEST_CASE("held messages: a reset of either side, or flow::end, at every step: nothing is left over") {
  const std::string up = post(words(9'000)) + post(program(9'000)) + get_of("/3") + get_of("/4");
  const std::string down = std::string(ok) + chunked(words(9'000), "", 3'000) + response(program(9'000));
  for (const int how : {0, 1, 2, 3, 4})
    for (size_t step = 0; step < up.size() + down.size(); step += 501) {
      CAPTURE(how);
      CAPTURE(step);
      Talk talk("", no_programs, step % 2 == 0 ? 1 << 20 : 4'000);
      talk.say(std::string_view(up).substr(0, step));
      const bool has_origin = talk.lab.origin_of(*talk.client) != nullptr;
      if (step > up.size() && has_origin) {
        (void)talk.origin().send(bytes(std::string_view(down).substr(0, step - up.size())));
        talk.lab.settle();
      }
      switch (how) {
        case 0: talk.client->reset(); break;
        case 1: if (has_origin) talk.origin().reset(); break;
        case 2: if (has_origin) talk.origin().close(); break;
        case 3: talk.client->close(); break;
        case 4:
          if (flow::Session* session = talk.lab.session_of(*talk.client)) flow::end(*session, CloseReason::stopped);
          break;
      }
      talk.lab.settle();
      (void)talk.at_client();
      talk.lab.pass_ms(1);
      talk.client->close();
      talk.lab.pass_ms(20'000);
      if (talk.lab.session_of(*talk.client) != nullptr)
        talk.lab.pass_ms(talk.lab.config().limits.idle_timeout_ms + talk.lab.config().limits.half_closed_timeout_ms);
      (void)talk.reason();
    }
}

}  // namespace sluice::sim
