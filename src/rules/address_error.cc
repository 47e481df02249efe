#include "rules/address_error.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/ip.h"

namespace sluice::rules {
namespace {

constexpr size_t networks_of_range_max = 8;  // more of them would be no help

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

bool consists_of(std::string_view text, std::string_view allowed) {
  return text.find_first_not_of(allowed) == std::string_view::npos;
}

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

std::optional<uint32_t> number_of(std::string_view text) {
  uint32_t number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || failure != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::optional<uint32_t> v4_of(std::string_view text) {
  const auto address = IpAddress::parse(text);
  if (!address || !address->is_v4()) return std::nullopt;
  uint32_t value = 0;
  for (size_t i = 12; i < 16; ++i) value = value << 8 | address->bytes[i];
  return value;
}

// Six pairs with ':' or '-' between, or three groups of four with dots (as switches show them).
bool is_mac(std::string_view text) {
  const bool grouped = text.size() == 14;
  if (!grouped && text.size() != 17) return false;
  const size_t step = grouped ? 5 : 3;
  const char separator = grouped ? '.' : text[2];
  if (!grouped && separator != ':' && separator != '-') return false;
  for (size_t i = 0; i < text.size(); ++i)
    if (i % step == step - 1 ? text[i] != separator : !is_hex(text[i])) return false;
  return true;
}

// "192.168.1.*", "192.168.*.*", "10.*", "192.168.1.x" and, without what is left out, "192.168.1": the
// network.
std::optional<std::string> network_of_wildcard(std::string_view text) {
  if (text.ends_with('.')) text.remove_suffix(1);
  const auto parts = split(text, '.');
  if (parts.size() > 4) return std::nullopt;
  std::array<uint8_t, 4> address{};
  size_t numbers = 0;
  for (; numbers < parts.size(); ++numbers) {
    const auto number = number_of(parts[numbers]);
    if (!number || *number > 255) break;
    address[numbers] = static_cast<uint8_t>(*number);
  }
  const bool rest_is_wild =
      std::all_of(parts.begin() + static_cast<std::ptrdiff_t>(numbers), parts.end(),
                  [](std::string_view part) { return part == "*" || part == "x" || part == "X"; });
  if (numbers == 0 || numbers == 4 || !rest_is_wild) return std::nullopt;
  return fmt::format("{}/{}", IpAddress::v4(address).to_string(), 8 * numbers);
}

// The networks of which a range of IPv4 addresses consists.
std::optional<std::string> networks_of_range(uint32_t first, uint32_t last) {
  std::string text;
  uint64_t from = first;
  for (size_t i = 0; from <= last; ++i) {
    if (i == networks_of_range_max) return std::nullopt;
    int bits = from == 0 ? 32 : std::countr_zero(from);
    while (from + (uint64_t{1} << bits) - 1 > last) --bits;
    const Cidr network{IpAddress::v4(static_cast<uint32_t>(from)), static_cast<uint8_t>(128 - bits)};
    text += fmt::format("{}\"{}\"", text.empty() ? "" : ", ", network.to_string());
    from += uint64_t{1} << bits;
  }
  return text;
}

// "10.0.0.1-10.0.0.9", "10.0.0.1-9", with spaces or without.
std::optional<std::string> error_of_range(std::string_view text) {
  const size_t dash = text.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const std::string_view first = trimmed(text.substr(0, dash));
  const std::string_view last = trimmed(text.substr(dash + 1));
  if (!IpAddress::parse(first)) return std::nullopt;
  const auto from = v4_of(first);
  auto to = v4_of(last);
  if (const auto number = number_of(last); from && number && *number <= 255)
    to = (*from & 0xffffff00) | *number;
  if (!to && !IpAddress::parse(last)) return std::nullopt;
  const auto networks = from && to && *from <= *to ? networks_of_range(*from, *to) : std::nullopt;
  return fmt::format("'{}' is a range, and ranges are written as networks: {}", text,
                     networks ? *networks : "\"192.0.2.0/24\", \"2001:db8::/32\"");
}

// The prefix length of "255.255.0.0", or of "0.0.255.255", which routers of some makers take.
std::optional<int> length_of_mask(std::string_view text) {
  const auto mask = v4_of(text);
  if (!mask) return std::nullopt;
  if (std::countl_one(*mask) + std::countr_zero(*mask) == 32) return std::countl_one(*mask);
  if (std::countl_zero(*mask) + std::countr_one(*mask) == 32) return std::countl_zero(*mask);
  return std::nullopt;
}

// `address` and what stands behind its '/'.
std::string error_of_prefix(std::string_view text, const IpAddress& address, std::string_view behind) {
  const std::string start =
      fmt::format("'{}' is not an address: behind the / stands the prefix length", text);
  if (const auto length = length_of_mask(behind); length && address.is_v4()) {
    std::optional<Cidr> meant;
    const std::string with_length = fmt::format("{}/{}", address.to_string(), *length);
    const auto network = Cidr::parse(with_length, &meant);
    return fmt::format("{}; write \"{}\"", start,
                       network ? with_length
                       : meant ? meant->to_string()
                               : with_length);
  }
  return fmt::format("{}, from 0 to {}", start, address.is_v4() ? 32 : 128);
}

// "192.168.001.001": some read such numbers as octal, so they are not taken.
std::optional<std::string> without_zeros(std::string_view text) {
  std::string plain;
  for (std::string_view part : split(text, '.')) {
    while (part.size() > 1 && part.starts_with('0')) part.remove_prefix(1);
    plain += fmt::format("{}{}", plain.empty() ? "" : ".", part);
  }
  return plain != text && IpAddress::parse(plain) ? std::optional(plain) : std::nullopt;
}

// What stands around an address: brackets, a port, a zone, more addresses.
std::optional<std::string> error_of_surroundings(std::string_view text) {
  if (const std::string_view inside = trimmed(text); inside != text && Cidr::parse(inside))
    return fmt::format("'{}' has a space around the address; write \"{}\"", text, inside);
  if (const auto endpoint = Endpoint::parse(text))
    return fmt::format("'{}' has a port; write the address alone, \"{}\"", text,
                       endpoint->address.to_string());
  if (text.starts_with('[')) {
    std::string plain(text.substr(1));
    std::erase(plain, ']');
    if (Cidr::parse(plain))
      return fmt::format("'{}' is not an address here: it has no brackets; write \"{}\"", text, plain);
  }
  if (const size_t zone = text.find('%');
      zone != std::string_view::npos && IpAddress::parse(text.substr(0, zone)))
    return fmt::format("'{}' has a zone (%), which is not known here; write \"{}\"", text,
                       text.substr(0, zone));
  const size_t comma = text.find_first_of(",;");
  if (comma != std::string_view::npos && Cidr::parse(trimmed(text.substr(0, comma))))
    return fmt::format("'{}' are several in one string; write a list, [\"{}\", \"…\"]", text,
                       trimmed(text.substr(0, comma)));
  return std::nullopt;
}

}  // namespace

bool looks_like_address(std::string_view text) {
  if (text.find_first_of(":/[") != std::string_view::npos || is_mac(text) || consists_of(text, "0123456789."))
    return true;
  const size_t dot = text.find('.');
  if (dot == std::string_view::npos) return false;
  // "192.168.1.*", "192.168.1.x", "10.0.0.1-9": no interface is called so.
  return (is_digit(text.front()) || text.front() == '*') && consists_of(text, "0123456789.*-xX%,; ");
}

std::optional<std::string> address_hint(std::string_view text) {
  if (is_mac(text))
    return fmt::format("'{}' is a MAC address, which no rule can ask for; write the client's IP address",
                       text);
  if (auto error = error_of_range(text)) return error;
  if (auto error = error_of_surroundings(text)) return error;
  if (const size_t slash = text.find('/'); slash != std::string_view::npos) {
    if (const auto address = IpAddress::parse(text.substr(0, slash)))
      return error_of_prefix(text, *address, text.substr(slash + 1));
  }
  if (const auto network = network_of_wildcard(text))
    return fmt::format("'{}' is not an address; a network is written \"{}\"", text, *network);
  if (const auto plain = without_zeros(text))
    return fmt::format("'{}' is not an address: its numbers have zeros in front; write \"{}\"", text, *plain);
  return std::nullopt;
}

std::string address_error(std::string_view text) {
  if (auto hint = address_hint(text)) return *hint;
  return fmt::format(
      "'{}' is not an address; allowed are \"192.0.2.7\", \"2001:db8::7\" and networks (\"192.0.2.0/24\", "
      "\"2001:db8::/32\")",
      text);
}

}  // namespace sluice::rules
