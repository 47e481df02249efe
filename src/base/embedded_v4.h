// IPv6 addresses that stand for an IPv4 address: what is forbidden of the one must not be had by the other. (The IPv4-mapped form
// needs none of this: in an IpAddress it *is* the IPv4 address.) Pure.
#pragma once

#include <algorithm>
#include <array>
#include <optional>

#include "base/ip.h"

namespace sluice {

namespace embedding {

inline std::optional<IpAddress> behind(const IpAddress& address, const std::array<uint8_t, 12>& prefix) {
  if (!std::equal(prefix.begin(), prefix.end(), address.bytes.begin())) return std::nullopt;
  return IpAddress::v4(std::array<uint8_t, 4>{address.bytes[12], address.bytes[13], address.bytes[14], address.bytes[15]});
}

}  // namespace embedding

/// Where a NAT64 gateway sends what goes to 64:ff9b::/96, the well-known prefix (RFC 6052 section 2.1).
[[nodiscard]] inline std::optional<IpAddress> behind_nat64(const IpAddress& address) {
  return embedding::behind(address, {0x00, 0x64, 0xff, 0x9b});
}

/// ::/96, "IPv4-compatible" (RFC 4291 section 2.5.5.1, deprecated). "::" and "::1" are among them.
[[nodiscard]] inline std::optional<IpAddress> in_compatible_form(const IpAddress& address) {
  return embedding::behind(address, {});
}

}  // namespace sluice
