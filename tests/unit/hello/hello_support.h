// What the tests of this room share: captured hellos from tests/data/hello, and ways to feed them to a
// reader.
#pragma once

#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <variant>

#include "hello/client_hello.h"
#include "unit/hello/hello_builder.h"

namespace sluice::hello::testing {

/// Real first flights, taken from the tools that their names say, each complete in one record.
inline const std::vector<std::string>& captured_names() {
  static const std::vector<std::string> names = {
      "chromium-156-sends-x25519mlkem768-grease-and-ech",
      "firefox-153-sends-x25519mlkem768-and-ech",
      "openssl-3-s-client-offers-h2-and-http11",
      "openssl-3-s-client-offers-only-tls12",
      "openssl-3-s-client-offers-only-tls10-without-signature-algorithms",
      "openssl-3-s-client-sends-no-sni",
      "curl-7-goes-to-a-name-and-pads-to-517-bytes",
      "curl-7-goes-to-an-address-without-sni",
      "gnutls-3-cli-offers-tls13-without-alpn",
      "wget-with-gnutls-goes-to-localhost",
      "node-20-offers-h2-and-59-cipher-suites",
  };
  return names;
}

inline Bytes captured(const std::string& name) {
  std::ifstream file("tests/data/hello/" + name + ".bin", std::ios::binary);
  REQUIRE_MESSAGE(file.is_open(), name << " (run from the top of the source tree)");
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// The handshake message of a hello that came in one record.
inline Bytes message_of(const Bytes& wire) { return {wire.begin() + 5, wire.end()}; }

inline HelloReader::Outcome read_at_once(const Bytes& bytes) {
  HelloReader reader;
  return reader.read(bytes);
}

/// One call per byte; stops at the first definite answer and leaves in `used` how many bytes that took.
inline HelloReader::Outcome read_bytewise(const Bytes& bytes, size_t* used = nullptr) {
  HelloReader reader;
  HelloReader::Outcome outcome = NeedMore{};
  size_t count = 0;
  while (count < bytes.size() && std::holds_alternative<NeedMore>(outcome)) {
    outcome = reader.read(std::span(bytes).first(++count));
  }
  if (used != nullptr) *used = count;
  return outcome;
}

/// "need_more", "hello" or the fault's name.
inline std::string to_string(const HelloReader::Outcome& outcome) {
  if (const auto* fault = std::get_if<Malformed>(&outcome)) return name_of(*fault);
  return std::holds_alternative<NeedMore>(outcome) ? "need_more" : "hello";
}

inline bool same(const HelloReader::Outcome& one, const HelloReader::Outcome& other) {
  if (one.index() != other.index()) return false;
  if (const auto* fault = std::get_if<Malformed>(&one)) return *fault == *std::get_if<Malformed>(&other);
  if (const auto* hello = std::get_if<ClientHello>(&one)) return *hello == *std::get_if<ClientHello>(&other);
  return true;
}

inline ClientHello parsed(const Bytes& bytes) {
  auto outcome = read_at_once(bytes);
  INFO(to_string(outcome));
  REQUIRE(std::holds_alternative<ClientHello>(outcome));
  return std::get<ClientHello>(std::move(outcome));
}

/// What a hello says, without how it was packed.
inline ClientHello content_of(ClientHello hello) {
  hello.records = 0;
  hello.wire_bytes = 0;
  return hello;
}

}  // namespace sluice::hello::testing
