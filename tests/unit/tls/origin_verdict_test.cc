// S10, S12: the verdict on origins' certificates, which openssl made (tests/data/origin/make.py).
#include "tls/origin_verdict.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "base/limits.h"
#include "unit/tls/origin_data.h"

namespace {

using namespace sluice;
using testing::judge;
using testing::now_s;
using testing::Sent;
using testing::TrustOf;

std::string verdict_of(const std::string& chain, const std::string& name = "www.example.com",
                       const TrustOf& trust = {}) {
  return judge(*trust.build(), Sent(chain), name).text();
}

}  // namespace

TEST_CASE("a good chain is good until the earliest expiry, and its leaf is given for the mint") {
  const auto trust = TrustOf{}.build();
  const auto verdict = judge(*trust, Sent("good"));
  CHECK(verdict.text() == "ok");
  CHECK(verdict.is_good());
  CHECK(std::string(verdict.detail).empty());
  REQUIRE(verdict.leaf);
  CHECK(verdict.leaf->dns_names.at(0) == "www.example.com");
  CHECK(verdict.valid_until == verdict.leaf->not_after);
}

TEST_CASE("S12: dates") {
  CHECK(verdict_of("expired") == "expired");
  CHECK(verdict_of("not-yet-valid") == "not_yet_valid");
  CHECK(verdict_of("expired-intermediate") == "expired");
  const auto trust = TrustOf{}.build();
  CHECK(std::string(judge(*trust, Sent("expired")).detail) == "the certificate has expired");
  CHECK(std::string(judge(*trust, Sent("expired-intermediate")).detail) ==
        "a CA's certificate in its chain has expired");
  // To the second (RFC 5280, 4.1.2.5: both ends are included).
  const Sent good("good");
  const auto leaf = judge(*trust, good).leaf;
  CHECK(judge(*trust, good, "www.example.com", leaf->not_after).is_good());
  CHECK(judge(*trust, good, "www.example.com", leaf->not_after + 1).text() == "expired");
  CHECK(judge(*trust, good, "www.example.com", leaf->not_before).is_good());
  CHECK(judge(*trust, good, "www.example.com", leaf->not_before - 1).text() == "not_yet_valid");
}

TEST_CASE("S12: names (RFC 6125)") {
  CHECK(verdict_of("good", "WWW.Example.COM.") == "ok");
  CHECK(verdict_of("good", "example.com") == "name_mismatch");
  CHECK(verdict_of("good", "192.0.2.7") == "name_mismatch");
  CHECK(verdict_of("wildcard", "anything.example.com") == "ok");
  CHECK(verdict_of("wildcard", "example.com") == "name_mismatch");
  CHECK(verdict_of("wildcard", "a.b.example.com") == "name_mismatch");
  CHECK(verdict_of("address", "192.0.2.7") == "ok");
  CHECK(verdict_of("address", "2001:db8::7") == "ok");
  CHECK(verdict_of("address", "192.0.2.8") == "name_mismatch");
  CHECK(verdict_of("address", "www.example.com") == "name_mismatch");
  CHECK(verdict_of("common-name-alone") == "name_mismatch");
  CHECK(verdict_of("1000-names", "host-999.example.com") == "ok");
  CHECK(verdict_of("1000-names", "host-1000.example.com") == "name_mismatch");
  CHECK(verdict_of("expired", "other.example") == "expired,name_mismatch");
}

TEST_CASE("S12: no root of ours") {
  CHECK(verdict_of("self-signed") == "self_signed");
  CHECK(verdict_of("self-signed", "other.example") == "self_signed,name_mismatch");
  CHECK(verdict_of("unknown-root") == "untrusted");
  CHECK(verdict_of("forged") == "untrusted");
  CHECK(verdict_of("missing-intermediate") == "untrusted");
  CHECK(verdict_of("good", "www.example.com", {.roots = {"root-other.pem"}}) == "untrusted");
  CHECK(verdict_of("unknown-root", "www.example.com", {.roots = {"root.pem", "root-other.pem"}}) == "ok");
}

TEST_CASE("a certificate among the roots is trusted itself, and an intermediate there ends the chain") {
  CHECK(verdict_of("self-signed", "www.example.com", {.roots = {"chain-self-signed.pem"}}) == "ok");
  CHECK(verdict_of("missing-intermediate", "www.example.com", {.roots = {"intermediate.pem"}}) == "ok");
}

TEST_CASE("S10: a fingerprint makes that certificate valid, whatever is wrong with it") {
  const auto leaf = testing::certificate_of("chain-self-signed.pem");
  const auto trust = TrustOf{.roots = {"root.pem"}, .trusted = {leaf.fingerprint}}.build();
  const auto verdict = judge(*trust, Sent("self-signed"), "other.example");
  CHECK(verdict.is_good());
  CHECK(verdict.trusted_by_fingerprint);
  CHECK(verdict.text() == "trusted_origin");
  CHECK(verdict.leaf);
  CHECK(judge(*trust, Sent("expired")).text() == "expired");
}

TEST_CASE("missing intermediates: configured, and seen in a good chain before") {
  CHECK(verdict_of("missing-intermediate", "www.example.com", {.intermediates = {"intermediate.pem"}}) ==
        "ok");
  const auto trust = TrustOf{}.build();
  const tls::RequestedName name = tls::requested_name("www.example.com");
  const auto text_after = [&](std::initializer_list<const char*> chains) {
    tls::ChainMemory memory;
    std::string text;
    for (const char* chain : chains) {
      const Sent sent(chain);
      text = tls::judge_chain(*trust, sent.chain(), name, now_s, memory).text();
    }
    return text;
  };
  CHECK(text_after({"missing-intermediate"}) == "untrusted");
  CHECK(text_after({"good", "missing-intermediate"}) == "ok");
  CHECK(text_after({"expired", "missing-intermediate"}) == "untrusted");
  CHECK(text_after({"forged", "missing-intermediate"}) == "untrusted");
  // What was seen with one trust proves nothing to another.
  tls::ChainMemory memory;
  const Sent good("good");
  CHECK(tls::judge_chain(*trust, good.chain(), name, now_s, memory).is_good());
  CHECK(memory.intermediates() == 1);
  const auto other = TrustOf{.roots = {"root-other.pem"}}.build();
  CHECK(tls::judge_chain(*other, Sent("missing-intermediate").chain(), name, now_s, memory).text() ==
        "untrusted");
  CHECK(tls::judge_chain(*other, good.chain(), name, now_s, memory).text() == "untrusted");
}

TEST_CASE("every kind of key and signature") {
  for (const std::string kind : {"rsa2048", "rsa4096", "p384", "p521", "ed25519"}) {
    CAPTURE(kind);
    CHECK(verdict_of(kind, "www.example.com", {.roots = {"root-" + kind + ".pem"}}) == "ok");
    CHECK(verdict_of(kind) == "untrusted");
  }
  const TrustOf rsa{.roots = {"root-rsa-sha1.pem"}};
  for (const std::string kind : {"rsa-sha384", "rsa-sha512", "pss-sha256", "pss-sha384", "pss-sha512"}) {
    CAPTURE(kind);
    CHECK(verdict_of(kind, "www.example.com", rsa) == "ok");
  }
}

TEST_CASE("every signature is checked: one bit of it, or of what is signed, makes the chain worthless") {
  for (const std::string chain : {"good", "rsa2048", "p384", "p521", "ed25519", "pss-sha256"}) {
    CAPTURE(chain);
    const TrustOf trust{.roots = {"root.pem", "root-rsa2048.pem", "root-p384.pem", "root-p521.pem",
                                  "root-ed25519.pem", "root-rsa-sha1.pem"}};
    auto ders = testing::ders_of("chain-" + chain + ".pem");
    REQUIRE(judge(*trust.build(), Sent(ders)).is_good());
    auto changed = ders;
    changed[0].back() ^= 1;  // the end of the signature
    CHECK(judge(*trust.build(), Sent(changed)).text() == "untrusted");
    changed = ders;
    const std::string host = "www.example.com";
    const auto at = std::search(changed[0].begin(), changed[0].end(), host.begin(), host.end());
    REQUIRE(at != changed[0].end());
    *at ^= 1;  // in the subject
    CHECK(judge(*trust.build(), Sent(changed)).text() == "untrusted");
  }
}

TEST_CASE("S12: weak keys and signatures, but not the trust anchor's own signature") {
  CHECK(verdict_of("rsa1024") == "weak");
  CHECK(verdict_of("p192") == "weak");
  const TrustOf rsa{.roots = {"root-rsa-sha1.pem"}};
  CHECK(verdict_of("by-sha1-root", "www.example.com", rsa) == "ok");
  CHECK(verdict_of("sha1", "www.example.com", rsa) == "weak");
  CHECK(verdict_of("md5", "www.example.com", rsa) == "untrusted,weak");  // MD5 is not even checked
}

TEST_CASE("a root with serial number 0") {
  CHECK(verdict_of("below-serial-zero", "www.example.com", {.roots = {"root-serial-zero.pem"}}) == "ok");
}

TEST_CASE("what a CA may not do: usages, constraints, path length") {
  for (const char* chain : {"issuer-not-a-ca", "path-too-long", "issuer-may-not-sign", "issuer-for-mail",
                            "outside-constraints"}) {
    CAPTURE(chain);
    const auto verdict = judge(*TrustOf{}.build(), Sent(chain));
    CHECK(verdict.text() == "untrusted");
    CHECK(std::string(verdict.detail) == "a CA in its chain may not have issued the certificate below it");
  }
  CHECK(verdict_of("within-constraints") == "ok");
  CHECK(verdict_of("for-clients") == "untrusted");
  CHECK(verdict_of("unknown-critical") == "untrusted");
}

TEST_CASE("cross-signed CAs: any way that leads to a root will do, and dead ends do not matter") {
  CHECK(verdict_of("cross-signed") == "ok");
  CHECK(verdict_of("cross-signed", "www.example.com", {.roots = {"root-other.pem"}}) == "ok");
  CHECK(verdict_of("cross-signed", "www.example.com", {.roots = {"root-expired.pem"}}) == "expired");
  // The expired way and a good one, both open.
  CHECK(verdict_of("cross-signed", "www.example.com", {.roots = {"root-expired.pem", "root.pem"}}) == "ok");
  CHECK(verdict_of("cross-signed-only-expired") == "untrusted");
  CHECK(verdict_of("cross-signed-only-expired", "www.example.com", {.roots = {"root-expired.pem"}}) ==
        "expired");
  CHECK(verdict_of("cross-signed-only-expired", "www.example.com",
                   {.roots = {"root-expired.pem", "root.pem"}, .intermediates = {"cross-by-root.pem"}}) ==
        "ok");
}

TEST_CASE("chains in disorder") {
  CHECK(verdict_of("duplicated") == "ok");
  auto ders = testing::ders_of("chain-good.pem");
  ders.push_back(testing::ders_of("chain-unknown-root.pem").at(1));
  std::swap(ders[1], ders[2]);
  CHECK(judge(*TrustOf{}.build(), Sent(ders)).text() == "ok");
  ders[1] = {1, 2, 3};  // rubbish between good ones
  CHECK(judge(*TrustOf{}.build(), Sent(ders)).text() == "ok");
  // Certificates past the limit are not looked at, one before it is.
  const auto good = testing::ders_of("chain-good.pem");
  std::vector<tls::Bytes> long_chain(limits::chain_certificates_max - 1, good[0]);
  long_chain.push_back(good[1]);
  CHECK(judge(*TrustOf{}.build(), Sent(long_chain)).text() == "ok");
  long_chain.insert(long_chain.begin(), good[0]);
  CHECK(judge(*TrustOf{}.build(), Sent(long_chain)).text() == "untrusted");
}

TEST_CASE("no certificate, or one that is none") {
  const auto trust = TrustOf{}.build();
  const auto none = judge(*trust, Sent(std::vector<tls::Bytes>{}));
  CHECK(none.text() == "untrusted");
  CHECK(none.leaf == nullptr);
  const auto rubbish = judge(*trust, Sent(std::vector<tls::Bytes>{{0x30, 0x03, 1, 2, 3}}));
  CHECK(rubbish.text() == "untrusted");
  CHECK(rubbish.leaf == nullptr);
  CHECK_FALSE(std::string(rubbish.detail).empty());
  auto ders = testing::ders_of("chain-good.pem");
  ders[0].push_back(0);
  CHECK(judge(*trust, Sent(ders)).text() == "untrusted");
}

TEST_CASE("S12: revoked by a CRL") {
  const TrustOf with_crl{.crls = {"intermediate.crl"}};
  CHECK(verdict_of("revoked") == "ok");  // nobody told us
  CHECK(verdict_of("revoked", "www.example.com", with_crl) == "revoked");
  CHECK(verdict_of("good", "www.example.com", with_crl) == "ok");
  CHECK(verdict_of("revoked-intermediate", "www.example.com", {.crls = {"root.crl"}}) == "revoked");
  CHECK(verdict_of("good", "www.example.com", {.crls = {"root.crl"}}) == "ok");
  // Past its next update it still revokes what it lists.
  CHECK(verdict_of("revoked", "www.example.com", {.crls = {"past-next-update.crl"}}) == "revoked");
  // One of the same name by another key revokes nothing: it lists the wildcard's serial number, too.
  CHECK(verdict_of("wildcard", "a.example.com", {.crls = {"forged.crl"}}) == "ok");
  CHECK(verdict_of("revoked", "www.example.com", {.crls = {"for-users.crl"}}) == "revoked");
  CHECK(verdict_of("revoked", "www.example.com", {.crls = {"for-cas.crl"}}) == "ok");
  // A cached verdict must not outlive the list.
  const auto verdict = judge(*with_crl.build(), Sent("good"));
  CHECK(verdict.valid_until == 3786912000);  // 2090-01-01, nextUpdate
}

TEST_CASE("S12: revoked by the stapled OCSP response") {
  const auto trust = TrustOf{}.build();
  const auto text = [&](const char* chain, const char* staple) {
    return judge(*trust, Sent(chain, staple)).text();
  };
  CHECK(text("revoked", "revoked") == "revoked");
  CHECK(text("revoked", "revoked-by-delegate") == "revoked");
  CHECK(text("good", "good") == "ok");
  CHECK(text("good", "good-sha256") == "ok");
  CHECK(text("good", "good-by-delegate") == "ok");
  // What proves nothing is no staple at all: about another certificate, or not signed by who may.
  CHECK(text("good", "revoked") == "ok");
  CHECK(text("revoked", "by-no-delegate") == "ok");
  CHECK(text("revoked", "by-a-stranger") == "ok");
  CHECK(text("good", "unknown") == "ok");
  Sent changed("revoked", "revoked");
  const auto response = tls::parse_ocsp_response(changed.staple);
  REQUIRE(response);
  const auto last = response->signature.data() + response->signature.size() - 1 - changed.staple.data();
  changed.staple[static_cast<size_t>(last)] ^= 1;
  CHECK(judge(*trust, changed).text() == "ok");
  // A cached verdict must not outlive the staple.
  const auto verdict = judge(*trust, Sent("good", "good"));
  CHECK(verdict.valid_until > now_s);
  CHECK(verdict.valid_until < verdict.leaf->not_after);
}

TEST_CASE("must-staple: a response that holds, if we asked for one") {
  const auto trust = TrustOf{}.build();
  const auto untrusted = judge(*trust, Sent("must-staple"));
  CHECK(untrusted.text() == "untrusted");
  CHECK(std::string(untrusted.detail).find("stapled OCSP response") != std::string::npos);
  CHECK(judge(*trust, Sent("must-staple", "for-must-staple")).text() == "ok");
  CHECK(judge(*trust, Sent("must-staple", "good")).text() == "untrusted");  // about another
  tls::ChainMemory memory;
  const Sent sent("must-staple");
  CHECK(tls::judge_chain(*trust, sent.chain(false), tls::requested_name("www.example.com"), now_s, memory)
            .is_good());
}

TEST_CASE("a stale staple is none") {
  const auto trust = TrustOf{}.build();
  const auto good = testing::certificate_of("chain-good.pem");
  const auto issuer = testing::certificate_of("intermediate.pem");
  const auto stale = testing::origin_bytes("stale.ocsp");
  const auto response = tls::parse_ocsp_response(stale);
  REQUIRE(response);
  REQUIRE(response->answers.size() == 1);
  const auto& answer = response->answers[0];
  REQUIRE(answer.next_update);
  CHECK(tls::judge_staple(stale, good, issuer, answer.this_update).verdict == tls::StapleVerdict::good);
  CHECK(tls::judge_staple(stale, good, issuer, *answer.next_update).verdict == tls::StapleVerdict::good);
  CHECK(tls::judge_staple(stale, good, issuer, *answer.next_update + 1).verdict == tls::StapleVerdict::none);
  // Five minutes of difference between clocks are let pass.
  CHECK(tls::judge_staple(stale, good, issuer, answer.this_update - 300).verdict == tls::StapleVerdict::good);
  CHECK(tls::judge_staple(stale, good, issuer, answer.this_update - 301).verdict == tls::StapleVerdict::none);
}

TEST_CASE("what is remembered is bounded") {
  tls::ChainMemory memory;
  const auto issuer = testing::certificate_of("intermediate.pem");
  tls::Certificate made = testing::certificate_of("chain-good.pem");
  for (size_t i = 0; i <= limits::good_signatures_per_worker_max; ++i) {
    made.fingerprint[0] = static_cast<uint8_t>(i);
    made.fingerprint[1] = static_cast<uint8_t>(i >> 8);
    memory.remember_good(made, issuer);
    if (i == 0) CHECK(memory.is_known_good(made, issuer));
  }
  CHECK(memory.is_known_good(made, issuer));
  made.fingerprint[0] = 0;
  made.fingerprint[1] = 0;
  CHECK_FALSE(memory.is_known_good(made, issuer));  // the oldest went
  made.fingerprint[0] = 1;
  CHECK(memory.is_known_good(made, issuer));

  // Of one subject only a few are kept.
  for (uint8_t i = 0; i < 10; ++i) {
    auto other = std::make_shared<tls::Certificate>(testing::certificate_of("intermediate.pem"));
    other->fingerprint[0] = i;
    memory.remember(other);
  }
  CHECK(memory.by_subject(issuer.subject).size() == limits::intermediates_per_subject_max);
  CHECK(memory.intermediates() == limits::intermediates_per_subject_max);
}
