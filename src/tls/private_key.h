// A private key: EC on P-256, P-384 or P-521, or RSA. Signs certificates, and can be handed to a WOLFSSL.
//
// Owns the secret and overwrites it when it dies. Immutable: any thread may sign, as wolfCrypt's own key
// objects (which must not be shared) are kept in a pool, one for each signature that is being made at the
// same time.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <tl/expected.hpp>

#include "tls/certificate.h"
#include "tls/der.h"

namespace sluice::tls {

enum class KeyFault : uint8_t {
  malformed,          // not the DER that its label promises
  unsupported_kind,   // neither RSA nor EC
  unsupported_curve,  // none of P-256, P-384, P-521
  too_small,          // RSA below limits::rsa_bits_min
  too_large,          // RSA past limits::rsa_bits_max
  inconsistent,       // its parts do not belong together: it cannot verify what it signs
};
[[nodiscard]] const char* text_of(KeyFault fault);

class PrivateKey {
 public:
  /// `label` is that of its PEM block: "PRIVATE KEY" (PKCS#8, RFC 5958), "EC PRIVATE KEY" (RFC 5915) or
  /// "RSA PRIVATE KEY" (PKCS#1, RFC 8017).
  [[nodiscard]] static tl::expected<PrivateKey, KeyFault> parse(std::string_view label, ByteView der);
  [[nodiscard]] static bool is_key_label(std::string_view label);
  /// Fresh keys. These end the process if the system gives no randomness.
  [[nodiscard]] static PrivateKey generate_p256();
  [[nodiscard]] static PrivateKey generate_rsa_2048();  // takes a tenth of a second or more

  PrivateKey(PrivateKey&&) noexcept;
  PrivateKey& operator=(PrivateKey&&) noexcept;
  ~PrivateKey();

  [[nodiscard]] KeyKind kind() const;
  [[nodiscard]] bool is_key_of(const PublicKey& key) const;
  /// SubjectPublicKeyInfo in DER, and what is inside its BIT STRING.
  [[nodiscard]] ByteView spki() const;
  [[nodiscard]] ByteView public_key() const;
  /// AlgorithmIdentifier of its signatures: ECDSA with the hash of the curve's strength, RSA PKCS#1 v1.5 with
  /// SHA-256.
  [[nodiscard]] ByteView signature_algorithm() const;
  /// The signature over `message`, as certificates have it. False when wolfCrypt fails, which only a lack of
  /// memory or randomness can bring about. Any thread.
  [[nodiscard]] bool sign(ByteView message, Bytes& signature) const;

  /// The secret, in PKCS#8 and in the form that wolfSSL_use_PrivateKey_buffer takes (SEC1 or PKCS#1). wipe()
  /// it.
  [[nodiscard]] Bytes pkcs8() const;
  [[nodiscard]] Bytes traditional() const;

 private:
  struct Parts;
  explicit PrivateKey(std::unique_ptr<Parts> parts);
  [[nodiscard]] static tl::expected<PrivateKey, KeyFault> parse_pkcs8(ByteView der);
  [[nodiscard]] static tl::expected<PrivateKey, KeyFault> parse_ec(ByteView der, Curve curve);
  [[nodiscard]] static tl::expected<PrivateKey, KeyFault> parse_rsa(ByteView der);
  [[nodiscard]] bool can_verify_own_signature() const;

  std::unique_ptr<Parts> parts_;
};

}  // namespace sluice::tls
