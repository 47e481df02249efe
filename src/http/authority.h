// host[:port], as Host and request targets name it (RFC 3986 section 3.2), in one canonical form. Pure; any
// thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/limits.h"

namespace sluice::http {

using HostBuffer = std::array<char, limits::host_bytes_max>;

struct Authority {
  std::string_view host;  // lower case, without brackets and without a trailing dot: a name, or an address as
                          // text (dotted quad or RFC 5952). A view into the buffer.
  uint16_t port = 0;      // 0: none was given
};

/// Empty when it is not one: user names, empty or over-long labels, characters that no host name has
/// (percent-encoding and UTF-8 among them: clients send A-labels), zones, ports that are not 1 to 65535, and
/// what ends in a number without being an IPv4 address. That may be written as a resolver takes it (127.1,
/// 0x7f000001, 2130706433), but not with leading zeros that some read as octal and others do not (010.0.0.1).
/// A colon with no port behind it is allowed.
[[nodiscard]] std::optional<Authority> parse_authority(std::string_view text, HostBuffer& buffer);

}  // namespace sluice::http
