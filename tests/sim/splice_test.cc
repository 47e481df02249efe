// The relay, case by case: half-closes, resets, slow receivers, promotion to splicing and back, limits.

#include <doctest/doctest.h>

#include <cerrno>
#include <span>

#include "base/limits.h"
#include "sim/lab.h"

namespace sluice::sim {
namespace {

using record::CloseReason;

/// A tunnel that stands: the hello has been passed on and read by the origin.
struct Tunnel {
  explicit Tunnel(Lab& in) : lab(in), client(lab.begin()) {
    client.send(client_hello("www.example.test"));
    lab.settle();
    REQUIRE(lab.origin_of(client) != nullptr);
    origin = lab.origin_of(client);
    REQUIRE(origin->read(100'000) == client_hello("www.example.test"));
  }

  [[nodiscard]] CloseReason reason() {
    REQUIRE(lab.record_of(client) != nullptr);
    return lab.record_of(client)->close;
  }
  [[nodiscard]] bool open() { return lab.session_of(client) != nullptr; }

  Lab& lab;
  Connection& client;
  Connection* origin = nullptr;
};

}  // namespace

TEST_CASE("half-close after a long silence: the other side still has half_closed_timeout from then") {
  Lab lab;
  lab.config().limits.idle_timeout_ms = 600'000;
  lab.config().limits.half_closed_timeout_ms = 60'000;
  Tunnel tunnel(lab);
  lab.pass_ms(300'000);
  tunnel.client.finish();
  lab.pass_ms(50'000);
  REQUIRE(tunnel.open());
  CHECK(tunnel.origin->got_fin());
  const Bytes answer = pattern(1, 5'000);
  tunnel.origin->send(answer);
  tunnel.origin->finish();
  lab.settle();
  CHECK(tunnel.client.read(10'000) == answer);
  CHECK(tunnel.client.got_fin());
  CHECK(tunnel.reason() == CloseReason::finished);
  CHECK(lab.verdict() == "");
}

// --- ends in order
// -----------------------------------------------------------------------------------------------------

TEST_CASE("half-close, both orders: FIN is passed on behind the last byte, and the other direction goes on") {
  for (const bool client_first : {true, false}) {
    Lab lab;
    Tunnel tunnel(lab);
    Connection& first = client_first ? tunnel.client : *tunnel.origin;
    Connection& second = client_first ? *tunnel.origin : tunnel.client;
    const Bytes question = pattern(1, 3'000);
    const Bytes answer = pattern(2, 90'000);
    first.send(question);
    first.finish();
    lab.settle();
    CHECK(second.read(1 << 20) == question);
    CHECK(second.got_fin());
    CHECK_FALSE(first.got_fin());
    second.send(answer);
    lab.settle();
    CHECK(first.read(1 << 20) == answer);
    CHECK_FALSE(first.got_fin());
    second.finish();
    lab.settle();
    CHECK(first.got_fin());
    CHECK(tunnel.reason() == CloseReason::finished);
    CHECK_FALSE(first.got_reset());
    CHECK_FALSE(second.got_reset());
    CHECK(lab.verdict() == "");
  }
}

TEST_CASE("bytes and FIN that came while the origin was dialled") {
  Lab lab;
  lab.on_dial = [&](const io::Accepted&) { return DialOutcome{0, false, lab.kernel.now_us() + 10'000}; };
  Connection& client = lab.begin();
  Bytes sent = client_hello("www.example.test");
  client.send(sent);
  lab.settle();
  const Bytes more = pattern(3, 100'000);
  client.send(more);
  client.finish();
  sent.insert(sent.end(), more.begin(), more.end());
  lab.pass_ms(20);
  Connection* origin = lab.origin_of(client);
  REQUIRE(origin != nullptr);
  CHECK(origin->read(1 << 20) == sent);
  CHECK(origin->got_fin());
  origin->finish();
  lab.settle();
  CHECK(lab.record_of(client)->close == CloseReason::finished);
  CHECK(lab.verdict() == "");
}

// --- time limits
// -----------------------------------------------------------------------------------------------------

TEST_CASE("idle_timeout counts from the last byte, in either direction") {
  Lab lab;
  lab.config().limits.idle_timeout_ms = 10'000;
  Tunnel tunnel(lab);
  for (int i = 0; i < 5; ++i) {
    lab.pass_ms(9'000);
    REQUIRE(tunnel.open());
    (i % 2 == 0 ? tunnel.client : *tunnel.origin).send(pattern(4, 10));
    lab.settle();
  }
  lab.pass_ms(9'900);
  CHECK(tunnel.open());
  lab.pass_ms(200);
  CHECK(tunnel.reason() == CloseReason::idle_timeout);
  CHECK(tunnel.client.got_reset());
  CHECK(tunnel.origin->got_reset());
  CHECK(lab.verdict() == "");
}

TEST_CASE(
    "half_closed_timeout: progress puts it off, silence ends it; the shorter of it and idle_timeout counts") {
  for (const uint32_t half_closed_ms : {5'000u, 900'000u}) {
    Lab lab;
    lab.config().limits.idle_timeout_ms = 20'000;
    lab.config().limits.half_closed_timeout_ms = half_closed_ms;
    Tunnel tunnel(lab);
    tunnel.client.finish();
    for (int i = 0; i < 3; ++i) {
      lab.pass_ms(4'900);
      tunnel.origin->send(pattern(5, 10));
      lab.settle();
      REQUIRE(tunnel.open());
    }
    lab.pass_ms(half_closed_ms < 20'000 ? 5'100 : 20'100);
    CHECK(tunnel.reason() == CloseReason::half_closed_timeout);
    CHECK(tunnel.client.got_reset());
    CHECK(tunnel.origin->got_reset());
    CHECK(lab.verdict() == "");
  }
}

TEST_CASE("a receiver that stops for ever: the bytes that are kept for it go at idle_timeout") {
  Lab lab;
  lab.config().limits.idle_timeout_ms = 10'000;
  Tunnel tunnel(lab);
  tunnel.origin->outbox_max = 1'000;
  tunnel.client.send(pattern(6, 9'000));
  lab.settle();
  CHECK(lab.world.relay_memory_bytes == 8'000);
  lab.pass_ms(10'100);
  CHECK(tunnel.reason() == CloseReason::idle_timeout);
  CHECK(lab.verdict() == "");
}

// --- resets
// ----------------------------------------------------------------------------------------------------------

TEST_CASE("a client's reset is passed on as a reset") {
  Lab lab;
  Tunnel tunnel(lab);
  tunnel.client.send(pattern(7, 100));
  tunnel.client.reset();
  lab.settle();
  CHECK(tunnel.reason() == CloseReason::client_reset);
  CHECK(tunnel.origin->got_reset());
  CHECK_FALSE(tunnel.origin->gateway_finished());
  CHECK(lab.verdict() == "");
}

TEST_CASE("an origin's reset comes behind the bytes that it sent before") {
  Lab lab;
  Tunnel tunnel(lab);
  const Bytes last_words = pattern(8, 30'000);
  tunnel.origin->send(last_words);
  tunnel.origin->reset();
  lab.pass_ms(500);
  CHECK(tunnel.open());  // the client has not read yet
  CHECK_FALSE(tunnel.client.got_reset());
  SUBCASE("the client reads") {
    CHECK(tunnel.client.read(1 << 20) == last_words);
    lab.pass_ms(100);
  }
  SUBCASE("the client never reads: so long is waited") {
    lab.pass_ms(limits::reset_after_delivery_ms - 600);
    CHECK(tunnel.open());
    lab.pass_ms(200);
  }
  SUBCASE("the worker stops meanwhile") {
    flow::end(*lab.session_of(tunnel.client), CloseReason::stopped);
    lab.pass_ms(50);
  }
  CHECK(tunnel.client.got_reset());
  CHECK(tunnel.reason() == CloseReason::origin_reset);
  CHECK(lab.record_of(tunnel.client)->bytes_down == last_words.size());
  CHECK(lab.verdict() == "");
}

TEST_CASE("an origin that vanishes, and a client that does") {
  for (const bool client_vanishes : {true, false}) {
    Lab lab;
    Tunnel tunnel(lab);
    (client_vanishes ? tunnel.client : *tunnel.origin).vanish(ETIMEDOUT);
    lab.settle();
    CHECK(tunnel.reason() == (client_vanishes ? CloseReason::client_vanished : CloseReason::origin_vanished));
    CHECK(lab.record_of(tunnel.client)->detail == "ETIMEDOUT");
    CHECK((client_vanishes ? *tunnel.origin : tunnel.client).got_reset());
    CHECK(lab.verdict() == "");
  }
}

TEST_CASE("the origin fails as a receiver first: what it had sent still reaches the client, then the reset") {
  // The client reads slowly, so nothing reads from the origin; its reset shows when the client's next bytes
  // are sent. That report is the only one: afterwards the origin's socket reads as if it had ended in order.
  Lab lab;
  Tunnel tunnel(lab);
  tunnel.client.outbox_max = 3'000;
  const Bytes last_words = pattern(9, 40'000);
  tunnel.origin->send(last_words);
  lab.settle();
  tunnel.origin->reset();
  tunnel.client.send(pattern(10, 10));
  lab.settle();
  REQUIRE(tunnel.open());
  Bytes received;
  for (int i = 0; i < 100 && received.size() < last_words.size(); ++i) {
    const Bytes part = tunnel.client.read(1'000);
    received.insert(received.end(), part.begin(), part.end());
    lab.settle();
  }
  CHECK(received == last_words);
  lab.pass_ms(100);
  CHECK_FALSE(tunnel.client.gateway_finished());
  CHECK(tunnel.client.got_reset());
  CHECK(tunnel.reason() == CloseReason::origin_reset);
  CHECK(lab.verdict() == "");
}

TEST_CASE(
    "a failed receiver whose other direction stands still: half_closed_timeout, not idle_timeout, ends it") {
  Lab lab;
  lab.config().limits.idle_timeout_ms = 600'000;
  lab.config().limits.half_closed_timeout_ms = 10'000;
  Tunnel tunnel(lab);
  tunnel.client.outbox_max = 3'000;
  tunnel.origin->send(pattern(9, 40'000));
  lab.settle();
  tunnel.origin->reset();
  tunnel.client.send(pattern(10, 10));
  lab.settle();
  lab.pass_ms(10'100);
  CHECK(tunnel.reason() == CloseReason::half_closed_timeout);
  CHECK(lab.verdict() == "");
}

TEST_CASE("an origin that has closed altogether resets what still comes; so is the client") {
  Lab lab;
  Tunnel tunnel(lab);
  tunnel.origin->send(pattern(11, 500));
  tunnel.origin->close();
  lab.settle();
  CHECK(tunnel.client.read(1'000) == pattern(11, 500));
  CHECK(tunnel.client.got_fin());
  tunnel.client.send(pattern(12, 100));
  lab.settle();
  CHECK(tunnel.origin->refuse_bytes());
  tunnel.client.send(pattern(12, 100));
  lab.pass_ms(100);
  CHECK(tunnel.reason() == CloseReason::origin_reset);
  CHECK(tunnel.client.got_reset());
  CHECK(lab.verdict() == "");
}

TEST_CASE("an origin that threw the client's last bytes away ends in a reset, though no send ever failed") {
  Lab lab;
  Tunnel tunnel(lab);
  tunnel.origin->close();
  lab.settle();
  tunnel.client.send(pattern(12, 100));
  lab.settle();
  CHECK(tunnel.origin->refuse_bytes());
  tunnel.client.finish();
  lab.pass_ms(100);
  CHECK(tunnel.reason() == CloseReason::origin_reset);
  CHECK(tunnel.client.got_reset());
  CHECK(lab.verdict() == "");
}

TEST_CASE("the client is gone while the origin sends: reset, and nothing is left over") {
  for (const size_t bytes : {size_t{1'000}, size_t{400'000}}) {
    Lab lab;
    Tunnel tunnel(lab);
    tunnel.client.outbox_max = 2'000;
    tunnel.origin->inbox_max = 1 << 20;
    tunnel.origin->send(pattern(13, bytes));
    lab.settle();
    tunnel.client.reset();
    lab.settle();
    CHECK(tunnel.reason() == CloseReason::client_reset);
    CHECK(tunnel.origin->got_reset());
    CHECK(lab.verdict() == "");
  }
}

// --- slow receivers
// ---------------------------------------------------------------------------------------------------

TEST_CASE("back-pressure: while a receiver is slow, no more is read from the sender than one buffer") {
  Lab lab;
  Tunnel tunnel(lab);
  tunnel.origin->outbox_max = 1'000;
  const Bytes sent = pattern(14, 30'000);
  tunnel.client.send(sent);
  lab.settle();
  CHECK(tunnel.client.unread_by_gateway() == sent.size() - limits::ring_buffer_bytes);
  CHECK(lab.world.relay_memory_bytes == limits::ring_buffer_bytes - 1'000);
  Bytes received;
  for (int i = 0; i < 1'000 && received.size() < sent.size(); ++i) {
    const Bytes part = tunnel.origin->read(700);
    received.insert(received.end(), part.begin(), part.end());
    lab.settle();
  }
  CHECK(received == sent);
  CHECK(lab.world.relay_memory_bytes == 0);
  SUBCASE("and then both finish") {
    tunnel.client.finish();
    tunnel.origin->finish();
    lab.settle();
    CHECK(tunnel.reason() == CloseReason::finished);
  }
  SUBCASE("FIN waits behind what is kept") {
    tunnel.client.send(sent);
    tunnel.client.finish();
    lab.settle();
    CHECK_FALSE(tunnel.origin->gateway_finished());
    for (int i = 0; i < 1'000 && !tunnel.origin->got_fin(); ++i) {
      (void)tunnel.origin->read(700);
      lab.settle();
    }
    CHECK(tunnel.origin->got_fin());
    tunnel.origin->finish();
    lab.settle();
    CHECK(tunnel.reason() == CloseReason::finished);
    CHECK(lab.record_of(tunnel.client)->bytes_up ==
          2 * sent.size() + client_hello("www.example.test").size());
  }
  CHECK(lab.verdict() == "");
}

TEST_CASE("a full receiver that has sent FIN is asked now and then, not without end, and gets all bytes in the end") {
  Lab lab;
  Tunnel tunnel(lab);
  tunnel.client.finish();
  lab.settle();
  tunnel.client.outbox_max = 32 * 1024;
  const Bytes answer = pattern(7, 200'000);
  tunnel.origin->send(answer);
  lab.settle();
  const uint64_t before = lab.kernel.polls;
  lab.pass_ms(1'000);
  CHECK(lab.kernel.polls - before <= 1'000 / 16 + 2);  // once a tick
  Bytes got;
  for (int round = 0; round < 1'000 && got.size() < answer.size(); ++round) {
    const Bytes part = tunnel.client.read(1 << 20);
    got.insert(got.end(), part.begin(), part.end());
    lab.pass_ms(20);
  }
  CHECK(got == answer);
  tunnel.origin->finish();
  lab.settle();
  CHECK(tunnel.reason() == CloseReason::finished);
  CHECK(lab.verdict() == "");
}

TEST_CASE("relay memory: at the limit it is kept, one byte past it the connection is reset and counted") {
  for (const uint64_t past : {uint64_t{0}, uint64_t{1}}) {
    Lab lab;
    lab.world.relay_memory_max_bytes = 4'000;
    Tunnel slow(lab);
    Tunnel other(lab);
    slow.origin->outbox_max = 1'000;
    other.origin->outbox_max = 1'000;
    slow.client.send(pattern(15, 3'000));
    lab.settle();
    CHECK(lab.world.relay_memory_bytes == 2'000);
    other.client.send(pattern(16, 3'000 + past));
    lab.settle();
    CHECK(slow.open());
    CHECK(other.open() == (past == 0));
    CHECK(lab.counters.relay_memory_limit_hits == past);
    CHECK(lab.world.relay_memory_bytes == (past == 0 ? 4'000 : 2'000));
    if (past == 1) {
      CHECK(other.reason() == CloseReason::overload);
      CHECK(other.client.got_reset());
      CHECK(other.origin->got_reset());
    }
    for (Tunnel* tunnel : {&slow, &other})
      if (tunnel->open()) flow::end(*lab.session_of(tunnel->client), CloseReason::stopped);
    lab.settle();
    CHECK(lab.verdict() == "");
  }
}

TEST_CASE("relay memory: a hello that the origin does not take at once counts as well") {
  Lab lab;
  lab.world.relay_memory_max_bytes = 10;
  lab.kernel.chaos.send_eagain = 1;
  Connection& client = lab.begin();
  client.send(client_hello("www.example.test"));
  lab.settle();
  REQUIRE(lab.record_of(client) != nullptr);
  CHECK(lab.record_of(client)->close == CloseReason::overload);
  CHECK(client.got_reset());
  CHECK(lab.verdict() == "");
}

// --- promotion to splicing, and back
// --------------------------------------------------------------------------------------

namespace {

/// Streams `bytes` from one end to the other, which reads all the time.
void stream(Lab& lab, Connection& from, Connection& to, const Bytes& bytes) {
  size_t sent = 0;
  Bytes received;
  for (int guard = 0; guard < 100'000 && received.size() < bytes.size(); ++guard) {
    sent += from.send(std::span(bytes).subspan(sent));
    lab.settle();
    const Bytes part = to.read(1 << 20);
    received.insert(received.end(), part.begin(), part.end());
  }
  CHECK(received == bytes);
}

void finish_both(Lab& lab, Tunnel& tunnel) {
  tunnel.client.finish();
  tunnel.origin->finish();
  lab.settle();
  CHECK(tunnel.reason() == CloseReason::finished);
  CHECK(lab.verdict() == "");
}

}  // namespace

TEST_CASE(
    "three full buffers in a row make a direction stream: spliced from then on, the other one still copied") {
  Lab lab;
  Tunnel tunnel(lab);
  const uint64_t copied_before = lab.counters.bytes_copied;
  const size_t threshold = limits::full_reads_to_stream * limits::ring_buffer_bytes;
  stream(lab, *tunnel.origin, tunnel.client, pattern(17, threshold));
  CHECK(lab.counters.promotions == 1);
  CHECK(lab.counters.bytes_copied - copied_before == threshold);
  CHECK(tunnel.client.nonblocking());
  CHECK(tunnel.origin->nonblocking());
  stream(lab, *tunnel.origin, tunnel.client, pattern(18, 3'000'000));
  CHECK(lab.counters.bytes_spliced == 3'000'000);
  stream(lab, tunnel.client, *tunnel.origin, pattern(19, 5'000));
  CHECK(lab.counters.bytes_spliced == 3'000'000);
  CHECK(lab.counters.promotions == 1);
  CHECK(lab.kernel.pipes_out() == 0);  // attached only while bytes are in it
  finish_both(lab, tunnel);
}

TEST_CASE("two full buffers and a short one are not a stream") {
  Lab lab;
  Tunnel tunnel(lab);
  for (int i = 0; i < 10; ++i)
    stream(lab, *tunnel.origin, tunnel.client, pattern(17, 3 * limits::ring_buffer_bytes - 1));
  CHECK(lab.counters.promotions == 0);
  CHECK_FALSE(tunnel.client.nonblocking());
  finish_both(lab, tunnel);
}

TEST_CASE("the other direction, promoted later, splices as well") {
  Lab lab;
  Tunnel tunnel(lab);
  tunnel.client.inbox_max = tunnel.origin->outbox_max = 1 << 20;
  stream(lab, *tunnel.origin, tunnel.client, pattern(20, 200'000));
  stream(lab, tunnel.client, *tunnel.origin, pattern(21, 5'000'000));
  CHECK(lab.counters.bytes_spliced > 4'000'000);
  finish_both(lab, tunnel);
}

TEST_CASE("small reads bring a splicing direction back to copying, and a new stream makes it splice again") {
  Lab lab;
  Tunnel tunnel(lab);
  tunnel.origin->inbox_max = tunnel.client.outbox_max = 1 << 20;
  stream(lab, *tunnel.origin, tunnel.client, pattern(22, 500'000));
  const uint64_t spliced = lab.counters.bytes_spliced;
  REQUIRE(spliced > 400'000);
  for (uint32_t i = 0; i < limits::small_reads_to_copy; ++i)
    stream(lab, *tunnel.origin, tunnel.client, pattern(i, 100));
  CHECK(lab.counters.bytes_spliced == spliced + 100 * limits::small_reads_to_copy);
  for (uint32_t i = 0; i < 20; ++i) stream(lab, *tunnel.origin, tunnel.client, pattern(i, 100));
  CHECK(lab.counters.bytes_spliced == spliced + 100 * limits::small_reads_to_copy);
  stream(lab, *tunnel.origin, tunnel.client, pattern(23, 3'000'000));
  CHECK(lab.counters.bytes_spliced > spliced + 2'500'000);
  CHECK(lab.counters.promotions == 1);  // its sockets were nonblocking all the time
  finish_both(lab, tunnel);
}

TEST_CASE(
    "a receiver that blocks a splicing direction: what is in the pipe stays there, in order, FIN behind it") {
  Lab lab;
  Tunnel tunnel(lab);
  stream(lab, *tunnel.origin, tunnel.client, pattern(24, 200'000));
  tunnel.client.outbox_max = 5'000;
  const Bytes more = pattern(25, 60'000);
  tunnel.origin->send(more);
  tunnel.origin->finish();
  lab.settle();
  CHECK(lab.kernel.pipes_out() == 1);
  CHECK(lab.world.relay_memory_bytes == 0);
  SUBCASE("it resumes") {
    Bytes received;
    for (int i = 0; i < 1'000 && !tunnel.client.got_fin(); ++i) {
      const Bytes part = tunnel.client.read(3'000);
      received.insert(received.end(), part.begin(), part.end());
      lab.settle();
    }
    CHECK(received == more);
    CHECK(tunnel.client.got_fin());
    CHECK(lab.kernel.pipes_out() == 0);
    CHECK(lab.kernel.pipes_destroyed() == 0);
    tunnel.client.finish();
    lab.settle();
    CHECK(tunnel.reason() == CloseReason::finished);
  }
  SUBCASE("it resets: the pipe is destroyed, because it holds bytes") {
    tunnel.client.reset();
    lab.settle();
    CHECK(tunnel.reason() == CloseReason::client_reset);
    CHECK(tunnel.origin->got_reset());
    CHECK(lab.kernel.pipes_destroyed() == 1);
  }
  SUBCASE("the worker stops") {
    flow::end(*lab.session_of(tunnel.client), CloseReason::stopped);
    lab.settle();
    CHECK(tunnel.reason() == CloseReason::stopped);
    CHECK(lab.kernel.pipes_destroyed() == 1);
  }
  SUBCASE("the other direction goes on meanwhile") {
    stream(lab, tunnel.client, *tunnel.origin, pattern(26, 300'000));
    CHECK(lab.kernel.pipes_out() == 1);
    flow::end(*lab.session_of(tunnel.client), CloseReason::stopped);
    lab.settle();
  }
  CHECK(lab.verdict() == "");
}

TEST_CASE(
    "a receiver that fails while a pipe holds bytes for it: the pipe goes at once, not when the session "
    "ends") {
  Lab lab;
  Tunnel tunnel(lab);
  stream(lab, tunnel.client, *tunnel.origin, pattern(33, 200'000));
  tunnel.origin->outbox_max = 5'000;
  tunnel.client.send(pattern(34, 60'000));
  tunnel.client.outbox_max = 3'000;
  const Bytes last_words = pattern(35, 40'000);
  tunnel.origin->send(last_words);
  lab.settle();
  REQUIRE(lab.kernel.pipes_out() == 1);
  tunnel.origin->reset();
  lab.settle();
  REQUIRE(tunnel.open());  // the client has yet to read what the origin said before
  CHECK(lab.kernel.pipes_out() == 0);
  CHECK(lab.kernel.pipes_destroyed() == 1);
  Bytes received;
  for (int i = 0; i < 100 && received.size() < last_words.size(); ++i) {
    const Bytes part = tunnel.client.read(1'000);
    received.insert(received.end(), part.begin(), part.end());
    lab.settle();
  }
  CHECK(received == last_words);
  lab.pass_ms(100);
  CHECK(tunnel.reason() == CloseReason::origin_reset);
  CHECK(tunnel.client.got_reset());
  CHECK(lab.verdict() == "");
}

TEST_CASE("no pipe to be had: it copies, counts, asks again after a while, and loses nothing") {
  Lab lab;
  lab.kernel.pipes_max = 0;
  Tunnel tunnel(lab);
  tunnel.origin->inbox_max = tunnel.client.outbox_max = 1 << 20;
  stream(lab, *tunnel.origin, tunnel.client, pattern(27, 3'000'000));
  CHECK(lab.counters.bytes_spliced == 0);
  const uint64_t denied = lab.counters.pipe_pool_empty;
  CHECK(denied >= 1);
  CHECK(denied <= 3);  // 3 MB are some 46 copies
  lab.kernel.pipes_max = 1;
  stream(lab, *tunnel.origin, tunnel.client, pattern(28, 20'000'000));
  CHECK(lab.counters.bytes_spliced > 10'000'000);
  finish_both(lab, tunnel);
}

TEST_CASE("a stream from a fast sender gives others their turn") {
  Lab lab;
  Tunnel tunnel(lab);
  tunnel.origin->inbox_max = 16 << 20;
  tunnel.client.outbox_max = 64 << 20;
  stream(lab, *tunnel.origin, tunnel.client, pattern(29, 200'000));
  tunnel.origin->send(pattern(30, 8'000'000));
  const uint64_t before = tunnel.client.bytes_taken();
  REQUIRE(lab.kernel.execute_one());
  REQUIRE(lab.kernel.deliver());
  const uint64_t moved = tunnel.client.bytes_taken() - before;
  CHECK(moved >= limits::relay_turn_bytes / 2);
  CHECK(moved <= limits::relay_turn_bytes + lab.kernel.pipe_bytes);
  lab.settle();
  CHECK(tunnel.client.bytes_taken() - before == 8'000'000);
  (void)tunnel.client.read(64 << 20);
  finish_both(lab, tunnel);
}

TEST_CASE("flow::end in the middle of the relay, with bytes kept for a slow receiver") {
  for (const double loses : {0.0, 1.0}) {
    Lab lab;
    lab.kernel.chaos.cancel_loses = loses;
    Tunnel tunnel(lab);
    tunnel.origin->outbox_max = 1'000;
    tunnel.client.send(pattern(31, 9'000));
    lab.settle();
    tunnel.origin->send(pattern(32, 100));  // and a receive that may still answer
    flow::end(*lab.session_of(tunnel.client), CloseReason::drain_timeout);
    flow::end(*lab.session_of(tunnel.client), CloseReason::stopped);  // a second one changes nothing
    lab.settle();
    CHECK(tunnel.reason() == CloseReason::drain_timeout);
    CHECK(tunnel.client.got_reset());
    CHECK(tunnel.origin->got_reset());
    CHECK(lab.verdict() == "");
  }
}

}  // namespace sluice::sim
