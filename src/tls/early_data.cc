#include "tls/early_data.h"

#include <algorithm>

#include "base/limits.h"

namespace sluice::tls {

uint16_t group_to_retry(std::span<const uint16_t> supported_groups, std::span<const uint16_t> key_shares) {
  // The cheapest first. X25519MLKEM768 is not among them: a client that supports it has sent a share of it.
  constexpr std::array<uint16_t, 3> ours = {0x001d, 0x0017, 0x0018};  // X25519, P-256, P-384
  const auto has = [](std::span<const uint16_t> list, uint16_t group) {
    return std::find(list.begin(), list.end(), group) != list.end();
  };
  for (const uint16_t group : ours)
    if (has(supported_groups, group) && !has(key_shares, group)) return group;
  return 0;
}

EarlyDataSkipper::Outcome EarlyDataSkipper::skip(std::span<const uint8_t>& input) {
  // RFC 8446 section 5: a ChangeCipherSpec means nothing, wherever it comes before the client's Finished.
  constexpr uint8_t change_cipher_spec = 20;
  constexpr uint8_t application_data = 23;
  while (!input.empty() && dropped_bytes_ <= limits::early_data_bytes_max) {
    if (record_left_ > 0) {
      const size_t count = std::min(record_left_, input.size());
      input = input.subspan(count);
      record_left_ -= count;
      dropped_bytes_ += count;
      continue;
    }
    header_[header_bytes_++] = input.front();
    input = input.subspan(1);
    if (header_[0] != change_cipher_spec && header_[0] != application_data) return Outcome::second_hello;
    if (header_bytes_ < header_.size()) continue;
    record_left_ = static_cast<size_t>(header_[3]) << 8 | header_[4];
    dropped_bytes_ += header_.size();  // so that empty records are not for nothing
    header_bytes_ = 0;
  }
  return dropped_bytes_ > limits::early_data_bytes_max ? Outcome::too_much : Outcome::need_more;
}

}  // namespace sluice::tls
