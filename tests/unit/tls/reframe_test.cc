#include "tls/reframe.h"

#include <doctest/doctest.h>

#include <random>

namespace {

using Bytes = std::vector<uint8_t>;
using sluice::tls::reframe_hello;

/// `message` in records of these sizes, then one with the rest.
Bytes in_records(const Bytes& message, const std::vector<size_t>& sizes) {
  Bytes wire;
  size_t at = 0;
  const auto record = [&](size_t size) {
    for (const size_t byte : {size_t{22}, size_t{3}, size_t{1}, size >> 8, size & 0xff})
      wire.push_back(static_cast<uint8_t>(byte));
    wire.insert(wire.end(), message.begin() + static_cast<std::ptrdiff_t>(at),
                message.begin() + static_cast<std::ptrdiff_t>(at + size));
    at += size;
  };
  for (const size_t size : sizes) record(size);
  if (at < message.size()) record(message.size() - at);
  return wire;
}

Bytes some_message(size_t size) {
  std::mt19937 random(5);
  Bytes message(size);
  for (auto& byte : message) byte = static_cast<uint8_t>(random());
  return message;
}

}  // namespace

TEST_CASE("a hello in many records becomes one, with the first record's version") {
  const Bytes message = some_message(1800);
  const Bytes one = in_records(message, {});
  CHECK(reframe_hello(one) == one);
  CHECK(reframe_hello(in_records(message, {1, 1, 1, 100, 7})) == one);
  CHECK(reframe_hello(in_records(message, std::vector<size_t>(1800, 1))) == one);
  Bytes other = in_records(message, {900});
  other[2] = 3;
  Bytes expected = one;
  expected[2] = 3;
  CHECK(reframe_hello(other) == expected);
}

TEST_CASE("a hello above 16 KiB becomes full records") {
  for (const size_t size : {size_t{16384}, size_t{16385}, size_t{65535}}) {
    const Bytes message = some_message(size);
    std::vector<size_t> full(size / 16384, 16384);
    CHECK(reframe_hello(in_records(message, std::vector<size_t>(size / 1000, 1000))) ==
          in_records(message, full));
  }
}

TEST_CASE("what is no run of whole handshake records comes back empty") {
  const Bytes message = some_message(50);
  Bytes wire = in_records(message, {10, 10});
  CHECK(reframe_hello({}).empty());
  CHECK(reframe_hello(std::span(wire).first(wire.size() - 1)).empty());
  CHECK(reframe_hello(std::span(wire).first(3)).empty());
  wire[15] = 23;
  CHECK(reframe_hello(wire).empty());
}
