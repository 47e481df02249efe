// Our AES-GCM must be wolfCrypt's, bit for bit: records of one are read by the other.
#include "tls/aes_gcm.h"

#include <doctest/doctest.h>
#include <wolfssl/options.h>
// options.h comes first: it holds the choices that the library was built with.
#include <wolfssl/wolfcrypt/aes.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <string_view>
#include <vector>

#if defined(SLUICE_HAS_WIDE_GCM)

using sluice::tls::GcmCall;
using sluice::tls::GcmCode;

// wolfCrypt's own, which the linker would otherwise keep from us.
extern "C" {
void __real_AES_GCM_encrypt_avx2(const uint8_t* in, uint8_t* out, const uint8_t* extra, const uint8_t* nonce,
                                 uint8_t* tag, uint32_t bytes, uint32_t extra_bytes, uint32_t nonce_bytes,
                                 uint32_t tag_bytes, const uint8_t* round_keys, int rounds);
}

namespace {

using Bytes = std::vector<uint8_t>;

Bytes from_hex(std::string_view text) {
  Bytes bytes;
  for (size_t i = 0; i < text.size(); i += 2)
    bytes.push_back(static_cast<uint8_t>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16)));
  return bytes;
}

/// A key as wolfCrypt expands it.
struct Key {
  Aes aes{};
  explicit Key(const Bytes& key) {
    REQUIRE(wc_AesInit(&aes, nullptr, INVALID_DEVID) == 0);
    REQUIRE(wc_AesGcmSetKey(&aes, key.data(), static_cast<word32>(key.size())) == 0);
  }
  ~Key() { wc_AesFree(&aes); }
  Key(const Key&) = delete;
  Key& operator=(const Key&) = delete;
  [[nodiscard]] const uint8_t* rounds() const { return reinterpret_cast<const uint8_t*>(aes.key); }
};

struct Sealed {
  Bytes bytes;
  std::array<uint8_t, 16> tag{};
  bool operator==(const Sealed&) const = default;
};

GcmCall call_of(const Key& key, const uint8_t* in, uint8_t* out, size_t bytes, const Bytes& extra,
                const Bytes& nonce) {
  return {in, out, extra.data(), nonce.data(), bytes, extra.size(), key.rounds(), key.aes.rounds};
}

Sealed seal(const GcmCode& code, const Key& key, const Bytes& plain, const Bytes& extra, const Bytes& nonce) {
  Sealed sealed{Bytes(plain.size()), {}};
  code.encrypt(call_of(key, plain.data(), sealed.bytes.data(), plain.size(), extra, nonce),
               sealed.tag.data());
  return sealed;
}

Sealed seal_by_wolfcrypt(const Key& key, const Bytes& plain, const Bytes& extra, const Bytes& nonce) {
  Sealed sealed{Bytes(plain.size()), {}};
  __real_AES_GCM_encrypt_avx2(plain.data(), sealed.bytes.data(), extra.data(), nonce.data(),
                              sealed.tag.data(), static_cast<uint32_t>(plain.size()),
                              static_cast<uint32_t>(extra.size()), 12, 16, key.rounds(),
                              static_cast<int>(key.aes.rounds));
  return sealed;
}

Bytes random_bytes(std::mt19937& random, size_t count) {
  Bytes bytes(count);
  for (uint8_t& one : bytes) one = static_cast<uint8_t>(random());
  return bytes;
}

std::vector<const GcmCode*> codes_of_this_cpu() {
  std::vector<const GcmCode*> codes;
  for (const GcmCode* code : {&sluice::tls::gcm_code_256(), &sluice::tls::gcm_code_512()})
    if (code->can_run()) codes.push_back(code);
  if (codes.empty()) MESSAGE("this CPU has no VAES: nothing of ours to test, and nothing of it is used");
  return codes;
}

}  // namespace

TEST_CASE("AES-GCM: test cases 4, 10 and 16 of the specification (McGrew and Viega)") {
  const Bytes plain = from_hex(
      "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aed"
      "f5aa0de657ba637b39");
  const Bytes extra = from_hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
  const Bytes nonce = from_hex("cafebabefacedbaddecaf888");
  struct Case {
    std::string_view key, sealed, tag;
  };
  constexpr Case cases[] = {
      {"feffe9928665731c6d6a8f9467308308",
       "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30"
       "b396a0aac973d58e091",
       "5bc94fbc3221a5db94fae95ae7121a47"},
      {"feffe9928665731c6d6a8f9467308308feffe9928665731c",
       "3980ca0b3c00e841eb06fac4872a2757859e1ceaa6efd984628593b40ca1e19c7d773d00c144c525ac619d18c84a3f4718e24"
       "48b2fe324d9ccda2710",
       "2519498e80f1478f37ba55bd6d27618c"},
      {"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
       "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61"
       "e6393ba7a0abcc9f662",
       "76fc6ece0f4e1768cddf8853bb2d551b"},
  };
  for (const GcmCode* code : codes_of_this_cpu())
    for (const Case& the : cases) {
      CAPTURE(code->name);
      CAPTURE(the.key);
      const Key key(from_hex(the.key));
      const Sealed sealed = seal(*code, key, plain, extra, nonce);
      CHECK(sealed.bytes == from_hex(the.sealed));
      CHECK(Bytes(sealed.tag.begin(), sealed.tag.end()) == from_hex(the.tag));
    }
}

TEST_CASE("AES-GCM: every length seals as wolfCrypt does, opens again, and a changed bit is noticed") {
  for (const GcmCode* code : codes_of_this_cpu()) {
    CAPTURE(code->name);
    std::mt19937 random(20261122);
    for (size_t bytes = 0; bytes <= 1100; ++bytes) {
      CAPTURE(bytes);
      const Key key(random_bytes(random, 16 + 8 * (bytes % 3)));
      const Bytes nonce = random_bytes(random, 12), extra = random_bytes(random, bytes % 37),
                  plain = random_bytes(random, bytes);
      const Sealed sealed = seal(*code, key, plain, extra, nonce);
      REQUIRE((sealed == seal_by_wolfcrypt(key, plain, extra, nonce)));

      Bytes in_place = sealed.bytes;
      const GcmCall open = call_of(key, in_place.data(), in_place.data(), bytes, extra, nonce);
      REQUIRE(code->decrypt(open, sealed.tag.data()));
      REQUIRE(in_place == plain);

      // One bit of what is sealed, of the tag, or of what is only authenticated.
      in_place = sealed.bytes;
      auto tag = sealed.tag;
      Bytes changed_extra = extra;
      Bytes* const where = bytes % 2 == 0 && bytes > 0 ? &in_place
                           : !extra.empty()            ? &changed_extra
                                                       : nullptr;
      (where != nullptr ? (*where)[random() % where->size()] : tag[random() % 16]) ^=
          static_cast<uint8_t>(1u << random() % 8);
      REQUIRE_FALSE(code->decrypt(call_of(key, in_place.data(), in_place.data(), bytes, changed_extra, nonce),
                                  tag.data()));
      REQUIRE(in_place == Bytes(bytes, 0));
    }
  }
}

TEST_CASE(
    "AES-GCM: records of TLS go through the fastest code of this CPU, and nothing beside them is touched") {
  std::mt19937 random(7);
  for (const size_t bytes : {size_t{2047}, size_t{2048}, size_t{16384}, size_t{16385}, size_t{1} << 20}) {
    CAPTURE(bytes);
    Key key(random_bytes(random, 16));
    const Bytes nonce = random_bytes(random, 12), extra = random_bytes(random, 5),
                plain = random_bytes(random, bytes);
    // Odd addresses, and bytes before and behind that must stay.
    Bytes out(bytes + 34, 0xaa);
    std::array<uint8_t, 16> tag{};
    REQUIRE(wc_AesGcmEncrypt(&key.aes, out.data() + 17, plain.data(), static_cast<word32>(bytes),
                             nonce.data(), 12, tag.data(), 16, extra.data(),
                             static_cast<word32>(extra.size())) == 0);
    CHECK(std::all_of(out.begin(), out.begin() + 17, [](uint8_t seen) { return seen == 0xaa; }));
    CHECK(std::all_of(out.end() - 17, out.end(), [](uint8_t seen) { return seen == 0xaa; }));
    const Sealed expected = seal_by_wolfcrypt(key, plain, extra, nonce);
    CHECK(std::equal(expected.bytes.begin(), expected.bytes.end(), out.begin() + 17));
    CHECK((tag == expected.tag));
    REQUIRE(wc_AesGcmDecrypt(&key.aes, out.data() + 17, out.data() + 17, static_cast<word32>(bytes),
                             nonce.data(), 12, tag.data(), 16, extra.data(),
                             static_cast<word32>(extra.size())) == 0);
    CHECK(std::equal(plain.begin(), plain.end(), out.begin() + 17));
    tag[15] ^= 1;
    CHECK(wc_AesGcmDecrypt(&key.aes, out.data() + 17, out.data() + 17, static_cast<word32>(bytes),
                           nonce.data(), 12, tag.data(), 16, extra.data(),
                           static_cast<word32>(extra.size())) != 0);
  }
}

#endif  // SLUICE_HAS_WIDE_GCM
