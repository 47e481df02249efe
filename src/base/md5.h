// MD5 (RFC 1321), for rules that know a file by it (`md5`): nothing here trusts it. wolfCrypt as it is built here has none.
//
// A value; one thread at a time. Pure.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace sluice {

class Md5 {
 public:
  void update(std::span<const uint8_t> bytes);
  /// The digest of everything so far. Call once, at the end.
  [[nodiscard]] std::array<uint8_t, 16> finish();

 private:
  void block(const uint8_t* bytes);

  std::array<uint32_t, 4> state_ = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
  std::array<uint8_t, 64> waiting_{};
  uint64_t bytes_ = 0;
};

}  // namespace sluice
