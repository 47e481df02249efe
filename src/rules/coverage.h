// Coverage: whether groups of a compiled Policy match everything that some pattern matches. For `check`, which warns of
// rules that an earlier one shadows. Not for the data path.
#pragma once

#include <cstdint>
#include <span>

#include "base/ip.h"
#include "rules/host_pattern.h"
#include "rules/policy.h"

namespace sluice::rules {

class Coverage {
 public:
  explicit Coverage(const Policy& policy) : policy_(policy) {}

  /// `groups` are those of one condition on `slot`; the answer is exact, lists included.
  [[nodiscard]] bool hosts(std::span<const uint32_t> groups, const HostPattern& pattern) const;
  /// Slots client, destination, host.
  [[nodiscard]] bool networks(Slot slot, std::span<const uint32_t> groups, const Cidr& network) const;
  [[nodiscard]] bool ports(std::span<const uint32_t> groups, uint16_t first, uint16_t last) const;

 private:
  const Policy& policy_;
};

}  // namespace sluice::rules
