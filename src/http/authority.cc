#include "http/authority.h"

#include <span>

#include "base/host_name.h"
#include "base/ip.h"

namespace sluice::http {

namespace {

constexpr size_t label_bytes_max = 63;  // RFC 1035 section 2.3.4

/// The canonical character, or 0 for one that no host name has.
constexpr char host_character(char c) {
  if (c >= 'A' && c <= 'Z') return static_cast<char>(c | 0x20);
  const bool is_fine = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  return is_fine ? c : '\0';
}

std::optional<std::string_view> copy_name(std::string_view name, HostBuffer& buffer) {
  if (!name.empty() && name.back() == '.') name.remove_suffix(1);
  if (name.empty() || name.size() > buffer.size()) return std::nullopt;
  size_t label = 0;
  for (size_t i = 0; i < name.size(); ++i) {
    const bool is_dot = name[i] == '.';
    buffer[i] = is_dot ? '.' : host_character(name[i]);
    if (buffer[i] == '\0' || (is_dot && label == 0)) return std::nullopt;
    label = is_dot ? 0 : label + 1;
    if (label > label_bytes_max) return std::nullopt;
  }
  if (label == 0) return std::nullopt;
  return std::string_view(buffer.data(), name.size());
}

std::string_view write_address(const IpAddress& address, HostBuffer& buffer) {
  const std::span<char, IpAddress::text_bytes_max> room(buffer.data(), IpAddress::text_bytes_max);
  return {buffer.data(), address.write_to(room)};
}

/// A name, or an IPv4 address in any notation that has one reading.
std::optional<std::string_view> copy_name_or_ipv4(std::string_view text, HostBuffer& buffer) {
  const auto name = copy_name(text, buffer);
  if (!name) return std::nullopt;
  const NumericHost numeric = read_numeric_host(*name);
  switch (numeric.kind) {
    case NumericHost::Kind::not_numeric:
      return name;
    case NumericHost::Kind::address:
      return write_address(numeric.address, buffer);
    case NumericHost::Kind::ambiguous:
    case NumericHost::Kind::invalid:
      break;
  }
  return std::nullopt;
}

std::optional<std::string_view> copy_address(std::string_view text, HostBuffer& buffer) {
  const auto address = text.find(':') == std::string_view::npos ? std::nullopt : IpAddress::parse(text);
  if (!address) return std::nullopt;
  return write_address(*address, buffer);
}

/// Digits behind the colon; none at all is "no port".
std::optional<uint16_t> read_port(std::string_view digits) {
  if (digits.empty()) return uint16_t{0};
  if (digits.size() > 5) return std::nullopt;
  uint32_t port = 0;
  for (const char c : digits) {
    if (c < '0' || c > '9') return std::nullopt;
    port = port * 10 + static_cast<uint32_t>(c - '0');
  }
  if (port == 0 || port > 65535) return std::nullopt;
  return static_cast<uint16_t>(port);
}

}  // namespace

std::optional<Authority> parse_authority(std::string_view text, HostBuffer& buffer) {
  const bool is_bracketed = !text.empty() && text.front() == '[';
  const size_t end = is_bracketed ? text.find(']') : text.find(':');
  if (is_bracketed && end == std::string_view::npos) return std::nullopt;
  const std::string_view host = is_bracketed ? text.substr(1, end - 1) : text.substr(0, end);
  std::string_view rest = end == std::string_view::npos ? std::string_view() : text.substr(end);
  if (is_bracketed) rest.remove_prefix(1);
  if (!rest.empty() && rest.front() != ':') return std::nullopt;

  const auto port = read_port(rest.empty() ? rest : rest.substr(1));
  const auto canonical = is_bracketed ? copy_address(host, buffer) : copy_name_or_ipv4(host, buffer);
  if (!port || !canonical) return std::nullopt;
  return Authority{*canonical, *port};
}

}  // namespace sluice::http
