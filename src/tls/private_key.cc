#include "tls/private_key.h"

#include <wolfssl/options.h>
// options.h comes first: it holds the choices that the library was built with.
#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/random.h>
#include <wolfssl/wolfcrypt/rsa.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/limits.h"
#include "tls/der_oid.h"
#include "tls/pem.h"
#include "tls/vector_state.h"

namespace sluice::tls {
namespace {

using der::Reader;
using der::Writer;

word32 size_of(ByteView bytes) { return static_cast<word32>(bytes.size()); }

struct CurveFacts {
  ByteView oid;
  int wolfcrypt_id;
  size_t scalar_bytes;
  ByteView signature_oid;
};

CurveFacts facts_of(Curve curve) {
  switch (curve) {
    case Curve::p256:
      return {der_oid::p256, ECC_SECP256R1, 32, der_oid::ecdsa_with_sha256};
    case Curve::p384:
      return {der_oid::p384, ECC_SECP384R1, 48, der_oid::ecdsa_with_sha384};
    case Curve::p521:
      return {der_oid::p521, ECC_SECP521R1, 66, der_oid::ecdsa_with_sha512};
    case Curve::none:
    case Curve::other:
      break;
  }
  return {};
}

Curve curve_of(ByteView oid) {
  for (const Curve curve : {Curve::p256, Curve::p384, Curve::p521})
    if (std::ranges::equal(facts_of(curve).oid, oid)) return curve;
  return Curve::other;
}

/// The hash of a curve's strength (RFC 5480, section 4).
bool hash_for(Curve curve, ByteView message, std::array<uint8_t, 64>& digest, word32& length) {
  tidy_vector_state();
  switch (curve) {
    case Curve::p384:
      length = 48;
      return wc_Sha384Hash(message.data(), size_of(message), digest.data()) == 0;
    case Curve::p521:
      length = 64;
      return wc_Sha512Hash(message.data(), size_of(message), digest.data()) == 0;
    case Curve::none:
    case Curve::p256:
    case Curve::other:
      break;
  }
  length = 32;
  return wc_Sha256Hash(message.data(), size_of(message), digest.data()) == 0;
}

/// wolfCrypt's own objects, for one signature at a time.
class Signer {
 public:
  explicit Signer(KeyKind kind) : kind_(kind) {
    has_rng_ = wc_InitRng(&rng_) == 0;
    if (kind_ == KeyKind::rsa)
      has_key_ = wc_InitRsaKey(&rsa_, nullptr) == 0;
    else
      has_key_ = wc_ecc_init(&ec_) == 0;
  }
  ~Signer() {
    if (has_key_ && kind_ == KeyKind::rsa) wc_FreeRsaKey(&rsa_);
    if (has_key_ && kind_ != KeyKind::rsa) wc_ecc_free(&ec_);
    if (has_rng_) wc_FreeRng(&rng_);
  }
  Signer(const Signer&) = delete;
  Signer& operator=(const Signer&) = delete;

  [[nodiscard]] bool is_ready() const { return has_rng_ && has_key_; }
  [[nodiscard]] WC_RNG* rng() { return &rng_; }
  [[nodiscard]] ecc_key* ec() { return &ec_; }
  [[nodiscard]] RsaKey* rsa() { return &rsa_; }

  bool load_ec(ByteView scalar, Curve curve) {
    return is_ready() &&
           wc_ecc_import_private_key_ex(scalar.data(), size_of(scalar), nullptr, 0, &ec_,
                                        facts_of(curve).wolfcrypt_id) == 0 &&
           wc_ecc_set_rng(&ec_, &rng_) == 0;
  }
  bool load_rsa(ByteView pkcs1) {
    word32 at = 0;
    return is_ready() && wc_RsaPrivateKeyDecode(pkcs1.data(), &at, &rsa_, size_of(pkcs1)) == 0 &&
           wc_RsaSetRNG(&rsa_, &rng_) == 0;
  }

 private:
  KeyKind kind_;
  bool has_rng_ = false;
  bool has_key_ = false;
  WC_RNG rng_{};
  // Only one of them is in use, chosen by kind_.
  union {
    ecc_key ec_;
    RsaKey rsa_;
  };
};

/// DigestInfo (RFC 8017, 9.2) of SHA-256.
Bytes digest_info(ByteView digest) {
  Writer out;
  out.element(der::octet_string_tag, digest);
  const size_t algorithm = out.mark();
  out.element(der::null_tag, ByteView{});
  out.oid(der_oid::sha256);
  out.wrap(der::sequence_tag, algorithm);
  out.wrap(der::sequence_tag, 0);
  return out.take();
}

Bytes algorithm_identifier(ByteView oid, bool with_null) {
  Writer out;
  if (with_null) out.element(der::null_tag, ByteView{});
  out.oid(oid);
  out.wrap(der::sequence_tag, 0);
  return out.take();
}

Bytes spki_of(ByteView key, ByteView algorithm_oid, ByteView curve_oid) {
  Writer out;
  out.octet_bits(key);
  const size_t algorithm = out.mark();
  if (curve_oid.empty())
    out.element(der::null_tag, ByteView{});
  else
    out.oid(curve_oid);
  out.oid(algorithm_oid);
  out.wrap(der::sequence_tag, algorithm);
  out.wrap(der::sequence_tag, 0);
  return out.take();
}

}  // namespace

struct PrivateKey::Parts {
  KeyKind kind = KeyKind::other;
  Curve curve = Curve::none;
  Bytes secret;  // EC: the scalar at its full width; RSA: RSAPrivateKey in DER
  Bytes public_key;
  Bytes spki;
  Bytes signature_algorithm;

  mutable std::mutex mutex;
  mutable std::vector<std::unique_ptr<Signer>> idle;  // guarded by mutex

  ~Parts() { wipe(std::span(secret)); }

  [[nodiscard]] std::unique_ptr<Signer> make_signer() const {
    auto signer = std::make_unique<Signer>(kind);
    const bool loaded = kind == KeyKind::rsa ? signer->load_rsa(secret) : signer->load_ec(secret, curve);
    return loaded ? std::move(signer) : nullptr;
  }
  [[nodiscard]] std::unique_ptr<Signer> take_signer() const {
    {
      const std::lock_guard lock(mutex);
      if (!idle.empty()) {
        auto signer = std::move(idle.back());
        idle.pop_back();
        return signer;
      }
    }
    return make_signer();
  }
  void give_back(std::unique_ptr<Signer> signer) const {
    const std::lock_guard lock(mutex);
    idle.push_back(std::move(signer));
  }

  /// Public key, SPKI and algorithm from the secret. False: the secret is not a key.
  bool complete() {
    const auto signer = make_signer();
    if (!signer) return false;
    if (kind == KeyKind::rsa) return complete_rsa(*signer->rsa());
    if (wc_ecc_make_pub_ex(signer->ec(), nullptr, signer->rng()) != 0) return false;
    const CurveFacts facts = facts_of(curve);
    word32 length = static_cast<word32>(1 + 2 * facts.scalar_bytes);
    public_key.resize(length);
    if (wc_ecc_export_x963(signer->ec(), public_key.data(), &length) != 0) return false;
    public_key.resize(length);
    spki = spki_of(public_key, der_oid::ec_public_key, facts.oid);
    signature_algorithm = algorithm_identifier(facts.signature_oid, false);
    return true;
  }
  bool complete_rsa(RsaKey& key) {
    public_key.resize(static_cast<size_t>(wc_RsaEncryptSize(&key)) + 64);
    const int length = wc_RsaKeyToPublicDer_ex(&key, public_key.data(), size_of(public_key), 0);
    if (length <= 0) return false;
    public_key.resize(static_cast<size_t>(length));
    spki = spki_of(public_key, der_oid::rsa_encryption, {});
    signature_algorithm = algorithm_identifier(der_oid::sha256_with_rsa, true);
    return true;
  }
};

PrivateKey::PrivateKey(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
PrivateKey::PrivateKey(PrivateKey&&) noexcept = default;
PrivateKey& PrivateKey::operator=(PrivateKey&&) noexcept = default;
PrivateKey::~PrivateKey() = default;

bool PrivateKey::is_key_label(std::string_view label) {
  return label == "PRIVATE KEY" || label == "EC PRIVATE KEY" || label == "RSA PRIVATE KEY" ||
         label == "ENCRYPTED PRIVATE KEY";
}

tl::expected<PrivateKey, KeyFault> PrivateKey::parse(std::string_view label, ByteView der) {
  if (label == "PRIVATE KEY") return parse_pkcs8(der);
  if (label == "EC PRIVATE KEY") return parse_ec(der, Curve::none);
  if (label == "RSA PRIVATE KEY") return parse_rsa(der);
  return tl::unexpected(KeyFault::unsupported_kind);
}

/// PrivateKeyInfo (RFC 5958, section 2); attributes and a public key behind it are ignored.
tl::expected<PrivateKey, KeyFault> PrivateKey::parse_pkcs8(ByteView der) {
  Reader outer(der);
  auto info = outer.inside(der::sequence_tag);
  if (!info || !info->small_integer()) return tl::unexpected(KeyFault::malformed);
  auto algorithm = info->inside(der::sequence_tag);
  const auto key = info->element(der::octet_string_tag);
  if (!algorithm || !key) return tl::unexpected(KeyFault::malformed);
  const auto oid = algorithm->element(der::oid_tag);
  if (!oid) return tl::unexpected(KeyFault::malformed);
  if (std::ranges::equal(oid->content, der_oid::rsa_encryption)) return parse_rsa(key->content);
  if (!std::ranges::equal(oid->content, der_oid::ec_public_key))
    return tl::unexpected(KeyFault::unsupported_kind);
  const auto curve = algorithm->element(der::oid_tag);
  return parse_ec(key->content, curve ? curve_of(curve->content) : Curve::other);
}

/// ECPrivateKey (RFC 5915, section 3). Its public key is not read: it follows from the scalar.
tl::expected<PrivateKey, KeyFault> PrivateKey::parse_ec(ByteView der, Curve curve) {
  Reader outer(der);
  auto inner = outer.inside(der::sequence_tag);
  if (!inner || inner->small_integer() != 1u) return tl::unexpected(KeyFault::malformed);
  const auto scalar = inner->element(der::octet_string_tag);
  if (!scalar) return tl::unexpected(KeyFault::malformed);
  if (curve == Curve::none) {
    auto parameters = inner->inside(der::context_constructed(0));
    const auto oid = parameters ? parameters->element(der::oid_tag) : std::nullopt;
    curve = oid ? curve_of(oid->content) : Curve::other;
  }
  const size_t width = facts_of(curve).scalar_bytes;
  if (width == 0) return tl::unexpected(KeyFault::unsupported_curve);
  if (scalar->content.empty() || scalar->content.size() > width) return tl::unexpected(KeyFault::malformed);
  auto parts = std::make_unique<Parts>();
  parts->kind = KeyKind::ec;
  parts->curve = curve;
  parts->secret.resize(width);  // at its full width, whatever the file has
  std::ranges::copy(scalar->content,
                    parts->secret.begin() + static_cast<std::ptrdiff_t>(width - scalar->content.size()));
  if (!parts->complete()) return tl::unexpected(KeyFault::malformed);
  PrivateKey key(std::move(parts));
  if (!key.can_verify_own_signature()) return tl::unexpected(KeyFault::inconsistent);
  return key;
}

tl::expected<PrivateKey, KeyFault> PrivateKey::parse_rsa(ByteView der) {
  // RSAPrivateKey (RFC 8017, A.1.2) begins with version and modulus.
  Reader outer(der);
  auto inner = outer.inside(der::sequence_tag);
  const auto version = inner ? inner->small_integer() : std::nullopt;
  const auto modulus = version ? inner->integer() : std::nullopt;
  if (!modulus) return tl::unexpected(KeyFault::malformed);
  const size_t bits = 8 * (modulus->size() - ((*modulus)[0] == 0 ? 1 : 0));
  if (bits < limits::rsa_bits_min) return tl::unexpected(KeyFault::too_small);
  if (bits > limits::rsa_bits_max) return tl::unexpected(KeyFault::too_large);
  auto parts = std::make_unique<Parts>();
  parts->kind = KeyKind::rsa;
  parts->secret.assign(der.begin(), der.end());
  if (!parts->complete()) return tl::unexpected(KeyFault::malformed);
  PrivateKey key(std::move(parts));
  if (!key.can_verify_own_signature()) return tl::unexpected(KeyFault::inconsistent);
  return key;
}

PrivateKey PrivateKey::generate_p256() {
  Signer signer(KeyKind::ec);
  SLUICE_CHECK(signer.is_ready());
  SLUICE_CHECK(wc_ecc_make_key_ex(signer.rng(), 32, signer.ec(), ECC_SECP256R1) == 0);
  auto parts = std::make_unique<Parts>();
  parts->kind = KeyKind::ec;
  parts->curve = Curve::p256;
  parts->secret.resize(32);
  word32 length = 32;
  SLUICE_CHECK(wc_ecc_export_private_only(signer.ec(), parts->secret.data(), &length) == 0 && length == 32);
  SLUICE_CHECK(parts->complete());
  return PrivateKey(std::move(parts));
}

PrivateKey PrivateKey::generate_rsa_2048() {
  Signer signer(KeyKind::rsa);
  SLUICE_CHECK(signer.is_ready());
  SLUICE_CHECK(wc_MakeRsaKey(signer.rsa(), 2048, WC_RSA_EXPONENT, signer.rng()) == 0);
  auto parts = std::make_unique<Parts>();
  parts->kind = KeyKind::rsa;
  parts->secret.resize(2048);  // of 2048 bits: about 1,200
  const int length = wc_RsaKeyToDer(signer.rsa(), parts->secret.data(), size_of(parts->secret));
  SLUICE_CHECK(length > 0);
  parts->secret.resize(static_cast<size_t>(length));
  SLUICE_CHECK(parts->complete());
  return PrivateKey(std::move(parts));
}

KeyKind PrivateKey::kind() const { return parts_->kind; }
ByteView PrivateKey::spki() const { return parts_->spki; }
ByteView PrivateKey::public_key() const { return parts_->public_key; }
ByteView PrivateKey::signature_algorithm() const { return parts_->signature_algorithm; }

bool PrivateKey::is_key_of(const PublicKey& key) const {
  if (key.kind != parts_->kind || key.curve != parts_->curve || key.key.empty()) return false;
  if (std::ranges::equal(key.key, parts_->public_key)) return true;
  // A compressed point (RFC 5480, 2.2): the x coordinate, and whether y is odd.
  if (key.kind != KeyKind::ec || key.key[0] == 4) return false;
  const ByteView point = parts_->public_key;
  const size_t width = (point.size() - 1) / 2;
  return key.key[0] == 2 + (point.back() & 1) &&
         std::ranges::equal(key.key.subspan(1), point.subspan(1, width));
}

bool PrivateKey::sign(ByteView message, Bytes& signature) const {
  std::array<uint8_t, 64> digest{};
  word32 digest_bytes = 0;
  if (!hash_for(parts_->curve, message, digest, digest_bytes)) return false;
  auto signer = parts_->take_signer();
  if (!signer) return false;
  bool done = false;
  if (parts_->kind == KeyKind::rsa) {
    const Bytes info = digest_info(ByteView(digest).first(digest_bytes));
    signature.resize(static_cast<size_t>(wc_RsaEncryptSize(signer->rsa())));
    const int length = wc_RsaSSL_Sign(info.data(), size_of(info), signature.data(), size_of(signature),
                                      signer->rsa(), signer->rng());
    done = length == static_cast<int>(signature.size());
  } else {
    word32 length = ECC_MAX_SIG_SIZE;
    signature.resize(length);
    done = wc_ecc_sign_hash(digest.data(), digest_bytes, signature.data(), &length, signer->rng(),
                            signer->ec()) == 0;
    signature.resize(length);
  }
  tidy_vector_state();  // for whatever is hashed next
  parts_->give_back(std::move(signer));
  return done;
}

bool PrivateKey::can_verify_own_signature() const {
  static constexpr std::array<uint8_t, 16> message{};
  Bytes signature;
  if (!sign(message, signature)) return false;
  const auto signer = parts_->make_signer();
  if (!signer) return false;
  std::array<uint8_t, 64> digest{};
  word32 digest_bytes = 0;
  if (!hash_for(parts_->curve, message, digest, digest_bytes)) return false;
  if (parts_->kind == KeyKind::rsa) {
    Bytes plain(signature.size());
    const int length =
        wc_RsaSSL_Verify(signature.data(), size_of(signature), plain.data(), size_of(plain), signer->rsa());
    return length > 0 && std::ranges::equal(ByteView(plain).first(static_cast<size_t>(length)),
                                            digest_info(ByteView(digest).first(digest_bytes)));
  }
  int verdict = 0;
  return wc_ecc_make_pub_ex(signer->ec(), nullptr, signer->rng()) == 0 &&
         wc_ecc_verify_hash(signature.data(), size_of(signature), digest.data(), digest_bytes, &verdict,
                            signer->ec()) == 0 &&
         verdict == 1;
}

Bytes PrivateKey::traditional() const {
  if (parts_->kind == KeyKind::rsa) return parts_->secret;
  Writer out;
  const size_t point = out.mark();
  out.octet_bits(parts_->public_key);
  out.wrap(der::context_constructed(1), point);
  const size_t parameters = out.mark();
  out.oid(facts_of(parts_->curve).oid);
  out.wrap(der::context_constructed(0), parameters);
  out.element(der::octet_string_tag, parts_->secret);
  out.integer(1);
  out.wrap(der::sequence_tag, 0);
  Bytes der = out.take();
  out.wipe();
  return der;
}

Bytes PrivateKey::pkcs8() const {
  Bytes inner = traditional();
  Writer out;
  out.element(der::octet_string_tag, inner);
  wipe(std::span(inner));
  const size_t algorithm = out.mark();
  if (parts_->kind == KeyKind::rsa) {
    out.element(der::null_tag, ByteView{});
    out.oid(der_oid::rsa_encryption);
  } else {
    out.oid(facts_of(parts_->curve).oid);
    out.oid(der_oid::ec_public_key);
  }
  out.wrap(der::sequence_tag, algorithm);
  out.integer(0);
  out.wrap(der::sequence_tag, 0);
  Bytes der = out.take();
  out.wipe();
  return der;
}

const char* text_of(KeyFault fault) {
  switch (fault) {
    case KeyFault::malformed:
      return "the private key is malformed";
    case KeyFault::unsupported_kind:
      return "the private key is neither RSA nor EC";
    case KeyFault::unsupported_curve:
      return "the private key is on none of the curves P-256, P-384 and P-521";
    case KeyFault::too_small:
      return "the RSA key has fewer than 2,048 bits, which clients refuse";
    case KeyFault::too_large:
      return "the RSA key has more than 4,096 bits, which this build cannot use";
    case KeyFault::inconsistent:
      return "the parts of the private key do not belong together";
  }
  return "?";
}

}  // namespace sluice::tls
