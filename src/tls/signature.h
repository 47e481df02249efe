// Whether a signature of X.509 is good: wolfCrypt behind our own types. Stateless; any thread.
//
// wolfSSL's certificate manager is not used on purpose: it keeps every intermediate that it ever saw.
#pragma once

#include <cstdint>

#include "tls/certificate.h"

namespace sluice::tls {

enum class SignatureCheck : uint8_t {
  good,
  bad,
  unsupported,  // an algorithm or a key that is not verified here: MD2, MD5, Ed448, DSA, odd curves
};

enum class DigestKind : uint8_t { sha1, sha256, sha384, sha512, other };
/// Empty for `other`.
[[nodiscard]] Bytes digest_of(DigestKind kind, ByteView message);

/// Whether `signature` over `message` is by `key`. A key of another kind than the algorithm wants is bad.
[[nodiscard]] SignatureCheck check_signature(SignatureAlgorithm algorithm, const PublicKey& key,
                                             ByteView message, ByteView signature);

/// The digest that the algorithm signs, so that a large message is hashed once; empty for Ed25519, which
/// signs the message itself, and for what is unsupported.
[[nodiscard]] Bytes signed_digest(SignatureAlgorithm algorithm, ByteView message);
/// The same as check_signature with a digest from signed_digest. Unsupported when that was empty.
[[nodiscard]] SignatureCheck check_digest(SignatureAlgorithm algorithm, const PublicKey& key, ByteView digest,
                                          ByteView signature);

/// MD2, MD5 and SHA-1: not to be relied upon.
[[nodiscard]] bool is_weak(SignatureAlgorithm algorithm);
/// RSA below 2048 bits, EC below 256.
[[nodiscard]] bool is_weak(const PublicKey& key);

}  // namespace sluice::tls
