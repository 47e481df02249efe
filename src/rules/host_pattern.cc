#include "rules/host_pattern.h"

#include <fmt/format.h>
#include <idn2.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>

#include "base/ip.h"
#include "base/limits.h"

namespace sluice::rules {
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

// Why `text` is not a pattern, once normalize_host() has refused `name` (the text without its prefix) for
// `error`.
void explain_refusal(std::string_view text, std::string_view name, std::string& error) {
  constexpr std::string_view allowed =
      "allowed are \"example.com\" (that name), \"*.example.com\" (every name under it) and \".example.com\" "
      "(both)";
  if (text.empty()) {
    error = fmt::format("a host pattern cannot be empty; {}", allowed);
  } else if (const size_t scheme = text.find("://"); scheme != std::string_view::npos) {
    std::string_view host = text.substr(scheme + 3);
    host = host.substr(0, host.find_first_of("/?#"));
    error = fmt::format("'{}' is a URL; a host pattern is the name alone: \"{}\"", text, host);
  } else if (const size_t slash = text.find('/'); slash != std::string_view::npos) {
    error =
        fmt::format("'{}' has a path; a host pattern is the name alone: \"{}\"", text, text.substr(0, slash));
  } else if (const size_t colon = text.find(':'); colon != std::string_view::npos) {
    error = fmt::format("'{}' has a port; write the name alone, \"{}\", and the condition port beside it",
                        text, text.substr(0, colon));
  } else if (name == "*" || (name.empty() && text == "*.")) {
    error =
        fmt::format("'{}' would match every host; leave the condition out to match all, or write a name ({})",
                    text, allowed);
  } else if (const size_t star = name.rfind('*'); star != std::string_view::npos) {
    std::string_view rest = name.substr(star + 1);
    while (rest.starts_with(".")) rest.remove_prefix(1);
    error = rest.empty()
                ? fmt::format("'*' may only stand in front, as \"*.\", not in '{}'; {}", text, allowed)
                : fmt::format(
                      "'*' may only stand in front, as \"*.\", not in '{}'; did you mean \".{}\" or "
                      "\"*.{}\"? ({})",
                      text, rest, rest, allowed);
  } else {
    error = fmt::format("{}; {}", error, allowed);
  }
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

std::string HostPattern::to_string() const {
  switch (kind) {
    case Kind::exact:
      return name;
    case Kind::below:
      return "*." + name;
    case Kind::both:
      return "." + name;
  }
  return name;
}

std::optional<HostPattern> HostPattern::parse(std::string_view text, std::string& error) {
  HostPattern pattern;
  if (!parse_into(text, pattern, error)) return std::nullopt;
  return pattern;
}

bool HostPattern::parse_into(std::string_view text, HostPattern& pattern, std::string& error) {
  std::string_view name = text;
  pattern.kind = Kind::exact;
  if (name.starts_with("*.")) {
    pattern.kind = Kind::below;
    name.remove_prefix(2);
  } else if (name.starts_with(".")) {
    pattern.kind = Kind::both;
    name.remove_prefix(1);
  }
  if (!normalize_host(name, pattern.name, error)) {
    explain_refusal(text, name, error);
    return false;
  }
  // A name whose last label is a number can only be an address, or a mistyped one (WHATWG URL, section 3.5).
  const std::string_view last = std::string_view(pattern.name).substr(pattern.name.rfind('.') + 1);
  if (!std::all_of(last.begin(), last.end(), [](char c) { return c >= '0' && c <= '9'; })) return true;
  error =
      IpAddress::parse(pattern.name)
          ? fmt::format("'{}' is an address, which has no names under it: write \"{}\"", text, pattern.name)
          : fmt::format("'{}' ends in a number: neither an address nor a name", text);
  return false;
}

}  // namespace sluice::rules
