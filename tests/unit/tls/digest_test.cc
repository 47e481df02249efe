#include "tls/digest.h"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

namespace {

std::string sha256_hex(std::string_view text) {
  std::array<uint8_t, 32> digest{};
  sluice::tls::sha256({reinterpret_cast<const uint8_t*>(text.data()), text.size()}, digest);
  std::string hex;
  for (const uint8_t byte : digest) {
    hex += "0123456789abcdef"[byte >> 4];
    hex += "0123456789abcdef"[byte & 15];
  }
  return hex;
}

}  // namespace

TEST_CASE("SHA-256 gives the digests of RFC 6234 section 8.5") {
  CHECK(sha256_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(sha256_hex(std::string(1000000, 'a')) ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("SHA-256 of nothing is defined") {
  CHECK(sha256_hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  std::array<uint8_t, 32> digest{};
  sluice::tls::sha256({}, digest);  // a null pointer too
  CHECK(digest[0] == 0xe3);
}
