#include "cli/stream_table.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "unit/cli/packets.h"

using namespace sluice;
using namespace sluice::cli;
using namespace sluice::cli::testing;
using sluice::hello::ClientHello;
using sluice::hello::testing::HelloBuilder;

namespace {

const Endpoint client = endpoint("192.0.2.7:50000");
const Endpoint origin = endpoint("198.51.100.1:443");
constexpr uint32_t isn = 0xffffff00;  // wraps inside the hello

/// A table, what it found, and a clock that ticks once per segment.
struct Bench {
  std::vector<Beginning> found;
  StreamTable table{[](const Endpoint& destination) { return destination.port == 443; },
                    [this](const Beginning& beginning) { found.push_back(beginning); }};
  int64_t now_us = 1'000'000;

  void add(const Packet& packet) {
    const Bytes bytes = packet.ip();
    const Decoded decoded = decode_packet(LinkType::raw_ip, bytes);
    REQUIRE(decoded.segment);
    table.add(*decoded.segment, now_us++);
  }
  void open(uint32_t first = isn) {
    add({.from = client, .to = origin, .sequence = first, .flags = syn});
    add({.from = origin, .to = client, .sequence = 9, .flags = syn | ack, .acknowledged = first + 1});
  }
  void send(size_t offset, Bytes payload, unsigned flags = ack, const Endpoint& from = client) {
    const uint32_t sequence = isn + 1 + static_cast<uint32_t>(offset);
    add({.from = from, .to = origin, .sequence = sequence, .flags = flags, .payload = std::move(payload)});
  }
};

std::string sni_of(const Beginning& beginning) {
  const auto* const hello = std::get_if<ClientHello>(&beginning.first_bytes);
  return hello != nullptr ? hello->sni : "(none)";
}
Incomplete why_of(const Beginning& beginning) {
  const auto* const why = std::get_if<Incomplete>(&beginning.first_bytes);
  REQUIRE(why != nullptr);
  return *why;
}

Bytes part(const Bytes& bytes, size_t begin, size_t end) {
  return {bytes.begin() + static_cast<ptrdiff_t>(begin), bytes.begin() + static_cast<ptrdiff_t>(end)};
}

Bytes hello_wire() { return HelloBuilder::chromium("www.example.com").wire(); }

}  // namespace

TEST_CASE("a connection is told once, with the time of its SYN, as soon as its hello is complete") {
  Bench bench;
  bench.open();
  const Bytes wire = hello_wire();
  bench.send(0, part(wire, 0, 100));
  CHECK(bench.found.empty());
  bench.send(100, part(wire, 100, wire.size()));
  REQUIRE(bench.found.size() == 1);
  CHECK(bench.found[0].client == client);
  CHECK(bench.found[0].destination == origin);
  CHECK(bench.found[0].time_us == 1'000'000);
  CHECK(sni_of(bench.found[0]) == "www.example.com");
  bench.send(100, part(wire, 100, wire.size()));  // retransmitted
  bench.send(0, wire);
  bench.send(wire.size(), to_bytes("more"), ack | fin);
  bench.table.finish();
  CHECK(bench.found.size() == 1);
}

TEST_CASE("segments in any order, repeated and overlapping, give the same hello") {
  const Bytes wire = hello_wire();
  for (unsigned seed = 1; seed <= 200; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    std::vector<std::pair<size_t, size_t>> pieces;
    for (size_t at = 0; at < wire.size();) {
      const size_t end = std::min<size_t>(wire.size(), at + 1 + random() % 300);
      pieces.emplace_back(at - std::min<size_t>(at, random() % 50), end);  // overlaps what came before
      if (random() % 3 == 0) pieces.emplace_back(at, std::min<size_t>(wire.size(), end + random() % 50));
      at = end;
    }
    std::shuffle(pieces.begin(), pieces.end(), random);
    Bench bench;
    bench.open();
    for (const auto& [begin, end] : pieces) bench.send(begin, part(wire, begin, end));
    REQUIRE(bench.found.size() == 1);
    CHECK(sni_of(bench.found[0]) == "www.example.com");
  }
}

TEST_CASE("what came first wins where a later segment contradicts it") {
  Bench bench;
  bench.open();
  const Bytes wire = hello_wire();
  bench.send(0, part(wire, 0, 200));
  bench.send(0, Bytes(200, 0xee));
  bench.send(200, part(wire, 200, wire.size()));
  REQUIRE(bench.found.size() == 1);
  CHECK(sni_of(bench.found[0]) == "www.example.com");
}

TEST_CASE("a keepalive probe before the first byte is not data") {
  Bench bench;
  bench.open();
  bench.add({.from = client, .to = origin, .sequence = isn, .payload = {0}});
  bench.send(0, hello_wire());
  REQUIRE(bench.found.size() == 1);
  CHECK(sni_of(bench.found[0]) == "www.example.com");
}

TEST_CASE("TCP Fast Open: the hello comes with the SYN") {
  Bench bench;
  bench.add({.from = client, .to = origin, .sequence = isn, .flags = syn, .payload = hello_wire()});
  REQUIRE(bench.found.size() == 1);
  CHECK(sni_of(bench.found[0]) == "www.example.com");
}

TEST_CASE("a hello is found without the SYN: from the answer to it, or by its looks") {
  Bench answer_only;
  answer_only.add({.from = origin, .to = client, .sequence = 9, .flags = syn | ack, .acknowledged = isn + 1});
  answer_only.send(0, hello_wire());
  REQUIRE(answer_only.found.size() == 1);
  CHECK(sni_of(answer_only.found[0]) == "www.example.com");

  Bench hello_only;
  hello_only.send(0, hello_wire());
  REQUIRE(hello_only.found.size() == 1);
  CHECK(sni_of(hello_only.found[0]) == "www.example.com");
  CHECK(hello_only.table.begun_before() == 0);
}

TEST_CASE("connections that were open before the capture are counted, each once, and not guessed at") {
  Bench bench;
  for (size_t i = 0; i < 5; ++i) bench.send(i * 5, {0x17, 3, 3, 0, 9});
  bench.add({.from = origin, .to = client, .sequence = 9, .payload = to_bytes("reply")});
  bench.table.finish();
  CHECK(bench.found.empty());
  CHECK(bench.table.begun_before() == 1);
}

TEST_CASE("a connection without a hello is told with the reason") {
  const Bytes wire = hello_wire();
  Bench bench;
  bench.open();
  Incomplete expected = Incomplete::closed;
  SUBCASE("the client says nothing and closes") {
    bench.send(0, {}, ack | fin);
    expected = Incomplete::silent;
  }
  SUBCASE("the client closes inside its hello") {
    bench.send(100, {}, ack | fin);  // out of order
    CHECK(bench.found.empty());
    bench.send(0, part(wire, 0, 100));
  }
  SUBCASE("the client resets") {
    bench.send(0, part(wire, 0, 100));
    bench.send(100, {}, rst);
  }
  SUBCASE("the origin resets") {
    bench.send(0, part(wire, 0, 100));
    bench.add({.from = origin, .to = client, .sequence = 10, .flags = rst | ack});
  }
  SUBCASE("a segment is missing") {
    bench.send(0, part(wire, 0, 100));
    bench.send(200, part(wire, 200, wire.size()));
    bench.table.finish();
    expected = Incomplete::gap;
  }
  SUBCASE("the capture cut its packets") {
    Segment segment;
    segment.from = client;
    segment.to = origin;
    segment.sequence = isn + 1;
    segment.ack = true;
    segment.payload = std::span(wire).first(96);
    segment.payload_bytes = wire.size();
    bench.table.add(segment, 5);
    bench.table.finish();
    expected = Incomplete::gap;
  }
  SUBCASE("the capture ends") {
    bench.send(0, part(wire, 0, 100));
    bench.table.finish();
    expected = Incomplete::capture_end;
  }
  REQUIRE(bench.found.size() == 1);
  CHECK(why_of(bench.found[0]) == expected);
}

TEST_CASE("bytes that are no hello are told with what is wrong") {
  Bench bench;
  bench.open();
  bench.send(0, to_bytes("SSH-2.0-OpenSSH_9.2\r\n"));
  REQUIRE(bench.found.size() == 1);
  const auto* const malformed = std::get_if<hello::Malformed>(&bench.found[0].first_bytes);
  REQUIRE(malformed != nullptr);
  CHECK(*malformed == hello::Malformed::not_tls);
}

TEST_CASE("a port that is used again begins a new connection; a SYN sent again does not") {
  Bench bench;
  bench.open();
  bench.open();
  bench.send(0, hello_wire());
  REQUIRE(bench.found.size() == 1);
  bench.open(isn + 100'000);
  CHECK(bench.found.size() == 1);
  bench.send(100'000, HelloBuilder().sni("second.example").wire());
  REQUIRE(bench.found.size() == 2);
  CHECK(sni_of(bench.found[1]) == "second.example");
}

TEST_CASE("other destinations are ignored, whatever they carry") {
  Bench bench;
  const Endpoint other = endpoint("198.51.100.1:8443");
  bench.add({.from = client, .to = other, .sequence = isn, .flags = syn});
  bench.add({.from = client, .to = other, .sequence = isn + 1, .payload = hello_wire()});
  bench.table.finish();
  CHECK(bench.found.empty());
  CHECK(bench.table.begun_before() == 0);
}

TEST_CASE("more connections than there is room for: the oldest is told as such, the newest is read") {
  Bench bench;
  const auto client_number = [](size_t i) {
    return Endpoint{IpAddress::v4(static_cast<uint32_t>(0x0a000000 + i)), 50000};
  };
  for (size_t i = 0; i <= StreamTable::streams_max; ++i)
    bench.add({.from = client_number(i), .to = origin, .sequence = isn, .flags = syn});
  REQUIRE(bench.found.size() == 1);
  CHECK(bench.found[0].client == client_number(0));
  CHECK(why_of(bench.found[0]) == Incomplete::crowded);
  bench.send(0, hello_wire(), ack, client_number(StreamTable::streams_max));
  REQUIRE(bench.found.size() == 2);
  CHECK(sni_of(bench.found[1]) == "www.example.com");
}

TEST_CASE("bytes ahead of their turn are bounded, over all and per connection") {
  Bench bench;
  const Bytes big(60'000, 0x16);
  size_t sent = 0;
  for (uint32_t i = 0; sent <= StreamTable::bytes_max; ++i, sent += big.size()) {
    const Endpoint from{IpAddress::v4(0x0a000000 + i), 50000};
    bench.add({.from = from, .to = origin, .sequence = isn, .flags = syn});
    bench.send(5, big, ack, from);
  }
  CHECK(!bench.found.empty());
  CHECK(bench.found.size() < 10);
  for (const Beginning& beginning : bench.found) CHECK(why_of(beginning) == Incomplete::crowded);

  Bench one;
  one.open();
  for (size_t i = 0; i < 10 * StreamTable::segments_ahead_max; ++i) one.send(2 + 2 * i, {0x16});
  one.send(limits::hello_wire_bytes_max + 10, {0x16});
  one.send(0, hello_wire());
  REQUIRE(one.found.size() == 1);
  CHECK(sni_of(one.found[0]) == "www.example.com");
}
