// Bumper: what a worker needs to terminate TLS: contexts for both roles, the sessions that origins may resume, the verdicts
// that still hold; and what all workers share: the leaf key and the minted certificates.
//
// One per worker, made when its first Material comes. BumpShared is made once per process, before threads start.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "base/limits.h"
#include "base/origin_problem.h"
#include "base/result.h"
#include "record/counters.h"
#include "tls/context.h"
#include "tls/leaf_cache.h"
#include "tls/leaf_key.h"
#include "tls/material.h"
#include "tls/mint.h"
#include "tls/origin_sessions.h"
#include "tls/tickets.h"
#include "tls/verdict_cache.h"

namespace sluice::flow {

struct BumpShared {
  BumpShared(tls::LeafKey key, const tls::TicketKeys& ticket_keys, uint64_t hash_seed)
      : leaf_key(std::move(key)), tickets(ticket_keys), leaves(hash_seed) {}
  const tls::LeafKey leaf_key;
  const tls::TicketKeys tickets;
  tls::LeafCache leaves;  // locks itself
};

/// Whose certificate the client gets.
enum class Replacement : uint8_t {
  trusted,        // the origin's certificate is good
  trusted_as_is,  // it is not, and [tls.invalid_origin] allows it
  untrusted,      // it is not, and the client is to see that
  page,           // one of our own, for a page of our own
};

struct Bumper {
  [[nodiscard]] static Result<std::unique_ptr<Bumper>> create(BumpShared& shared);

  /// The certificate chain to show; null: it cannot be minted (`fault`).
  [[nodiscard]] std::shared_ptr<const tls::Leaf> leaf(const tls::Material& material, const tls::Certificate* origin,
                                                      std::string_view name, Replacement replacement, int64_t now_s,
                                                      record::Counters& counters, tls::MintFault& fault);
  /// What the tickets of a client are bound to that is shown the certificate of leaf() with the same arguments; `problems`: of
  /// the origin's certificate. As long as origins are good, one name has one binding, whichever of its certificates they show:
  /// the client has nothing to object to in any of them. Behind a bad one it may object to what differs.
  [[nodiscard]] static tls::TicketBinding ticket_binding(const tls::Material& material, const tls::Certificate* origin,
                                                         OriginProblems problems, std::string_view name, Replacement replacement);

  BumpShared& shared;
  tls::OriginContext origins;
  tls::ClientContext clients;
  tls::OriginSessions sessions;
  tls::VerdictCache verdicts;
};

}  // namespace sluice::flow
