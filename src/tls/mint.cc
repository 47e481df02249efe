#include "tls/mint.h"

#include <sys/random.h>

#include <algorithm>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/limits.h"
#include "tls/certificate_writer.h"
#include "tls/der_oid.h"

namespace sluice::tls {
namespace {

using der::Writer;

struct Validity {
  int64_t not_before = 0;
  int64_t not_after = 0;
};

/// S16. Beside the origin's own dates, `origin` may say "always".
Validity clipped(Validity origin, const Authority& authority, int64_t now, MintDates dates) {
  const int64_t backdated = now - limits::leaf_backdate_s;
  const bool is_expired = origin.not_after < now;
  if (dates == MintDates::always_valid && (is_expired || origin.not_before > now))
    origin = {authority.not_before(), authority.not_after()};
  Validity leaf;
  leaf.not_before = std::max({origin.not_before, backdated, authority.not_before()});
  // Of an expired one, the last day is shown, even when that was before our CA began.
  if (dates == MintDates::as_origin && is_expired)
    leaf.not_before = std::max(origin.not_before, origin.not_after - limits::leaf_backdate_s);
  leaf.not_after =
      std::min({origin.not_after, authority.not_after(), leaf.not_before + limits::leaf_lifetime_s});
  // An origin whose validity ends before it begins, or begins after our CA ends: never valid, like the
  // original.
  leaf.not_before = std::min(leaf.not_before, leaf.not_after);
  return leaf;
}

/// The requested name as it may stand in a certificate: lower case, without a final dot. Empty: no host name.
std::string host_text(std::string_view name) {
  if (name.ends_with('.')) name.remove_suffix(1);
  if (name.empty() || name.size() > limits::host_bytes_max) return {};
  std::string text(name);
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    const bool is_good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
    if (!is_good) return {};
  }
  return text;
}

bool has_literally(const Certificate& certificate, std::string_view host) {
  return std::ranges::any_of(certificate.dns_names,
                             [&](std::string_view name) { return host_text(name) == host; });
}

/// What clients would refuse a certificate for, and no client can match, is left out.
bool is_fit_to_copy(const GeneralName& name) {
  if (name.kind == NameKind::ip) return name.value.size() == 4 || name.value.size() == 16;
  if (name.kind != NameKind::dns) return true;
  return !name.value.empty() && name.value.size() <= limits::host_bytes_max &&
         std::ranges::all_of(name.value, [](uint8_t octet) { return octet > 0x20 && octet < 0x7f; });
}

/// `added` is a host name that goes behind the origin's, or empty.
void write_alternative_names(Writer& out, const Certificate& origin, std::string_view added) {
  const size_t mark = out.mark();
  if (!added.empty()) out.element(der::context(2), added);
  for (auto name = origin.alternative_names.rbegin(); name != origin.alternative_names.rend(); ++name)
    if (is_fit_to_copy(*name)) out.raw(name->whole);
  if (out.mark() == mark) return;  // an empty list is forbidden, an absent one is not
  out.wrap(der::sequence_tag, mark);
  const bool has_subject = origin.subject.size() > 2;
  // RFC 5280, 4.2.1.6.
  wrap_extension(out, mark, der_oid::subject_alternative_name, !has_subject);
}

void write_server_purpose(Writer& out) {
  const size_t mark = out.mark();
  out.oid(der_oid::server_auth);
  out.wrap(der::sequence_tag, mark);
  wrap_extension(out, mark, der_oid::extended_key_usage, false);
}

void write_not_a_ca(Writer& out) {
  const size_t mark = out.mark();
  out.wrap(der::sequence_tag, mark);
  wrap_extension(out, mark, der_oid::basic_constraints, true);
}

tl::expected<Leaf, MintFault> finish(const Authority& authority, const LeafKey& leaf_key, ByteView subject,
                                     Validity validity, const MintRequest& request, Writer extensions) {
  write_authority_key_id(extensions, authority.key_id());
  write_subject_key_id(extensions, leaf_key.key_id());
  write_server_purpose(extensions);
  write_key_usage(extensions, digital_signature_usage);
  write_not_a_ca(extensions);
  if (extensions.mark() + subject.size() > limits::certificate_bytes_max - 4096)
    return tl::unexpected(MintFault::too_large);

  Serial serial = request.serial;
  serial[0] = static_cast<uint8_t>((serial[0] & 0x3f) | 0x40);  // positive, and always 16 octets
  Draft draft;
  draft.serial = serial;
  draft.issuer = authority.certificate().subject;
  draft.subject = subject;
  draft.spki = leaf_key.spki();
  draft.not_before = validity.not_before;
  draft.not_after = validity.not_after;
  auto certificate = sign_certificate(draft, std::move(extensions), authority.key());
  if (!certificate) return tl::unexpected(MintFault::cannot_sign);
  if (authority.has_name_constraints()) {
    const auto parsed = parse_certificate(ByteView(*certificate));
    if (!parsed || !authority.may_certify(*parsed)) return tl::unexpected(MintFault::outside_constraints);
  }
  Leaf leaf;
  leaf.leaf_bytes = certificate->size();
  leaf.chain = *std::move(certificate);
  const ByteView above = authority.sent_chain();
  leaf.chain.insert(leaf.chain.end(), above.begin(), above.end());
  leaf.chain.shrink_to_fit();
  leaf.not_before = validity.not_before;
  leaf.not_after = validity.not_after;
  return leaf;
}

bool is_valid_at(const Authority& authority, int64_t now) {
  return now >= authority.not_before() && now <= authority.not_after();
}

}  // namespace

Serial random_serial() {
  Serial serial{};
  // Up to 256 bytes are never cut short, once the pool is ready (getrandom(2)).
  SLUICE_CHECK(getrandom(serial.data(), serial.size(), 0) == static_cast<ssize_t>(serial.size()));
  return serial;
}

tl::expected<Leaf, MintFault> mint(const Authority& authority, const LeafKey& leaf_key,
                                   const Certificate& origin, const MintRequest& request) {
  if (!is_valid_at(authority, request.now)) return tl::unexpected(MintFault::authority_expired);
  std::string added;
  // An address that is covered is there already, as is any name without a wildcard.
  if (!IpAddress::parse(request.name) && covers_name(origin, request.name)) {
    added = host_text(request.name);
    if (added.empty()) return tl::unexpected(MintFault::bad_name);
    if (has_literally(origin, added)) added.clear();
  }
  Writer extensions(origin.der.size() + 1024);
  write_alternative_names(extensions, origin, added);
  const Validity validity =
      clipped({origin.not_before, origin.not_after}, authority, request.now, request.dates);
  return finish(authority, leaf_key, origin.subject, validity, request, std::move(extensions));
}

tl::expected<Leaf, MintFault> mint_for_page(const Authority& authority, const LeafKey& leaf_key,
                                            const MintRequest& request) {
  if (!is_valid_at(authority, request.now)) return tl::unexpected(MintFault::authority_expired);
  Writer extensions;
  const size_t mark = extensions.mark();
  if (const auto address = IpAddress::parse(request.name)) {
    const ByteView octets(address->bytes);
    extensions.element(der::context(7), address->is_v4() ? octets.last(4) : octets);
  } else {
    const std::string host = host_text(request.name);
    if (host.empty()) return tl::unexpected(MintFault::bad_name);
    extensions.element(der::context(2), host);
  }
  extensions.wrap(der::sequence_tag, mark);
  // No subject: a common name may have 64 characters, a host name more.
  wrap_extension(extensions, mark, der_oid::subject_alternative_name, true);
  static constexpr std::array<uint8_t, 2> no_subject{der::sequence_tag, 0};
  const Validity validity = clipped({authority.not_before(), authority.not_after()}, authority, request.now,
                                    MintDates::always_valid);
  return finish(authority, leaf_key, no_subject, validity, request, std::move(extensions));
}

const char* text_of(MintFault fault) {
  switch (fault) {
    case MintFault::outside_constraints:
      return "the CA's name constraints do not allow this certificate";
    case MintFault::authority_expired:
      return "the CA is not valid now";
    case MintFault::bad_name:
      return "the requested name is no host name";
    case MintFault::too_large:
      return "the certificate would be too large";
    case MintFault::cannot_sign:
      return "signing failed";
  }
  return "?";
}

}  // namespace sluice::tls
