// PrefixTable: an address -> the groups of networks that contain it, over all networks of all rules at once.
//
// The networks are cut into ranges that do not overlap, each with its set of groups; a look-up is a binary
// search in two steps (every 64th range first, a list that stays in cache). IPv4 and IPv6 are apart: "::/0"
// is every IPv6 address and no IPv4 address. Immutable after build, shared by all threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/ip.h"
#include "rules/set_pool.h"
#include "rules/uint128.h"

namespace sluice::rules {

class PrefixTable {
 public:
  using Key6 = uint128;

  /// Calls sink(group) for each group with a network that contains `address`, each once.
  template <class Sink>
  void find(const IpAddress& address, const SetPool& sets, Sink&& sink) const {
    const Key6 key = key_of(address);
    const SetId set = address.is_v4() ? v4_.find(static_cast<uint32_t>(key)) : v6_.find(key);
    for (const uint32_t group : sets.of(set)) sink(group);
  }
  [[nodiscard]] bool empty() const { return v4_.empty() && v6_.empty(); }

  /// Whether holds(set) for every address of `network`. Costs one call per range in it.
  template <class Holds>
  [[nodiscard]] bool all_of(const Cidr& network, Holds&& holds) const {
    const Key6 start = key_of(network.network);
    const Key6 host_mask = network.prefix_bits == 0 ? ~Key6{0} : (Key6{1} << (128 - network.prefix_bits)) - 1;
    if (network.prefix_bits >= 96 && network.network.is_v4())
      return v4_.all_of(static_cast<uint32_t>(start), static_cast<uint32_t>(start | host_mask), holds);
    return v6_.all_of(start, start | host_mask, holds);
  }

  /// The address as a number.
  [[nodiscard]] static Key6 key_of(const IpAddress& address) {
    Key6 key = 0;
    for (const uint8_t byte : address.bytes) key = (key << 8) | byte;
    return key;
  }

 private:
  friend class PrefixTableBuilder;

  template <class Key>
  class Ranges {
   public:
    [[nodiscard]] SetId find(Key key) const {
      if (starts_.empty()) return set_empty;
      const auto sample = std::upper_bound(samples_.begin(), samples_.end(), key);
      if (sample == samples_.begin()) return set_empty;
      const auto first = starts_.begin() + (sample - samples_.begin() - 1) * stride;
      const auto last = starts_.end() - first > stride ? first + stride : starts_.end();
      return sets_[static_cast<size_t>(std::upper_bound(first, last, key) - starts_.begin()) - 1];
    }
    [[nodiscard]] bool empty() const { return starts_.empty(); }
    template <class Holds>
    [[nodiscard]] bool all_of(Key first, Key last, Holds&& holds) const {
      auto range = std::upper_bound(starts_.begin(), starts_.end(), first);
      if (range == starts_.begin()) return false;
      for (--range; range != starts_.end() && *range <= last; ++range)
        if (!holds(sets_[static_cast<size_t>(range - starts_.begin())])) return false;
      return true;
    }
    using key_type = Key;
    /// The range that begins at `start` (never before the last one) has `set`; it ends where the next begins.
    void append(Key start, SetId set) {
      if (!starts_.empty() && starts_.back() == start) {
        sets_.back() = set;
      } else {
        starts_.push_back(start);
        sets_.push_back(set);
      }
    }
    void seal() {
      for (size_t i = 0; i < starts_.size(); i += stride) samples_.push_back(starts_[i]);
      starts_.shrink_to_fit();
      sets_.shrink_to_fit();
    }

   private:
    static constexpr std::ptrdiff_t stride = 64;
    std::vector<Key> starts_;
    std::vector<SetId> sets_;
    std::vector<Key> samples_;  // every stride-th of starts_
  };

  Ranges<uint32_t> v4_;
  Ranges<Key6> v6_;
};

class PrefixTableBuilder {
 public:
  void add(const Cidr& network, uint32_t group) { entries_.push_back({network, group}); }
  [[nodiscard]] bool empty() const { return entries_.empty(); }
  /// Consumes what was added.
  [[nodiscard]] PrefixTable build(SetPool& sets);

 private:
  struct Entry {
    Cidr network;
    uint32_t group;
  };
  std::vector<Entry> entries_;
};

}  // namespace sluice::rules
