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
