#include "rules/url_pattern.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/canonical_url.h"
#include "base/limits.h"

namespace sluice::rules {
namespace {

bool starts_with_word(std::string_view text, std::string_view lower) {
  if (text.size() < lower.size()) return false;
  for (size_t i = 0; i < lower.size(); ++i) {
    const char c = text[i] >= 'A' && text[i] <= 'Z' ? static_cast<char>(text[i] - 'A' + 'a') : text[i];
    if (c != lower[i]) return false;
  }
  return true;
}

bool take_scheme(std::string_view& text, UrlPattern& pattern, std::string& error) {
  if (starts_with_word(text, "http://")) {
    pattern.scheme = UrlPattern::Scheme::http;
    text.remove_prefix(7);
  } else if (starts_with_word(text, "https://")) {
    pattern.scheme = UrlPattern::Scheme::https;
    text.remove_prefix(8);
  } else if (const size_t at = text.find("://"); at < text.find_first_of("/?")) {
    error = fmt::format("'{}' begins with {}; URLs here begin with http://, https://, or with the host", text,
                        text.substr(0, at + 3));
    return false;
  }
  return true;
}

bool take_port(std::string_view& authority, UrlPattern& pattern, std::string& error) {
  const size_t colon = authority.rfind(':');
  if (colon == std::string_view::npos || authority.find(']', colon) != std::string_view::npos) return true;
  const std::string_view digits = authority.substr(colon + 1);
  uint16_t port = 0;
  const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (failure != std::errc{} || end != digits.data() + digits.size() || port == 0) {
    error = fmt::format("'{}' is not a port; an IPv6 address stands in brackets, as in [2001:db8::1]:8080",
                        digits);
    return false;
  }
  pattern.port = port;
  authority = authority.substr(0, colon);
  return true;
}

bool take_host(std::string_view text, UrlPattern& pattern, std::string& error) {
  pattern.any_host = text == "*";
  if (pattern.any_host) return true;
  if (text.empty()) {
    error = "there is no host in it; \"*\" is any";
    return false;
  }
  if (text.front() == '.' || text.find('*') != std::string_view::npos)
    return HostPattern::parse_into(text, pattern.host, error);
  pattern.host.kind = HostPattern::Kind::exact;
  if (!canonical_host(text, pattern.host.name, error)) return false;
  pattern.address = IpAddress::parse(pattern.host.name);
  if (pattern.address) pattern.host.name.clear();
  return true;
}

void take_path(std::string_view text, UrlPattern& pattern) {
  if (text.empty() || text.front() == '#') return;
  if (text.front() == '?') {
    append_canonical_target(pattern.target, "/" + std::string(text));
  } else {
    append_canonical_target(pattern.target, text);
  }
  const size_t star = pattern.target.find('*');
  if (star == std::string::npos) {
    pattern.path = UrlPattern::Path::exact;
  } else if (star + 1 == pattern.target.size()) {
    pattern.path = UrlPattern::Path::prefix;
    pattern.target.pop_back();
  } else {
    pattern.path = UrlPattern::Path::glob;
  }
}

}  // namespace

std::string UrlPattern::to_string() const {
  std::string text;
  if (scheme == Scheme::http) text = "http://";
  if (scheme == Scheme::https) text = "https://";
  if (any_host) {
    text += '*';
  } else if (address) {
    text += address->is_v4() ? address->to_string() : "[" + address->to_string() + "]";
  } else {
    text += host.to_string();
  }
  if (port != 0) text += fmt::format(":{}", port);
  return text + target + (path == Path::prefix ? "*" : "");
}

bool UrlPattern::parse_into(std::string_view text, UrlPattern& pattern, std::string& error) {
  pattern = {};
  if (text.size() > limits::url_pattern_bytes_max) {
    error = fmt::format("the URL has {} bytes; at most {} are allowed", text.size(),
                        limits::url_pattern_bytes_max);
    return false;
  }
  std::string_view rest = text;
  if (!take_scheme(rest, pattern, error)) return false;
  const size_t end = std::min(rest.find_first_of("/\\?#"), rest.size());
  std::string_view authority = rest.substr(0, end);
  if (authority.find('@') != std::string_view::npos) {
    error = fmt::format("'{}' names a user, which is no part of a URL here", text);
    return false;
  }
  if (!take_port(authority, pattern, error) || !take_host(authority, pattern, error)) return false;
  take_path(rest.substr(end), pattern);
  return true;
}

std::optional<UrlPattern> UrlPattern::parse(std::string_view text, std::string& error) {
  UrlPattern pattern;
  if (!parse_into(text, pattern, error)) return std::nullopt;
  if (const std::string canonical = pattern.to_string(); canonical != text) {
    error = fmt::format(
        "'{}' is not the canonical form of a URL, so it could not match as it stands; write \"{}\"", text,
        canonical);
    return std::nullopt;
  }
  return pattern;
}

bool glob_matches(std::string_view pattern, std::string_view text) {
  size_t star = pattern.find('*');
  if (star == std::string_view::npos) return pattern == text;
  if (!text.starts_with(pattern.substr(0, star))) return false;
  text.remove_prefix(star);
  pattern.remove_prefix(star + 1);
  const size_t last = pattern.rfind('*');
  const std::string_view tail = last == std::string_view::npos ? pattern : pattern.substr(last + 1);
  if (!text.ends_with(tail)) return false;
  text.remove_suffix(tail.size());
  if (last == std::string_view::npos) return true;
  // What stands between stars: each piece as far to the left as it goes leaves the most for the others.
  pattern = pattern.substr(0, last);
  while (!pattern.empty()) {
    star = std::min(pattern.find('*'), pattern.size());
    if (star > 0) {
      const void* const found =
          text.empty() ? nullptr : memmem(text.data(), text.size(), pattern.data(), star);
      if (found == nullptr) return false;
      text.remove_prefix(static_cast<size_t>(static_cast<const char*>(found) - text.data()) + star);
    }
    pattern.remove_prefix(std::min(star + 1, pattern.size()));
  }
  return true;
}

}  // namespace sluice::rules
