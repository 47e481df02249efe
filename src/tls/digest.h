// Message digests from wolfCrypt. sha256() is stateless; any thread. (Call once before threads start: wolfCrypt picks the
// CPU's instructions at its first use.)
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

namespace sluice::tls {

/// SHA-256 of `input` (at most 4 GiB - 1). The type of hello::Sha256.
void sha256(std::span<const uint8_t> input, std::array<uint8_t, 32>& digest);

/// The same piece by piece. A value that is not copied; one thread at a time.
class RunningSha256 {
 public:
  RunningSha256();
  ~RunningSha256();
  RunningSha256(const RunningSha256&) = delete;
  RunningSha256& operator=(const RunningSha256&) = delete;
  void update(std::span<const uint8_t> bytes);
  [[nodiscard]] std::array<uint8_t, 32> finish();  // once, at the end

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sluice::tls
