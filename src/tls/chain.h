// The certificates that an origin sent, byte for byte: what the verdict judges, the mint copies from, and a
// resumed session carries along (no certificate arrives on resumption).
//
// Owns its bytes. Immutable once an engine has handed it out as shared_ptr<const Chain>; then any thread.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace sluice::tls {

struct Chain {
  std::vector<std::vector<uint8_t>> certificates;  // DER, in the order they came: the leaf first. Never empty
  std::vector<uint8_t> stapled_ocsp;               // OCSPResponse (RFC 6960) for the leaf; empty: none came
  std::array<uint8_t, 32> digest{};  // SHA-256 over each certificate behind its length (32 bits)
};

}  // namespace sluice::tls
