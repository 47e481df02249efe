// CRLs and OCSP responses as bytes: what openssl makes is read, what is broken is refused with its fault.
#include "tls/revocation.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "unit/tls/origin_data.h"

namespace {

using namespace sluice;
using testing::certificate_of;
using testing::ders_of;
using tls::Bytes;
using tls::RevocationFault;

Bytes crl_bytes(const std::string& name) { return ders_of(name).at(0); }

}  // namespace

TEST_CASE("a CRL lists serial numbers, and is by its issuer alone") {
  const auto crl = tls::parse_crl(crl_bytes("intermediate.crl"));
  REQUIRE(crl);
  CHECK(crl->size() == 1);
  CHECK(crl->lists(certificate_of("chain-revoked.pem").serial));
  CHECK_FALSE(crl->lists(certificate_of("chain-good.pem").serial));
  CHECK(crl->is_by(certificate_of("intermediate.pem")));
  CHECK_FALSE(crl->is_by(certificate_of("root.pem")));
  CHECK_FALSE(crl->is_by(certificate_of("chain-forged.pem", 1)));  // the same name, another key
  CHECK(crl->this_update == 1798761600);                           // 2027-01-01
  CHECK(crl->next_update == 3786912000);                           // 2090-01-01
  const auto forged = tls::parse_crl(crl_bytes("forged.crl"));
  REQUIRE(forged);
  CHECK(forged->size() == 40);
  CHECK(forged->lists(certificate_of("chain-wildcard.pem").serial));
}

TEST_CASE("a CRL by a key that may not sign CRLs, or with a changed bit, is by nobody") {
  auto issuer = certificate_of("intermediate.pem");
  auto crl = tls::parse_crl(crl_bytes("intermediate.crl"));
  REQUIRE(crl);
  issuer.key_usage = tls::key_cert_sign_usage;
  CHECK_FALSE(crl->is_by(issuer));
  issuer.key_usage.reset();
  CHECK(crl->is_by(issuer));
  Bytes changed = crl_bytes("intermediate.crl");
  changed.back() ^= 1;
  crl = tls::parse_crl(changed);
  REQUIRE(crl);
  CHECK_FALSE(crl->is_by(issuer));
}

TEST_CASE("CRLs that are refused say why") {
  const auto fault_of = [](Bytes der) {
    const auto crl = tls::parse_crl(std::move(der));
    REQUIRE_FALSE(crl);
    return crl.error();
  };
  CHECK(fault_of({}) == RevocationFault::not_der);
  CHECK(fault_of(crl_bytes("delta.crl")) == RevocationFault::is_delta);
  CHECK(fault_of(crl_bytes("indirect.crl")) == RevocationFault::is_indirect);
  Bytes longer = crl_bytes("intermediate.crl");
  longer.push_back(0);
  CHECK(fault_of(longer) == RevocationFault::trailing_bytes);
  Bytes version = crl_bytes("intermediate.crl");
  const Bytes v2 = {0x02, 0x01, 0x01};
  const auto at = std::search(version.begin(), version.end(), v2.begin(), v2.end());
  REQUIRE(at != version.end());
  at[2] = 7;
  CHECK(fault_of(version) == RevocationFault::bad_version);
  // Every shortening is refused, and never read past its end.
  const Bytes whole = crl_bytes("for-users.crl");
  for (size_t size = 0; size < whole.size(); ++size)
    CHECK_FALSE(tls::parse_crl(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size))));
}

TEST_CASE("an OCSP response is read, with its answers and responder") {
  const Bytes der = testing::origin_bytes("revoked-by-delegate.ocsp");
  const auto response = tls::parse_ocsp_response(der);
  REQUIRE(response);
  REQUIRE(response->answers.size() == 1);
  CHECK(response->answers[0].status == tls::OcspStatus::revoked);
  CHECK(response->answers[0].hash == tls::DigestKind::sha1);
  CHECK(std::ranges::equal(response->answers[0].serial, certificate_of("chain-revoked.pem").serial));
  CHECK(response->certificates.size() == 1);
  CHECK_FALSE(response->responder_name.empty());
  CHECK(response->responder_key_hash.empty());
  const Bytes with_sha256 = testing::origin_bytes("good-sha256.ocsp");
  const auto other = tls::parse_ocsp_response(with_sha256);
  REQUIRE(other);
  CHECK(other->answers.at(0).hash == tls::DigestKind::sha256);
  CHECK(other->answers.at(0).status == tls::OcspStatus::good);
  const Bytes unknown_der = testing::origin_bytes("unknown.ocsp");
  const auto unknown = tls::parse_ocsp_response(unknown_der);
  REQUIRE(unknown);
  CHECK(unknown->answers.at(0).status == tls::OcspStatus::unknown);
}

TEST_CASE("OCSP responses that are none say why") {
  const auto fault_of = [](const Bytes& der) {
    const auto response = tls::parse_ocsp_response(der);
    REQUIRE_FALSE(response);
    return response.error();
  };
  CHECK(fault_of({}) == RevocationFault::not_der);
  CHECK(fault_of({0x30, 0x03, 0x0a, 0x01, 0x03}) == RevocationFault::not_successful);  // tryLater
  const Bytes good = testing::origin_bytes("good.ocsp");
  Bytes longer = good;
  longer.push_back(0);
  CHECK(fault_of(longer) == RevocationFault::trailing_bytes);
  Bytes other_type = good;
  const Bytes basic = {0x30, 0x01, 0x01};
  const auto at = std::search(other_type.begin(), other_type.end(), basic.begin(), basic.end());
  REQUIRE(at != other_type.end());
  at[2] = 2;
  CHECK(fault_of(other_type) == RevocationFault::bad_response_type);
  for (size_t size = 0; size < good.size(); ++size)
    CHECK_FALSE(tls::parse_ocsp_response(tls::ByteView(good).first(size)));
}
