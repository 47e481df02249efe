// host[:port], as Host and request targets name it (RFC 3986 section 3.2), in one canonical form. Pure; any
// thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::http {

struct Authority {
  std::string host;  // lower case, without brackets and without a trailing dot: a name, or an address as text
                     // (RFC 5952)
  uint16_t port = 0;  // 0: none was given
};

/// Empty when it is not one: user names, empty or over-long labels, characters that no host name has
/// (percent-encoding and UTF-8 among them: clients send A-labels), zones, ports that are not 1 to 65535. A
/// colon with no port behind it is allowed.
[[nodiscard]] std::optional<Authority> parse_authority(std::string_view text);

}  // namespace sluice::http
