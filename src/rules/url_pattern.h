// URL patterns: [http://|https://]HOST[:PORT][/PATH].
//
//   HOST   a host pattern as in `host` (S20), an address, or * for any
//   PORT   of the URL, the scheme's own when it names none; without it, any
//   PATH   '*' is any bytes; without a '?' in it the query is ignored; without a '*' at its end the whole
//   path must match
//
// A pattern without a path is host-only: it is matched by every URL there, and by a CONNECT to it (S29).
// Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/ip.h"
#include "rules/host_pattern.h"

namespace sluice::rules {

struct UrlPattern {
  enum class Scheme : uint8_t { any, http, https };
  /// directory: of link lists alone (link_list.h); the target ends in '/', and what lies under it matches as well.
  enum class Path : uint8_t { none, exact, prefix, glob, directory };

  Scheme scheme = Scheme::any;
  bool any_host = false;
  std::optional<IpAddress> address;  // in place of `host`
  HostPattern host;
  uint16_t port = 0;  // 0: any
  Path path = Path::none;
  std::string target;  // canonical "/path?query" (base/canonical_url.h); of a prefix without its '*'

  bool operator==(const UrlPattern&) const = default;

  /// Only a host: matches what the same text matches in `host`.
  [[nodiscard]] bool is_host() const {
    return path == Path::none && scheme == Scheme::any && port == 0 && !any_host;
  }
  [[nodiscard]] bool has_query() const { return target.find('?') != std::string::npos; }
  /// The canonical form.
  [[nodiscard]] std::string to_string() const;

  /// On failure `error` says what is wrong and what would be right. A pattern that is not canonical is
  /// refused, naming its canonical form: who wrote it expects it to match as it stands.
  [[nodiscard]] static std::optional<UrlPattern> parse(std::string_view text, std::string& error);
  /// The same for lists, which come from elsewhere: any spelling is taken as its canonical form.
  [[nodiscard]] static bool parse_into(std::string_view text, UrlPattern& pattern, std::string& error);
};

/// Whether `pattern`, literal pieces around '*', matches the whole of `text`. Linear in both.
[[nodiscard]] bool glob_matches(std::string_view pattern, std::string_view text);

}  // namespace sluice::rules
