// Files of roots, intermediates and CRLs: what is taken, and what is said of the rest.
#include "tls/trust.h"

#include <doctest/doctest.h>

#include <string>

#include "unit/tls/origin_data.h"

namespace {

using namespace sluice;
using testing::now_s;
using testing::origin_file;
using testing::TrustOf;

std::string der_text(const std::string& name) {
  const auto der = testing::ders_of(name).at(0);
  return {der.begin(), der.end()};
}

}  // namespace

TEST_CASE("roots come as PEM with any number of certificates, or as DER of one") {
  tls::TrustBuilder builder;
  CHECK(
      builder.add_roots(origin_file("root.pem") + "comment\n" + origin_file("root-other.pem"), now_s).count ==
      2);
  CHECK(builder.add_roots(der_text("root-rsa2048.pem"), now_s).count == 1);
  CHECK(builder.add_roots(origin_file("root.pem"), now_s).count == 0);  // known
  const auto trust = builder.build();
  CHECK(trust->roots().size() == 3);
  CHECK(trust->roots().by_subject(testing::certificate_of("root.pem").subject).size() == 1);
  CHECK(trust->roots().holds(testing::certificate_of("root-other.pem")));
  CHECK_FALSE(trust->roots().holds(testing::certificate_of("root-p384.pem")));
}

TEST_CASE("what is wrong with a file of certificates is said") {
  tls::TrustBuilder builder;
  CHECK(builder.add_roots("", now_s).error == "holds no certificate: neither PEM nor DER");
  CHECK(builder.add_roots("hello\n", now_s).error == "holds no certificate: neither PEM nor DER");
  CHECK(builder.add_roots(origin_file("root.crl"), now_s).error ==
        "holds no certificate, but a PEM block \"X509 CRL\"");
  CHECK(builder.add_roots("\n-----BEGIN CERTIFICATE-----\nAAAA\n", now_s).error.starts_with("line 2: "));
  CHECK(builder.add_roots("\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", now_s)
            .error.starts_with("the certificate in line 2 is malformed: "));
  CHECK(builder.add_intermediates("0123", now_s).error.starts_with("the certificate is malformed: "));
  CHECK(builder.add_crls(origin_file("root.pem"), now_s).error ==
        "holds no CRL, but a PEM block \"CERTIFICATE\"");
}

TEST_CASE("a strange certificate is taken with a warning") {
  tls::TrustBuilder builder;
  const auto expired = builder.add_roots(origin_file("root-expired.pem"), now_s);
  CHECK(expired.count == 1);
  REQUIRE(expired.warnings.size() == 1);
  CHECK(expired.warnings[0] == "the certificate in line 1 (CN=Expired Root) has expired");
  const auto leaf = builder.add_roots(origin_file("chain-missing-intermediate.pem"), now_s);
  REQUIRE(leaf.warnings.size() == 1);
  CHECK(leaf.warnings[0].find("is not a CA's: it makes that one certificate trusted") != std::string::npos);
  const auto no_ca = builder.add_intermediates(origin_file("chain-missing-intermediate.pem"), now_s);
  REQUIRE(no_ca.warnings.size() == 1);
  CHECK(no_ca.warnings[0].find("cannot complete any chain") != std::string::npos);
}

TEST_CASE("the system's bundle: what cannot be read is left out") {
  tls::TrustBuilder builder;
  const auto added = builder.add_system_roots(
      "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" + origin_file("root.pem"));
  CHECK(added.count == 1);
  CHECK(added.error.empty());
  REQUIRE(added.warnings.size() == 1);
  CHECK(added.warnings[0] == "1 certificates are malformed and left out");
}

TEST_CASE("the id tells trusts apart by content, not by order") {
  const auto a = TrustOf{.roots = {"root.pem", "root-other.pem"}}.build();
  const auto b = TrustOf{.roots = {"root-other.pem", "root.pem"}}.build();
  const auto c = TrustOf{.roots = {"root.pem"}, .intermediates = {"root-other.pem"}}.build();
  const auto d = TrustOf{.roots = {"root.pem", "root-other.pem"}, .crls = {"root.crl"}}.build();
  const auto e = TrustOf{.roots = {"root.pem", "root-other.pem"}, .trusted = {tls::Fingerprint{}}}.build();
  CHECK(a->id() == b->id());
  CHECK(a->id() != c->id());
  CHECK(a->id() != d->id());
  CHECK(a->id() != e->id());
  CHECK(e->trusts(tls::Fingerprint{}));
  CHECK_FALSE(a->trusts(tls::Fingerprint{}));
}

TEST_CASE("CRLs: what is taken, and what is refused") {
  tls::TrustBuilder builder;
  CHECK(builder.add_crls(origin_file("root.crl") + origin_file("intermediate.crl"), now_s).count == 2);
  CHECK(builder.add_crls(der_text("root.crl"), now_s).count == 1);
  const auto stale = builder.add_crls(origin_file("past-next-update.crl"), now_s);
  CHECK(stale.count == 1);
  REQUIRE(stale.warnings.size() == 1);
  CHECK(stale.warnings[0].find("is past its next update") != std::string::npos);
  CHECK(builder.add_crls(origin_file("delta.crl"), now_s).error.find("delta CRL") != std::string::npos);
  CHECK(builder.add_crls(origin_file("indirect.crl"), now_s).error.find("indirect CRL") != std::string::npos);
  CHECK(builder.build()->crl_count() == 4);
}
