#include "flow/bumper.h"

#include <doctest/doctest.h>

#include <string>

#include "unit/tls/certificates.h"

using namespace sluice;
using flow::Bumper;
using flow::Replacement;

namespace {

tls::Material material_of(const std::string& authority) {
  tls::Material material;
  material.authority = std::make_shared<const tls::Authority>(tls::testing::authority(authority));
  material.untrusted = std::make_shared<const tls::Authority>(tls::Authority::make_untrusted(tls::testing::now_s));
  return material;
}

OriginProblems problems(OriginProblem one) {
  OriginProblems all;
  all.add(one);
  return all;
}

constexpr OriginProblems none;

}  // namespace

TEST_CASE("a client's tickets are bound to what it was shown (S12)") {
  const tls::Material ours = material_of("p256");
  const tls::Material other = material_of("p384");
  const tls::Certificate one = tls::testing::origin("wildcard-p384");
  const tls::Certificate another = tls::testing::origin("rsa-2048");
  const OriginProblems expired = problems(OriginProblem::expired);
  const OriginProblems revoked = problems(OriginProblem::revoked);
  const auto trusted = Bumper::ticket_binding(ours, &one, none, "www.example.test", Replacement::trusted);
  const auto page = Bumper::ticket_binding(ours, nullptr, none, "www.example.test", Replacement::page);

  SUBCASE("any good certificate of that name will do, and any page") {
    CHECK(Bumper::ticket_binding(ours, &another, none, "www.example.test", Replacement::trusted) == trusted);
    CHECK(Bumper::ticket_binding(ours, &another, revoked, "www.example.test", Replacement::page) == page);
  }
  SUBCASE("another name, another CA") {
    for (const auto replacement : {Replacement::trusted, Replacement::trusted_as_is, Replacement::page}) {
      const auto first = Bumper::ticket_binding(ours, &one, none, "www.example.test", replacement);
      CHECK(Bumper::ticket_binding(ours, &one, none, "www.example.tes", replacement) != first);
      CHECK(Bumper::ticket_binding(ours, &one, none, "", replacement) != first);
      CHECK(Bumper::ticket_binding(other, &one, none, "www.example.test", replacement) != first);
    }
    const auto first = Bumper::ticket_binding(ours, &one, expired, "www.example.test", Replacement::untrusted);
    CHECK(Bumper::ticket_binding(other, &one, expired, "www.example.test", Replacement::untrusted) != first);
    CHECK(Bumper::ticket_binding(ours, &one, expired, "ww.example.test", Replacement::untrusted) != first);
  }
  SUBCASE("good, bad and a page of ours are not the same") {
    const auto allowed = Bumper::ticket_binding(ours, &one, expired, "www.example.test", Replacement::trusted_as_is);
    const auto untrusted = Bumper::ticket_binding(ours, &one, expired, "www.example.test", Replacement::untrusted);
    CHECK(trusted != page);
    CHECK(trusted != allowed);
    CHECK(trusted != untrusted);
    CHECK(page != allowed);
    CHECK(page != untrusted);
    CHECK(allowed != untrusted);
    CHECK(Bumper::ticket_binding(ours, &one, none, "www.example.test", Replacement::trusted_as_is) != trusted);
  }
  SUBCASE("a bad one stands for itself, with its faults") {
    for (const auto replacement : {Replacement::trusted_as_is, Replacement::untrusted}) {
      const auto first = Bumper::ticket_binding(ours, &one, expired, "www.example.test", replacement);
      CHECK(Bumper::ticket_binding(ours, &one, expired, "www.example.test", replacement) == first);
      CHECK(Bumper::ticket_binding(ours, &another, expired, "www.example.test", replacement) != first);
      CHECK(Bumper::ticket_binding(ours, nullptr, expired, "www.example.test", replacement) != first);
      CHECK(Bumper::ticket_binding(ours, &one, revoked, "www.example.test", replacement) != first);
    }
  }
  SUBCASE("the longest name") {
    const std::string longest(limits::host_bytes_max, 'a');
    CHECK(Bumper::ticket_binding(ours, &one, none, longest, Replacement::trusted) !=
          Bumper::ticket_binding(ours, &one, none, longest.substr(1), Replacement::trusted));
  }
}
