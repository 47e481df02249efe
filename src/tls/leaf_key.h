// The key of every certificate that we mint: one per process start, never written to disk (S17).
//
// Owns the secret. Immutable; shared by all workers.
#pragma once

#include <cstdint>

#include "tls/der.h"
#include "tls/private_key.h"

namespace sluice::tls {

enum class LeafKeyKind : uint8_t {
  p256,
  rsa_2048,  // for old clients; a handshake costs about 30 times the CPU
};

class LeafKey {
 public:
  /// A fresh key. RSA takes a tenth of a second or more.
  [[nodiscard]] static LeafKey generate(LeafKeyKind kind);
  LeafKey(LeafKey&&) noexcept = default;
  LeafKey& operator=(LeafKey&&) noexcept = default;
  ~LeafKey();
  LeafKey(const LeafKey&) = delete;
  LeafKey& operator=(const LeafKey&) = delete;

  [[nodiscard]] const PrivateKey& key() const { return key_; }
  [[nodiscard]] ByteView spki() const { return key_.spki(); }
  /// For the subject key identifier: the leftmost 160 bits of the SHA-256 of the public key (RFC 7093,
  /// section 2).
  [[nodiscard]] ByteView key_id() const { return key_id_; }
  /// For wolfSSL_CTX_use_PrivateKey_buffer with WOLFSSL_FILETYPE_ASN1.
  [[nodiscard]] ByteView private_der() const { return private_der_; }
  /// A certificate that nobody shall see, signed by the key itself: wolfSSL_new wants one in a server's
  /// context before a minted one is put into the WOLFSSL.
  [[nodiscard]] ByteView placeholder() const { return placeholder_; }

 private:
  explicit LeafKey(PrivateKey key);

  PrivateKey key_;
  Bytes key_id_;
  Bytes private_der_;
  Bytes placeholder_;
};

/// What LeafKey::key_id says, of any key: `public_key` is inside the BIT STRING of its SubjectPublicKeyInfo.
[[nodiscard]] Bytes key_id_of(ByteView public_key);

}  // namespace sluice::tls
