// Certificate revocation lists (RFC 5280, section 5) and OCSP responses (RFC 6960): read, and asked.
//
// A Crl is immutable once read, so any thread. An OcspResponse views into the bytes that it was read from.
// Reading checks no signature; `Crl::is_by` and `judge_staple` do.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "tls/certificate.h"
#include "tls/signature.h"

namespace sluice::tls {

// --- CRLs
// ---------------------------------------------------------------------------------------------------------

enum class RevocationFault : uint8_t {
  not_der,
  trailing_bytes,
  bad_version,
  algorithms_differ,
  bad_name,
  bad_time,
  bad_entry,
  bad_extensions,
  unknown_critical,  // a critical extension that changes what the list means
  is_delta,          // a delta CRL: useless without its base, which names no one
  is_indirect,       // lists certificates of other issuers
  too_many_entries,  // limits::crl_entries_max
  not_successful,    // OCSP: the responder says that it could not answer
  bad_response_type  // OCSP: not id-pkix-ocsp-basic
};
[[nodiscard]] const char* text_of(RevocationFault fault);

struct Crl {
  Bytes der;
  ByteView tbs;
  SignatureAlgorithm signature_algorithm = SignatureAlgorithm::other;
  ByteView signature;
  Bytes digest;  // of tbs, as signed_digest makes it
  ByteView issuer;
  int64_t this_update = 0;              // seconds since 1970
  std::optional<int64_t> next_update;   // none: RFC 5280 wants one, but some lists are for ever
  bool only_user_certificates = false;  // issuingDistributionPoint
  bool only_ca_certificates = false;

  Crl() = default;
  Crl(Crl&&) = default;
  Crl& operator=(Crl&&) = default;
  Crl(const Crl&) = delete;
  Crl& operator=(const Crl&) = delete;

  /// Whether that serial number is listed (with a reason other than removeFromCRL).
  [[nodiscard]] bool lists(ByteView serial) const;
  [[nodiscard]] size_t size() const { return serials.size(); }
  /// Whether the list is signed by that certificate's key, and its usage allows that.
  [[nodiscard]] bool is_by(const Certificate& issuer_certificate) const;

  std::vector<ByteView> serials;  // sorted by length, then content
};

[[nodiscard]] tl::expected<Crl, RevocationFault> parse_crl(Bytes der);

// --- OCSP
// ---------------------------------------------------------------------------------------------------------

enum class OcspStatus : uint8_t { good, revoked, unknown };

struct OcspAnswer {
  DigestKind hash = DigestKind::other;  // of the two below
  ByteView issuer_name_hash;
  ByteView issuer_key_hash;
  ByteView serial;
  OcspStatus status = OcspStatus::unknown;
  int64_t this_update = 0;
  std::optional<int64_t> next_update;
};

struct OcspResponse {
  ByteView tbs;  // ResponseData, whole
  SignatureAlgorithm signature_algorithm = SignatureAlgorithm::other;
  ByteView signature;
  ByteView responder_name;      // one of these two is empty
  ByteView responder_key_hash;  // SHA-1 of the key's bits
  std::vector<OcspAnswer> answers;
  std::vector<ByteView> certificates;  // whole, unparsed
};

/// Views into `der`.
[[nodiscard]] tl::expected<OcspResponse, RevocationFault> parse_ocsp_response(ByteView der);

/// What a stapled response says about a certificate.
enum class StapleVerdict : uint8_t {
  good,
  revoked,
  none
};  // none: malformed, stale, unsigned, or about another
struct Staple {
  StapleVerdict verdict = StapleVerdict::none;
  int64_t valid_until = 0;  // of good and revoked
};
/// Its signature is by `issuer`, or by a responder that `issuer` certified for OCSP signing (RFC
/// 6960, 4.2.2.2).
[[nodiscard]] Staple judge_staple(ByteView response, const Certificate& certificate,
                                  const Certificate& issuer, int64_t now_s);

}  // namespace sluice::tls
