// A certificate from an origin, or a PEM file: whatever the bytes are, they are read or refused; what is read
// keeps the promises of its header; what is minted from it is a certificate again, with the same subject and
// within its limits.
#include <algorithm>
#include <string>

#include "base/check.h"
#include "base/limits.h"
#include "fuzz/driver.h"
#include "tls/authority.h"
#include "tls/certificate.h"
#include "tls/leaf_key.h"
#include "tls/mint.h"
#include "tls/pem.h"

using namespace sluice;
using namespace sluice::tls;

namespace {

constexpr int64_t now_s = 1795262400;  // 2026-11-21

/// Made once: what is checked does not depend on which keys these are.
struct World {
  Authority authority = Authority::make_untrusted(now_s);
  LeafKey leaf_key = LeafKey::generate(LeafKeyKind::p256);
};
const World& world() {
  static const World only;
  return only;
}

bool is_inside(ByteView part, const Bytes& whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

void check_promises(const Certificate& certificate) {
  for (const ByteView part : {certificate.tbs, certificate.signature, certificate.serial, certificate.issuer,
                              certificate.subject, certificate.public_key.spki, certificate.public_key.key,
                              certificate.subject_key_id, certificate.authority_key_id})
    SLUICE_CHECK(is_inside(part, certificate.der));
  SLUICE_CHECK(certificate.version >= 1 && certificate.version <= 3);
  SLUICE_CHECK(certificate.alternative_names.size() <= limits::certificate_names_max);
  SLUICE_CHECK(certificate.dns_names.size() + certificate.ip_addresses.size() <=
               certificate.alternative_names.size());
  for (const std::string_view name : certificate.dns_names)
    SLUICE_CHECK(std::ranges::all_of(name, [](char c) { return c > ' ' && c < 0x7f; }));
  for (const IpAddress& address : certificate.ip_addresses) SLUICE_CHECK(covers_name(certificate, address));
  for (const std::string& text :
       {name_text(certificate.subject), name_text(certificate.issuer), key_text(certificate.public_key)})
    SLUICE_CHECK(text.find('\n') == std::string::npos);
  if (certificate.name_constraints) (void)is_within(*certificate.name_constraints, certificate);
}

void check_minted(const Certificate& origin, std::string_view name, MintDates dates) {
  MintRequest request;
  request.name = name;
  request.now = now_s;
  request.dates = dates;
  const auto leaf = mint(world().authority, world().leaf_key, origin, request);
  if (!leaf) {
    SLUICE_CHECK(leaf.error() == MintFault::bad_name || leaf.error() == MintFault::too_large);
    return;
  }
  const auto again = parse_certificate(leaf->certificate());
  SLUICE_CHECK(again.has_value());
  SLUICE_CHECK(std::ranges::equal(again->subject, origin.subject));
  SLUICE_CHECK(!again->is_ca && again->version == 3 && again->serial.size() == 16);
  SLUICE_CHECK(again->not_before <= again->not_after &&
               again->not_after - again->not_before <= limits::leaf_lifetime_s);
  SLUICE_CHECK(again->not_after <= world().authority.not_after());
  SLUICE_CHECK(dates == MintDates::always_valid || again->not_after <= origin.not_after ||
               origin.not_after < -631152000);  // 1950: no certificate can say less
  SLUICE_CHECK(again->ocsp_urls.empty() && again->crl_urls.empty() && !again->must_staple);
  SLUICE_CHECK(!name.empty() && covers_name(origin, name) ? covers_name(*again, name) : true);
  SLUICE_CHECK(again->dns_names.size() <= origin.dns_names.size() + 1);
  for (const std::string_view dns : again->dns_names) {
    const auto is_same = [&](std::string_view other) { return other == dns; };
    SLUICE_CHECK(std::ranges::any_of(origin.dns_names, is_same) || covers_name(origin, dns));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const ByteView bytes(data, size);
  if (const auto blocks = read_pem(as_text(bytes))) {
    for (const PemBlock& block : *blocks) {
      const auto again = read_pem(write_pem("X", block.content));
      SLUICE_CHECK(again && again->size() == 1 && again->front().content == block.content);
    }
  }
  const auto certificate = parse_certificate(bytes);
  if (!certificate) {
    SLUICE_CHECK(*text_of(certificate.error()) != '?');
    return 0;
  }
  check_promises(*certificate);
  std::string name = "www.example.com";
  if (!certificate->dns_names.empty()) {
    name = certificate->dns_names.front();
    if (name.starts_with("*.")) name.replace(0, 1, "any");
  }
  check_minted(*certificate, name, MintDates::as_origin);
  check_minted(*certificate, "192.0.2.10", MintDates::always_valid);
  return 0;
}
