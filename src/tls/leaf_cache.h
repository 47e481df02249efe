// Minted certificates that are kept (S17): keyed by the origin's certificate, the requested name, the CA that
// signed and the dates it got. Bounded in entries and bytes; the least recently used go first.
//
// Shared by all workers. It is split into shards, each with a lock that is held for a look-up or an
// insertion, never while minting; two workers that miss at once both mint, and the first result is kept for
// both.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "tls/certificate.h"
#include "tls/mint.h"

namespace sluice::tls {

class LeafCache {
 public:
  struct Key {
    Fingerprint origin{};     // of the origin's certificate; zeros for a page of our own
    Fingerprint authority{};  // of the CA that signs: trusted or not
    std::string_view name;    // as MintRequest::name; compared without regard to case
    MintDates dates = MintDates::as_origin;
  };
  struct Limits {
    size_t entries_max;
    size_t bytes_max;
  };
  struct Statistics {
    uint64_t hits = 0;
    uint64_t misses = 0;
    uint64_t evictions = 0;
    size_t entries = 0;
    size_t bytes = 0;
  };

  /// `hash_seed` is random: nobody can choose names that collide.
  explicit LeafCache(uint64_t hash_seed);
  LeafCache(uint64_t hash_seed, Limits limits);

  /// Null when there is none, or when it is so near its end that it has to be minted anew
  /// (limits::leaf_cache_margin_s). `now` in seconds since 1970.
  [[nodiscard]] std::shared_ptr<const Leaf> find(const Key& key, int64_t now);
  /// Keeps it, unless somebody else was faster; returns the one that is kept. `now` as for find.
  std::shared_ptr<const Leaf> keep(const Key& key, std::shared_ptr<const Leaf> leaf, int64_t now);
  [[nodiscard]] Statistics statistics() const;

 private:
  static constexpr size_t shards = 16;

  struct StoredKey {
    Fingerprint origin{};
    Fingerprint authority{};
    std::string name;  // lower case
    MintDates dates{};
    uint64_t hash = 0;
  };
  struct Entry {
    StoredKey key;
    std::shared_ptr<const Leaf> leaf;
    int64_t use_until = 0;
    size_t bytes = 0;
  };
  using Entries = std::list<Entry>;  // most recently used first
  struct Shard {
    mutable std::mutex mutex;
    Entries entries;
    std::unordered_multimap<uint64_t, Entries::iterator> by_hash;
    size_t bytes = 0;
    uint64_t hits = 0;
    uint64_t misses = 0;
    uint64_t evictions = 0;
  };

  [[nodiscard]] uint64_t hash_of(const Key& key) const;
  [[nodiscard]] Shard& shard_of(uint64_t hash) { return shards_[hash >> 60]; }
  static Entries::iterator find_in(Shard& shard, uint64_t hash, const Key& key);
  static void remove(Shard& shard, Entries::iterator entry);

  uint64_t hash_seed_;
  Limits limits_of_shard_;
  std::array<Shard, shards> shards_;
};

}  // namespace sluice::tls
