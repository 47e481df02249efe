// What went wrong in wolfCrypt itself, and must not come back with another version of it (deps/libraries,
// patch_wolfssl).
#include <doctest/doctest.h>
#include <wolfssl/options.h>
// options.h comes first: it holds the choices that the library was built with.
#include <wolfssl/wolfcrypt/curve25519.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/random.h>

#include <array>
#include <cstdint>

TEST_CASE("X25519 keys made right after a P-256 verification are right") {
  WC_RNG random;
  REQUIRE(wc_InitRng(&random) == 0);
  ecc_key signer;
  REQUIRE(wc_ecc_init(&signer) == 0);
  REQUIRE(wc_ecc_make_key(&random, 32, &signer) == 0);
  const std::array<uint8_t, 32> hash{1, 2, 3};
  std::array<uint8_t, 80> signature{};
  auto signature_bytes = static_cast<word32>(signature.size());
  REQUIRE(wc_ecc_sign_hash(hash.data(), hash.size(), signature.data(), &signature_bytes, &random, &signer) ==
          0);
  for (int i = 0; i < 200; ++i) {
    CAPTURE(i);
    std::array<uint8_t, CURVE25519_KEYSIZE> secret{}, after, expected;
    REQUIRE(wc_curve25519_make_priv(&random, CURVE25519_KEYSIZE, secret.data()) == 0);
    int good = 0;
    REQUIRE(wc_ecc_verify_hash(signature.data(), signature_bytes, hash.data(), hash.size(), &good, &signer) ==
            0);
    REQUIRE(good == 1);
    REQUIRE(wc_curve25519_make_pub(CURVE25519_KEYSIZE, after.data(), CURVE25519_KEYSIZE, secret.data()) == 0);
    // The general multiplication, which has never been wrong, with the base point (RFC 7748, section 4.1).
    const std::array<uint8_t, CURVE25519_KEYSIZE> base{9};
    REQUIRE(wc_curve25519_generic(CURVE25519_KEYSIZE, expected.data(), CURVE25519_KEYSIZE, secret.data(),
                                  CURVE25519_KEYSIZE, base.data()) == 0);
    CHECK(after == expected);
  }
  wc_ecc_free(&signer);
  wc_FreeRng(&random);
}
