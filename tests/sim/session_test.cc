// Peek, decide, connect and finish, case by case. The relay is in splice_test.cc.

#include <doctest/doctest.h>

#include <cerrno>
#include <span>

#include "base/limits.h"
#include "sim/lab.h"

namespace sluice::sim {
namespace {

using record::CloseReason;

const Bytes access_denied = {21, 3, 3, 0, 2, 2, 49};

Bytes beginning_of(const Bytes& whole, size_t count) {
  return {whole.begin(), whole.begin() + static_cast<ptrdiff_t>(count)};
}
Bytes text(std::string_view from) { return {from.begin(), from.end()}; }

/// The only record's close reason, once everything has ended and nothing is left over.
CloseReason reason_of(Lab& lab, const Connection& client) {
  CHECK(lab.verdict() == "");
  REQUIRE(lab.record_of(client) != nullptr);
  return lab.record_of(client)->close;
}

/// A client that sends `bytes` and waits.
Connection& client_with(Lab& lab, const Bytes& bytes) {
  Connection& client = lab.begin();
  client.send(bytes);
  lab.settle();
  return client;
}

}  // namespace

// --- decide at the connect event
// -------------------------------------------------------------------------------------

TEST_CASE("S23 a destination that an access rule forbids: reset at once, nothing read, nothing dialled") {
  for (const char* destination : {"198.51.100.1:443", "198.51.100.2:443"}) {
    Lab lab;
    const Connection& client = lab.begin(endpoint(destination));
    CHECK(client.got_reset());
    const bool blocked = std::string_view(destination) == "198.51.100.1:443";
    CHECK(reason_of(lab, client) == (blocked ? CloseReason::rule_block : CloseReason::rule_redirect));
    CHECK(lab.record_of(client)->action == (blocked ? "block" : "redirect"));
    CHECK(lab.record_of(client)->access_rule == (blocked ? "no-address" : "portal-address"));
    CHECK(lab.record_of(client)->scan.empty());
    CHECK(lab.kernel.origin_sockets() == 0);
    CHECK(lab.counters.peeks == 0);
  }
}

TEST_CASE("S3 tunnel by address: dialled without a byte from the client, so that a server may speak first") {
  Lab lab;
  Connection& client = lab.begin(endpoint("198.51.100.3:25"));
  lab.settle();
  REQUIRE(lab.origin_of(client) != nullptr);
  lab.origin_of(client)->send(text("220 ready\r\n"));
  lab.settle();
  CHECK(client.read(100) == text("220 ready\r\n"));
  client.finish();
  lab.origin_of(client)->finish();
  lab.settle();
  CHECK(reason_of(lab, client) == CloseReason::finished);
  CHECK(lab.record_of(client)->action == "tunnel");
  CHECK(lab.record_of(client)->tls_rule == "by-address");
  CHECK(lab.record_of(client)->scan == "skipped");
  CHECK_FALSE(lab.record_of(client)->has_peek);
  CHECK(lab.record_of(client)->has_connect);
}

TEST_CASE("S1 decrypt = false: nothing is read, whatever the names in the rules") {
  Lab lab;
  lab.config().tls.decrypt = false;
  Connection& client = lab.begin();
  lab.settle();
  REQUIRE(lab.origin_of(client) != nullptr);
  client.send(client_hello("terminate.test"));
  lab.settle();
  CHECK(lab.origin_of(client)->read(10'000) == client_hello("terminate.test"));
  client.reset();
  lab.settle();
  CHECK(reason_of(lab, client) == CloseReason::client_reset);
  CHECK(lab.counters.peeks == 0);
}

TEST_CASE("a connection to the listener's own port is a loop") {
  Lab lab;
  lab.world.listener_port = 12345;
  const Connection& client = lab.begin(endpoint("192.0.2.1:12345"));
  CHECK(client.got_reset());
  CHECK(reason_of(lab, client) == CloseReason::loop);
  CHECK(lab.kernel.origin_sockets() == 0);
}

// --- peek
// ------------------------------------------------------------------------------------------------------------

TEST_CASE("S5 a hello in 1-byte segments, with early data behind it, reaches the origin byte for byte") {
  Lab lab;
  Bytes sent =
      hello::testing::in_records(hello::testing::HelloBuilder::chromium("www.example.test").message(), 300);
  const size_t hello_bytes = sent.size();
  const Bytes early = pattern(3, 2'000);
  sent.insert(sent.end(), early.begin(), early.end());
  Connection& client = lab.begin();
  for (size_t i = 0; i < hello_bytes; ++i) {
    CHECK(lab.kernel.origin_sockets() == 0);
    if (i + 1 < hello_bytes)
      client.send(std::span(sent).subspan(i, 1));
    else
      client.send(std::span(sent).subspan(i));
    lab.settle();
  }
  REQUIRE(lab.origin_of(client) != nullptr);
  CHECK(lab.origin_of(client)->read(100'000) == sent);
  client.finish();
  lab.origin_of(client)->finish();
  lab.settle();
  CHECK(reason_of(lab, client) == CloseReason::finished);
  const Record& record = *lab.record_of(client);
  CHECK(record.bytes_up == sent.size());
  CHECK(record.sni == "www.example.test");
  CHECK(record.host == "www.example.test");
  CHECK(record.alpn == "h2,http/1.1");
  CHECK(record.action == "tunnel-sni");
  CHECK(record.tls_rule == "default");
  CHECK(record.ja4.substr(0, 4) == "t13d");
}

TEST_CASE("a receive without a buffer, and one that was interrupted, are asked for again") {
  Lab lab;
  lab.kernel.buffers_max = 0;
  lab.kernel.chaos.eintr = 0.5;
  Connection& client = lab.begin();
  client.send(client_hello("www.example.test"));
  for (int i = 0; i < 100; ++i) {
    lab.kernel.execute_one();
    lab.kernel.deliver();
  }
  CHECK(lab.kernel.origin_sockets() == 0);
  lab.kernel.buffers_max = 1;
  lab.settle();
  CHECK(lab.kernel.origin_sockets() == 1);
  client.reset();
  lab.settle();
  CHECK(reason_of(lab, client) == CloseReason::client_reset);
}

TEST_CASE("the client leaves before its hello is complete") {
  const auto leave = [](void (*how)(Connection&), size_t hello_bytes) {
    Lab lab;
    Bytes part = client_hello("www.example.test");
    part.resize(hello_bytes);
    Connection& client = client_with(lab, part);
    how(client);
    lab.settle();
    CHECK(lab.kernel.origin_sockets() == 0);
    return reason_of(lab, client);
  };
  for (const size_t count : {size_t{0}, size_t{40}}) {
    CHECK(leave([](Connection& client) { client.finish(); }, count) == CloseReason::client_closed_early);
    CHECK(leave([](Connection& client) { client.reset(); }, count) == CloseReason::client_reset);
    CHECK(leave([](Connection& client) { client.vanish(ETIMEDOUT); }, count) == CloseReason::client_vanished);
    CHECK(leave([](Connection& client) { client.vanish(EHOSTUNREACH); }, count) ==
          CloseReason::client_vanished);
    CHECK(leave([](Connection& client) { client.vanish(EIO); }, count) == CloseReason::gateway_error);
  }
}

TEST_CASE(
    "S8 bytes that are no ClientHello: each has its reason, and only non-TLS may pass under tls.non_tls") {
  struct Case {
    Bytes bytes;
    CloseReason reason;
    bool may_pass;
  };
  Bytes huge = hello::testing::handshake(1, Bytes(limits::hello_bytes_max + 1));
  const Case cases[] = {
      {text("GET / HTTP/1.1\r\n\r\n"), CloseReason::non_tls, true},
      {text("SSH-2.0-OpenSSH\r\n"), CloseReason::non_tls, true},
      {hello::testing::record(22, 0x0301, hello::testing::handshake(2, Bytes(50))),
       CloseReason::hello_malformed, false},
      {{0x80, 0x2e, 0x01, 0x03, 0x01}, CloseReason::hello_malformed, false},
      {hello::testing::in_records(huge, 16'384), CloseReason::hello_too_large, false},
      {hello::testing::in_records(client_hello("x.test"), 1), CloseReason::hello_malformed, false},
  };
  for (const Case& at : cases)
    for (const bool tunnel : {false, true}) {
      CAPTURE(record::to_string(at.reason));
      CAPTURE(tunnel);
      Lab lab;
      lab.config().tls.non_tls = tunnel ? config::NonTls::tunnel : config::NonTls::terminate;
      Connection& client = client_with(lab, at.bytes);
      if (tunnel && at.may_pass) {
        REQUIRE(lab.origin_of(client) != nullptr);
        CHECK(lab.origin_of(client)->read(1'000) == at.bytes);
        client.reset();
        lab.settle();
        CHECK(reason_of(lab, client) == CloseReason::client_reset);
        CHECK(lab.record_of(client)->action == "tunnel");
      } else {
        CHECK(client.got_reset());
        CHECK(reason_of(lab, client) == at.reason);
        CHECK(lab.kernel.origin_sockets() == 0);
      }
    }
}

TEST_CASE(
    "S8 silence past hello_timeout: closed, or under tls.non_tls = tunnel dialled then and not before") {
  for (const bool tunnel : {false, true}) {
    Lab lab;
    lab.config().tls.non_tls = tunnel ? config::NonTls::tunnel : config::NonTls::terminate;
    lab.config().limits.hello_timeout_ms = 5'000;
    Connection& client = lab.begin();
    lab.pass_ms(4'900);
    CHECK(lab.session_of(client) != nullptr);
    CHECK(lab.kernel.origin_sockets() == 0);
    lab.pass_ms(200);
    if (tunnel) {
      REQUIRE(lab.origin_of(client) != nullptr);
      lab.origin_of(client)->send(text("220 hello\r\n"));
      lab.settle();
      CHECK(client.read(100) == text("220 hello\r\n"));
      client.reset();
      lab.settle();
      CHECK(reason_of(lab, client) == CloseReason::client_reset);
    } else {
      CHECK(client.got_reset());
      CHECK(reason_of(lab, client) == CloseReason::hello_timeout);
      CHECK(lab.kernel.origin_sockets() == 0);
    }
  }
}

TEST_CASE("a hello that never ends is closed at hello_timeout, also under tls.non_tls = tunnel") {
  Lab lab;
  lab.config().tls.non_tls = config::NonTls::tunnel;
  lab.config().limits.hello_timeout_ms = 5'000;
  Bytes part = client_hello("www.example.test");
  part.resize(50);
  Connection& client = client_with(lab, part);
  lab.pass_ms(5'100);
  CHECK(client.got_reset());
  CHECK(reason_of(lab, client) == CloseReason::hello_timeout);
  CHECK(lab.kernel.origin_sockets() == 0);
}

TEST_CASE("what races with hello_timeout is looked at: bytes, an end, a reset") {
  // The receive has been cancelled when these come, and it answers with them all the same.
  const auto race = [](Lab& lab, Connection& client, auto&& happen) {
    lab.kernel.chaos.cancel_loses = 1;
    lab.kernel.advance(lab.config().limits.hello_timeout_ms * 1000ull + 20'000);
    lab.timers.advance(lab.kernel.now_us());
    happen(client);
    lab.settle();
  };
  Lab lab;
  lab.config().tls.non_tls = config::NonTls::tunnel;
  SUBCASE("a complete hello is obeyed") {
    Connection& client = lab.begin();
    race(lab, client, [](Connection& at) { at.send(client_hello("terminate.test")); });
    CHECK(reason_of(lab, client) == CloseReason::rule_terminate);
    CHECK(lab.record_of(client)->sni == "terminate.test");
    CHECK(lab.counters.hello_complete == 1);
    CHECK(lab.kernel.origin_sockets() == 0);
  }
  SUBCASE("the rest of a hello that had begun") {
    const Bytes hello = client_hello("tunnel.test");
    Connection& client = client_with(lab, beginning_of(hello, 30));
    race(lab, client, [&](Connection& at) { at.send(std::span(hello).subspan(30)); });
    REQUIRE(lab.origin_of(client) != nullptr);
    CHECK(lab.origin_of(client)->read(10'000) == hello);
    client.reset();
    lab.settle();
    CHECK(reason_of(lab, client) == CloseReason::client_reset);
  }
  SUBCASE("a part of a hello is not silence") {
    Connection& client = lab.begin();
    race(lab, client, [](Connection& at) { at.send(beginning_of(client_hello("terminate.test"), 50)); });
    CHECK(reason_of(lab, client) == CloseReason::hello_timeout);
    CHECK(lab.kernel.origin_sockets() == 0);
  }
  SUBCASE("broken TLS") {
    Connection& client = lab.begin();
    race(lab, client, [](Connection& at) { at.send(hello::testing::record(22, 0x0301, Bytes(60, 9))); });
    CHECK(reason_of(lab, client) == CloseReason::hello_malformed);
  }
  SUBCASE("a FIN: what is silent may be tunnelled, and its end is passed on") {
    Connection& client = lab.begin();
    race(lab, client, [](Connection& at) { at.finish(); });
    REQUIRE(lab.origin_of(client) != nullptr);
    CHECK(lab.origin_of(client)->got_fin());
    lab.origin_of(client)->finish();
    lab.settle();
    CHECK(reason_of(lab, client) == CloseReason::finished);
  }
  SUBCASE("a reset is never taken for silence: nobody dials for a client that is gone") {
    Connection& client = lab.begin();
    race(lab, client, [](Connection& at) { at.reset(); });
    CHECK(reason_of(lab, client) == CloseReason::client_reset);
    CHECK(lab.kernel.origin_sockets() == 0);
  }
}

// --- decide at the hello event, and the farewells
// ----------------------------------------------------------------------

TEST_CASE("S7 a name that is terminated, blocked or redirected: reset, and nothing is ever dialled") {
  const std::pair<const char*, CloseReason> cases[] = {{"terminate.test", CloseReason::rule_terminate},
                                                       {"block.test", CloseReason::rule_block},
                                                       {"redirect.test", CloseReason::rule_redirect}};
  for (const auto& [sni, reason] : cases) {
    Lab lab;
    Connection& client = client_with(lab, client_hello(sni));
    CHECK(client.got_reset());
    CHECK(client.bytes_taken() == 0);
    CHECK(reason_of(lab, client) == reason);
    CHECK(lab.record_of(client)->sni == sni);
    CHECK(lab.kernel.origin_sockets() == 0);
  }
}

TEST_CASE("S4 without SNI: tunnelled, or with require_sni closed") {
  for (const bool require : {false, true}) {
    Lab lab;
    lab.config().tls.require_sni = require;
    Connection& client = client_with(lab, client_hello(""));
    CHECK(lab.kernel.origin_sockets() == (require ? 0 : 1));
    if (!require) client.reset();
    lab.settle();
    CHECK(reason_of(lab, client) == (require ? CloseReason::sni_missing : CloseReason::client_reset));
    CHECK(lab.record_of(client)->host == "203.0.113.7");
    CHECK(lab.counters.sni_missing == 1);
  }
}

TEST_CASE("S7 terminate_with = alert: the alert, then the end, in order") {
  Lab lab;
  lab.config().tls.terminate_with = config::TerminateWith::alert;
  Connection& client = client_with(lab, client_hello("terminate.test"));
  REQUIRE(lab.session_of(client) != nullptr);  // it waits for the client's own close
  SUBCASE("the client closes") {
    CHECK(client.read(100) == access_denied);
    CHECK(client.got_fin());
    client.finish();
    lab.settle();
    CHECK_FALSE(client.got_reset());
  }
  SUBCASE(
      "the client goes on sending for a while: it is read and thrown away, so that no reset overtakes the "
      "alert") {
    lab.kernel.chaos.no_buffer = 0.3;
    for (int i = 0; i < 20; ++i) {
      CHECK(client.send(pattern(4, 10'000)) == 10'000);
      lab.settle();
    }
    CHECK(client.read(100) == access_denied);
    client.finish();
    lab.settle();
    CHECK_FALSE(client.got_reset());
  }
  SUBCASE("the client never closes: so long is waited, and no longer") {
    CHECK(client.read(100) == access_denied);
    lab.pass_ms(limits::linger_ms - 100);
    CHECK(lab.session_of(client) != nullptr);
    lab.pass_ms(200);
    CHECK(client.got_reset());
  }
  SUBCASE("the client never closes, and bytes race with the end of the waiting") {
    lab.kernel.chaos.cancel_loses = 1;
    lab.kernel.advance(limits::linger_ms * 1000 + 20'000);
    lab.timers.advance(lab.kernel.now_us());
    client.send(pattern(5, 100));
    lab.settle();
    CHECK(lab.session_of(client) == nullptr);
  }
  SUBCASE("the client resets") {
    client.reset();
    lab.settle();
  }
  SUBCASE("the worker stops meanwhile: no more waiting") {
    flow::end(*lab.session_of(client), CloseReason::stopped);
    lab.settle();
    CHECK(client.got_reset());
  }
  CHECK(reason_of(lab, client) == CloseReason::rule_terminate);
  CHECK(lab.record_of(client)->bytes_down == 0);  // the alert is ours, not the origin's
  CHECK(lab.kernel.origin_sockets() == 0);
}

TEST_CASE("an alert for a client that has reset meanwhile") {
  Lab lab;
  lab.config().tls.terminate_with = config::TerminateWith::alert;
  Connection& client = lab.begin();
  client.send(client_hello("terminate.test"));
  while (lab.kernel.execute_one()) continue;
  client.reset();
  lab.settle();
  CHECK(reason_of(lab, client) == CloseReason::rule_terminate);
}

// --- connect
// ---------------------------------------------------------------------------------------------------------

TEST_CASE("a failed dial resets the client at once, and says why") {
  const std::pair<int, CloseReason> cases[] = {{ECONNREFUSED, CloseReason::origin_refused},
                                               {EHOSTUNREACH, CloseReason::origin_unreachable},
                                               {ENETUNREACH, CloseReason::origin_unreachable},
                                               {ENETDOWN, CloseReason::origin_unreachable},
                                               {ETIMEDOUT, CloseReason::origin_connect_timeout},
                                               {ECONNRESET, CloseReason::origin_reset},
                                               {ENOBUFS, CloseReason::overload},
                                               {EADDRNOTAVAIL, CloseReason::gateway_error}};
  for (const auto& [error, reason] : cases)
    for (const double early : {0.0, 1.0}) {
      CAPTURE(error);
      Lab lab;
      lab.kernel.chaos.early_connect = early;
      lab.on_dial = [result = -error](const io::Accepted&) { return DialOutcome{result, false, 0}; };
      Connection& client = client_with(lab, client_hello("www.example.test"));
      CHECK(client.got_reset());
      CHECK(reason_of(lab, client) == reason);
      CHECK(lab.record_of(client)->detail == flow::errno_name(error));
      CHECK_FALSE(lab.record_of(client)->has_connect);
      CHECK(lab.counters.dial_failures == 1);
    }
}

TEST_CASE("no descriptor for the origin: overload, counted") {
  for (const int error : {EMFILE, ENFILE, ENOMEM}) {
    Lab lab;
    lab.kernel.origin_socket_errno = error;
    Connection& client = client_with(lab, client_hello("www.example.test"));
    CHECK(client.got_reset());
    CHECK(reason_of(lab, client) == CloseReason::overload);
    CHECK(lab.counters.fd_limit_hits == (error == ENOMEM ? 0 : 1));
  }
}

TEST_CASE("an origin that does not answer: the client is reset at connect_timeout") {
  Lab lab;
  lab.config().limits.connect_timeout_ms = 3'000;
  lab.on_dial = [](const io::Accepted&) { return DialOutcome{0, true, 0}; };
  Connection& client = client_with(lab, client_hello("www.example.test"));
  lab.pass_ms(2'900);
  CHECK_FALSE(client.got_reset());
  lab.pass_ms(200);
  CHECK(client.got_reset());
  CHECK(reason_of(lab, client) == CloseReason::origin_connect_timeout);
}

TEST_CASE("a dial that succeeds just as it is given up: the origin is reset, the client as well") {
  Lab lab;
  lab.config().limits.connect_timeout_ms = 3'000;
  lab.on_dial = [&](const io::Accepted&) { return DialOutcome{0, false, lab.kernel.now_us() + 3'010'000}; };
  lab.kernel.chaos.cancel_loses = 1;
  Connection& client = client_with(lab, client_hello("www.example.test"));
  lab.kernel.advance(3'030'000);
  lab.timers.advance(lab.kernel.now_us());
  lab.timers.advance(lab.kernel.now_us() + 20'000);
  lab.settle();
  CHECK(reason_of(lab, client) == CloseReason::origin_connect_timeout);
  CHECK(client.got_reset());
  CHECK(lab.origin_of(client)->got_reset());
  CHECK(lab.origin_of(client)->bytes_taken() == 0);
}

TEST_CASE("a client that resets during a long dial is noticed; one that has merely finished is served") {
  Lab lab;
  lab.on_dial = [&](const io::Accepted&) { return DialOutcome{0, false, lab.kernel.now_us() + 2'000'000}; };
  Connection& client = client_with(lab, client_hello("www.example.test"));
  lab.pass_ms(limits::dial_unwatched_ms + 100);
  SUBCASE("reset") {
    client.reset();
    lab.settle();
    CHECK(reason_of(lab, client) == CloseReason::client_reset);
  }
  SUBCASE("finished") {
    client.finish();
    lab.pass_ms(2'000);
    REQUIRE(lab.origin_of(client) != nullptr);
    CHECK(lab.origin_of(client)->read(10'000) == client_hello("www.example.test"));
    CHECK(lab.origin_of(client)->got_fin());
    lab.origin_of(client)->finish();
    lab.settle();
    CHECK(reason_of(lab, client) == CloseReason::finished);
  }
  SUBCASE("reset in the moment of success") {
    lab.kernel.chaos.cancel_loses = 1;
    lab.kernel.advance(1'900'000);
    while (lab.kernel.execute_one()) continue;  // connected, and nobody knows yet
    client.reset();
    lab.settle();
    CHECK(reason_of(lab, client) == CloseReason::client_reset);
    CHECK(lab.origin_of(client)->got_reset());
  }
}

TEST_CASE("a client that has finished during a long dial is looked at now and then, not without end") {
  Lab lab;
  lab.on_dial = [&](const io::Accepted&) { return DialOutcome{0, false, lab.kernel.now_us() + 8'000'000}; };
  Connection& client = client_with(lab, client_hello("www.example.test"));
  client.finish();  // io_uring tells of a FIN at every poll, whatever was asked for
  lab.pass_ms(limits::dial_unwatched_ms);
  for (int second = 0; second < 5; ++second) {
    const uint64_t before = lab.kernel.polls;
    lab.pass_ms(1'000);
    CHECK(lab.kernel.polls - before <= 1'000 / limits::dial_unwatched_ms + 1);
    CHECK(lab.kernel.polls - before >= 1);  // it is watched: a reset would be seen
  }
  SUBCASE("it is served") {
    lab.pass_ms(4'000);
    REQUIRE(lab.origin_of(client) != nullptr);
    CHECK(lab.origin_of(client)->read(10'000) == client_hello("www.example.test"));
    lab.origin_of(client)->finish();
    lab.settle();
    CHECK(reason_of(lab, client) == CloseReason::finished);
  }
  SUBCASE("it resets, and that is seen long before the dial is answered") {
    client.reset();
    lab.pass_ms(2 * limits::dial_unwatched_ms);
    CHECK(reason_of(lab, client) == CloseReason::client_reset);
  }
}

TEST_CASE("a client that has finished does not put connect_timeout off") {
  Lab lab;
  lab.config().limits.connect_timeout_ms = 3'000;
  lab.on_dial = [](const io::Accepted&) { return DialOutcome{0, true, 0}; };
  Connection& client = client_with(lab, client_hello("www.example.test"));
  client.finish();
  lab.pass_ms(2'900);
  CHECK_FALSE(client.got_reset());
  lab.pass_ms(200);
  CHECK(reason_of(lab, client) == CloseReason::origin_connect_timeout);
  CHECK(client.got_reset());
}

TEST_CASE("the origin's socket is made as the configuration says") {
  Lab lab;
  lab.config().gateway.own_mark = 0x5400;
  Connection& client = lab.begin(endpoint("[2001:db8::7]:443"));
  client.send(client_hello("www.example.test"));
  lab.settle();
  REQUIRE(lab.dialled().size() == 1);
  CHECK(lab.dialled().front() == endpoint("[2001:db8::7]:443"));  // S11
  CHECK(lab.kernel.last_origin_options().v6);
  CHECK(lab.kernel.last_origin_options().mark == 0x5400);
  CHECK(lab.kernel.last_origin_options().speaks_first);
  client.reset();
  lab.settle();
  CHECK(reason_of(lab, client) == CloseReason::client_reset);
}

TEST_CASE("the origin's socket gets its keepalive once the session has lived a while, not before, and no later than half of it") {
  for (const auto& [keepalive_ms, at_ms] : {std::pair{77'000u, 5'000u}, {4'000u, 2'000u}, {0u, 0u}}) {
    Lab lab;
    lab.config().limits.keepalive_ms = keepalive_ms;
    Connection& client = lab.begin(endpoint("192.0.2.7:443"));
    client.send(client_hello("www.example.test"));
    lab.settle();
    REQUIRE(lab.origin_of(client) != nullptr);
    if (at_ms != 0) {
      lab.pass_ms(at_ms - 100);
      CHECK(lab.origin_of(client)->keepalive_ms() == 0);
    }
    lab.pass_ms(200);
    CHECK(lab.origin_of(client)->keepalive_ms() == keepalive_ms);
    client.reset();
    lab.settle();
    CHECK(reason_of(lab, client) == CloseReason::client_reset);
  }
}

// --- ended from outside
// ----------------------------------------------------------------------------------------------

TEST_CASE(
    "flow::end while it peeks, and while it dials: both sides are reset, whatever the cancel comes to") {
  for (const double loses : {0.0, 1.0})
    for (const bool dialling : {false, true}) {
      Lab lab;
      lab.kernel.chaos.cancel_loses = loses;
      lab.on_dial = [&](const io::Accepted&) { return DialOutcome{0, false, lab.kernel.now_us() + 1'000}; };
      Connection& client = lab.begin();
      if (dialling) {
        client.send(client_hello("www.example.test"));
        lab.settle();
        REQUIRE(lab.kernel.origin_sockets() == 1);
      }
      lab.kernel.advance(2'000);
      client.send(pattern(6, 50));
      flow::end(*lab.session_of(client), CloseReason::drain_timeout);
      lab.settle();
      CHECK(client.got_reset());
      CHECK(reason_of(lab, client) == CloseReason::drain_timeout);
    }
}

TEST_CASE("a thousand silent clients: each ends at its own time, never early and at most a few ticks late") {
  Lab lab(1, 1'000);
  lab.config().limits.hello_timeout_ms = 7'000;
  std::vector<Connection*> clients;
  for (int i = 0; i < 1'000; ++i) {
    clients.push_back(&lab.begin());
    lab.pass_ms(lab.random.below(5));
  }
  lab.pass_ms(7'100);
  for (const Connection* client : clients) {
    REQUIRE(lab.record_of(*client) != nullptr);
    CHECK(lab.record_of(*client)->total_us >= 7'000'000);
    CHECK(lab.record_of(*client)->total_us <= 7'000'000 + 2 * io::TimerWheel::tick_us);
  }
  CHECK(lab.verdict() == "");
}

}  // namespace sluice::sim
