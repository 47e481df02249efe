#include "base/canonical_url.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>

#include "base/host_name.h"
#include "base/utf8.h"

namespace sluice {

namespace {

constexpr std::string_view upper_hex = "0123456789ABCDEF";

constexpr int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char low = static_cast<char>(c | 0x20);
  return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

constexpr bool is_slash(char c) { return c == '/' || c == '\\'; }

constexpr bool is_unreserved(char c) {
  const char low = static_cast<char>(c | 0x20);
  return (low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
}

/// Control characters, space, DEL and whatever is not ASCII: encoded wherever they stand.
constexpr bool is_unprintable(char c) {
  return static_cast<uint8_t>(c) <= 0x20 || static_cast<uint8_t>(c) >= 0x7f;
}

/// Bytes that stand in a canonical path as themselves, whatever stands beside them.
constexpr std::array<bool, 256> plain_in_path = [] {
  std::array<bool, 256> table{};
  for (size_t i = 0; i < table.size(); ++i) {
    const char c = static_cast<char>(i);
    table[i] = !is_unprintable(c) && c != '%' && c != '?' && c != '#';
  }
  return table;
}();

void append_encoded(std::string& out, char c) {
  const auto byte = static_cast<uint8_t>(c);
  out += '%';
  out += upper_hex[byte >> 4];
  out += upper_hex[byte & 15];
}

/// Nothing in it needs more than copying: the usual case, at one look-up per byte.
bool is_canonical_path(std::string_view path) {
  if (path.empty() || path.front() != '/') return false;
  char before = '\0';
  for (const char c : path) {
    if (!plain_in_path[static_cast<uint8_t>(c)] || c == '\\') return false;
    if (before == '/' && (c == '/' || c == '.')) return false;  // ".well-known" takes the longer way, too
    before = c;
  }
  return true;
}

/// Decodes until no "%XX" is left. What one decoding makes may be the beginning or the end of another
/// ("%2541", "%%341"); they never overlap, so the order does not matter and one pass with a look back is
/// enough.
std::string fully_decoded(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    out += c;
    for (;;) {
      const size_t size = out.size();
      if (size < 3 || out[size - 3] != '%') break;
      const int high = hex_value(out[size - 2]);
      const int low = hex_value(out[size - 1]);
      if (high < 0 || low < 0) break;
      out.resize(size - 2);
      out.back() = static_cast<char>(high * 16 + low);
    }
  }
  return out;
}

/// Digits behind the colon: 0 for none at all, empty when it is no port.
std::optional<uint16_t> read_port(std::string_view digits) {
  uint32_t port = 0;
  for (const char c : digits) {
    if (c < '0' || c > '9') return std::nullopt;
    port = port * 10 + static_cast<uint32_t>(c - '0');
    if (port > 65535) return std::nullopt;
  }
  if (port == 0 && !digits.empty()) return std::nullopt;
  return static_cast<uint16_t>(port);
}

bool canonical_ipv6(std::string_view text, std::string& host, std::string& error) {
  const bool is_closed = text.size() >= 2 && text.back() == ']';
  const auto address = is_closed ? IpAddress::parse(text.substr(1, text.size() - 2)) : std::nullopt;
  if (!address || text.find(':') == std::string_view::npos) {
    error = fmt::format("'{}' is not an IPv6 address in brackets", printable(text));
    return false;
  }
  host = address->to_string();
  return true;
}

}  // namespace

void append_canonical_path(std::string& out, std::string_view path) {
  if (is_canonical_path(path)) {
    out.append(path);
    return;
  }
  const std::string decoded = fully_decoded(path);
  const size_t begin = out.size();
  const char* at = decoded.data();
  const char* const end = at + decoded.size();
  bool ends_in_slash = true;
  while (at != end) {
    const char* const segment_end = std::find_if(at, end, is_slash);
    const std::string_view segment(at, static_cast<size_t>(segment_end - at));
    ends_in_slash = segment.empty() || segment == "." || segment == "..";
    if (segment == "..") {
      out.resize(out.size() > begin ? out.rfind('/') : begin);
    } else if (!ends_in_slash) {
      out += '/';
      for (const char c : segment)
        plain_in_path[static_cast<uint8_t>(c)] ? void(out += c) : append_encoded(out, c);
    }
    if (segment_end == end) break;
    at = segment_end + 1;
    if (at == end) ends_in_slash = true;
  }
  if (ends_in_slash) out += '/';
}

void append_canonical_query(std::string& out, std::string_view query) {
  size_t i = 0;
  while (i < query.size()) {
    const size_t plain = i;
    while (i < query.size() && (plain_in_path[static_cast<uint8_t>(query[i])] || query[i] == '?')) ++i;
    out.append(query, plain, i - plain);
    if (i == query.size()) return;
    if (query[i] != '%') {
      append_encoded(out, query[i++]);
      continue;
    }
    const int high = i + 2 < query.size() ? hex_value(query[i + 1]) : -1;
    const int low = i + 2 < query.size() ? hex_value(query[i + 2]) : -1;
    if (high < 0 || low < 0) {
      append_encoded(out, '%');
      ++i;
      continue;
    }
    const auto decoded = static_cast<char>(high * 16 + low);
    is_unreserved(decoded) ? void(out += decoded) : append_encoded(out, decoded);
    i += 3;
  }
}

void append_canonical_target(std::string& out, std::string_view path_and_query) {
  path_and_query = path_and_query.substr(0, path_and_query.find('#'));
  const size_t mark = path_and_query.find('?');
  append_canonical_path(out, path_and_query.substr(0, mark));
  if (mark == std::string_view::npos) return;
  out += '?';
  append_canonical_query(out, path_and_query.substr(mark + 1));
}

void append_canonical_origin(std::string& out, bool is_https, std::string_view host, uint16_t port) {
  const bool is_ipv6 = host.find(':') != std::string_view::npos;
  out.append(is_https ? "https://" : "http://");
  if (is_ipv6) out += '[';
  out.append(host);
  if (is_ipv6) out += ']';
  if (port != 0 && port != (is_https ? 443 : 80)) fmt::format_to(std::back_inserter(out), ":{}", port);
}

bool canonical_host(std::string_view text, std::string& host, std::string& error) {
  if (!text.empty() && text.front() == '[') return canonical_ipv6(text, host, error);
  if (!normalize_host(fully_decoded(text), host, error)) {
    error = printable(error);
    return false;
  }
  const NumericHost numeric = read_numeric_host(host);
  switch (numeric.kind) {
    case NumericHost::Kind::not_numeric:
      return true;
    case NumericHost::Kind::address:
    case NumericHost::Kind::ambiguous:
      host = numeric.address.to_string();
      return true;
    case NumericHost::Kind::invalid:
      break;
  }
  error = fmt::format("'{}' ends in a number: neither an address nor a name", printable(text));
  return false;
}

std::optional<std::string> canonical_url(std::string_view text, std::string& error) {
  while (!text.empty() && static_cast<uint8_t>(text.front()) <= 0x20) text.remove_prefix(1);
  while (!text.empty() && static_cast<uint8_t>(text.back()) <= 0x20) text.remove_suffix(1);
  std::string kept(text);  // browsers leave out what breaks a line
  std::erase_if(kept, [](char c) { return c == '\t' || c == '\n' || c == '\r'; });

  const size_t colon = kept.find(':');
  std::string scheme = kept.substr(0, colon);
  std::transform(scheme.begin(), scheme.end(), scheme.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
  const bool is_https = scheme == "https";
  if (colon == std::string::npos || (!is_https && scheme != "http")) {
    error = fmt::format("'{}' begins with neither http:// nor https://", printable(text));
    return std::nullopt;
  }
  std::string_view rest = std::string_view(kept).substr(colon + 1);
  while (!rest.empty() && is_slash(rest.front())) rest.remove_prefix(1);

  const size_t authority_end = std::min(rest.find_first_of("/\\?#"), rest.size());
  std::string_view authority = rest.substr(0, authority_end);
  authority = authority.substr(authority.rfind('@') + 1);
  const size_t bracket = authority.find(']');
  const size_t port_colon = authority.find(':', bracket == std::string_view::npos ? 0 : bracket);
  const auto port =
      read_port(port_colon == std::string_view::npos ? std::string_view() : authority.substr(port_colon + 1));
  if (!port) {
    error = fmt::format("'{}' has a port that is not a number from 1 to 65535", printable(text));
    return std::nullopt;
  }
  std::string host;
  if (!canonical_host(authority.substr(0, port_colon), host, error)) return std::nullopt;

  std::string url;
  append_canonical_origin(url, is_https, host, *port);
  append_canonical_target(url, rest.substr(authority_end));
  return url;
}

}  // namespace sluice
