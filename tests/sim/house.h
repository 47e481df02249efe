// What bumped connections in the lab need, on all sides. Expensive to make, and the same for all tests.
#pragma once

#include <cstdint>
#include <memory>

#include "flow/bumper.h"
#include "tls/material.h"
#include "unit/tls/certificates.h"
#include "unit/tls/joined_engines.h"

namespace sluice::sim {

/// The far ends' side of TLS, and the gateway's CA.
struct House {
  tls::testing::Gateway far;
  std::shared_ptr<tls::Material> material = std::make_shared<tls::Material>();
  std::unique_ptr<flow::BumpShared> shared;

  House() {
    const int64_t now_s = 1'800'000'000;
    material->authority = std::make_shared<const tls::Authority>(tls::testing::authority("p256"));
    material->untrusted = std::make_shared<const tls::Authority>(tls::Authority::make_untrusted(now_s));
    auto leaf = tls::parse_certificate(far.leaf.chain);
    REQUIRE(leaf.has_value());
    tls::TrustBuilder trust;
    trust.trust_origin(leaf->fingerprint);
    material->trust = trust.build();
    shared = std::make_unique<flow::BumpShared>(tls::LeafKey::generate(tls::LeafKeyKind::p256),
                                                tls::testing::some_ticket_keys(), 1);
  }
};
inline House& house() {
  static House the_house;
  return the_house;
}

}  // namespace sluice::sim
