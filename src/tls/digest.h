// Message digests from wolfCrypt. Stateless; any thread. (Call once before threads start: wolfCrypt picks the
// CPU's instructions at its first use.)
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace sluice::tls {

/// SHA-256 of `input` (at most 4 GiB - 1). The type of hello::Sha256.
void sha256(std::span<const uint8_t> input, std::array<uint8_t, 32>& digest);

}  // namespace sluice::tls
