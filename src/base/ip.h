// IP addresses, endpoints and networks as plain values, IPv4 and IPv6 in one type.
//
// An IPv4 address is kept in its IPv4-mapped form (::ffff:a.b.c.d, RFC 4291 section 2.5.5.2), so that comparing,
// hashing and prefix matching need no branch on the family. No system calls here.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace sluice {

struct IpAddress {
  std::array<uint8_t, 16> bytes{};  // network order

  [[nodiscard]] static IpAddress v4(uint32_t host_order);
  [[nodiscard]] static IpAddress v4(const std::array<uint8_t, 4>& network_order);
  /// Strict textual forms only: dotted quad without leading zeros or shorthand, RFC 4291 IPv6 without zone or brackets.
  [[nodiscard]] static std::optional<IpAddress> parse(std::string_view text);

  [[nodiscard]] bool is_v4() const;
  [[nodiscard]] bool is_loopback() const;
  [[nodiscard]] bool is_unspecified() const;
  [[nodiscard]] bool is_multicast() const;   // 224.0.0.0/4 with the broadcast address, ff00::/8
  [[nodiscard]] bool is_link_local() const;  // 169.254.0.0/16, fe80::/10
  /// "192.0.2.1", "2001:db8::1" (RFC 5952).
  [[nodiscard]] std::string to_string() const;
  /// The same without allocation: returns the length. The longest form is eight groups of four digits and 7 colons.
  static constexpr size_t text_bytes_max = 39;
  size_t write_to(std::span<char, text_bytes_max> out) const;

  auto operator<=>(const IpAddress&) const = default;
};

struct Endpoint {
  IpAddress address;
  uint16_t port = 0;  // host order

  /// "192.0.2.1:443" or "[2001:db8::1]:443".
  [[nodiscard]] static std::optional<Endpoint> parse(std::string_view text);
  [[nodiscard]] std::string to_string() const;

  auto operator<=>(const Endpoint&) const = default;
};

/// A network: `network` with all bits past `prefix_bits` zero. `prefix_bits` counts in the mapped 128-bit form, so an
/// IPv4 /24 is 96 + 24 = 120.
struct Cidr {
  IpAddress network;
  uint8_t prefix_bits = 128;

  /// "192.0.2.0/24", "2001:db8::/32", or a bare address (a network of one). Fails when bits past the prefix are set:
  /// `meant`, if given, is then the network without them, so that a caller can name it; otherwise it is nullopt.
  [[nodiscard]] static std::optional<Cidr> parse(std::string_view text, std::optional<Cidr>* meant = nullptr);
  [[nodiscard]] bool contains(const IpAddress& address) const;
  [[nodiscard]] std::string to_string() const;

  auto operator<=>(const Cidr&) const = default;
};

}  // namespace sluice
