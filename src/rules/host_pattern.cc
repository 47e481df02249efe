#include "rules/host_pattern.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/ip.h"
#include "rules/address_error.h"

namespace sluice::rules {
namespace {

// What is a pattern elsewhere: in other conditions, in block lists, in other programs.
std::string explain_other_form(std::string_view text) {
  const auto inner = [&](size_t front) { return text.substr(front, text.find_first_of("^/$|", front) - front); };
  if (text.starts_with("re:"))
    return fmt::format("'{}': a host takes no regular expression; those go into url, or write \".example.com\" for a name and all "
                       "under it",
                       text);
  if (text.starts_with("||")) return fmt::format("'{}' is the Adblock form, for list files; here write \".{}\"", text, inner(2));
  if ((text.ends_with(".txt") || text.ends_with(".list") || text.ends_with(".lst")) && text.find('/') != std::string_view::npos &&
      text.find("://") == std::string_view::npos)
    return fmt::format("'{}': did you mean the list file, \"@{}\"?", text, text);
  const size_t comma = text.find_first_of(",;");
  if (comma != std::string_view::npos && comma > 0)
    return fmt::format("'{}' are several in one string; write a list, [\"{}\", \"…\"]", text, text.substr(0, comma));
  const size_t space = text.find(' ');
  if (space == std::string_view::npos) return "";
  const size_t first = text.find_first_not_of(' ');
  const size_t last = text.find_last_not_of(' ');
  if (first == std::string_view::npos) return "";
  const std::string_view bare = text.substr(first, last + 1 - first);
  return bare.find(' ') == std::string_view::npos ? fmt::format("'{}' is not a host name: it has a space around it; write \"{}\"", text, bare)
                                                  : fmt::format("'{}' is not a host name: it has a space inside", text);
}

// Why `text` is not a pattern, once normalize_host() has refused `name` (the text without its prefix) for
// `error`.
void explain_refusal(std::string_view text, std::string_view name, std::string& error) {
  constexpr std::string_view allowed =
      "allowed are \"example.com\" (that name), \"*.example.com\" (every name under it) and \".example.com\" "
      "(both)";
  if (text.empty()) {
    error = fmt::format("a host pattern cannot be empty; {}", allowed);
  } else if (const auto hint = address_hint(text)) {
    error = *hint;
  } else if (const std::string other = explain_other_form(text); !other.empty()) {
    error = other;
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
  const auto hint = text.find('-') == std::string_view::npos ? std::nullopt : address_hint(text);  // a range
  if (hint) error = *hint;
  if (hint) return false;
  error =
      IpAddress::parse(pattern.name)
          ? fmt::format("'{}' is an address, which has no names under it: write \"{}\"", text, pattern.name)
          : fmt::format("'{}' ends in a number: neither an address nor a name", text);
  return false;
}

}  // namespace sluice::rules
