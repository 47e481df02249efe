#include "base/utf8.h"

namespace sluice {

Character decode_utf8(std::string_view text) {
  const auto at = [&](size_t i) -> uint32_t {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0;
  };
  const auto continues = [&](size_t i) { return (at(i) & 0xc0) == 0x80; };
  const uint32_t lead = at(0);
  if (lead < 0x80) return {lead, text.empty() ? 0u : 1u};
  if (lead >= 0xc2 && lead <= 0xdf && continues(1)) return {((lead & 0x1f) << 6) | (at(1) & 0x3f), 2};
  if ((lead & 0xf0) == 0xe0 && continues(1) && continues(2)) {
    const uint32_t code = ((lead & 0x0f) << 12) | ((at(1) & 0x3f) << 6) | (at(2) & 0x3f);
    if (code >= 0x800 && (code < 0xd800 || code > 0xdfff)) return {code, 3};
  }
  if (lead >= 0xf0 && lead <= 0xf4 && continues(1) && continues(2) && continues(3)) {
    const uint32_t code =
        ((lead & 0x07) << 18) | ((at(1) & 0x3f) << 12) | ((at(2) & 0x3f) << 6) | (at(3) & 0x3f);
    if (code >= 0x10000 && code <= 0x10ffff) return {code, 4};
  }
  return {};
}

std::string printable(std::string_view text) {
  constexpr char hex_digits[] = "0123456789abcdef";
  std::string shown;
  while (!text.empty()) {
    const Character character = decode_utf8(text);
    const size_t bytes = character.bytes == 0 ? 1 : character.bytes;
    if (character.bytes == 0 || is_unsafe_to_show(character.code)) {
      for (const char c : text.substr(0, bytes)) {
        shown += "\\x";
        shown += hex_digits[static_cast<unsigned char>(c) >> 4];
        shown += hex_digits[static_cast<unsigned char>(c) & 0xf];
      }
    } else {
      shown += text.substr(0, bytes);
    }
    text.remove_prefix(bytes);
  }
  return shown;
}

}  // namespace sluice
