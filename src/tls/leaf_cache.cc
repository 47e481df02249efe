#include "tls/leaf_cache.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/limits.h"

namespace sluice::tls {
namespace {

__extension__ using Product = unsigned __int128;

/// Both halves of a 128-bit product: every bit of the input reaches every bit of the result (after wyhash).
uint64_t mix(uint64_t one, uint64_t other) {
  const Product product = static_cast<Product>(one) * other;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

uint64_t word_of(ByteView bytes) {
  uint64_t word = 0;
  std::memcpy(&word, bytes.data(), std::min(bytes.size(), sizeof word));
  return word;
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same_name(std::string_view one, std::string_view other) {
  return std::ranges::equal(one, other, [](char a, char b) { return lower(a) == lower(b); });
}

// Beside the chain: list and hash nodes, the shared Leaf.
constexpr size_t entry_overhead_bytes = 384;

}  // namespace

LeafCache::LeafCache(uint64_t hash_seed)
    : LeafCache(hash_seed, {limits::leaf_cache_entries_max, limits::leaf_cache_bytes_max}) {}

LeafCache::LeafCache(uint64_t hash_seed, Limits limits)
    : hash_seed_(hash_seed),
      limits_of_shard_{std::max<size_t>(limits.entries_max / shards, 1),
                       std::max<size_t>(limits.bytes_max / shards, 1)} {}

uint64_t LeafCache::hash_of(const Key& key) const {
  uint64_t hash = mix(hash_seed_ ^ word_of(key.origin), 0x9e3779b97f4a7c15u ^ word_of(key.authority));
  hash = mix(hash ^ key.name.size(), 0xe7037ed1a0b428dbu ^ hash_seed_ ^ static_cast<uint64_t>(key.dates));
  for (size_t at = 0; at < key.name.size(); at += 8) {
    uint8_t piece[8] = {};
    for (size_t i = 0; i < 8 && at + i < key.name.size(); ++i)
      piece[i] = static_cast<uint8_t>(lower(key.name[at + i]));
    hash = mix(hash ^ word_of(piece), 0x8ebc6af09c88c6e3u ^ hash_seed_);
  }
  return hash;
}

LeafCache::Entries::iterator LeafCache::find_in(Shard& shard, uint64_t hash, const Key& key) {
  const auto [first, last] = shard.by_hash.equal_range(hash);
  for (auto found = first; found != last; ++found) {
    const StoredKey& stored = found->second->key;
    if (stored.dates == key.dates && stored.origin == key.origin && stored.authority == key.authority &&
        same_name(stored.name, key.name))
      return found->second;
  }
  return shard.entries.end();
}

void LeafCache::remove(Shard& shard, Entries::iterator entry) {
  const auto [first, last] = shard.by_hash.equal_range(entry->key.hash);
  for (auto found = first; found != last; ++found) {
    if (found->second != entry) continue;
    shard.by_hash.erase(found);
    break;
  }
  shard.bytes -= entry->bytes;
  shard.entries.erase(entry);
}

std::shared_ptr<const Leaf> LeafCache::find(const Key& key, int64_t now) {
  const uint64_t hash = hash_of(key);
  Shard& shard = shard_of(hash);
  const std::lock_guard lock(shard.mutex);
  const auto found = find_in(shard, hash, key);
  if (found == shard.entries.end() || now >= found->use_until) {
    if (found != shard.entries.end()) remove(shard, found);
    ++shard.misses;
    return nullptr;
  }
  ++shard.hits;
  shard.entries.splice(shard.entries.begin(), shard.entries, found);
  return found->leaf;
}

std::shared_ptr<const Leaf> LeafCache::keep(const Key& key, std::shared_ptr<const Leaf> leaf, int64_t now) {
  const uint64_t hash = hash_of(key);
  Entry entry;
  entry.key = {key.origin, key.authority, std::string(key.name), key.dates, hash};
  // One that ends soon whatever is done, because the origin's does, is kept for a while all the same.
  entry.use_until =
      std::max(leaf->not_after - limits::leaf_cache_margin_s, now + limits::leaf_cache_margin_s);
  entry.bytes = leaf->chain.size() + key.name.size() + entry_overhead_bytes;
  entry.leaf = leaf;
  Shard& shard = shard_of(hash);
  const std::lock_guard lock(shard.mutex);
  const auto found = find_in(shard, hash, key);
  if (found != shard.entries.end()) {
    if (now < found->use_until) return found->leaf;
    remove(shard, found);
  }
  if (entry.bytes > limits_of_shard_.bytes_max) return leaf;  // would push out all others
  shard.bytes += entry.bytes;
  shard.entries.push_front(std::move(entry));
  shard.by_hash.emplace(hash, shard.entries.begin());
  while (shard.entries.size() > limits_of_shard_.entries_max || shard.bytes > limits_of_shard_.bytes_max) {
    remove(shard, std::prev(shard.entries.end()));
    ++shard.evictions;
  }
  return leaf;
}

LeafCache::Statistics LeafCache::statistics() const {
  Statistics sum;
  for (const Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    sum.hits += shard.hits;
    sum.misses += shard.misses;
    sum.evictions += shard.evictions;
    sum.entries += shard.entries.size();
    sum.bytes += shard.bytes;
  }
  return sum;
}

}  // namespace sluice::tls
