// OriginSessions: sessions that origins may resume, with the chain that each was begun with (no certificate
// arrives on resumption, and the replacement is minted from it). Bounded; the one that was not used for
// longest goes first. None is used for longer than origin_session_s behind its full handshake, however often it was
// renewed since: an origin's new chain is seen a day after at the latest.
//
// Belongs to one worker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/ip.h"
#include "tls/chain.h"
#include "tls/engine.h"

namespace sluice::tls {

/// How long we go back to an origin without seeing its certificates, in seconds.
inline constexpr int64_t origin_session_s = 24 * 3600;

class OriginSessions {
 public:
  /// A session is resumed only towards the same place, under the same name, judged by the same policy, with
  /// the same offer.
  struct Key {
    std::string_view name;  // the SNI, or an address that it is judged by in its place; empty: none
    Endpoint origin;
    uint64_t trust = 0;     // identity of the trust policy: a reload makes old sessions unreachable
    std::string_view alpn;  // the offer, for example "h2,http/1.1"
  };

  struct Entry {
    OriginSession session;
    std::shared_ptr<const Chain> chain;
    int64_t begun_s = 0;  // when that chain came, in the full handshake; seconds since 1970
  };

  explicit OriginSessions(size_t entries_max) : entries_max_(entries_max) {}

  /// What is kept for `key`, or null; what is too old at `now_s` is forgotten. Valid until the next call.
  [[nodiscard]] const Entry* find(const Key& key, int64_t now_s);
  /// Replaces what was kept. An empty session is not kept.
  void put(const Key& key, Entry entry);
  /// After a resumption that failed, or when the chain is not good any more.
  void forget(const Key& key);

  [[nodiscard]] size_t size() const { return by_key_.size(); }

 private:
  struct Node {
    std::string key;
    Entry entry;
  };

  size_t entries_max_;
  std::list<Node> by_use_;                                                  // the latest first
  std::unordered_map<std::string_view, std::list<Node>::iterator> by_key_;  // views of Node::key
};

}  // namespace sluice::tls
