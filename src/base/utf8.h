// UTF-8 (RFC 3629), and which characters may be shown to people: log lines and terminals obey control
// characters, so whatever came from a peer or a file passes through here before it is printed. Pure; any
// thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace sluice {

struct Character {
  uint32_t code = 0;
  size_t bytes = 0;  // 0: not UTF-8
};

/// The character at the front of `text`. No overlong forms, no surrogates, nothing past U+10FFFF.
[[nodiscard]] Character decode_utf8(std::string_view text);

/// Characters that would break a line or lie to its reader: C0 and C1 controls (terminals obey them), DEL,
/// line and paragraph separator, and the direction marks and overrides.
[[nodiscard]] constexpr bool is_unsafe_to_show(uint32_t code) {
  return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x200e || code == 0x200f ||
         (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

/// `text` on one line, for people: unsafe characters and bytes that are not UTF-8 become \xNN.
[[nodiscard]] std::string printable(std::string_view text);

}  // namespace sluice
