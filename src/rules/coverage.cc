#include "rules/coverage.h"

#include <algorithm>
#include <cstdint>
#include <string>

namespace sluice::rules {
namespace {

bool any_of(std::span<const uint32_t> set, std::span<const uint32_t> groups) {
  return std::any_of(set.begin(), set.end(), [&](uint32_t group) {
    return std::find(groups.begin(), groups.end(), group) != groups.end();
  });
}

}  // namespace

bool Coverage::hosts(std::span<const uint32_t> groups, const HostPattern& pattern) const {
  const auto matched = [&](const std::string& host) {
    bool found = false;
    policy_.hosts_.find(host, policy_.sets_, [&](uint32_t group) {
      found = found || any_of({&group, 1}, groups);
    });
    return found;
  };
  // A label that no pattern can hold stands for every name below.
  const bool below = pattern.kind == HostPattern::Kind::exact || matched("!." + pattern.name);
  return below && (pattern.kind == HostPattern::Kind::below || matched(pattern.name));
}

bool Coverage::networks(Slot slot, std::span<const uint32_t> groups, const Cidr& network) const {
  const PrefixTable& table = slot == Slot::client ? policy_.clients_ : policy_.destinations_;
  return table.all_of(network, [&](SetId set) { return any_of(policy_.sets_.of(set), groups); });
}

bool Coverage::ports(std::span<const uint32_t> groups, uint16_t first, uint16_t last) const {
  const auto& starts = policy_.ports_.starts;
  auto range =
      static_cast<size_t>(std::upper_bound(starts.begin(), starts.end(), uint32_t{first}) - starts.begin());
  if (range == 0) return false;
  for (--range; range < starts.size() && starts[range] <= last; ++range)
    if (!any_of(policy_.sets_.of(policy_.ports_.sets[range]), groups)) return false;
  return true;
}

}  // namespace sluice::rules
