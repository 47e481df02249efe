#include "tls/certificate_writer.h"

#include <utility>

#include "tls/der_oid.h"

namespace sluice::tls {

using der::Writer;

std::optional<Bytes> sign_certificate(const Draft& draft, Writer extensions, const PrivateKey& signer) {
  // TBSCertificate (RFC 5280, 4.1), from its end to its beginning.
  Writer& tbs = extensions;
  tbs.wrap(der::sequence_tag, 0);
  tbs.wrap(der::context_constructed(3), 0);
  tbs.raw(draft.spki);
  tbs.raw(draft.subject);
  const size_t validity = tbs.mark();
  tbs.time(draft.not_after);
  tbs.time(draft.not_before);
  tbs.wrap(der::sequence_tag, validity);
  tbs.raw(draft.issuer);
  tbs.raw(signer.signature_algorithm());
  tbs.unsigned_integer(draft.serial);
  const size_t version = tbs.mark();
  tbs.integer(2);  // version 3
  tbs.wrap(der::context_constructed(0), version);
  tbs.wrap(der::sequence_tag, 0);

  Bytes signature;
  if (!signer.sign(tbs.bytes(), signature)) return std::nullopt;
  const Bytes signed_part = tbs.take();
  Writer out(signed_part.size() + signature.size() + 64);
  out.octet_bits(signature);
  out.raw(signer.signature_algorithm());
  out.raw(signed_part);
  out.wrap(der::sequence_tag, 0);
  return out.take();
}

void wrap_extension(Writer& out, size_t mark, ByteView oid, bool is_critical) {
  out.wrap(der::octet_string_tag, mark);
  if (is_critical) out.boolean(true);
  out.oid(oid);
  out.wrap(der::sequence_tag, mark);
}

void write_key_usage(Writer& out, uint16_t bits) {
  const size_t mark = out.mark();
  out.named_bits(bits);
  wrap_extension(out, mark, der_oid::key_usage, true);
}

void write_subject_key_id(Writer& out, ByteView key_id) {
  const size_t mark = out.mark();
  out.element(der::octet_string_tag, key_id);
  wrap_extension(out, mark, der_oid::subject_key_id, false);
}

void write_authority_key_id(Writer& out, ByteView key_id) {
  const size_t mark = out.mark();
  out.element(der::context(0), key_id);
  out.wrap(der::sequence_tag, mark);
  wrap_extension(out, mark, der_oid::authority_key_id, false);
}

Bytes make_name(std::string_view common_name, std::string_view organization) {
  Writer out;
  const auto attribute = [&](ByteView oid, std::string_view text) {
    const size_t mark = out.mark();
    out.element(der::utf8_string_tag, text);
    out.oid(oid);
    out.wrap(der::sequence_tag, mark);
    out.wrap(der::set_tag, mark);
  };
  attribute(der_oid::common_name, common_name);
  if (!organization.empty()) attribute(der_oid::organization, organization);
  out.wrap(der::sequence_tag, 0);
  return out.take();
}

}  // namespace sluice::tls
