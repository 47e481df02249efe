#include "base/md5.h"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

namespace sluice {
namespace {

std::string hex(const std::array<uint8_t, 16>& digest) {
  std::string text;
  for (const uint8_t byte : digest) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

std::string md5_of(std::string_view text, size_t piece) {
  Md5 md5;
  for (size_t at = 0; at < text.size(); at += piece) {
    const std::string_view some = text.substr(at, piece);
    md5.update({reinterpret_cast<const uint8_t*>(some.data()), some.size()});
  }
  return hex(md5.finish());
}

}  // namespace

TEST_CASE("MD5: the test suite of RFC 1321, in pieces of any size") {
  for (const size_t piece : {1u, 3u, 63u, 64u, 65u, 1000u}) {
    CAPTURE(piece);
    CHECK(md5_of("", piece) == "d41d8cd98f00b204e9800998ecf8427e");
    CHECK(md5_of("a", piece) == "0cc175b9c0f1b6a831c399e269772661");
    CHECK(md5_of("abc", piece) == "900150983cd24fb0d6963f7d28e17f72");
    CHECK(md5_of("message digest", piece) == "f96b697d7cb7938d525a2f31aaf161d0");
    CHECK(md5_of("abcdefghijklmnopqrstuvwxyz", piece) == "c3fcd3d76192e4007dfb496cca67e13b");
    CHECK(md5_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", piece) ==
          "d174ab98d277d9f5a5611c2c9f419d9f");
    CHECK(md5_of("12345678901234567890123456789012345678901234567890123456789012345678901234567890", piece) ==
          "57edf4a22be3c955ac49da2e2107b67a");
  }
}

TEST_CASE("MD5: sizes around a block's end, against themselves in pieces") {
  for (size_t size = 50; size < 200; ++size) {
    const std::string text(size, 'x');
    CHECK(md5_of(text, 7) == md5_of(text, size));
  }
}

}  // namespace sluice
