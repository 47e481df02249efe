#include "base/ip.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace sluice {
namespace {

constexpr std::array<uint8_t, 12> mapped_prefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

template <class Integer>
std::optional<Integer> parse_decimal(std::string_view text) {
  if (text.empty() || (text.size() > 1 && text[0] == '0')) return std::nullopt;
  Integer value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

IpAddress masked(const IpAddress& address, unsigned prefix_bits) {
  IpAddress result = address;
  for (unsigned i = 0; i < 16; ++i) {
    const unsigned kept = prefix_bits > i * 8 ? std::min(8u, prefix_bits - i * 8) : 0;
    result.bytes[i] = static_cast<uint8_t>(result.bytes[i] & (0xff00u >> kept));
  }
  return result;
}

}  // namespace

IpAddress IpAddress::v4(uint32_t host_order) {
  return v4(std::array<uint8_t, 4>{static_cast<uint8_t>(host_order >> 24), static_cast<uint8_t>(host_order >> 16),
                                   static_cast<uint8_t>(host_order >> 8), static_cast<uint8_t>(host_order)});
}

IpAddress IpAddress::v4(const std::array<uint8_t, 4>& network_order) {
  IpAddress result;
  std::copy(mapped_prefix.begin(), mapped_prefix.end(), result.bytes.begin());
  std::copy(network_order.begin(), network_order.end(), result.bytes.begin() + 12);
  return result;
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  char copy[INET6_ADDRSTRLEN + 1];
  if (text.empty() || text.size() >= sizeof copy || text.find('\0') != std::string_view::npos) return std::nullopt;
  std::memcpy(copy, text.data(), text.size());
  copy[text.size()] = '\0';
  std::array<uint8_t, 4> v4_bytes{};
  if (inet_pton(AF_INET, copy, v4_bytes.data()) == 1) return v4(v4_bytes);
  IpAddress result;
  if (inet_pton(AF_INET6, copy, result.bytes.data()) == 1) return result;
  return std::nullopt;
}

bool IpAddress::is_v4() const { return std::equal(mapped_prefix.begin(), mapped_prefix.end(), bytes.begin()); }

bool IpAddress::is_loopback() const {
  if (is_v4()) return bytes[12] == 127;
  IpAddress one;
  one.bytes[15] = 1;
  return *this == one;
}

bool IpAddress::is_multicast() const {
  if (is_v4()) return (bytes[12] & 0xf0) == 0xe0 || *this == v4(0xffffffffu);
  return bytes[0] == 0xff;
}

bool IpAddress::is_link_local() const {
  if (is_v4()) return bytes[12] == 169 && bytes[13] == 254;
  return bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
}

bool IpAddress::is_unspecified() const { return *this == IpAddress{} || *this == v4(0u); }

std::string IpAddress::to_string() const {
  std::array<char, text_bytes_max> text;
  return {text.data(), write_to(text)};
}

size_t IpAddress::write_to(std::span<char, text_bytes_max> out) const {
  char* at = out.data();
  char* const end = at + out.size();
  if (is_v4()) {
    for (size_t i = 12; i < 16; ++i) {
      if (i > 12) *at++ = '.';
      at = std::to_chars(at, end, bytes[i]).ptr;
    }
    return static_cast<size_t>(at - out.data());
  }
  const auto group = [&](size_t i) { return static_cast<unsigned>(bytes[2 * i] << 8 | bytes[2 * i + 1]); };
  // RFC 5952 section 4.2: "::" stands for the longest run of two or more zero groups, the first of equals.
  size_t run_begin = 8;
  size_t run_length = 1;
  for (size_t i = 0; i < 8; ++i) {
    size_t length = 0;
    while (i + length < 8 && group(i + length) == 0) ++length;
    if (length > run_length) {
      run_begin = i;
      run_length = length;
    }
    i += length;
  }
  for (size_t i = 0; i < 8; ++i) {
    if (i == run_begin) {
      *at++ = ':';
      if (run_begin + run_length == 8) *at++ = ':';
      i += run_length - 1;
      continue;
    }
    if (i > 0) *at++ = ':';
    at = std::to_chars(at, end, group(i), 16).ptr;
  }
  return static_cast<size_t>(at - out.data());
}

std::optional<Endpoint> Endpoint::parse(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  const auto address = IpAddress::parse(host);
  const auto port = parse_decimal<uint16_t>(text.substr(colon + 1));
  // An IPv6 address without brackets would make "::1:443" ambiguous.
  if (!address || !port || bracketed == address->is_v4()) return std::nullopt;
  return Endpoint{*address, *port};
}

std::string Endpoint::to_string() const {
  const std::string host = address.to_string();
  return (address.is_v4() ? host : "[" + host + "]") + ":" + std::to_string(port);
}

std::optional<Cidr> Cidr::parse(std::string_view text, std::optional<Cidr>* meant) {
  if (meant) meant->reset();
  const size_t slash = text.find('/');
  const auto address = IpAddress::parse(text.substr(0, slash));
  if (!address) return std::nullopt;
  const unsigned base = address->is_v4() ? 96 : 0;
  unsigned bits = 128;
  if (slash != std::string_view::npos) {
    const auto given = parse_decimal<unsigned>(text.substr(slash + 1));
    if (!given || *given > 128 - base) return std::nullopt;
    bits = base + *given;
  }
  const Cidr network{masked(*address, bits), static_cast<uint8_t>(bits)};
  if (network.network == *address) return network;
  if (meant) *meant = network;
  return std::nullopt;
}

bool Cidr::contains(const IpAddress& address) const { return masked(address, prefix_bits) == network; }

std::string Cidr::to_string() const {
  if (prefix_bits == 128) return network.to_string();
  return network.to_string() + "/" + std::to_string(prefix_bits - (network.is_v4() && prefix_bits >= 96 ? 96 : 0));
}

}  // namespace sluice
