#include "tls/signature.h"

#include <wolfssl/options.h>
// options.h comes first: it holds the choices that the library was built with.
#include <wolfssl/wolfcrypt/asn.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/ed25519.h>
#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/rsa.h>

#include <algorithm>
#include <array>
#include <span>

#include "base/check.h"
#include "base/limits.h"
#include "tls/vector_state.h"

namespace sluice::tls {
namespace {

enum class Scheme : uint8_t { pkcs1, pss, ecdsa, ed25519, none };

struct Method {
  Scheme scheme = Scheme::none;
  enum wc_HashType hash = WC_HASH_TYPE_NONE;
  int digest_oid = 0;  // of PKCS#1's DigestInfo
  int mgf = 0;         // of PSS
};

Method method_of(SignatureAlgorithm algorithm) {
  switch (algorithm) {
    case SignatureAlgorithm::rsa_sha1:
      return {Scheme::pkcs1, WC_HASH_TYPE_SHA, SHAh, 0};
    case SignatureAlgorithm::rsa_sha256:
      return {Scheme::pkcs1, WC_HASH_TYPE_SHA256, SHA256h, 0};
    case SignatureAlgorithm::rsa_sha384:
      return {Scheme::pkcs1, WC_HASH_TYPE_SHA384, SHA384h, 0};
    case SignatureAlgorithm::rsa_sha512:
      return {Scheme::pkcs1, WC_HASH_TYPE_SHA512, SHA512h, 0};
    case SignatureAlgorithm::rsa_pss_sha256:
      return {Scheme::pss, WC_HASH_TYPE_SHA256, 0, WC_MGF1SHA256};
    case SignatureAlgorithm::rsa_pss_sha384:
      return {Scheme::pss, WC_HASH_TYPE_SHA384, 0, WC_MGF1SHA384};
    case SignatureAlgorithm::rsa_pss_sha512:
      return {Scheme::pss, WC_HASH_TYPE_SHA512, 0, WC_MGF1SHA512};
    case SignatureAlgorithm::ecdsa_sha1:
      return {Scheme::ecdsa, WC_HASH_TYPE_SHA, 0, 0};
    case SignatureAlgorithm::ecdsa_sha256:
      return {Scheme::ecdsa, WC_HASH_TYPE_SHA256, 0, 0};
    case SignatureAlgorithm::ecdsa_sha384:
      return {Scheme::ecdsa, WC_HASH_TYPE_SHA384, 0, 0};
    case SignatureAlgorithm::ecdsa_sha512:
      return {Scheme::ecdsa, WC_HASH_TYPE_SHA512, 0, 0};
    case SignatureAlgorithm::ed25519:
      return {Scheme::ed25519, WC_HASH_TYPE_NONE, 0, 0};
    case SignatureAlgorithm::rsa_md2:
    case SignatureAlgorithm::rsa_md5:
    case SignatureAlgorithm::ed448:
    case SignatureAlgorithm::other:
      return {};
  }
  return {};
}

word32 size_of(ByteView bytes) {
  SLUICE_CHECK(bytes.size() <= 0xffffffffU);
  return static_cast<word32>(bytes.size());
}

class RsaPublicKey {
 public:
  RsaPublicKey() { SLUICE_CHECK(wc_InitRsaKey(&key_, nullptr) == 0); }
  ~RsaPublicKey() { wc_FreeRsaKey(&key_); }
  RsaPublicKey(const RsaPublicKey&) = delete;
  RsaPublicKey& operator=(const RsaPublicKey&) = delete;

  /// RSAPublicKey (RFC 8017, A.1.1). False for one that is malformed, or too costly to use.
  bool load(ByteView der) {
    der::Reader outer(der);
    auto inner = outer.inside(der::sequence_tag);
    if (!inner) return false;
    const auto modulus = inner->integer();
    const auto exponent = inner->integer();
    if (!modulus || !exponent || modulus->size() * 8 > limits::rsa_bits_max + 8 || exponent->size() > 8)
      return false;
    return wc_RsaPublicKeyDecodeRaw(modulus->data(), size_of(*modulus), exponent->data(), size_of(*exponent),
                                    &key_) == 0;
  }
  RsaKey* get() { return &key_; }

 private:
  RsaKey key_{};
};

SignatureCheck check_rsa(const Method& method, const PublicKey& key, ByteView digest, ByteView signature) {
  RsaPublicKey rsa;
  if (!rsa.load(key.key)) return SignatureCheck::unsupported;
  std::array<uint8_t, limits::rsa_bits_max / 8> opened{};
  if (signature.size() > opened.size()) return SignatureCheck::bad;
  if (method.scheme == Scheme::pss) {
    // wolfSSL 5.7 only reads it, too, but does not say so.
    auto* readable = const_cast<byte*>(signature.data());
    const int length =
        wc_RsaPSS_VerifyCheck(readable, size_of(signature), opened.data(), static_cast<word32>(opened.size()),
                              digest.data(), size_of(digest), method.hash, method.mgf, rsa.get());
    return length > 0 ? SignatureCheck::good : SignatureCheck::bad;
  }
  const int length = wc_RsaSSL_Verify(signature.data(), size_of(signature), opened.data(),
                                      static_cast<word32>(opened.size()), rsa.get());
  std::array<uint8_t, MAX_DER_DIGEST_SZ> wanted{};
  const word32 wanted_length =
      wc_EncodeSignature(wanted.data(), digest.data(), size_of(digest), method.digest_oid);
  if (length <= 0 || wanted_length == 0) return SignatureCheck::bad;
  return std::ranges::equal(std::span(opened).first(static_cast<size_t>(length)),
                            std::span(wanted).first(wanted_length))
             ? SignatureCheck::good
             : SignatureCheck::bad;
}

SignatureCheck check_ecdsa(const PublicKey& key, ByteView digest, ByteView signature) {
  int curve = ECC_CURVE_INVALID;
  switch (key.curve) {
    case Curve::p256:
      curve = ECC_SECP256R1;
      break;
    case Curve::p384:
      curve = ECC_SECP384R1;
      break;
    case Curve::p521:
      curve = ECC_SECP521R1;
      break;
    case Curve::none:
    case Curve::other:
      return SignatureCheck::unsupported;
  }
  ecc_key ecc;
  SLUICE_CHECK(wc_ecc_init(&ecc) == 0);
  SignatureCheck check = SignatureCheck::unsupported;
  if (wc_ecc_import_x963_ex(key.key.data(), size_of(key.key), &ecc, curve) == 0) {
    int is_good = 0;
    const int status = wc_ecc_verify_hash(signature.data(), size_of(signature), digest.data(),
                                          size_of(digest), &is_good, &ecc);
    check = status == 0 && is_good == 1 ? SignatureCheck::good : SignatureCheck::bad;
  }
  wc_ecc_free(&ecc);
  return check;
}

SignatureCheck check_ed25519(const PublicKey& key, ByteView message, ByteView signature) {
  ed25519_key ed;
  SLUICE_CHECK(wc_ed25519_init(&ed) == 0);
  SignatureCheck check = SignatureCheck::unsupported;
  if (wc_ed25519_import_public(key.key.data(), size_of(key.key), &ed) == 0) {
    int is_good = 0;
    const int status = wc_ed25519_verify_msg(signature.data(), size_of(signature), message.data(),
                                             size_of(message), &is_good, &ed);
    check = status == 0 && is_good == 1 ? SignatureCheck::good : SignatureCheck::bad;
  }
  wc_ed25519_free(&ed);
  return check;
}

bool key_fits(Scheme scheme, KeyKind kind) {
  switch (scheme) {
    case Scheme::pkcs1:
    case Scheme::pss:
      return kind == KeyKind::rsa;
    case Scheme::ecdsa:
      return kind == KeyKind::ec;
    case Scheme::ed25519:
      return kind == KeyKind::ed25519;
    case Scheme::none:
      return false;
  }
  return false;
}

Bytes hashed(enum wc_HashType hash, ByteView message) {
  const int size = wc_HashGetDigestSize(hash);
  if (size <= 0) return {};  // a build of wolfSSL without that hash
  Bytes digest(static_cast<size_t>(size));
  tidy_vector_state();
  if (wc_Hash(hash, message.data(), size_of(message), digest.data(), size_of(digest)) != 0) return {};
  return digest;
}

}  // namespace

Bytes digest_of(DigestKind kind, ByteView message) {
  switch (kind) {
    case DigestKind::sha1:
      return hashed(WC_HASH_TYPE_SHA, message);
    case DigestKind::sha256:
      return hashed(WC_HASH_TYPE_SHA256, message);
    case DigestKind::sha384:
      return hashed(WC_HASH_TYPE_SHA384, message);
    case DigestKind::sha512:
      return hashed(WC_HASH_TYPE_SHA512, message);
    case DigestKind::other:
      return {};
  }
  return {};
}

SignatureCheck check_signature(SignatureAlgorithm algorithm, const PublicKey& key, ByteView message,
                               ByteView signature) {
  if (method_of(algorithm).scheme == Scheme::ed25519) {
    if (key.kind != KeyKind::ed25519) return SignatureCheck::bad;
    tidy_vector_state();
    return check_ed25519(key, message, signature);
  }
  return check_digest(algorithm, key, signed_digest(algorithm, message), signature);
}

Bytes signed_digest(SignatureAlgorithm algorithm, ByteView message) {
  const Method method = method_of(algorithm);
  return method.hash == WC_HASH_TYPE_NONE ? Bytes{} : hashed(method.hash, message);
}

SignatureCheck check_digest(SignatureAlgorithm algorithm, const PublicKey& key, ByteView digest,
                            ByteView signature) {
  const Method method = method_of(algorithm);
  if (method.scheme == Scheme::none || digest.empty()) return SignatureCheck::unsupported;
  if (!key_fits(method.scheme, key.kind) || signature.empty()) return SignatureCheck::bad;
  const SignatureCheck check = method.scheme == Scheme::ecdsa ? check_ecdsa(key, digest, signature)
                                                              : check_rsa(method, key, digest, signature);
  tidy_vector_state();  // for whatever is hashed next
  return check;
}

bool is_weak(SignatureAlgorithm algorithm) {
  switch (algorithm) {
    case SignatureAlgorithm::rsa_md2:
    case SignatureAlgorithm::rsa_md5:
    case SignatureAlgorithm::rsa_sha1:
    case SignatureAlgorithm::ecdsa_sha1:
      return true;
    case SignatureAlgorithm::rsa_sha256:
    case SignatureAlgorithm::rsa_sha384:
    case SignatureAlgorithm::rsa_sha512:
    case SignatureAlgorithm::rsa_pss_sha256:
    case SignatureAlgorithm::rsa_pss_sha384:
    case SignatureAlgorithm::rsa_pss_sha512:
    case SignatureAlgorithm::ecdsa_sha256:
    case SignatureAlgorithm::ecdsa_sha384:
    case SignatureAlgorithm::ecdsa_sha512:
    case SignatureAlgorithm::ed25519:
    case SignatureAlgorithm::ed448:
    case SignatureAlgorithm::other:
      return false;
  }
  return false;
}

bool is_weak(const PublicKey& key) {
  constexpr uint32_t rsa_bits_min = 2048;
  constexpr uint32_t ec_bits_min = 256;
  switch (key.kind) {
    case KeyKind::rsa:
      return key.bits < rsa_bits_min;
    case KeyKind::ec:
      // Of a curve that has no name here the size of an uncompressed point tells: 04, x, y.
      return (key.bits != 0 ? key.bits : (key.key.size() - 1) / 2 * 8) < ec_bits_min;
    case KeyKind::ed25519:
    case KeyKind::ed448:
    case KeyKind::other:
      return false;
  }
  return false;
}

}  // namespace sluice::tls
