// An X.509 certificate (RFC 5280), parsed. Pure; immutable once made, so any thread.
//
// A Certificate owns its DER; everything else in it views into that. It can be moved, not copied: shared by
// std::shared_ptr<const Certificate>.
//
// The reader is strict about DER and about whatever decides something (names, key, constraints, usages): a
// certificate with a fault there is refused with a definite CertificateFault. What only helps to find more
// (key identifiers, AIA, CRL distribution points) is left empty when it is malformed. No signature is checked
// here.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <variant>
#include <vector>

#include "base/ip.h"
#include "tls/der.h"

namespace sluice::tls {

using Fingerprint = std::array<uint8_t, 32>;  // SHA-256 of the whole DER

enum class KeyKind : uint8_t { rsa, ec, ed25519, ed448, other };
enum class Curve : uint8_t { none, p256, p384, p521, other };

struct PublicKey {
  KeyKind kind = KeyKind::other;
  Curve curve = Curve::none;  // of kind ec
  uint32_t bits = 0;          // RSA: of the modulus; EC: of the field; 0 when not known
  ByteView spki;              // SubjectPublicKeyInfo, whole
  ByteView key;               // inside its BIT STRING: RSAPublicKey in DER, an EC point, 32 octets of Ed25519
};

enum class SignatureAlgorithm : uint8_t {
  rsa_md2,
  rsa_md5,
  rsa_sha1,
  rsa_sha256,
  rsa_sha384,
  rsa_sha512,
  rsa_pss_sha256,
  rsa_pss_sha384,
  rsa_pss_sha512,
  ecdsa_sha1,
  ecdsa_sha256,
  ecdsa_sha384,
  ecdsa_sha512,
  ed25519,
  ed448,
  other,  // unknown, or PSS with parameters that nobody uses
};

/// RFC 5280, 4.2.1.6; the values are the context tags.
enum class NameKind : uint8_t {
  other = 0,
  email = 1,
  dns = 2,
  x400 = 3,
  directory = 4,
  edi_party = 5,
  uri = 6,
  ip = 7,
  id = 8
};

struct GeneralName {
  NameKind kind = NameKind::other;
  ByteView value;  // inside the tag; of a directory name the Name with its header
  ByteView whole;
};

/// RFC 5280, 4.2.1.10. Subtrees with a minimum or maximum are refused when reading, as that section wants.
struct NameConstraints {
  std::vector<GeneralName> permitted;
  std::vector<GeneralName> excluded;
};

/// KeyUsage (RFC 5280, 4.2.1.3), as Reader::named_bits gives them.
enum KeyUsage : uint16_t {
  digital_signature_usage = 1 << 0,
  key_encipherment_usage = 1 << 2,
  key_agreement_usage = 1 << 4,
  key_cert_sign_usage = 1 << 5,
  crl_sign_usage = 1 << 6,
};

/// ExtendedKeyUsage (RFC 5280, 4.2.1.12).
struct ExtendedKeyUsage {
  bool any = false;
  bool server_auth = false;
  bool client_auth = false;
  bool ocsp_signing = false;
};

struct Certificate {
  Bytes der;
  Fingerprint fingerprint{};

  ByteView tbs;                      // TBSCertificate, whole: what the signature is over
  ByteView signature_algorithm_der;  // AlgorithmIdentifier, whole
  SignatureAlgorithm signature_algorithm = SignatureAlgorithm::other;
  ByteView signature;  // inside the BIT STRING

  uint8_t version = 3;      // 1 to 3
  ByteView serial;          // content octets of the INTEGER
  ByteView issuer;          // Name, whole
  ByteView subject;         // Name, whole; "30 00" when empty
  std::string common_name;  // the last CN of the subject as UTF-8, for people; never for matching
  int64_t not_before = 0;   // seconds since 1970
  int64_t not_after = 0;
  PublicKey public_key;

  bool has_alternative_names = false;          // the extension is there
  std::vector<GeneralName> alternative_names;  // all, in their order
  std::vector<std::string_view>
      dns_names;                        // of those, the well-formed ones: ASCII without spaces or controls
  std::vector<IpAddress> ip_addresses;  // of those, the ones of 4 or 16 octets

  bool is_ca = false;                   // basicConstraints
  std::optional<uint32_t> path_length;  // intermediates that may follow below, the leaf not counted
  std::optional<uint16_t> key_usage;    // KeyUsage bits
  std::optional<ExtendedKeyUsage> extended_key_usage;
  std::optional<NameConstraints> name_constraints;
  ByteView subject_key_id;    // octets; empty: none
  ByteView authority_key_id;  // keyIdentifier alone
  std::vector<std::string_view> ocsp_urls;
  std::vector<std::string_view> ca_issuer_urls;
  std::vector<std::string_view> crl_urls;  // of full distribution points
  bool must_staple = false;                // RFC 7633
  bool has_unknown_critical = false;  // a critical extension that is none of the above (nor a policy one)

  Certificate() = default;
  Certificate(Certificate&&) = default;
  Certificate& operator=(Certificate&&) = default;
  Certificate(const Certificate&) = delete;
  Certificate& operator=(const Certificate&) = delete;

  [[nodiscard]] bool is_self_issued() const;  // issuer = subject, octet for octet
};

enum class CertificateFault : uint8_t {
  too_large,       // more than limits::certificate_bytes_max
  not_der,         // no SEQUENCE of three, or a length that is not DER
  trailing_bytes,  // more after the certificate
  bad_version,
  bad_serial,
  algorithms_differ,  // the one inside the signed part is not the one outside
  bad_name,           // issuer or subject
  bad_validity,
  bad_public_key,
  bad_signature,   // not a BIT STRING of whole octets
  bad_extensions,  // their list
  repeated_extension,
  too_many_names,  // more than limits::certificate_names_max alternative names
  bad_alternative_names,
  bad_basic_constraints,
  bad_key_usage,
  bad_extended_key_usage,
  bad_name_constraints,
};
/// In a few words, for people.
[[nodiscard]] const char* text_of(CertificateFault fault);

/// Takes the bytes of one certificate.
[[nodiscard]] tl::expected<Certificate, CertificateFault> parse_certificate(Bytes der);
[[nodiscard]] tl::expected<Certificate, CertificateFault> parse_certificate(ByteView der);

/// What an AlgorithmIdentifier (whole) names, as CRLs and OCSP responses have it too.
[[nodiscard]] SignatureAlgorithm read_signature_algorithm(ByteView algorithm_identifier);

// --- names
// ----------------------------------------------------------------------------------------------------------

/// What a client asked for: the SNI (a host name, letters of any case, one trailing dot tolerated) or an
/// address. Text that is an address in its strict form counts as one.
using RequestedName = std::variant<std::string_view, IpAddress>;
[[nodiscard]] RequestedName requested_name(std::string_view text);

/// Whether the certificate is for that name (RFC 6125, RFC 9525): alternative names only, the subject never.
/// A wildcard is a whole left-most label, stands for exactly one, and needs two labels after it; it never
/// matches an address.
[[nodiscard]] bool covers_name(const Certificate& certificate, const RequestedName& name);

/// "*.example.com" or "www.example.com" against "www.example.com", as covers_name does it.
[[nodiscard]] bool dns_name_matches(std::string_view pattern, std::string_view name);

/// Whether one name is within a CA's constraints. `alternative` is of kind dns, ip, directory, email or uri;
/// a kind that the constraints do not mention is within. Of email and uri, any constraint on that kind
/// refuses. An excluded name that a wildcard would cover refuses the wildcard.
[[nodiscard]] bool is_within(const NameConstraints& constraints, const GeneralName& name);
/// The same for a whole certificate: subject (unless empty), alternative names, and without any of kind dns
/// or ip a common name that looks like a host.
[[nodiscard]] bool is_within(const NameConstraints& constraints, const Certificate& certificate);

// --- for people
// -----------------------------------------------------------------------------------------------------

/// A Name as "CN=www.example.com, O=Example" (RFC 4514, last RDN first, unsafe characters escaped); "" when
/// empty.
[[nodiscard]] std::string name_text(ByteView name);
/// "RSA 2048", "EC P-256", "Ed25519".
[[nodiscard]] std::string key_text(const PublicKey& key);
/// Lower-case hexadecimal digits without separators, as the log and tls.trusted_origins write it.
[[nodiscard]] std::string hex_text(ByteView bytes);

}  // namespace sluice::tls
