// Certificates in DER, written from parts and signed. For mint, authority and leaf key; stateless, any
// thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "tls/der.h"
#include "tls/private_key.h"

namespace sluice::tls {

/// All but the extensions. The views must outlive the call.
struct Draft {
  ByteView serial;   // magnitude, not zero
  ByteView issuer;   // Name, whole
  ByteView subject;  // Name, whole
  ByteView spki;     // SubjectPublicKeyInfo, whole
  int64_t not_before = 0;
  int64_t not_after = 0;
};

/// `extensions` holds Extension elements, written last first. Nothing when the key cannot sign.
[[nodiscard]] std::optional<Bytes> sign_certificate(const Draft& draft, der::Writer extensions,
                                                    const PrivateKey& signer);

/// Makes what was written since `mark` the value of an extension.
void wrap_extension(der::Writer& out, size_t mark, ByteView oid, bool is_critical);
void write_key_usage(der::Writer& out, uint16_t bits);
void write_subject_key_id(der::Writer& out, ByteView key_id);
void write_authority_key_id(der::Writer& out, ByteView key_id);

/// A Name with an organization, unless it is empty, and a common name.
[[nodiscard]] Bytes make_name(std::string_view common_name, std::string_view organization);

}  // namespace sluice::tls
