#include "tls/pem.h"

#include <doctest/doctest.h>

#include <string>

#include "unit/tls/certificates.h"

using namespace sluice::tls;
using namespace sluice::tls::testing;

namespace {

PemFault fault_of(std::string_view text) {
  const auto blocks = read_pem(text);
  REQUIRE_FALSE(blocks.has_value());
  return blocks.error();
}

}  // namespace

TEST_CASE("what is written is read again, at every length") {
  for (size_t size = 0; size < 200; ++size) {
    Bytes content(size);
    for (size_t i = 0; i < size; ++i) content[i] = static_cast<uint8_t>(i * 37 + size);
    const auto blocks = read_pem(write_pem("X", content));
    REQUIRE(blocks.has_value());
    REQUIRE(blocks->size() == 1);
    CHECK(blocks->front().label == "X");
    CHECK(blocks->front().content == content);
  }
}

TEST_CASE("what is written is what openssl writes") {
  const std::string text = read_text(data_file("origins/rsa-2048.pem"));
  const auto blocks = read_pem(text);
  REQUIRE(blocks.has_value());
  CHECK(write_pem("CERTIFICATE", blocks->front().content) == text);
}

TEST_CASE("text between blocks is ignored, and so are line ends of any kind") {
  const auto blocks = read_pem(
      "Subject: x\r\n-----BEGIN A-----\r\n QUJD \r\n-----END A-----\r\nmore\n-----BEGIN "
      "B-----\nQUI=\n-----END B-----");
  REQUIRE(blocks.has_value());
  REQUIRE(blocks->size() == 2);
  CHECK((*blocks)[0].content == Bytes{'A', 'B', 'C'});
  CHECK((*blocks)[1].content == Bytes{'A', 'B'});
  CHECK((*blocks)[1].line == 6);
  CHECK(read_pem("")->empty());
  CHECK(read_pem("no blocks here")->empty());
}

TEST_CASE("faults name their line") {
  CHECK(fault_of("\n-----BEGIN A-----\nQUJD\n").line == 2);
  CHECK(fault_of("-----BEGIN A-----\nQUJD\n-----BEGIN B-----\nQUJD\n-----END B-----\n").line == 1);
  CHECK(fault_of("-----BEGIN A-----\nQUJD\n-----END B-----\n").line == 3);
  CHECK(fault_of("-----BEGIN A-----\nQU*D\n-----END A-----\n").line == 2);
  CHECK(fault_of("-----BEGIN A-----\nQUJ\n-----END A-----\n").line == 3);
  CHECK(fault_of("-----BEGIN A-----\nQQ==QQ==\n-----END A-----\n").line == 2);
  CHECK(fault_of("-----BEGIN A-----\nQ===\n-----END A-----\n").line == 2);
}

TEST_CASE("encrypted keys are known as such, in both forms") {
  for (const char* name : {"authorities/p256-encrypted.key", "authorities/p256-encrypted-sec1.key"}) {
    const auto blocks = read_pem(read_text(data_file(name)));
    REQUIRE(blocks.has_value());
    REQUIRE(blocks->size() == 1);
    CHECK(blocks->front().is_encrypted);
    CHECK(blocks->front().content.empty());
  }
}
