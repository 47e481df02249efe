// Verdicts that still hold: an origin whose chain, name and trust are the same is not judged twice.
//
// One per worker; bounded, the one unused for longest goes first. A verdict lives until its earliest expiry;
// one with problems a minute at most, because an intermediate seen meanwhile may mend it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "tls/origin_verdict.h"

namespace sluice::tls {

class VerdictCache {
 public:
  explicit VerdictCache(size_t entries_max);
  VerdictCache();  // limits::verdicts_per_worker_max
  ~VerdictCache();
  VerdictCache(VerdictCache&&) noexcept;
  VerdictCache& operator=(VerdictCache&&) noexcept;

  /// The verdict, from the cache or by judge_chain. Never null.
  [[nodiscard]] std::shared_ptr<const OriginVerdict> judge(const Trust& trust, const SentChain& chain,
                                                           const RequestedName& name, int64_t now_s);

  /// Issuers that became known: `chain` is a certificate that was waiting for them, then one above the other.
  /// Those that lead to a trusted root are remembered, and verdicts that lacked one of them are made anew.
  /// Returns how many those were.
  size_t learn(const Trust& trust, std::span<const std::shared_ptr<const Certificate>> chain, int64_t now_s);

  [[nodiscard]] size_t size() const;
  [[nodiscard]] uint64_t hits() const;
  [[nodiscard]] uint64_t misses() const;

 private:
  struct Rooms;
  std::unique_ptr<Rooms> rooms_;
};

}  // namespace sluice::tls
