#include "base/host_name.h"

#include <fmt/format.h>
#include <idn2.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "base/limits.h"

namespace sluice {
namespace {

constexpr size_t label_bytes_max = 63;  // RFC 1035 section 2.3.4

// What each byte of a name is: 0 not allowed, '.', or the byte it is written as.
constexpr std::array<char, 256> name_bytes = [] {
  std::array<char, 256> table{};
  for (char c = 'a'; c <= 'z'; ++c) table[static_cast<uint8_t>(c)] = c;
  for (char c = 'A'; c <= 'Z'; ++c) table[static_cast<uint8_t>(c)] = static_cast<char>(c + ('a' - 'A'));
  for (char c = '0'; c <= '9'; ++c) table[static_cast<uint8_t>(c)] = c;
  table['-'] = '-';
  table['_'] =
      '_';  // not a host name by RFC 952, but names like _dmarc.example and old Windows hosts are real
  table['.'] = '.';
  return table;
}();

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<uint8_t>(c) < 0x80; });
}

bool to_a_labels(std::string_view text, std::string& name, std::string& error) {
  const std::string terminated(text);
  char* raw = nullptr;
  const int status = idn2_to_ascii_8z(terminated.c_str(), &raw,
                                      IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL | IDN2_ALLOW_UNASSIGNED);
  const std::unique_ptr<char, decltype(&idn2_free)> owned(static_cast<char*>(raw), &idn2_free);
  if (status != IDN2_OK) {
    error = fmt::format("'{}' is not an internationalised name: {}", text, idn2_strerror(status));
    return false;
  }
  name = raw;
  return true;
}

// The fast path of a million-line list: one table look-up per byte.
bool normalize_ascii(std::string_view text, std::string& name, std::string& error) {
  name.resize(text.size());
  size_t label_start = 0;
  for (size_t i = 0; i <= text.size(); ++i) {
    const char c = i < text.size() ? name_bytes[static_cast<uint8_t>(text[i])] : '.';
    if (c == 0) {
      const char bad = text[i];
      error = bad > ' ' && bad != 0x7f
                  ? fmt::format("'{}' is not a host name: '{}' is not allowed in one", text, bad)
                  : fmt::format("not a host name: byte 0x{:02x} is not allowed in one",
                                static_cast<uint8_t>(bad));
      return false;
    }
    if (c == '.') {
      if (i == label_start) {
        error = fmt::format("'{}' is not a host name: it has an empty label", text);
        return false;
      }
      if (i - label_start > label_bytes_max) {
        error = fmt::format("'{}' is not a host name: a label has {} bytes, at most {} are allowed", text,
                            i - label_start, label_bytes_max);
        return false;
      }
      label_start = i + 1;
    }
    if (i < text.size()) name[i] = c;
  }
  return true;
}

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }

struct Number {
  bool is_valid = false;
  bool is_ambiguous = false;
  uint64_t value = 0;  // at most 2^32
};

/// The WHATWG IPv4 number parser: "0x1f", "017", "15"; "0x" alone is 0.
Number read_number(std::string_view text) {
  if (text.empty()) return {};
  const bool is_hex = text.size() >= 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
  const bool is_octal = !is_hex && text.size() >= 2 && text[0] == '0';
  const uint64_t base = is_hex ? 16 : is_octal ? 8 : 10;
  uint64_t value = 0;
  size_t digits = 0;  // without zeros in front
  for (const char c : text.substr(is_hex ? 2 : 0)) {
    const char low = static_cast<char>(c | 0x20);
    const uint64_t digit = is_digit(c)                ? static_cast<uint64_t>(c - '0')
                           : low >= 'a' && low <= 'f' ? static_cast<uint64_t>(low - 'a' + 10)
                                                      : 16;
    if (digit >= base) return {};
    value = std::min<uint64_t>(value * base + digit, uint64_t{1} << 32);
    digits += digits != 0 || digit != 0;
  }
  return {true, is_octal && digits > 1, value};
}

}  // namespace

bool normalize_host(std::string_view text, std::string& name, std::string& error) {
  if (!text.empty() && text.back() == '.') text.remove_suffix(1);
  if (text.empty()) {
    error = "a host name cannot be empty";
    return false;
  }
  std::string a_labels;
  if (!is_ascii(text)) {
    if (!to_a_labels(text, a_labels, error)) return false;
    text = a_labels;
  }
  if (text.size() > limits::host_bytes_max) {
    error =
        fmt::format("a host name has at most {} bytes, this one has {}", limits::host_bytes_max, text.size());
    return false;
  }
  return normalize_ascii(text, name, error);
}

NumericHost read_numeric_host(std::string_view text) {
  using Kind = NumericHost::Kind;
  if (!text.empty() && text.back() == '.') text.remove_suffix(1);
  const std::string_view last = text.substr(text.rfind('.') + 1);
  const bool is_numeric =
      !last.empty() && (std::all_of(last.begin(), last.end(), is_digit) || read_number(last).is_valid);
  if (!is_numeric) return {};
  std::array<uint64_t, 4> parts{};
  size_t count = 0;
  bool is_ambiguous = false;
  for (;;) {
    const size_t dot = text.find('.');
    const Number number = read_number(text.substr(0, dot));
    if (!number.is_valid || count == parts.size()) return {Kind::invalid, {}};
    is_ambiguous |= number.is_ambiguous;
    parts[count++] = number.value;
    if (dot == std::string_view::npos) break;
    text.remove_prefix(dot + 1);
  }
  // All but the last are bytes; the last fills the bytes that are left.
  uint64_t address = parts[count - 1];
  if (address >= uint64_t{1} << (8 * (5 - count))) return {Kind::invalid, {}};
  for (size_t i = 0; i + 1 < count; ++i) {
    if (parts[i] > 255) return {Kind::invalid, {}};
    address |= parts[i] << (8 * (3 - i));
  }
  return {is_ambiguous ? Kind::ambiguous : Kind::address, IpAddress::v4(static_cast<uint32_t>(address))};
}

}  // namespace sluice
