#include "rules/host_pattern.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/ip.h"

namespace sluice::rules {
namespace {

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
