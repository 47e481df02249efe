#include "tls/certificate.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/limits.h"
#include "tls/der_oid.h"
#include "tls/digest.h"

namespace sluice::tls {
namespace {

using der::Element;
using der::Reader;
using Fault = CertificateFault;
/// Nothing: it is well-formed.
using MaybeFault = std::optional<Fault>;

template <class Oid>
bool is_oid(ByteView content, const Oid& oid) {
  return std::equal(content.begin(), content.end(), oid.begin(), oid.end());
}

// --- algorithms and keys
// --------------------------------------------------------------------------------------------

struct AlgorithmIdentifier {
  ByteView oid;
  Reader parameters;
  ByteView whole;
};

std::optional<AlgorithmIdentifier> read_algorithm(Reader& reader) {
  const auto outer = reader.element(der::sequence_tag);
  if (!outer) return std::nullopt;
  Reader inner(outer->content);
  const auto oid = inner.element(der::oid_tag);
  if (!oid || oid->content.empty()) return std::nullopt;
  return AlgorithmIdentifier{oid->content, inner, outer->whole};
}

/// RSASSA-PSS-params (RFC 4055, 3.1): the hash, when MGF1 uses the same. The defaults (SHA-1) nobody uses.
SignatureAlgorithm pss_algorithm(Reader parameters) {
  auto inner = parameters.inside(der::sequence_tag);
  if (!inner) return SignatureAlgorithm::other;
  auto hash_reader = inner->inside(der::context_constructed(0));
  auto mask_reader = inner->inside(der::context_constructed(1));
  if (!hash_reader || !mask_reader) return SignatureAlgorithm::other;
  const auto hash = read_algorithm(*hash_reader);
  auto mask = read_algorithm(*mask_reader);
  if (!hash || !mask || !is_oid(mask->oid, der_oid::mgf1)) return SignatureAlgorithm::other;
  const auto mask_hash = read_algorithm(mask->parameters);
  if (!mask_hash || !std::ranges::equal(mask_hash->oid, hash->oid)) return SignatureAlgorithm::other;
  if (is_oid(hash->oid, der_oid::sha256)) return SignatureAlgorithm::rsa_pss_sha256;
  if (is_oid(hash->oid, der_oid::sha384)) return SignatureAlgorithm::rsa_pss_sha384;
  if (is_oid(hash->oid, der_oid::sha512)) return SignatureAlgorithm::rsa_pss_sha512;
  return SignatureAlgorithm::other;
}

SignatureAlgorithm signature_algorithm_of(const AlgorithmIdentifier& algorithm) {
  struct Row {
    ByteView oid;
    SignatureAlgorithm algorithm;
  };
  static constexpr Row rows[] = {
      {der_oid::sha256_with_rsa, SignatureAlgorithm::rsa_sha256},
      {der_oid::ecdsa_with_sha256, SignatureAlgorithm::ecdsa_sha256},
      {der_oid::ecdsa_with_sha384, SignatureAlgorithm::ecdsa_sha384},
      {der_oid::sha384_with_rsa, SignatureAlgorithm::rsa_sha384},
      {der_oid::sha512_with_rsa, SignatureAlgorithm::rsa_sha512},
      {der_oid::ecdsa_with_sha512, SignatureAlgorithm::ecdsa_sha512},
      {der_oid::ed25519, SignatureAlgorithm::ed25519},
      {der_oid::ed448, SignatureAlgorithm::ed448},
      {der_oid::sha1_with_rsa, SignatureAlgorithm::rsa_sha1},
      {der_oid::sha1_with_rsa_iso, SignatureAlgorithm::rsa_sha1},
      {der_oid::ecdsa_with_sha1, SignatureAlgorithm::ecdsa_sha1},
      {der_oid::md5_with_rsa, SignatureAlgorithm::rsa_md5},
      {der_oid::md2_with_rsa, SignatureAlgorithm::rsa_md2},
  };
  for (const Row& row : rows)
    if (std::ranges::equal(algorithm.oid, row.oid)) return row.algorithm;
  if (is_oid(algorithm.oid, der_oid::rsa_pss)) return pss_algorithm(algorithm.parameters);
  return SignatureAlgorithm::other;
}

/// RSAPublicKey (RFC 8017, A.1.1): both numbers positive.
bool read_rsa_key(PublicKey& key) {
  Reader outer(key.key);
  auto inner = outer.inside(der::sequence_tag);
  if (!inner || !outer.empty()) return false;
  const auto modulus = inner->integer();
  const auto exponent = inner->integer();
  if (!modulus || !exponent || !inner->empty()) return false;
  if (((*modulus)[0] & 0x80) != 0 || ((*exponent)[0] & 0x80) != 0) return false;
  const ByteView magnitude = (*modulus)[0] == 0 ? modulus->subspan(1) : *modulus;
  if (magnitude.empty()) return false;
  key.bits =
      static_cast<uint32_t>(8 * (magnitude.size() - 1)) + static_cast<uint32_t>(std::bit_width(magnitude[0]));
  return true;
}

/// RFC 5480, 2.1 and 2.2. Of named curves the point must have the right size; others are for the caller to
/// refuse.
bool read_ec_key(PublicKey& key, Reader parameters) {
  struct Row {
    ByteView oid;
    Curve curve;
    uint32_t bits;
  };
  static constexpr Row rows[] = {{der_oid::p256, Curve::p256, 256},
                                 {der_oid::p384, Curve::p384, 384},
                                 {der_oid::p521, Curve::p521, 521}};
  key.curve = Curve::other;
  const auto oid = parameters.element(der::oid_tag);
  if (!oid) return !key.key.empty();
  for (const Row& row : rows) {
    if (!std::ranges::equal(oid->content, row.oid)) continue;
    key.curve = row.curve;
    key.bits = row.bits;
    const size_t coordinate = (row.bits + 7) / 8;
    if (key.key.empty()) return false;
    if (key.key[0] == 4) return key.key.size() == 1 + 2 * coordinate;
    return (key.key[0] == 2 || key.key[0] == 3) && key.key.size() == 1 + coordinate;
  }
  return !key.key.empty();
}

MaybeFault read_public_key(Reader& tbs, PublicKey& key) {
  const auto outer = tbs.element(der::sequence_tag);
  if (!outer) return Fault::bad_public_key;
  Reader inner(outer->content);
  const auto algorithm = read_algorithm(inner);
  const auto bits = inner.octet_bits();
  if (!algorithm || !bits || !inner.empty()) return Fault::bad_public_key;
  key.spki = outer->whole;
  key.key = *bits;
  bool good = true;
  if (is_oid(algorithm->oid, der_oid::rsa_encryption) || is_oid(algorithm->oid, der_oid::rsa_pss)) {
    key.kind = KeyKind::rsa;
    good = read_rsa_key(key);
  } else if (is_oid(algorithm->oid, der_oid::ec_public_key)) {
    key.kind = KeyKind::ec;
    good = read_ec_key(key, algorithm->parameters);
  } else if (is_oid(algorithm->oid, der_oid::ed25519)) {
    key.kind = KeyKind::ed25519;
    key.bits = 256;
    good = bits->size() == 32;
  } else if (is_oid(algorithm->oid, der_oid::ed448)) {
    key.kind = KeyKind::ed448;
    key.bits = 456;
    good = bits->size() == 57;
  }
  if (!good) return Fault::bad_public_key;
  return std::nullopt;
}

// --- names
// ----------------------------------------------------------------------------------------------------------

/// RDNSequence (RFC 5280, 4.1.2.4). `common_name`, if given, becomes the last CN.
bool read_name(ByteView whole, std::string* common_name) {
  Reader outer(whole);
  auto sets = outer.inside(der::sequence_tag);
  if (!sets || !outer.empty()) return false;
  size_t attributes = 0;
  while (!sets->empty()) {
    auto set = sets->inside(der::set_tag);
    if (!set || set->empty()) return false;
    while (!set->empty()) {
      auto attribute = set->inside(der::sequence_tag);
      if (!attribute || ++attributes > limits::name_attributes_max) return false;
      const auto type = attribute->element(der::oid_tag);
      const auto value = attribute->element();
      if (!type || !value || !attribute->empty()) return false;
      if (common_name == nullptr || !is_oid(type->content, der_oid::common_name)) continue;
      *common_name = der::string_as_utf8(value->tag, value->content).value_or("");
    }
  }
  return true;
}

/// Well-formed enough to be compared and copied. What else a host name may not hold never matches one.
bool is_dns_text(ByteView value) {
  return !value.empty() && value.size() <= limits::host_bytes_max &&
         std::ranges::all_of(value, [](uint8_t octet) { return octet > 0x20 && octet < 0x7f; });
}

std::optional<GeneralName> read_general_name(Reader& reader) {
  const auto element = reader.element();
  if (!element || (element->tag & 0xc0) != 0x80) return std::nullopt;
  const uint8_t number = element->tag & 0x1f;
  if (number > 8) return std::nullopt;
  // otherName, x400Address, directoryName and ediPartyName are constructed, the rest is not.
  const bool constructed = number == 0 || (number >= 3 && number <= 5);
  if (constructed != ((element->tag & 0x20) != 0)) return std::nullopt;
  const auto kind = static_cast<NameKind>(number);
  if (kind == NameKind::directory && !read_name(element->content, nullptr)) return std::nullopt;
  return GeneralName{kind, element->content, element->whole};
}

std::optional<IpAddress> address_of(ByteView value) {
  if (value.size() == 4) return IpAddress::v4(std::array<uint8_t, 4>{value[0], value[1], value[2], value[3]});
  IpAddress address;
  if (value.size() != address.bytes.size()) return std::nullopt;
  std::ranges::copy(value, address.bytes.begin());
  return address;
}

// --- extensions
// -----------------------------------------------------------------------------------------------------

// Each takes the inside of extnValue and must use all of it.

MaybeFault read_alternative_names(Certificate& certificate, Reader value) {
  auto names = value.inside(der::sequence_tag);
  // An empty list is not DER-wrong but forbidden (RFC 5280, 4.2.1.6).
  if (!names || !value.empty() || names->empty()) return Fault::bad_alternative_names;
  certificate.has_alternative_names = true;
  while (!names->empty()) {
    const auto name = read_general_name(*names);
    if (!name) return Fault::bad_alternative_names;
    if (certificate.alternative_names.size() == limits::certificate_names_max) return Fault::too_many_names;
    certificate.alternative_names.push_back(*name);
    if (name->kind == NameKind::dns && is_dns_text(name->value))
      certificate.dns_names.push_back(as_text(name->value));
    if (name->kind != NameKind::ip) continue;
    if (const auto address = address_of(name->value)) certificate.ip_addresses.push_back(*address);
  }
  return std::nullopt;
}

MaybeFault read_basic_constraints(Certificate& certificate, Reader value) {
  auto inner = value.inside(der::sequence_tag);
  if (!inner || !value.empty()) return Fault::bad_basic_constraints;
  if (inner->is_next(der::boolean_tag)) {
    const auto is_ca = inner->boolean();
    if (!is_ca) return Fault::bad_basic_constraints;
    certificate.is_ca = *is_ca;  // an explicit FALSE is not DER, but common
  }
  if (!inner->empty()) {
    certificate.path_length = inner->small_integer();
    if (!certificate.path_length) return Fault::bad_basic_constraints;
  }
  if (!inner->empty()) return Fault::bad_basic_constraints;
  return std::nullopt;
}

MaybeFault read_key_usage(Certificate& certificate, Reader value) {
  certificate.key_usage = value.named_bits();
  if (!certificate.key_usage || !value.empty()) return Fault::bad_key_usage;
  return std::nullopt;
}

MaybeFault read_extended_key_usage(Certificate& certificate, Reader value) {
  auto purposes = value.inside(der::sequence_tag);
  if (!purposes || !value.empty() || purposes->empty()) return Fault::bad_extended_key_usage;
  ExtendedKeyUsage usage;
  while (!purposes->empty()) {
    const auto oid = purposes->element(der::oid_tag);
    if (!oid) return Fault::bad_extended_key_usage;
    if (is_oid(oid->content, der_oid::any_extended_key_usage)) usage.any = true;
    if (is_oid(oid->content, der_oid::server_auth)) usage.server_auth = true;
    if (is_oid(oid->content, der_oid::client_auth)) usage.client_auth = true;
    if (is_oid(oid->content, der_oid::ocsp_signing)) usage.ocsp_signing = true;
  }
  certificate.extended_key_usage = usage;
  return std::nullopt;
}

bool read_subtrees(Reader subtrees, std::vector<GeneralName>& names) {
  while (!subtrees.empty()) {
    auto subtree = subtrees.inside(der::sequence_tag);
    if (!subtree) return false;
    const auto name = read_general_name(*subtree);
    if (!name || !subtree->empty()) return false;  // minimum or maximum
    // An address and a mask.
    if (name->kind == NameKind::ip && name->value.size() != 8 && name->value.size() != 32) return false;
    if (names.size() == limits::certificate_names_max) return false;
    names.push_back(*name);
  }
  return true;
}

MaybeFault read_name_constraints(Certificate& certificate, Reader value) {
  auto inner = value.inside(der::sequence_tag);
  if (!inner || !value.empty() || inner->empty()) return Fault::bad_name_constraints;
  NameConstraints& constraints = certificate.name_constraints.emplace();
  if (auto permitted = inner->inside(der::context_constructed(0)))
    if (permitted->empty() || !read_subtrees(*permitted, constraints.permitted))
      return Fault::bad_name_constraints;
  if (auto excluded = inner->inside(der::context_constructed(1)))
    if (excluded->empty() || !read_subtrees(*excluded, constraints.excluded))
      return Fault::bad_name_constraints;
  if (!inner->empty()) return Fault::bad_name_constraints;
  return std::nullopt;
}

// These only help, so faults leave them empty.

MaybeFault read_subject_key_id(Certificate& certificate, Reader value) {
  if (const auto id = value.element(der::octet_string_tag)) certificate.subject_key_id = id->content;
  return std::nullopt;
}

MaybeFault read_authority_key_id(Certificate& certificate, Reader value) {
  if (auto inner = value.inside(der::sequence_tag))
    if (const auto id = inner->element(der::context(0))) certificate.authority_key_id = id->content;
  return std::nullopt;
}

MaybeFault read_authority_information(Certificate& certificate, Reader value) {
  auto descriptions = value.inside(der::sequence_tag);
  while (descriptions && !descriptions->empty()) {
    auto description = descriptions->inside(der::sequence_tag);
    if (!description) break;
    const auto method = description->element(der::oid_tag);
    const auto location = read_general_name(*description);
    if (!method || !location || location->kind != NameKind::uri) continue;
    if (is_oid(method->content, der_oid::ocsp)) certificate.ocsp_urls.push_back(as_text(location->value));
    if (is_oid(method->content, der_oid::ca_issuers))
      certificate.ca_issuer_urls.push_back(as_text(location->value));
  }
  return std::nullopt;
}

MaybeFault read_crl_points(Certificate& certificate, Reader value) {
  auto points = value.inside(der::sequence_tag);
  while (points && !points->empty()) {
    auto point = points->inside(der::sequence_tag);
    if (!point) break;
    auto name = point->inside(der::context_constructed(0));
    if (!name) continue;
    auto full_name = name->inside(der::context_constructed(0));
    while (full_name && !full_name->empty()) {
      const auto location = read_general_name(*full_name);
      if (!location) break;
      if (location->kind == NameKind::uri) certificate.crl_urls.push_back(as_text(location->value));
    }
  }
  return std::nullopt;
}

/// RFC 7633: status_request is 5, its second version 17.
MaybeFault read_tls_features(Certificate& certificate, Reader value) {
  auto features = value.inside(der::sequence_tag);
  while (features && !features->empty()) {
    const auto feature = features->small_integer();
    if (!feature) break;
    if (*feature == 5 || *feature == 17) certificate.must_staple = true;
  }
  return std::nullopt;
}

/// Nothing here reads them, but a critical one is no reason to refuse: without policies wanted they decide
/// nothing (RFC 5280, 6.1.1 (e) and 6.1.5).
MaybeFault ignore(Certificate&, Reader) { return std::nullopt; }

using ReadExtension = MaybeFault (*)(Certificate&, Reader);

ReadExtension reader_of(ByteView oid) {
  struct Row {
    ByteView oid;
    ReadExtension read;
  };
  static constexpr Row rows[] = {
      {der_oid::subject_alternative_name, read_alternative_names},
      {der_oid::basic_constraints, read_basic_constraints},
      {der_oid::key_usage, read_key_usage},
      {der_oid::extended_key_usage, read_extended_key_usage},
      {der_oid::name_constraints, read_name_constraints},
      {der_oid::subject_key_id, read_subject_key_id},
      {der_oid::authority_key_id, read_authority_key_id},
      {der_oid::authority_information_access, read_authority_information},
      {der_oid::crl_distribution_points, read_crl_points},
      {der_oid::tls_feature, read_tls_features},
      {der_oid::certificate_policies, ignore},
      {der_oid::policy_mappings, ignore},
      {der_oid::policy_constraints, ignore},
      {der_oid::inhibit_any_policy, ignore},
      {der_oid::issuer_alternative_name, ignore},
  };
  for (const Row& row : rows)
    if (std::ranges::equal(oid, row.oid)) return row.read;
  return nullptr;
}

MaybeFault read_extension(Certificate& certificate, Reader extension, ByteView oid) {
  bool is_critical = false;
  if (extension.is_next(der::boolean_tag)) {
    const auto critical = extension.boolean();
    if (!critical) return Fault::bad_extensions;
    is_critical = *critical;
  }
  const auto value = extension.element(der::octet_string_tag);
  if (!value || !extension.empty()) return Fault::bad_extensions;
  const ReadExtension read = reader_of(oid);
  if (read != nullptr) return read(certificate, Reader(value->content));
  certificate.has_unknown_critical |= is_critical;
  return std::nullopt;
}

MaybeFault read_extensions(Certificate& certificate, Reader outer) {
  auto extensions = outer.inside(der::sequence_tag);
  if (!extensions || !outer.empty() || extensions->empty()) return Fault::bad_extensions;
  std::vector<ByteView> seen;
  while (!extensions->empty()) {
    auto extension = extensions->inside(der::sequence_tag);
    if (!extension || seen.size() == limits::certificate_extensions_max) return Fault::bad_extensions;
    const auto oid = extension->element(der::oid_tag);
    if (!oid || oid->content.empty()) return Fault::bad_extensions;
    const auto is_same = [&](ByteView other) { return std::ranges::equal(other, oid->content); };
    if (std::ranges::any_of(seen, is_same)) return Fault::repeated_extension;
    seen.push_back(oid->content);
    if (const auto fault = read_extension(certificate, *extension, oid->content)) return fault;
  }
  return std::nullopt;
}

// --- the signed part, in its order (RFC 5280, 4.1)
// --------------------------------------------------------------------

MaybeFault read_version(Certificate& certificate, Reader& tbs) {
  certificate.version = 1;
  if (!tbs.is_next(der::context_constructed(0))) return std::nullopt;
  auto version = tbs.inside(der::context_constructed(0));
  if (!version) return Fault::bad_version;
  const auto number = version->small_integer();
  if (!number || *number > 2 || !version->empty()) return Fault::bad_version;
  certificate.version = static_cast<uint8_t>(*number + 1);
  return std::nullopt;
}

MaybeFault read_validity(Certificate& certificate, Reader& tbs) {
  auto validity = tbs.inside(der::sequence_tag);
  if (!validity) return Fault::bad_validity;
  const auto not_before = validity->time();
  const auto not_after = validity->time();
  if (!not_before || !not_after || !validity->empty()) return Fault::bad_validity;
  certificate.not_before = *not_before;
  certificate.not_after = *not_after;
  return std::nullopt;
}

MaybeFault read_names(Certificate& certificate, const std::optional<Element>& issuer,
                      const std::optional<Element>& subject) {
  if (!issuer || !subject) return Fault::bad_name;
  certificate.issuer = issuer->whole;
  certificate.subject = subject->whole;
  if (!read_name(issuer->whole, nullptr) || !read_name(subject->whole, &certificate.common_name))
    return Fault::bad_name;
  return std::nullopt;
}

MaybeFault read_tbs(Certificate& certificate, Reader tbs) {
  if (const auto fault = read_version(certificate, tbs)) return fault;
  // Serials may be longer than they must, negative or zero: they are shown and compared, nothing else.
  const auto serial = tbs.element(der::integer_tag);
  if (!serial || serial->content.empty()) return Fault::bad_serial;
  certificate.serial = serial->content;
  const auto algorithm = read_algorithm(tbs);
  if (!algorithm || !std::ranges::equal(algorithm->whole, certificate.signature_algorithm_der))
    return Fault::algorithms_differ;
  const auto issuer = tbs.element(der::sequence_tag);
  if (!issuer) return Fault::bad_name;
  if (const auto fault = read_validity(certificate, tbs)) return fault;
  if (const auto fault = read_names(certificate, issuer, tbs.element(der::sequence_tag))) return fault;
  if (const auto fault = read_public_key(tbs, certificate.public_key)) return fault;
  // issuerUniqueID and subjectUniqueID: nobody uses them.
  if (certificate.version >= 2) {
    (void)tbs.element(der::context(1));
    (void)tbs.element(der::context(2));
  }
  if (certificate.version == 3 && tbs.is_next(der::context_constructed(3))) {
    const auto extensions = tbs.inside(der::context_constructed(3));
    if (!extensions) return Fault::bad_extensions;
    if (const auto fault = read_extensions(certificate, *extensions)) return fault;
  }
  if (!tbs.empty()) return Fault::bad_extensions;
  return std::nullopt;
}

MaybeFault read_certificate(Certificate& certificate) {
  if (certificate.der.size() > limits::certificate_bytes_max) return Fault::too_large;
  Reader outer(certificate.der);
  auto inner = outer.inside(der::sequence_tag);
  if (!inner) return Fault::not_der;
  if (!outer.empty()) return Fault::trailing_bytes;
  const auto tbs = inner->element(der::sequence_tag);
  const auto algorithm = read_algorithm(*inner);
  if (!tbs || !algorithm) return Fault::not_der;
  const auto signature = inner->octet_bits();
  if (!signature || !inner->empty()) return Fault::bad_signature;
  certificate.tbs = tbs->whole;
  certificate.signature_algorithm_der = algorithm->whole;
  certificate.signature_algorithm = signature_algorithm_of(*algorithm);
  certificate.signature = *signature;
  return read_tbs(certificate, Reader(tbs->content));
}

}  // namespace

bool Certificate::is_self_issued() const { return std::ranges::equal(issuer, subject); }

tl::expected<Certificate, CertificateFault> parse_certificate(Bytes der) {
  Certificate certificate;
  certificate.der = std::move(der);
  if (const auto fault = read_certificate(certificate)) return tl::unexpected(*fault);
  sha256(certificate.der, certificate.fingerprint);
  return certificate;
}

tl::expected<Certificate, CertificateFault> parse_certificate(ByteView der) {
  if (der.size() > limits::certificate_bytes_max) return tl::unexpected(Fault::too_large);
  return parse_certificate(Bytes(der.begin(), der.end()));
}

const char* text_of(CertificateFault fault) {
  switch (fault) {
    case Fault::too_large:
      return "larger than 256 KiB";
    case Fault::not_der:
      return "not a certificate in DER";
    case Fault::trailing_bytes:
      return "more bytes after the certificate";
    case Fault::bad_version:
      return "its version is none of 1 to 3";
    case Fault::bad_serial:
      return "no serial number";
    case Fault::algorithms_differ:
      return "names two different signature algorithms";
    case Fault::bad_name:
      return "issuer or subject is malformed";
    case Fault::bad_validity:
      return "its validity is malformed";
    case Fault::bad_public_key:
      return "its public key is malformed";
    case Fault::bad_signature:
      return "its signature is malformed";
    case Fault::bad_extensions:
      return "its extensions are malformed";
    case Fault::repeated_extension:
      return "has the same extension twice";
    case Fault::too_many_names:
      return "has more than 8,192 alternative names";
    case Fault::bad_alternative_names:
      return "its alternative names are malformed";
    case Fault::bad_basic_constraints:
      return "its basic constraints are malformed";
    case Fault::bad_key_usage:
      return "its key usage is malformed";
    case Fault::bad_extended_key_usage:
      return "its extended key usage is malformed";
    case Fault::bad_name_constraints:
      return "its name constraints are malformed";
  }
  return "?";
}

SignatureAlgorithm read_signature_algorithm(ByteView algorithm_identifier) {
  Reader reader(algorithm_identifier);
  const auto algorithm = read_algorithm(reader);
  return algorithm ? signature_algorithm_of(*algorithm) : SignatureAlgorithm::other;
}

}  // namespace sluice::tls
