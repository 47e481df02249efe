// OriginSessions: sessions that origins may resume, with the chain that each was begun with (no certificate
// arrives on resumption, and the replacement is minted from it). Bounded; the one that was not used for
// longest goes first.
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

class OriginSessions {
 public:
  /// A session is resumed only towards the same place, under the same name, judged by the same policy, with
  /// the same offer.
  struct Key {
    std::string_view name;  // the SNI; empty: none
    Endpoint origin;
    uint64_t trust = 0;     // identity of the trust policy: a reload makes old sessions unreachable
    std::string_view alpn;  // the offer, for example "h2,http/1.1"
  };

  struct Entry {
    OriginSession session;
    std::shared_ptr<const Chain> chain;
  };

  explicit OriginSessions(size_t entries_max) : entries_max_(entries_max) {}

  /// What is kept for `key`, or null. Valid until the next call.
  [[nodiscard]] const Entry* find(const Key& key);
  /// Replaces what was kept. An empty session is not kept.
  void put(const Key& key, OriginSession session, std::shared_ptr<const Chain> chain);
  /// After a resumption that failed.
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
