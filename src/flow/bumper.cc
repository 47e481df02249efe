#include "flow/bumper.h"

namespace sluice::flow {

Result<std::unique_ptr<Bumper>> Bumper::create(BumpShared& shared) {
  auto origins = tls::OriginContext::create();
  if (!origins) return tl::unexpected(origins.error());
  auto clients = tls::ClientContext::create(shared.leaf_key.private_der(), shared.tickets);
  if (!clients) return tl::unexpected(clients.error());
  return std::unique_ptr<Bumper>(new Bumper{shared, std::move(*origins), std::move(*clients),
                                            tls::OriginSessions(limits::origin_sessions_per_worker_max), tls::VerdictCache()});
}

std::shared_ptr<const tls::Leaf> Bumper::leaf(const tls::Material& material, const tls::Certificate* origin, std::string_view name,
                                              Replacement replacement, int64_t now_s, record::Counters& counters,
                                              tls::MintFault& fault) {
  const tls::Authority& authority = replacement == Replacement::untrusted ? *material.untrusted : *material.authority;
  tls::LeafCache::Key key;
  if (origin != nullptr && replacement != Replacement::page) key.origin = origin->fingerprint;
  key.authority = authority.certificate().fingerprint;
  key.name = name;
  key.dates = replacement == Replacement::trusted_as_is ? tls::MintDates::always_valid : tls::MintDates::as_origin;
  if (auto kept = shared.leaves.find(key, now_s)) {
    ++counters.leaf_cache_hits;
    return kept;
  }
  ++counters.leaf_mints;
  tls::MintRequest request;
  request.name = name;
  request.now = now_s;
  request.serial = tls::random_serial();
  request.dates = key.dates;
  auto minted = replacement == Replacement::page || origin == nullptr
                    ? tls::mint_for_page(authority, shared.leaf_key, request)
                    : tls::mint(authority, shared.leaf_key, *origin, request);
  if (!minted) {
    fault = minted.error();
    return nullptr;
  }
  return shared.leaves.keep(key, std::make_shared<const tls::Leaf>(std::move(*minted)), now_s);
}

}  // namespace sluice::flow
