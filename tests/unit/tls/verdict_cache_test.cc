#include "tls/verdict_cache.h"

#include <doctest/doctest.h>

#include "base/limits.h"
#include "unit/tls/origin_data.h"

namespace {

using namespace sluice;
using testing::now_s;
using testing::Sent;
using testing::TrustOf;

}  // namespace

TEST_CASE("the same chain, name and trust is judged once, until the verdict's end") {
  tls::VerdictCache cache;
  const auto trust = TrustOf{}.build();
  const Sent sent("good");
  const auto name = tls::requested_name("www.example.com");
  const auto first = cache.judge(*trust, sent.chain(), name, now_s);
  CHECK(first->is_good());
  CHECK(cache.judge(*trust, sent.chain(), tls::requested_name("WWW.example.com."), now_s + 1000) == first);
  CHECK(cache.hits() == 1);
  CHECK(cache.judge(*trust, sent.chain(), name, first->valid_until) == first);
  const auto late = cache.judge(*trust, sent.chain(), name, first->valid_until + 1);
  CHECK(late->text() == "expired");
  CHECK(cache.judge(*trust, sent.chain(), name, now_s)->is_good());  // the clock was set back
  CHECK(cache.size() == 1);
}

TEST_CASE("whatever a verdict depends on makes another entry") {
  tls::VerdictCache cache;
  const auto trust = TrustOf{}.build();
  const auto with_crl = TrustOf{.crls = {"intermediate.crl"}}.build();
  const auto name = tls::requested_name("www.example.com");
  const Sent sent("revoked");
  CHECK(cache.judge(*trust, sent.chain(), name, now_s)->text() == "ok");
  CHECK(cache.judge(*with_crl, sent.chain(), name, now_s)->text() == "revoked");
  CHECK(cache.judge(*trust, Sent("revoked", "revoked").chain(), name, now_s)->text() == "revoked");
  CHECK(cache.judge(*trust, sent.chain(), tls::requested_name("other.example"), now_s)->text() ==
        "name_mismatch");
  CHECK(cache.judge(*trust, sent.chain(), tls::requested_name("192.0.2.7"), now_s)->text() ==
        "name_mismatch");
  CHECK(cache.judge(*trust, sent.chain(false), name, now_s)->text() == "ok");
  CHECK(cache.hits() == 0);
  CHECK(cache.size() == 6);
}

TEST_CASE("a verdict with problems is judged again after a minute, and a seen intermediate mends it") {
  tls::VerdictCache cache;
  const auto trust = TrustOf{}.build();
  const auto name = tls::requested_name("www.example.com");
  const Sent missing("missing-intermediate");
  CHECK(cache.judge(*trust, missing.chain(), name, now_s)->text() == "untrusted");
  CHECK(cache.judge(*trust, Sent("good").chain(), name, now_s)->is_good());
  CHECK(cache.judge(*trust, missing.chain(), name, now_s + limits::bad_verdict_s)->text() == "untrusted");
  CHECK(cache.judge(*trust, missing.chain(), name, now_s + limits::bad_verdict_s + 1)->is_good());
}

TEST_CASE("the one that was unused for longest goes first") {
  tls::VerdictCache cache(2);
  const auto trust = TrustOf{}.build();
  const auto name = tls::requested_name("www.example.com");
  const Sent a("good");
  const Sent b("expired");
  const Sent c("for-clients");
  (void)cache.judge(*trust, a.chain(), name, now_s);
  (void)cache.judge(*trust, b.chain(), name, now_s);
  (void)cache.judge(*trust, a.chain(), name, now_s);
  (void)cache.judge(*trust, c.chain(), name, now_s);
  CHECK(cache.size() == 2);
  CHECK(cache.hits() == 1);
  (void)cache.judge(*trust, a.chain(), name, now_s);
  CHECK(cache.hits() == 2);
  (void)cache.judge(*trust, b.chain(), name, now_s);
  CHECK(cache.misses() == 4);
}

TEST_CASE("an intermediate that was learned mends the verdicts that waited for it, and no others") {
  tls::VerdictCache cache;
  const auto trust = TrustOf{}.build();
  const auto name = tls::requested_name("www.example.com");
  const Sent missing("missing-intermediate");
  const auto bad = cache.judge(*trust, missing.chain(), name, now_s);
  REQUIRE(bad->missing_issuer_of != nullptr);
  CHECK(bad->lacks_only_an_issuer());
  CHECK(bad->missing_issuer_of->fingerprint == testing::certificate_of("chain-good.pem").fingerprint);
  const auto other = cache.judge(*trust, Sent("unknown-root").chain(), name, now_s);
  CHECK(other->text() == "untrusted");

  const auto shared = [](tls::Certificate certificate) {
    return std::make_shared<const tls::Certificate>(std::move(certificate));
  };
  const std::vector imposter = {bad->missing_issuer_of,
                                shared(testing::certificate_of("chain-forged.pem", 1))};
  CHECK(cache.learn(*trust, imposter, now_s) == 1);
  CHECK(cache.judge(*trust, missing.chain(), name, now_s)->text() == "untrusted");

  const std::vector chain = {bad->missing_issuer_of, shared(testing::certificate_of("intermediate.pem"))};
  CHECK(cache.learn(*trust, chain, now_s) == 1);
  CHECK(cache.judge(*trust, missing.chain(), name, now_s)->is_good());
  const uint64_t hits = cache.hits();
  CHECK(cache.judge(*trust, Sent("unknown-root").chain(), name, now_s) == other);
  CHECK(cache.hits() == hits + 1);
}

TEST_CASE("only a certificate whose one fault is a missing issuer waits for one") {
  const auto trust = TrustOf{}.build();
  CHECK(testing::judge(*trust, Sent("missing-intermediate")).lacks_only_an_issuer());
  for (const char* chain : {"good", "expired", "self-signed", "issuer-not-a-ca"})
    CHECK_MESSAGE(!testing::judge(*trust, Sent(chain)).lacks_only_an_issuer(), chain);
  const auto elsewhere = testing::judge(*trust, Sent("missing-intermediate"), "other.example");
  CHECK(elsewhere.missing_issuer_of != nullptr);
  CHECK_FALSE(elsewhere.lacks_only_an_issuer());
}
