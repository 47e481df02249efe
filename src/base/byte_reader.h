// ByteReader: the only way in which a parser here touches a peer's bytes. Bounds live in this one place.
//
// Does not own the bytes. Every read either succeeds whole or fails and leaves the reader where it was.
// Integers are big-endian (network order). After BoringSSL's CBS.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace sluice {

class ByteReader {
 public:
  constexpr ByteReader() = default;
  constexpr explicit ByteReader(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  [[nodiscard]] constexpr size_t left() const { return bytes_.size(); }
  [[nodiscard]] constexpr bool empty() const { return bytes_.empty(); }
  [[nodiscard]] constexpr std::span<const uint8_t> rest() const { return bytes_; }

  [[nodiscard]] constexpr std::optional<uint8_t> u8() { return integer<uint8_t>(1); }
  [[nodiscard]] constexpr std::optional<uint16_t> u16() { return integer<uint16_t>(2); }
  [[nodiscard]] constexpr std::optional<uint32_t> u24() { return integer<uint32_t>(3); }
  [[nodiscard]] constexpr std::optional<uint32_t> u32() { return integer<uint32_t>(4); }

  [[nodiscard]] constexpr std::optional<std::span<const uint8_t>> bytes(size_t count) {
    if (count > bytes_.size()) return std::nullopt;
    auto taken = bytes_.first(count);
    bytes_ = bytes_.subspan(count);
    return taken;
  }

  /// A vector with a length prefix of `Prefix` bytes (RFC 8446, section 3.4), as a reader over its content.
  template <size_t Prefix>
  [[nodiscard]] constexpr std::optional<ByteReader> prefixed() {
    static_assert(Prefix >= 1 && Prefix <= 3);
    ByteReader ahead = *this;
    auto length = ahead.integer<uint32_t>(Prefix);
    if (!length) return std::nullopt;
    auto content = ahead.bytes(*length);
    if (!content) return std::nullopt;
    *this = ahead;
    return ByteReader(*content);
  }

 private:
  template <class Integer>
  constexpr std::optional<Integer> integer(size_t width) {
    if (width > bytes_.size()) return std::nullopt;
    uint32_t value = 0;
    for (size_t i = 0; i < width; ++i) value = (value << 8) | bytes_[i];
    bytes_ = bytes_.subspan(width);
    return static_cast<Integer>(value);
  }

  std::span<const uint8_t> bytes_;
};

/// The bytes as text, for names that the caller has checked.
[[nodiscard]] inline std::string_view as_text(std::span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace sluice
