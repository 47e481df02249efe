// S15: a hello is read however it was cut into TCP segments and TLS records, and the answer never depends on
// the cut.
#include <algorithm>
#include <numeric>
#include <random>
#include <span>

#include "base/limits.h"
#include "unit/hello/hello_support.h"

using namespace sluice::hello;
using namespace sluice::hello::testing;
using sluice::limits::hello_bytes_max;
using sluice::limits::hello_wire_bytes_max;

TEST_CASE(
    "S15: a hello cut at every offset over two TCP segments gives the same answer, and not before its end") {
  for (const auto& name : captured_names()) {
    CAPTURE(name);
    const Bytes wire = captured(name);
    const ClientHello whole = parsed(wire);
    for (size_t cut = 0; cut < wire.size(); ++cut) {
      HelloReader reader;
      REQUIRE(to_string(reader.read(std::span(wire).first(cut))) == "need_more");
      REQUIRE(same(reader.read(wire), whole));
    }
  }
}

TEST_CASE("S15: a hello that arrives byte by byte is complete with its last byte") {
  for (const auto& name : captured_names()) {
    CAPTURE(name);
    const Bytes wire = captured(name);
    size_t used = 0;
    CHECK(same(read_bytewise(wire, &used), parsed(wire)));
    CHECK(used == wire.size());
  }
}

TEST_CASE("S15: a hello cut at every offset over two TLS records gives the same answer") {
  for (const auto& name : captured_names()) {
    CAPTURE(name);
    const Bytes message = message_of(captured(name));
    const ClientHello whole = parsed(captured(name));
    for (size_t cut = 1; cut < message.size(); ++cut) {
      const Bytes wire = in_records(message, std::vector<size_t>{cut});
      const ClientHello split = parsed(wire);
      REQUIRE(split.records == 2);
      REQUIRE(split.wire_bytes == wire.size());
      REQUIRE(content_of(split) == content_of(whole));
    }
  }
}

TEST_CASE("S15: records of every size down to one byte, whole and byte by byte") {
  for (const auto& name : captured_names()) {
    CAPTURE(name);
    const Bytes message = message_of(captured(name));
    const ClientHello whole = parsed(captured(name));
    for (size_t fragment : std::vector<size_t>{1, 2, 3, 4, 5, 7, 64, 255, 256, 257, 1000}) {
      CAPTURE(fragment);
      const Bytes wire = in_records(message, fragment);
      const ClientHello split = parsed(wire);
      CHECK(split.records == (message.size() + fragment - 1) / fragment);
      CHECK(content_of(split) == content_of(whole));
      CHECK(same(read_bytewise(wire), split));
    }
  }
}

TEST_CASE("S15: random records in random segments") {
  const unsigned seed = 20260101;
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (const auto& name : captured_names()) {
    CAPTURE(name);
    const Bytes message = message_of(captured(name));
    const ClientHello whole = parsed(captured(name));
    for (int round = 0; round < 50; ++round) {
      std::vector<size_t> sizes(random() % 12);
      for (size_t& size : sizes) size = 1 + random() % 300;
      while (std::accumulate(sizes.begin(), sizes.end(), size_t{0}) > message.size()) sizes.pop_back();
      const Bytes wire = in_records(message, sizes);
      HelloReader reader;
      HelloReader::Outcome outcome = NeedMore{};
      for (size_t have = 0; have < wire.size() && std::holds_alternative<NeedMore>(outcome);) {
        have = std::min(wire.size(), have + random() % 200);
        outcome = reader.read(std::span(wire).first(have));
      }
      REQUIRE(to_string(outcome) == "hello");
      REQUIRE(content_of(std::get<ClientHello>(outcome)) == content_of(whole));
    }
  }
}

TEST_CASE("the caller's buffer may move between calls") {
  const Bytes wire = in_records(HelloBuilder::chromium("www.example.com").message(), 100);
  HelloReader reader;
  for (size_t have = 0; have < wire.size(); have += 37) {
    const Bytes elsewhere(wire.begin(), wire.begin() + static_cast<std::ptrdiff_t>(have));
    REQUIRE(to_string(reader.read(elsewhere)) == "need_more");
  }
  CHECK(to_string(reader.read(wire)) == "hello");
}

TEST_CASE("the same bytes again are still not enough, and asking costs nothing") {
  const Bytes wire = HelloBuilder().sni("www.example.com").wire();
  HelloReader reader;
  for (int i = 0; i < 3; ++i) CHECK(to_string(reader.read(std::span(wire).first(60))) == "need_more");
  CHECK(to_string(reader.read(wire)) == "hello");
}

TEST_CASE("what follows the hello's last record is ignored") {
  Bytes wire = HelloBuilder().sni("www.example.com").wire();
  const size_t hello_bytes = wire.size();
  put(wire, record(20, 0x0303, Bytes{1}));     // change_cipher_spec, as TLS 1.3 clients with early data send
  put(wire, record(23, 0x0303, filler(100)));  // early data
  const ClientHello hello = parsed(wire);
  CHECK(hello.sni == "www.example.com");
  CHECK(hello.wire_bytes == hello_bytes);
  put(wire, to_bytes("junk"));
  CHECK(parsed(wire).wire_bytes == hello_bytes);
}

TEST_CASE("the record's minor version does not matter, its major does") {
  const Bytes message = HelloBuilder().sni("www.example.com").message();
  for (uint16_t version : std::vector<uint16_t>{0x0300, 0x0301, 0x0302, 0x0303, 0x0304, 0x03ff}) {
    CHECK(to_string(read_at_once(record(22, version, message))) == "hello");
  }
  for (uint16_t version : std::vector<uint16_t>{0x0002, 0x0200, 0x0403, 0x7f03, 0xfeff}) {
    CHECK(to_string(read_at_once(record(22, version, message))) == "bad_record_version");
  }
}

TEST_CASE("a message of exactly the limit is read, one byte more is refused by its header alone") {
  const Bytes at_limit = HelloBuilder().sni("www.example.com").pad_to(hello_bytes_max).message();
  REQUIRE(at_limit.size() == hello_bytes_max);
  const ClientHello hello = parsed(in_records(at_limit, size_t{16384}));
  CHECK(hello.message_bytes == hello_bytes_max);
  CHECK(hello.records == 4);
  CHECK(hello.sni == "www.example.com");

  const Bytes past = HelloBuilder().sni("www.example.com").pad_to(hello_bytes_max + 1).message();
  const Bytes wire = in_records(past, size_t{16384});
  size_t used = 0;
  CHECK(to_string(read_bytewise(wire, &used)) == "too_large");
  CHECK(used == 9);  // record header and message header
  CHECK(to_string(read_at_once(wire)) == "too_large");
}

TEST_CASE("a hello of exactly the wire limit is read, one byte more is refused") {
  // m message bytes in r records are m + 5 r bytes on the wire: 65,532 + 5 * 13,108 = 131,072.
  static_assert(65532 + 5 * 13108 == hello_wire_bytes_max);
  const auto split = [](size_t message_bytes) {
    std::vector<size_t> sizes(13107, 4);  // and the last record takes the rest
    return in_records(HelloBuilder().sni("www.example.com").pad_to(message_bytes).message(), sizes);
  };
  const Bytes at_limit = split(65532);
  REQUIRE(at_limit.size() == hello_wire_bytes_max);
  CHECK(parsed(at_limit).records == 13108);
  CHECK(same(read_bytewise(at_limit), parsed(at_limit)));

  const Bytes past = split(65533);
  REQUIRE(past.size() == hello_wire_bytes_max + 1);
  size_t used = 0;
  CHECK(to_string(read_at_once(past)) == "too_large_on_wire");
  CHECK(to_string(read_bytewise(past, &used)) == "too_large_on_wire");
  CHECK(used ==
        past.size() - 13105);  // with the header of the last record, whose content cannot fit any more
}

TEST_CASE("the wire limit does not count what follows the hello") {
  Bytes wire = HelloBuilder().sni("www.example.com").wire();
  put(wire, record(23, 0x0303, filler(16384)));
  wire.resize(hello_wire_bytes_max + 1000);
  CHECK(to_string(read_at_once(wire)) == "hello");
}

TEST_CASE("a full record is read, one byte more is refused by its header") {
  const Bytes full = HelloBuilder().sni("www.example.com").pad_to(16384).message();
  CHECK(parsed(record(22, 0x0301, full)).records == 1);
  const Bytes more = HelloBuilder().sni("www.example.com").pad_to(16385).message();
  size_t used = 0;
  CHECK(to_string(read_bytewise(record(22, 0x0301, more), &used)) == "oversized_record");
  CHECK(used == 5);
  CHECK(parsed(in_records(more, size_t{16384})).records == 2);
}

TEST_CASE("65,536 one-byte reads of the largest hello are answered like one read") {
  const Bytes wire =
      in_records(HelloBuilder().sni("www.example.com").pad_to(hello_bytes_max).message(), size_t{16384});
  size_t used = 0;
  CHECK(same(read_bytewise(wire, &used), parsed(wire)));
  CHECK(used == wire.size());
}

TEST_CASE("no mutation of a byte crashes, and none makes the answer depend on the segments") {
  for (const auto& name : captured_names()) {
    CAPTURE(name);
    Bytes wire = captured(name);
    for (size_t i = 0; i < wire.size(); ++i) {
      const uint8_t original = wire[i];
      for (int value : {original ^ 1, original ^ 2, original ^ 4, original ^ 8, original ^ 16, original ^ 32,
                        original ^ 64, original ^ 128, 0, 255, original + 1, original - 1}) {
        wire[i] = static_cast<uint8_t>(value);
        const auto whole = read_at_once(wire);
        HelloReader reader;
        auto cut = reader.read(std::span(wire).first(i));
        REQUIRE(to_string(cut) == "need_more");  // nothing in front of the mutated byte is wrong
        cut = reader.read(std::span(wire).first(i + 1));
        if (std::holds_alternative<NeedMore>(cut)) cut = reader.read(wire);
        REQUIRE(same(whole, cut));
      }
      wire[i] = original;
    }
  }
}
