// Plain HTTP through the gateway (gateway.http_ports), case by case: steps peek, connect, exchange, finish.

#include <doctest/doctest.h>

#include <cerrno>

#include "base/limits.h"
#include "sim/talk.h"

namespace sluice::sim {
namespace {

using record::CloseReason;

/// Nobody runs in circles: a second of waiting costs no more than a few calls per tick.
void check_calm(Talk& talk) {
  const uint64_t polls = talk.lab.kernel.polls;
  talk.lab.pass_ms(1'000);
  CHECK(talk.lab.kernel.polls - polls < 2'100);
  CHECK(talk.lab.complaints() == "");
}

}  // namespace

// --- messages
// --------------------------------------------------------------------------------------------------------

TEST_CASE("one request after the other on one connection; each has its record") {
  Talk talk(get);
  CHECK(talk.at_origin() == get);
  talk.answer(ok);
  CHECK(talk.at_client() == ok);
  talk.say("POST /b HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc");
  CHECK(talk.at_origin() == "POST /b HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc");
  talk.answer("HTTP/1.1 404 Not Found\r\nContent-Type: text/html; charset=x\r\nContent-Length: 1\r\n\r\n!");
  CHECK(talk.at_client() ==
        "HTTP/1.1 404 Not Found\r\nContent-Type: text/html; charset=x\r\nContent-Length: 1\r\n\r\n!");
  CHECK(talk.end() == CloseReason::finished);
  REQUIRE(talk.requests().size() == 2);
  CHECK(talk.requests()[0].url == "http://a.test/a");
  CHECK(talk.requests()[1].method == "POST");
  CHECK(talk.requests()[1].status == 404);
  CHECK(talk.requests()[1].mime == "text/html");
  CHECK(talk.requests()[1].bytes_up == 3);
  CHECK(talk.requests()[1].bytes_down == 1);
  CHECK(talk.lab.record_of(*talk.client)->action == "allow");
}

TEST_CASE("everything byte by byte") {
  Talk talk;
  const std::string request =
      "POST /c HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
  const std::string response = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
  for (const char c : request) talk.say({&c, 1});
  const std::string up = talk.at_origin();
  CHECK(up.ends_with("0\r\n\r\n"));
  CHECK(count_of(up, "1\r\n") >= 3);
  for (const char c : response) talk.answer({&c, 1});
  const std::string down = talk.at_client();
  CHECK(down.starts_with("HTTP/1.1 200 OK\r\n"));
  CHECK(down.ends_with("0\r\n\r\n"));
  CHECK(talk.end() == CloseReason::finished);
  REQUIRE(talk.requests().size() == 1);
  CHECK(talk.requests()[0].bytes_up == 3);
  CHECK(talk.requests()[0].bytes_down == 2);
}

TEST_CASE(
    "pipelining: no more than http_pipelined_max are outstanding, the rest waits, answers are in order") {
  Talk talk;
  const size_t total = limits::http_pipelined_max * 3 + 1;
  std::string sent;
  for (size_t i = 0; i < total; ++i) sent += get_of("/" + std::to_string(i));
  talk.say(sent);
  std::string down;
  size_t asked = 0;
  for (size_t answered = 0; answered < total; ++answered) {
    asked += count_of(talk.at_origin(), "GET ");
    CHECK(asked <= answered + limits::http_pipelined_max);
    REQUIRE(asked > answered);
    talk.answer(ok_of("body" + std::to_string(answered)));
    down += talk.at_client();
  }
  CHECK(count_of(down, "HTTP/1.1 200") == total);
  size_t at = 0;
  for (size_t i = 0; i < total; ++i) {
    const size_t found = down.find("body" + std::to_string(i), at);
    REQUIRE(found != std::string::npos);
    at = found;
  }
  CHECK(talk.end() == CloseReason::finished);
  CHECK(talk.requests().size() == total);
}

TEST_CASE("a client that ends behind pipelined requests gets all answers") {
  Talk talk;
  std::string sent;
  for (size_t i = 0; i < 20; ++i) sent += get_of("/" + std::to_string(i));
  CHECK(talk.client->send(bytes(sent)) == sent.size());
  talk.client->finish();
  talk.lab.settle();
  for (size_t i = 0; i < 20; ++i) talk.answer(ok);
  CHECK(count_of(talk.at_client(), "HTTP/1.1 200") == 20);
  CHECK(talk.client->got_fin());
  CHECK(talk.reason() == CloseReason::finished);
  CHECK(talk.requests().size() == 20);
}

TEST_CASE("a pipelined request that is cut off behind others that had to wait is a truncation") {
  Talk talk;
  std::string sent;
  for (size_t i = 0; i < limits::http_pipelined_max; ++i) sent += get;
  sent += "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhalf";
  CHECK(talk.client->send(bytes(sent)) == sent.size());
  talk.client->finish();
  talk.lab.settle();
  for (size_t i = 0; i < limits::http_pipelined_max && talk.lab.session_of(*talk.client) != nullptr; ++i)
    talk.answer(ok);
  CHECK(talk.reason() == CloseReason::client_truncated);
  CHECK(talk.origin().got_reset());
}

TEST_CASE("HEAD has no body, 304 and 204 neither, whatever they announce") {
  Talk talk("HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n");
  talk.answer("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
  CHECK(talk.at_client() == "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
  talk.say(get);
  talk.answer("HTTP/1.1 304 Not Modified\r\n\r\n");
  CHECK(talk.at_client().starts_with("HTTP/1.1 304"));
  talk.say(get);
  talk.answer("HTTP/1.1 204 No Content\r\n\r\n");
  CHECK(talk.at_client().starts_with("HTTP/1.1 204"));
  CHECK(talk.end() == CloseReason::finished);
  CHECK(talk.requests().size() == 3);
}

TEST_CASE("a body until close ends the client's connection in order") {
  Talk talk(get);
  talk.answer("HTTP/1.1 200 OK\r\n\r\nsome");
  talk.answer("thing");
  talk.origin().finish();
  talk.lab.settle();
  CHECK(talk.at_client().ends_with("\r\n\r\nsomething"));
  CHECK(talk.client->got_fin());
  talk.client->finish();
  CHECK(talk.reason() == CloseReason::finished);
}

TEST_CASE("a big body until close that ends in a reset is never passed on as whole") {
  // Sizes around what is read at once: a reset may be found by either kind of read.
  for (const size_t size : {10'000u, 16'384u, 16'384u + 65'536u, 200'000u}) {
    CAPTURE(size);
    Talk talk(get);
    const Bytes body = pattern(1, size);
    talk.origin().send(bytes("HTTP/1.1 200 OK\r\n\r\n"));
    talk.origin().send(body);
    talk.origin().reset();
    talk.lab.settle();
    (void)talk.at_client();
    talk.lab.pass_ms(limits::reset_after_delivery_ms + 100);
    CHECK(talk.client->got_reset());
    CHECK(talk.reason() == CloseReason::origin_reset);
  }
}

TEST_CASE("Expect: 100-continue is passed on, and its answer") {
  Talk talk("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  CHECK(count_of(talk.at_origin(), "100-continue") == 1);
  talk.answer("HTTP/1.1 100 Continue\r\n\r\n");
  CHECK(talk.at_client() == "HTTP/1.1 100 Continue\r\n\r\n");
  talk.say("hi");
  CHECK(talk.at_origin() == "hi");
  talk.answer(ok);
  CHECK(talk.at_client() == ok);
  CHECK(talk.end() == CloseReason::finished);
  CHECK(talk.requests().size() == 1);
}

TEST_CASE("Expect that is refused behind another interim response: likewise, nothing is read as the body that may never come") {
  Talk talk("POST /a HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 33\r\n\r\n");
  (void)talk.at_origin();
  talk.answer("HTTP/1.1 103 Early Hints\r\n\r\n" + std::string(ok));
  CHECK(talk.at_client().find("\r\nConnection: close\r\n") != std::string::npos);
  (void)talk.client->send(bytes(get));
  talk.lab.settle();
  CHECK(talk.at_origin() == "");
  talk.client->close();
  talk.lab.pass_ms(limits::linger_ms + 10);
  CHECK(talk.reason() == CloseReason::finished);
}

TEST_CASE("Expect that is refused: the connection closes, so that no body is read as a request") {
  Talk talk("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  talk.answer("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n");
  const std::string down = talk.at_client();
  CHECK(down.starts_with("HTTP/1.1 417"));
  CHECK(count_of(down, "Connection: close") == 1);
  CHECK(talk.client->got_fin());
  talk.client->finish();
  CHECK(talk.reason() == CloseReason::finished);
}

TEST_CASE("an early answer to a body that never ends: the client gets it whole though the origin resets") {
  Talk talk("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000000\r\n\r\n");
  talk.origin().outbox_max = 20'000;
  (void)talk.client->send(pattern(1, 200'000));
  talk.lab.settle();
  talk.origin().send(bytes("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig"));
  talk.origin().reset();
  talk.lab.settle();
  CHECK(talk.at_client().ends_with("\r\n\r\nbig"));
  CHECK_FALSE(talk.client->got_reset());
  talk.client->close();
  talk.lab.pass_ms(limits::linger_ms + 10);
  CHECK(talk.reason() == CloseReason::finished);
}

// --- upgrades
// --------------------------------------------------------------------------------------------------------

TEST_CASE(
    "an upgrade that is granted: bytes behind the request and behind the answer, both ways, FIN by FIN") {
  Talk talk(std::string(upgrade) + "early");
  CHECK(count_of(talk.at_origin(), "early") == 0);
  talk.answer(std::string(switching) + "hello");
  CHECK(talk.at_origin() == "early");
  CHECK(talk.at_client() == std::string(switching) + "hello");
  talk.say("ping");
  CHECK(talk.at_origin() == "ping");
  talk.client->finish();
  talk.lab.settle();
  CHECK(talk.origin().got_fin());
  talk.answer("last words");
  CHECK(talk.at_client() == "last words");
  talk.origin().finish();
  talk.lab.settle();
  CHECK(talk.client->got_fin());
  CHECK(talk.reason() == CloseReason::finished);
  REQUIRE(talk.requests().size() == 1);
  CHECK(talk.requests()[0].status == 101);
}

TEST_CASE("a client that ends before its upgrade is granted: the origin learns of the end") {
  for (const std::string_view early : {"", "early"}) {
    Talk talk(std::string(upgrade) + std::string(early));
    talk.client->finish();
    talk.lab.settle();
    talk.answer(switching);
    CHECK(talk.at_origin().ends_with(std::string("\r\n\r\n") + std::string(early)));
    CHECK(talk.origin().got_fin());
    talk.answer("bye");
    talk.origin().finish();
    talk.lab.settle();
    CHECK(talk.at_client().ends_with("bye"));
    CHECK(talk.reason() == CloseReason::finished);
  }
}

TEST_CASE("an upgrade that is declined: what came behind it is the next request") {
  Talk talk(std::string(upgrade) + std::string(get));
  CHECK(count_of(talk.at_origin(), "GET ") == 1);
  talk.answer(ok);
  CHECK(talk.at_client() == ok);
  CHECK(talk.at_origin() == get);
  talk.answer(ok);
  CHECK(talk.at_client() == ok);
  CHECK(talk.end() == CloseReason::finished);
  CHECK(talk.requests().size() == 2);
}

TEST_CASE("an upgrade that is declined before its body has come: what comes behind it is the next request") {
  Talk talk(
      "POST /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
      "Content-Length: 5\r\n\r\n");
  talk.answer(ok);
  CHECK(talk.at_client() == ok);
  (void)talk.at_origin();
  talk.say("hello" + std::string(get));
  CHECK(talk.at_origin() == "hello" + std::string(get));
  talk.answer(ok);
  CHECK(talk.at_client() == ok);
  CHECK(talk.end() == CloseReason::finished);
}

TEST_CASE("an upgrade that is granted in the middle of the request's body is refused") {
  Talk talk(
      "POST /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
      "Content-Length: 10\r\n\r\nhalf");
  talk.answer(switching);
  CHECK(talk.at_client().starts_with("HTTP/1.1 502"));
  talk.client->close();
  talk.lab.pass_ms(limits::linger_ms + 10);
  CHECK(talk.reason() == CloseReason::response_refused);
}

TEST_CASE("101 that nobody asked for is refused") {
  Talk talk(get);
  talk.answer(switching);
  CHECK(talk.at_client().starts_with("HTTP/1.1 502"));
  talk.client->close();
  talk.lab.pass_ms(limits::linger_ms + 10);
  CHECK(talk.reason() == CloseReason::response_refused);
}

// --- truncation
// ------------------------------------------------------------------------------------------------------

TEST_CASE("a response that is cut off ends in a reset behind what came of it") {
  for (const std::string_view head : {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
                                      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n"}) {
    Talk talk(get);
    talk.answer(std::string(head) + "half");
    talk.origin().finish();
    talk.lab.settle();
    CHECK(count_of(talk.at_client(), "half") == 1);
    talk.lab.pass_ms(100);
    CHECK(talk.client->got_reset());
    CHECK(talk.reason() == CloseReason::origin_truncated);
    REQUIRE(talk.requests().size() == 1);
    CHECK(talk.requests()[0].status == 200);
  }
}

TEST_CASE("a request that is cut off resets the origin") {
  for (const std::string_view head :
       {"Content-Length: 100\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n64\r\n"}) {
    Talk talk("POST / HTTP/1.1\r\nHost: a.test\r\n" + std::string(head) + "half");
    talk.client->finish();
    talk.lab.settle();
    CHECK(talk.origin().got_reset());
    CHECK(talk.reason() == CloseReason::client_truncated);
    CHECK(talk.requests().size() == 1);
  }
}

TEST_CASE("an origin that ends without an answer: the client hears an end in order and may ask again") {
  Talk talk(get);
  talk.origin().finish();
  talk.lab.settle();
  CHECK(talk.client->got_fin());
  talk.client->finish();
  CHECK(talk.reason() == CloseReason::origin_truncated);
  REQUIRE(talk.requests().size() == 1);
  CHECK_FALSE(talk.requests()[0].status.has_value());
}

// --- refusals and rules
// ----------------------------------------------------------------------------------------------

TEST_CASE(
    "a refused request among pipelined ones: the answers are in order, nothing of it reaches the origin") {
  const std::string_view bad[] = {
      "GET /x HTTP/1.1\r\nHost: a.test\r\nX : y\r\n\r\n",
      "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "GET /x HTTP/1.1\r\n\r\n",
      "\x16\x03\x01 what",
      "GET /x HTTP/1.1\r\nHost: block.test\r\nConnection: close\r\n\r\n",
      "GET /x HTTP/1.0\r\nHost: redirect.test\r\n\r\n",
      "POST /x HTTP/1.1\r\nHost: block.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "POST /x HTTP/1.1\r\nHost: block.test\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
  };
  const std::string_view status[] = {"400", "400", "400", "400", "403", "302", "403", "403"};
  for (size_t i = 0; i < std::size(bad); ++i) {
    CAPTURE(bad[i]);
    Talk talk(get_of("/1") + get_of("/2") + std::string(bad[i]) + get_of("/4"));
    const std::string up = talk.at_origin();
    CHECK(up == get_of("/1") + get_of("/2"));
    CHECK(talk.at_client().empty());
    talk.answer(ok_of("one"));
    CHECK(talk.at_client() == ok_of("one"));
    talk.answer(ok_of("two"));
    const std::string down = talk.at_client();
    CHECK(down.starts_with(ok_of("two") + "HTTP/1.1 " + std::string(status[i])));
    CHECK(count_of(down, "Connection: close") == 1);
    CHECK(talk.client->got_fin());
    CHECK(talk.at_origin().empty());
    talk.client->finish();
    const CloseReason reason = talk.reason();
    if (status[i] == "403")
      CHECK(reason == CloseReason::rule_block);
    else if (status[i] == "302")
      CHECK(reason == CloseReason::rule_redirect);
    else
      CHECK(reason == CloseReason::request_refused);
    REQUIRE(talk.requests().size() == 3);
    CHECK(talk.requests()[2].status == std::stoi(std::string(status[i])));
    CHECK_FALSE(talk.client->got_reset());
  }
}

// --- answers of ours that keep the connection (S31)
// ----------------------------------------------------------------

namespace {

struct OwnAnswer {
  std::string request;
  std::string_view status;
  size_t body_bytes = 0;
};

std::vector<OwnAnswer> own_answers() {
  const auto post = [](size_t size) {
    return "POST /x HTTP/1.1\r\nHost: block.test\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n" +
           std::string(size, 'b');
  };
  return {{"GET /x HTTP/1.1\r\nHost: block.test\r\n\r\n", "403"},
          {"HEAD /x HTTP/1.1\r\nHost: block.test\r\n\r\n", "403"},
          {"GET /x HTTP/1.0\r\nHost: block.test\r\nConnection: keep-alive\r\n\r\n", "403"},
          {"GET /x HTTP/1.1\r\nHost: redirect.test\r\n\r\n", "302"},
          {"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n", "405"},
          {"GET /x HTTP/1.1\r\nHost: block.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "403"},
          {post(0), "403"},
          {post(10), "403", 10},
          {post(limits::http_discarded_body_bytes_max), "403", limits::http_discarded_body_bytes_max}};
}

}  // namespace

TEST_CASE("an answer of ours among pipelined requests keeps the connection, its body is thrown away, all is in order") {
  for (const OwnAnswer& own : own_answers()) {
    CAPTURE(own.request.substr(0, 100));
    Talk talk(get_of("/1"));
    talk.say(own.request + get_of("/2"));
    CHECK(talk.at_origin() == get_of("/1"));
    CHECK(talk.at_client().empty());
    talk.answer(ok_of("one"));
    const std::string down = talk.at_client();
    CHECK(down.starts_with(ok_of("one") + "HTTP/1.1 " + std::string(own.status)));
    CHECK(count_of(down, "Connection: close") == 0);
    CHECK(down.ends_with("\r\n\r\n") == own.request.starts_with("HEAD"));
    CHECK(talk.at_origin() == get_of("/2"));
    talk.answer(ok_of("two"));
    CHECK(talk.at_client() == ok_of("two"));
    talk.say(get_of("/3"));  // every request is judged anew
    talk.answer(ok_of("three"));
    CHECK(talk.at_client() == ok_of("three"));
    CHECK(talk.end() == CloseReason::finished);
    REQUIRE(talk.requests().size() == 4);
    CHECK(talk.requests()[1].status == std::stoi(std::string(own.status)));
    CHECK(talk.requests()[1].bytes_up == own.body_bytes);
  }
}

TEST_CASE("an answer of ours, with its request cut anywhere: the same answers, and nothing of it at the origin") {
  for (const OwnAnswer& own : own_answers()) {
    if (own.request.size() > 1'000) continue;
    const std::string all = own.request + get_of("/2") + own.request;
    for (size_t cut = 0; cut <= all.size(); ++cut) {
      CAPTURE(own.request);
      CAPTURE(cut);
      Talk talk;
      talk.say(std::string_view(all).substr(0, cut));
      talk.say(std::string_view(all).substr(cut));
      REQUIRE(talk.at_origin() == get_of("/2"));
      talk.answer(ok_of("two"));
      const std::string down = talk.at_client();
      REQUIRE(count_of(down, "HTTP/1.1 " + std::string(own.status)) == 2);
      REQUIRE(count_of(down, ok_of("two")) == 1);
      REQUIRE(talk.end() == CloseReason::finished);
      REQUIRE(talk.requests().size() == 3);
    }
  }
}

TEST_CASE("a body past what is thrown away: the page at once, and the connection closes behind it") {
  Talk talk("POST /x HTTP/1.1\r\nHost: block.test\r\nContent-Length: " +
            std::to_string(limits::http_discarded_body_bytes_max + 1) + "\r\n\r\nbody");
  const std::string down = talk.at_client();
  CHECK(down.starts_with("HTTP/1.1 403"));
  CHECK(count_of(down, "Connection: close") == 1);
  CHECK(talk.client->got_fin());
  talk.client->finish();
  CHECK(talk.reason() == CloseReason::rule_block);
}

TEST_CASE("a client that ends in the middle of a body that is thrown away: it has its page, and all ends in order") {
  Talk talk("POST /x HTTP/1.1\r\nHost: block.test\r\nContent-Length: 100\r\n\r\nhalf");
  CHECK(talk.at_client().starts_with("HTTP/1.1 403"));
  talk.client->finish();
  talk.lab.settle();
  CHECK(talk.client->got_fin());
  CHECK_FALSE(talk.is_dialled());
  CHECK(talk.reason() == CloseReason::finished);
  REQUIRE(talk.requests().size() == 1);
  CHECK(talk.requests()[0].bytes_up == 4);
}

TEST_CASE("an origin that ends while answers of ours are due: the last one says that the connection closes") {
  Talk talk(get_of("/1"));
  talk.say("GET /x HTTP/1.1\r\nHost: block.test\r\n\r\n");
  talk.origin().send(bytes(ok_of("one")));
  talk.origin().finish();
  talk.lab.settle();
  const std::string down = talk.at_client();
  CHECK(down.starts_with(ok_of("one") + "HTTP/1.1 403"));
  CHECK(talk.client->got_fin());
  talk.client->finish();
  CHECK(talk.reason() == CloseReason::finished);
}

TEST_CASE("thousands of blocked requests at once are answered as fast as the client takes the pages, and no faster") {
  Talk talk;
  talk.client->outbox_max = 50'000;
  talk.client->inbox_max = 1'000'000;
  const std::string_view blocked = "GET /x HTTP/1.1\r\nHost: block.test\r\n\r\n";
  constexpr size_t total = 3'000;
  std::string sent;
  for (size_t i = 0; i < total; ++i) sent += blocked;
  talk.say(sent);
  CHECK(talk.lab.world.relay_memory_bytes < 1'000'000);
  std::string down;
  for (int i = 0; i < 10'000 && count_of(down, "HTTP/1.1 403") < total; ++i) {
    down += talk.at_client();
    talk.lab.pass_ms(1);
  }
  CHECK(count_of(down, "HTTP/1.1 403") == total);
  CHECK(talk.end() == CloseReason::finished);
  CHECK(talk.requests().size() == total);
}

TEST_CASE("what is forbidden dials nobody; the first request that may pass does, on the same connection") {
  Talk talk("GET /x HTTP/1.1\r\nHost: block.test\r\n\r\n");
  CHECK(talk.at_client().starts_with("HTTP/1.1 403"));
  CHECK_FALSE(talk.is_dialled());
  talk.say("GET /y HTTP/1.1\r\nHost: redirect.test\r\n\r\nGET /z HTTP/1.1\r\nHost: block.test\r\n\r\n");
  const std::string down = talk.at_client();
  CHECK(down.starts_with("HTTP/1.1 302"));
  CHECK(count_of(down, "HTTP/1.1 403") == 1);
  CHECK_FALSE(talk.is_dialled());
  talk.say(get);
  CHECK(talk.at_origin() == get);
  talk.answer(ok);
  CHECK(talk.at_client() == ok);
  CHECK(talk.end() == CloseReason::finished);
  CHECK(talk.requests().size() == 4);
  CHECK(talk.lab.dialled().size() == 1);
}

TEST_CASE("a forbidden request and one that may pass in the same segment: the page first, then the origin's answer") {
  Talk talk("GET /x HTTP/1.1\r\nHost: block.test\r\n\r\n" + std::string(get));
  CHECK(talk.at_client().starts_with("HTTP/1.1 403"));
  CHECK(talk.at_origin() == get);
  talk.answer(ok);
  CHECK(talk.at_client() == ok);
  CHECK(talk.end() == CloseReason::finished);
}

TEST_CASE("an origin that cannot be reached once it is wanted: a reset, and the request's record") {
  Talk talk;
  talk.lab.on_dial = [](const io::Accepted&) { return DialOutcome{-ECONNREFUSED, false, 0}; };
  talk.say("GET /x HTTP/1.1\r\nHost: block.test\r\n\r\n");
  CHECK(talk.at_client().starts_with("HTTP/1.1 403"));
  talk.say(get);
  CHECK(talk.client->got_reset());
  CHECK(talk.reason() == CloseReason::origin_refused);
  REQUIRE(talk.requests().size() == 2);
  CHECK_FALSE(talk.requests()[1].status.has_value());
}

TEST_CASE("a client that has not taken its page waits with its next request for that, not for ever") {
  Talk talk;
  talk.client->outbox_max = 100;
  talk.say("GET /x HTTP/1.1\r\nHost: block.test\r\n\r\n" + std::string(get));
  CHECK_FALSE(talk.is_dialled());
  std::string down;
  for (int i = 0; i < 1'000 && !talk.is_dialled(); ++i) {
    down += talk.at_client();
    talk.lab.pass_ms(1);
  }
  CHECK(talk.at_origin() == get);
  down += talk.at_client();
  CHECK(down.starts_with("HTTP/1.1 403"));
  talk.answer(ok);
  CHECK(talk.at_client() == ok);
  CHECK(talk.end() == CloseReason::finished);
}

TEST_CASE("a body that turns bad in its middle: the client hears why, the origin gets no end of it") {
  Talk talk("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
  CHECK(talk.is_dialled());
  talk.say("zz\r\n");
  CHECK(count_of(talk.at_origin(), "0\r\n\r\n") == 0);
  CHECK(talk.at_client().starts_with("HTTP/1.1 400"));
  CHECK(talk.client->got_fin());
  talk.client->finish();
  CHECK(talk.reason() == CloseReason::request_refused);
  REQUIRE(talk.requests().size() == 1);
  CHECK(talk.requests()[0].status == 400);
  CHECK(talk.requests()[0].method == "POST");
}

TEST_CASE("a body that turns bad while its answer is being passed on: a reset") {
  Talk talk("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
  talk.answer("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
  talk.say("zz\r\n");
  CHECK(talk.client->got_reset());
  CHECK(talk.reason() == CloseReason::request_refused);
}

TEST_CASE("a response that cannot be read is a 502, or a reset when some of it has gone") {
  Talk talk(get);
  talk.answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n");
  CHECK(talk.at_client().starts_with("HTTP/1.1 502"));
  CHECK(talk.client->got_fin());
  talk.client->finish();
  CHECK(talk.reason() == CloseReason::response_refused);
  Talk late(get);
  late.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n");
  CHECK(late.at_client().ends_with("abc\r\n"));
  late.lab.pass_ms(100);
  CHECK(late.client->got_reset());
  CHECK(late.reason() == CloseReason::response_refused);
}

TEST_CASE("our own last word reaches a slow client though the origin resets meanwhile") {
  Talk talk;
  talk.client->outbox_max = 200;
  talk.say(get_of("/1"));
  talk.answer(ok_of(std::string(150, 'x')));
  talk.say("GET /2 HTTP/1.1\r\nHost: block.test\r\n\r\n");
  talk.origin().reset();
  talk.lab.settle();
  std::string down;
  for (int i = 0; i < 100; ++i) {
    down += text(talk.client->read(50));
    talk.lab.pass_ms(1);
  }
  CHECK(count_of(down, "HTTP/1.1 403") == 1);
  CHECK(down.ends_with("</html>\n"));
  CHECK(talk.client->got_fin());
  talk.client->finish();
  CHECK(talk.reason() == CloseReason::origin_reset);
}

// --- time
// ------------------------------------------------------------------------------------------------------------

TEST_CASE("idle: the limit counts from the last byte") {
  Talk talk(get);
  talk.answer(ok);
  const uint64_t idle_ms = talk.lab.config().limits.idle_timeout_ms;
  talk.lab.pass_ms(idle_ms - 1'000);
  CHECK(talk.lab.session_of(*talk.client) != nullptr);
  talk.say(get);
  talk.lab.pass_ms(idle_ms - 1'000);
  CHECK(talk.lab.session_of(*talk.client) != nullptr);
  talk.lab.pass_ms(2'000);
  CHECK(talk.reason() == CloseReason::idle_timeout);
  CHECK(talk.client->got_reset());
}

TEST_CASE("a request's head that never ends is given hello_timeout, however busily it is sent; a body any time") {
  for (const bool first : {true, false}) {
    CAPTURE(first);
    Talk talk(first ? "" : get);
    if (!first) talk.answer(ok);
    const uint64_t limit_ms = talk.lab.config().limits.hello_timeout_ms;
    talk.say("GET /a HTTP/1.1\r\nX: ");
    for (uint64_t ms = 0; ms + limit_ms / 10 < limit_ms; ms += limit_ms / 10) {
      talk.lab.pass_ms(limit_ms / 10);
      REQUIRE(talk.lab.session_of(*talk.client) != nullptr);
      talk.say("x");
    }
    talk.lab.pass_ms(limit_ms / 5);
    CHECK(talk.reason() == CloseReason::hello_timeout);
    CHECK(talk.client->got_reset());
  }
  Talk talk("POST /a HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100\r\n\r\n");
  for (int i = 0; i < 100; ++i) {
    talk.lab.pass_ms(talk.lab.config().limits.hello_timeout_ms / 2);
    talk.say("x");
  }
  talk.answer(ok);
  CHECK(talk.end() == CloseReason::finished);
}

TEST_CASE("half-closed: the limit counts from the end, not from the last byte") {
  Talk talk(get);
  const auto& limits = talk.lab.config().limits;
  talk.lab.pass_ms(limits.idle_timeout_ms - 1'000);
  talk.client->finish();
  talk.lab.pass_ms(std::min(limits.half_closed_timeout_ms, limits.idle_timeout_ms) - 500u);
  CHECK(talk.lab.session_of(*talk.client) != nullptr);
  talk.lab.pass_ms(1'000);
  CHECK(talk.reason() == CloseReason::half_closed_timeout);
}

// --- slow receivers
// --------------------------------------------------------------------------------------------------

TEST_CASE("a client that does not read stops its origin, and is asked without running in circles") {
  for (const bool finishes : {false, true}) {
    CAPTURE(finishes);
    Talk talk(get);
    talk.client->outbox_max = 50'000;
    if (finishes) talk.client->finish();
    talk.answer("HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n");
    const Bytes body = pattern(5, 3'000'000);
    size_t sent = 0;
    for (int i = 0; i < 100; ++i) {
      sent += talk.origin().send(std::span(body).subspan(sent));
      talk.lab.settle();
    }
    CHECK(talk.lab.world.relay_memory_bytes <= 2 * limits::relay_copy_bytes);
    CHECK(sent < 1'000'000);
    check_calm(talk);
    Bytes got;
    for (int i = 0; i < 1'000 && got.size() < body.size() + 50; ++i) {
      sent += talk.origin().send(std::span(body).subspan(sent));
      talk.lab.pass_ms(5);
      const Bytes some = talk.client->read(100'000);
      got.insert(got.end(), some.begin(), some.end());
    }
    REQUIRE(got.size() > body.size());
    CHECK(std::equal(body.begin(), body.end(), got.end() - static_cast<ptrdiff_t>(body.size())));
    CHECK(talk.end() == CloseReason::finished);
  }
}

TEST_CASE("an origin that does not read stops its client, and an answer passes it all the same") {
  for (const bool finishes : {false, true}) {
    Talk talk{std::string(upgrade)};
    talk.answer(switching);
    talk.origin().outbox_max = 50'000;
    if (finishes) talk.origin().finish();
    const Bytes body = pattern(5, 2'000'000);
    size_t sent = 0;
    for (int i = 0; i < 100; ++i) {
      sent += talk.client->send(std::span(body).subspan(sent));
      talk.lab.settle();
    }
    CHECK(sent < 1'000'000);
    CHECK(talk.lab.world.relay_memory_bytes <= 2 * limits::relay_copy_bytes);
    check_calm(talk);
    if (!finishes) {
      talk.answer("down");
      CHECK(talk.at_client().ends_with("down"));
    }
    Bytes got;
    for (int i = 0; i < 1'000 && got.size() < sent; ++i) {
      const Bytes some = talk.origin().read(100'000);
      got.insert(got.end(), some.begin(), some.end());
      talk.lab.pass_ms(5);
    }
    CHECK(talk.end() == CloseReason::finished);
    const Bytes rest = talk.origin().read(1'000'000);
    got.insert(got.end(), rest.begin(), rest.end());
    const std::string all = text(got);
    const size_t at = all.find("\r\n\r\n");
    REQUIRE(at != std::string::npos);
    CHECK(bytes(std::string_view(all).substr(at + 4)) ==
          Bytes(body.begin(), body.begin() + static_cast<ptrdiff_t>(sent)));
    CHECK(talk.origin().got_fin());
  }
}

TEST_CASE("the last bytes up arrive although both sides have ended and the origin is slow") {
  Talk talk{std::string(upgrade)};
  talk.answer(switching);
  (void)talk.at_origin();
  talk.origin().outbox_max = 10'000;
  talk.origin().finish();
  talk.lab.settle();
  const Bytes body = pattern(5, 15'000);
  CHECK(talk.client->send(body) == body.size());
  talk.client->finish();
  Bytes got;
  for (int i = 0; i < 50; ++i) {
    talk.lab.pass_ms(5);
    const Bytes some = talk.origin().read(3'000);
    got.insert(got.end(), some.begin(), some.end());
  }
  CHECK(got == body);
  CHECK(talk.origin().got_fin());
  CHECK(talk.reason() == CloseReason::finished);
}

TEST_CASE("a client that uploads before it reads is not stopped by an answer that comes meanwhile") {
  Talk talk("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2000000\r\n\r\n");
  talk.client->outbox_max = 10'000;
  const Bytes up = pattern(6, 2'000'000);
  size_t sent = 0, received = 0;
  talk.answer("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
  (void)talk.at_origin();
  (void)talk.origin().send(pattern(7, 100'000));
  for (int i = 0; i < 1'000 && sent < up.size(); ++i) {
    sent += talk.client->send(std::span(up).subspan(sent));
    talk.lab.settle();
    received += talk.origin().read(1'000'000).size();
  }
  talk.lab.settle();
  received += talk.origin().read(1'000'000).size();
  CHECK(received == up.size());
  size_t got = 0;
  for (int i = 0; i < 100; ++i) {
    got += talk.client->read(100'000).size();
    talk.lab.settle();
  }
  CHECK(got > 100'000);
  CHECK(talk.end() == CloseReason::finished);
}

TEST_CASE("relay memory: past the limit the connection ends as overload, and what it held is given back") {
  Talk talk(get);
  talk.lab.world.relay_memory_max_bytes = 1'000;
  talk.client->outbox_max = 5'000;
  talk.answer("HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n");
  talk.origin().send(pattern(1, 100'000));
  talk.lab.settle();
  CHECK(talk.reason() == CloseReason::overload);
  CHECK(talk.lab.counters.relay_memory_limit_hits == 1);
}

// --- resets, and ends from outside, at every step
// --------------------------------------------------------------------

TEST_CASE("a reset of either side, or flow::end, at every step of a conversation: nothing is left over") {
  const std::string up = get_of("/1") + "POST /2 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello" +
                         std::string(upgrade) + "raw";
  const std::string down =
      ok_of("1") + "HTTP/1.1 100 Continue\r\n\r\n" + ok_of("2") + std::string(switching) + "raw";
  for (const int how : {0, 1, 2, 3, 4, 5})
    for (size_t step = 0; step < up.size() + down.size(); step += 3) {
      CAPTURE(how);
      CAPTURE(step);
      Talk talk;
      for (size_t i = 0; i < step && i < up.size(); ++i) talk.say({&up[i], 1});
      const bool has_origin = talk.lab.origin_of(*talk.client) != nullptr;
      for (size_t i = up.size(); i < step && has_origin; ++i) {
        const char byte = down[i - up.size()];
        (void)talk.origin().send({reinterpret_cast<const uint8_t*>(&byte), 1});
        talk.lab.settle();
      }
      switch (how) {
        case 0:
          talk.client->reset();
          break;
        case 1:
          talk.client->vanish(ETIMEDOUT);
          break;
        case 2:
          if (has_origin) talk.origin().reset();
          break;
        case 3:
          if (has_origin) talk.origin().close();
          break;
        case 4:
          talk.client->close();
          break;
        case 5:
          if (flow::Session* session = talk.lab.session_of(*talk.client))
            flow::end(*session, CloseReason::stopped);
          break;
      }
      talk.lab.settle();
      (void)talk.at_client();
      talk.lab.pass_ms(1);
      talk.client->close();
      talk.lab.pass_ms(20'000);
      if (talk.lab.session_of(*talk.client) != nullptr)
        talk.lab.pass_ms(talk.lab.config().limits.idle_timeout_ms +
                         talk.lab.config().limits.half_closed_timeout_ms);
      (void)talk.reason();
      if (how == 5) CHECK(talk.client->got_reset());
    }
}

}  // namespace sluice::sim
