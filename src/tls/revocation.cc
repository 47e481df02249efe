#include "tls/revocation.h"

#include <algorithm>

#include "base/limits.h"
#include "tls/der_oid.h"

namespace sluice::tls {
namespace {

using der::Reader;
using Fault = RevocationFault;
using MaybeFault = std::optional<Fault>;

// RFC 5280, 5.2 and 5.3; RFC 6960, 4.2.1.
constexpr std::array<uint8_t, 3> crl_number{0x55, 0x1d, 0x14};                  // 2.5.29.20
constexpr std::array<uint8_t, 3> reason_code{0x55, 0x1d, 0x15};                 // 2.5.29.21
constexpr std::array<uint8_t, 3> delta_crl_indicator{0x55, 0x1d, 0x1b};         // 2.5.29.27
constexpr std::array<uint8_t, 3> issuing_distribution_point{0x55, 0x1d, 0x1c};  // 2.5.29.28
constexpr std::array<uint8_t, 3> certificate_issuer{0x55, 0x1d, 0x1d};          // 2.5.29.29
constexpr std::array<uint8_t, 9> ocsp_basic{0x2b, 0x06, 0x01, 0x05, 0x05,
                                            0x07, 0x30, 0x01, 0x01};  // 1.3.6.1.5.5.7.48.1.1
constexpr uint8_t enumerated_tag = 0x0a;
constexpr uint32_t remove_from_crl = 8;

// Clocks differ: so far in the future may an answer have been made.
constexpr int64_t clock_skew_s = 300;
// Without nextUpdate newer information is always available (RFC 6960, 4.2.2.1): so old may a staple then be.
constexpr int64_t staple_without_end_s = 7 * 24 * 3600;

template <class Oid>
bool is_oid(ByteView content, const Oid& oid) {
  return std::ranges::equal(content, oid);
}

struct Extension {
  ByteView oid;
  bool critical = false;
  ByteView value;
};

std::optional<Extension> read_extension(Reader& list) {
  auto inner = list.inside(der::sequence_tag);
  if (!inner) return std::nullopt;
  Extension extension;
  const auto oid = inner->element(der::oid_tag);
  if (!oid) return std::nullopt;
  extension.oid = oid->content;
  if (inner->is_next(der::boolean_tag)) {
    const auto critical = inner->boolean();
    if (!critical) return std::nullopt;
    extension.critical = *critical;
  }
  const auto value = inner->element(der::octet_string_tag);
  if (!value || !inner->empty()) return std::nullopt;
  extension.value = value->content;
  return extension;
}

DigestKind digest_kind(ByteView oid) {
  if (is_oid(oid, der_oid::sha1)) return DigestKind::sha1;
  if (is_oid(oid, der_oid::sha256)) return DigestKind::sha256;
  if (is_oid(oid, der_oid::sha384)) return DigestKind::sha384;
  if (is_oid(oid, der_oid::sha512)) return DigestKind::sha512;
  return DigestKind::other;
}

bool serial_less(ByteView one, ByteView other) {
  if (one.size() != other.size()) return one.size() < other.size();
  return std::ranges::lexicographical_compare(one, other);
}

// --- CRLs
// -----------------------------------------------------------------------------------------------------------

/// What the extensions of one entry mean: whether it counts.
struct EntryMeaning {
  MaybeFault fault;
  bool is_listed = true;
};

EntryMeaning read_entry_extensions(Reader& entry) {
  EntryMeaning meaning;
  auto list = entry.inside(der::sequence_tag);
  if (!list || !entry.empty()) return {Fault::bad_entry};
  while (!list->empty()) {
    const auto extension = read_extension(*list);
    if (!extension) return {Fault::bad_entry};
    if (is_oid(extension->oid, certificate_issuer)) return {Fault::is_indirect};
    if (is_oid(extension->oid, reason_code)) {
      Reader value(extension->value);
      const auto reason = value.small_integer(enumerated_tag);
      if (!reason) return {Fault::bad_entry};
      meaning.is_listed = *reason != remove_from_crl;
    } else if (extension->critical) {
      return {Fault::unknown_critical};
    }
  }
  return meaning;
}

MaybeFault read_entries(Reader list, std::vector<ByteView>& serials) {
  while (!list.empty()) {
    auto entry = list.inside(der::sequence_tag);
    if (!entry) return Fault::bad_entry;
    const auto serial = entry->integer();
    if (!serial || !entry->time()) return Fault::bad_entry;
    EntryMeaning meaning;
    if (!entry->empty()) meaning = read_entry_extensions(*entry);
    if (meaning.fault) return meaning.fault;
    if (serials.size() >= limits::crl_entries_max) return Fault::too_many_entries;
    if (meaning.is_listed) serials.push_back(*serial);
  }
  return std::nullopt;
}

/// IssuingDistributionPoint (RFC 5280, 5.2.5). Which distribution point, and for which reasons, does not
/// matter here: whatever is listed is revoked.
MaybeFault read_distribution_point(ByteView value, Crl& crl) {
  Reader outer(value);
  auto inner = outer.inside(der::sequence_tag);
  if (!inner || !outer.empty()) return Fault::bad_extensions;
  while (!inner->empty()) {
    const auto field = inner->element();
    if (!field) return Fault::bad_extensions;
    const bool is_true = field->content.size() == 1 && field->content[0] != 0;
    if (field->tag == der::context(1)) crl.only_user_certificates = is_true;
    if (field->tag == der::context(2)) crl.only_ca_certificates = is_true;
    if (field->tag == der::context(4) && is_true) return Fault::is_indirect;
  }
  return std::nullopt;
}

MaybeFault read_crl_extensions(Reader& tbs, Crl& crl) {
  auto outer = tbs.inside(der::context_constructed(0));
  if (!outer) return Fault::bad_extensions;
  auto list = outer->inside(der::sequence_tag);
  if (!list || !outer->empty() || !tbs.empty()) return Fault::bad_extensions;
  while (!list->empty()) {
    const auto extension = read_extension(*list);
    if (!extension) return Fault::bad_extensions;
    if (is_oid(extension->oid, delta_crl_indicator)) return Fault::is_delta;
    if (is_oid(extension->oid, issuing_distribution_point)) {
      if (const auto fault = read_distribution_point(extension->value, crl)) return fault;
    } else if (extension->critical && !is_oid(extension->oid, der_oid::authority_key_id) &&
               !is_oid(extension->oid, crl_number)) {
      return Fault::unknown_critical;
    }
  }
  return std::nullopt;
}

MaybeFault read_tbs(ByteView content, ByteView outer_algorithm, Crl& crl) {
  Reader tbs(content);
  if (tbs.is_next(der::integer_tag)) {
    const auto version = tbs.small_integer();
    if (!version || *version != 1) return Fault::bad_version;
  }
  const auto algorithm = tbs.element(der::sequence_tag);
  if (!algorithm) return Fault::not_der;
  if (!std::ranges::equal(algorithm->whole, outer_algorithm)) return Fault::algorithms_differ;
  const auto issuer = tbs.element(der::sequence_tag);
  if (!issuer) return Fault::bad_name;
  crl.issuer = issuer->whole;
  const auto this_update = tbs.time();
  if (!this_update) return Fault::bad_time;
  crl.this_update = *this_update;
  if (tbs.is_next(der::utc_time_tag) || tbs.is_next(der::generalized_time_tag)) {
    crl.next_update = tbs.time();
    if (!crl.next_update) return Fault::bad_time;
  }
  if (tbs.is_next(der::sequence_tag)) {
    if (const auto fault = read_entries(*tbs.inside(der::sequence_tag), crl.serials)) return fault;
  }
  return tbs.empty() ? std::nullopt : read_crl_extensions(tbs, crl);
}

MaybeFault read_crl(Crl& crl) {
  Reader outer(crl.der);
  auto list = outer.inside(der::sequence_tag);
  if (!list) return Fault::not_der;
  if (!outer.empty()) return Fault::trailing_bytes;
  const auto tbs = list->element(der::sequence_tag);
  const auto algorithm = list->element(der::sequence_tag);
  const auto signature = list->octet_bits();
  if (!tbs || !algorithm || !signature || !list->empty()) return Fault::not_der;
  crl.tbs = tbs->whole;
  crl.signature_algorithm = read_signature_algorithm(algorithm->whole);
  crl.signature = *signature;
  return read_tbs(tbs->content, algorithm->whole, crl);
}

}  // namespace

const char* text_of(RevocationFault fault) {
  switch (fault) {
    case Fault::not_der:
      return "it is not DER of the right form";
    case Fault::trailing_bytes:
      return "there are bytes after its end";
    case Fault::bad_version:
      return "its version is unknown";
    case Fault::algorithms_differ:
      return "it names two signature algorithms";
    case Fault::bad_name:
      return "a name in it is malformed";
    case Fault::bad_time:
      return "a time in it is malformed";
    case Fault::bad_entry:
      return "an entry is malformed";
    case Fault::bad_extensions:
      return "its extensions are malformed";
    case Fault::unknown_critical:
      return "it has a critical extension that is not known here";
    case Fault::is_delta:
      return "it is a delta CRL, which is of no use without its base; give the full one";
    case Fault::is_indirect:
      return "it is an indirect CRL (for certificates of several CAs), which is not supported";
    case Fault::too_many_entries:
      return "it has too many entries";
    case Fault::not_successful:
      return "the responder could not answer";
    case Fault::bad_response_type:
      return "it is not a basic OCSP response";
  }
  return "?";
}

bool Crl::lists(ByteView serial) const {
  const auto found = std::lower_bound(serials.begin(), serials.end(), serial, serial_less);
  return found != serials.end() && std::ranges::equal(*found, serial);
}

bool Crl::is_by(const Certificate& issuer_certificate) const {
  if (!std::ranges::equal(issuer_certificate.subject, issuer)) return false;
  if (issuer_certificate.key_usage && (*issuer_certificate.key_usage & crl_sign_usage) == 0) return false;
  const PublicKey& key = issuer_certificate.public_key;
  const SignatureCheck check = signature_algorithm == SignatureAlgorithm::ed25519
                                   ? check_signature(signature_algorithm, key, tbs, signature)
                                   : check_digest(signature_algorithm, key, digest, signature);
  return check == SignatureCheck::good;
}

tl::expected<Crl, RevocationFault> parse_crl(Bytes der) {
  Crl crl;
  crl.der = std::move(der);  // a moved vector keeps its storage, so the views stay valid when the Crl moves
  if (const auto fault = read_crl(crl)) return tl::unexpected(*fault);
  std::sort(crl.serials.begin(), crl.serials.end(), serial_less);
  crl.digest = signed_digest(crl.signature_algorithm, crl.tbs);
  return crl;
}

// --- OCSP
// -----------------------------------------------------------------------------------------------------------

namespace {

std::optional<OcspStatus> read_status(Reader& single) {
  const auto status = single.element();
  if (!status) return std::nullopt;
  if (status->tag == der::context(0)) return OcspStatus::good;
  if (status->tag == der::context_constructed(1)) return OcspStatus::revoked;
  if (status->tag == der::context(2)) return OcspStatus::unknown;
  return std::nullopt;
}

/// CertID (RFC 6960, 4.1.1).
bool read_certificate_id(Reader& single, OcspAnswer& answer) {
  auto id = single.inside(der::sequence_tag);
  if (!id) return false;
  auto algorithm = id->inside(der::sequence_tag);
  if (!algorithm) return false;
  const auto oid = algorithm->element(der::oid_tag);
  const auto name_hash = id->element(der::octet_string_tag);
  const auto key_hash = id->element(der::octet_string_tag);
  const auto serial = id->integer();
  if (!oid || !name_hash || !key_hash || !serial || !id->empty()) return false;
  answer.hash = digest_kind(oid->content);
  answer.issuer_name_hash = name_hash->content;
  answer.issuer_key_hash = key_hash->content;
  answer.serial = *serial;
  return true;
}

/// SingleResponse (RFC 6960, 4.2.1). Extensions of one do not change what it says.
MaybeFault read_answer(Reader& list, OcspAnswer& answer) {
  auto single = list.inside(der::sequence_tag);
  if (!single || !read_certificate_id(*single, answer)) return Fault::bad_entry;
  const auto status = read_status(*single);
  if (!status) return Fault::bad_entry;
  answer.status = *status;
  const auto this_update = single->time();
  if (!this_update) return Fault::bad_time;
  answer.this_update = *this_update;
  if (auto next = single->inside(der::context_constructed(0))) {
    answer.next_update = next->time();
    if (!answer.next_update || !next->empty()) return Fault::bad_time;
  }
  if (single->is_next(der::context_constructed(1)) && !single->element()) return Fault::bad_extensions;
  return single->empty() ? std::nullopt : MaybeFault(Fault::bad_entry);
}

/// ResponseData (RFC 6960, 4.2.1).
MaybeFault read_response_data(Reader data, OcspResponse& response) {
  if (auto version = data.inside(der::context_constructed(0))) {
    const auto number = version->small_integer();
    if (!number || *number != 0 || !version->empty()) return Fault::bad_version;
  }
  if (auto by_name = data.inside(der::context_constructed(1))) {
    const auto name = by_name->element(der::sequence_tag);
    if (!name || !by_name->empty()) return Fault::bad_name;
    response.responder_name = name->whole;
  } else if (auto by_key = data.inside(der::context_constructed(2))) {
    const auto key = by_key->element(der::octet_string_tag);
    if (!key || key->content.empty() || !by_key->empty()) return Fault::bad_name;
    response.responder_key_hash = key->content;
  } else {
    return Fault::bad_name;
  }
  if (!data.time()) return Fault::bad_time;  // producedAt
  auto answers = data.inside(der::sequence_tag);
  if (!answers) return Fault::not_der;
  while (!answers->empty()) {
    if (response.answers.size() >= limits::ocsp_answers_max) return Fault::too_many_entries;
    if (const auto fault = read_answer(*answers, response.answers.emplace_back())) return fault;
  }
  if (data.is_next(der::context_constructed(1))) {
    auto outer = data.inside(der::context_constructed(1));
    auto list = outer ? outer->inside(der::sequence_tag) : std::nullopt;
    if (!list || !outer->empty()) return Fault::bad_extensions;
    while (!list->empty()) {
      const auto extension = read_extension(*list);
      if (!extension) return Fault::bad_extensions;
      if (extension->critical) return Fault::unknown_critical;
    }
  }
  return data.empty() ? std::nullopt : MaybeFault(Fault::not_der);
}

MaybeFault read_basic_response(ByteView der, OcspResponse& response) {
  Reader outer(der);
  auto basic = outer.inside(der::sequence_tag);
  if (!basic || !outer.empty()) return Fault::not_der;
  const auto tbs = basic->element(der::sequence_tag);
  const auto algorithm = basic->element(der::sequence_tag);
  const auto signature = basic->octet_bits();
  if (!tbs || !algorithm || !signature) return Fault::not_der;
  response.tbs = tbs->whole;
  response.signature_algorithm = read_signature_algorithm(algorithm->whole);
  response.signature = *signature;
  if (auto certificates = basic->inside(der::context_constructed(0))) {
    auto list = certificates->inside(der::sequence_tag);
    if (!list || !certificates->empty()) return Fault::not_der;
    while (!list->empty()) {
      const auto certificate = list->element(der::sequence_tag);
      if (!certificate) return Fault::not_der;
      if (response.certificates.size() < limits::ocsp_certificates_max)
        response.certificates.push_back(certificate->whole);
    }
  }
  if (!basic->empty()) return Fault::not_der;
  return read_response_data(Reader(tbs->content), response);
}

bool is_responder(const OcspResponse& response, const Certificate& certificate) {
  if (!response.responder_name.empty())
    return std::ranges::equal(response.responder_name, certificate.subject);
  return std::ranges::equal(response.responder_key_hash,
                            digest_of(DigestKind::sha1, certificate.public_key.key));
}

bool is_signed_by(const OcspResponse& response, const Certificate& certificate) {
  return check_signature(response.signature_algorithm, certificate.public_key, response.tbs,
                         response.signature) == SignatureCheck::good;
}

/// RFC 6960, 4.2.2.2: certified by the issuer itself, for this purpose by name.
bool is_delegate_of(const Certificate& delegate, const Certificate& issuer, int64_t now_s) {
  return delegate.extended_key_usage && delegate.extended_key_usage->ocsp_signing &&
         delegate.not_before <= now_s && now_s <= delegate.not_after && !delegate.has_unknown_critical &&
         !is_weak(delegate.public_key) && !is_weak(delegate.signature_algorithm) &&
         std::ranges::equal(delegate.issuer, issuer.subject) &&
         check_signature(delegate.signature_algorithm, issuer.public_key, delegate.tbs, delegate.signature) ==
             SignatureCheck::good;
}

bool is_authentic(const OcspResponse& response, const Certificate& issuer, int64_t now_s) {
  if (is_weak(response.signature_algorithm)) return false;
  if (is_responder(response, issuer) && is_signed_by(response, issuer)) return true;
  return std::ranges::any_of(response.certificates, [&](ByteView der) {
    const auto delegate = parse_certificate(der);
    return delegate && is_responder(response, *delegate) && is_delegate_of(*delegate, issuer, now_s) &&
           is_signed_by(response, *delegate);
  });
}

bool is_about(const OcspAnswer& answer, const Certificate& certificate, const Certificate& issuer) {
  if (answer.hash == DigestKind::other || !std::ranges::equal(answer.serial, certificate.serial))
    return false;
  return std::ranges::equal(answer.issuer_name_hash, digest_of(answer.hash, issuer.subject)) &&
         std::ranges::equal(answer.issuer_key_hash, digest_of(answer.hash, issuer.public_key.key));
}

}  // namespace

tl::expected<OcspResponse, RevocationFault> parse_ocsp_response(ByteView der) {
  Reader outer(der);
  auto whole = outer.inside(der::sequence_tag);
  if (!whole) return tl::unexpected(Fault::not_der);
  if (!outer.empty()) return tl::unexpected(Fault::trailing_bytes);
  const auto status = whole->small_integer(enumerated_tag);
  if (!status) return tl::unexpected(Fault::not_der);
  if (*status != 0) return tl::unexpected(Fault::not_successful);
  auto bytes = whole->inside(der::context_constructed(0));
  auto typed = bytes ? bytes->inside(der::sequence_tag) : std::nullopt;
  if (!typed || !bytes->empty() || !whole->empty()) return tl::unexpected(Fault::not_der);
  const auto type = typed->element(der::oid_tag);
  const auto content = typed->element(der::octet_string_tag);
  if (!type || !content || !typed->empty()) return tl::unexpected(Fault::not_der);
  if (!is_oid(type->content, ocsp_basic)) return tl::unexpected(Fault::bad_response_type);
  OcspResponse response;
  if (const auto fault = read_basic_response(content->content, response)) return tl::unexpected(*fault);
  return response;
}

Staple judge_staple(ByteView der, const Certificate& certificate, const Certificate& issuer, int64_t now_s) {
  const auto response = parse_ocsp_response(der);
  if (!response) return {};
  const auto answer = std::ranges::find_if(response->answers, [&](const OcspAnswer& candidate) {
    return is_about(candidate, certificate, issuer);
  });
  if (answer == response->answers.end() || answer->status == OcspStatus::unknown) return {};
  const int64_t valid_until = answer->next_update.value_or(answer->this_update + staple_without_end_s);
  if (answer->this_update > now_s + clock_skew_s || valid_until < now_s) return {};
  if (!is_authentic(*response, issuer, now_s)) return {};
  return {answer->status == OcspStatus::good ? StapleVerdict::good : StapleVerdict::revoked, valid_until};
}

}  // namespace sluice::tls
