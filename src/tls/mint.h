// Replacement certificates (S16): what the origin's certificate says, signed by a CA of ours.
//
// Stateless; any thread. What is copied from the origin's certificate: subject (octet for octet), alternative
// names (in their order, octet for octet) and validity, clipped. What is not: AIA, CRL points, SCTs,
// must-staple, policies.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <tl/expected.hpp>

#include "tls/authority.h"
#include "tls/certificate.h"
#include "tls/leaf_key.h"

namespace sluice::tls {

/// A minted certificate, ready to be shown. Immutable; shared by std::shared_ptr<const Leaf>.
struct Leaf {
  /// The certificate and the intermediates of its CA, DER after DER, for
  /// wolfSSL_use_certificate_chain_buffer_format with WOLFSSL_FILETYPE_ASN1.
  Bytes chain;
  size_t leaf_bytes = 0;   // of those, the certificate itself
  int64_t not_before = 0;  // seconds since 1970
  int64_t not_after = 0;

  [[nodiscard]] ByteView certificate() const { return ByteView(chain).first(leaf_bytes); }
};

enum class MintFault : uint8_t {
  outside_constraints,  // the CA's name constraints do not allow one of the names
  authority_expired,    // the CA, or one above it, is not valid now
  bad_name,             // the requested name is no host name
  too_large,            // the result would pass limits::certificate_bytes_max
  cannot_sign,          // no memory or no randomness
};
[[nodiscard]] const char* text_of(MintFault fault);

/// Which dates an origin's certificate that is expired or not yet valid gets.
enum class MintDates : uint8_t {
  as_origin,     // its own, so that the client sees what is wrong
  always_valid,  // valid now: for origins that [tls.invalid_origin] allows
};

using Serial = std::array<uint8_t, 16>;
/// From the system. Ends the process if it gives none.
[[nodiscard]] Serial random_serial();

struct MintRequest {
  std::string_view name;  // what the client asked for: the SNI, or an address. Added to the alternative names
                          // when the origin's certificate covers it, never otherwise
  int64_t now = 0;        // seconds since 1970
  Serial serial{};        // random octets; the first two bits are set here, to 01
  MintDates dates = MintDates::as_origin;
};

[[nodiscard]] tl::expected<Leaf, MintFault> mint(const Authority& authority, const LeafKey& leaf_key,
                                                 const Certificate& origin, const MintRequest& request);

/// A certificate for a page of our own (S12 `page`, S26): for this name alone, from no origin. What is sent
/// over such a connection must be ours.
[[nodiscard]] tl::expected<Leaf, MintFault> mint_for_page(const Authority& authority, const LeafKey& leaf_key,
                                                          const MintRequest& request);

}  // namespace sluice::tls
