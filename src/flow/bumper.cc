#include "flow/bumper.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "tls/digest.h"

namespace sluice::flow {

namespace {

/// Who signs.
const tls::Authority& authority_of(const tls::Material& material, Replacement replacement) {
  return replacement == Replacement::untrusted ? *material.untrusted : *material.authority;
}

/// Whether the certificate that the client sees depends on which one the origin has in more than what makes it good.
bool shows_faults(Replacement replacement) {
  switch (replacement) {
    case Replacement::trusted:
    case Replacement::page: return false;
    case Replacement::trusted_as_is:
    case Replacement::untrusted: return true;
  }
  SLUICE_CHECK(false);
}

}  // namespace

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
  const tls::Authority& authority = authority_of(material, replacement);
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

tls::TicketBinding Bumper::ticket_binding(const tls::Material& material, const tls::Certificate* origin, OriginProblems problems,
                                          std::string_view name, Replacement replacement) {
  // The name comes last, and everything before it has its fixed size: no two inputs are the same bytes.
  tls::Fingerprint fingerprint{};
  if (origin != nullptr && shows_faults(replacement)) fingerprint = origin->fingerprint;
  const tls::Fingerprint& authority = authority_of(material, replacement).certificate().fingerprint;
  std::array<uint8_t, 2 + 2 * sizeof(tls::Fingerprint) + limits::host_bytes_max> bytes;
  SLUICE_CHECK(name.size() <= limits::host_bytes_max);
  auto end = bytes.begin();
  *end++ = static_cast<uint8_t>(replacement);
  *end++ = shows_faults(replacement) ? problems.bits() : uint8_t{0};
  end = std::copy(authority.begin(), authority.end(), end);
  end = std::copy(fingerprint.begin(), fingerprint.end(), end);
  end = std::copy(name.begin(), name.end(), end);
  tls::TicketBinding binding;
  tls::sha256(std::span(bytes.begin(), end), binding);
  return binding;
}

}  // namespace sluice::flow
