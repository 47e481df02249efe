// Early data of TLS 1.3 (RFC 8446 section 4.2.10), which is never accepted: how a handshake goes on although
// a client sends it.
//
// A client that holds a ticket of the real origin sends records behind its ClientHello that nobody here can
// decrypt. It is asked with a HelloRetryRequest for a key share that it has not sent, so that it says a
// second ClientHello, in clear: what comes before that is early data, and goes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace sluice::tls {

/// A group to ask for: one of ours that the client supports and has sent no key share of. 0: there is none.
[[nodiscard]] uint16_t group_to_retry(std::span<const uint16_t> supported_groups,
                                      std::span<const uint16_t> key_shares);

/// Drops a client's records from behind its first ClientHello up to its second one. Belongs to one engine.
class EarlyDataSkipper {
 public:
  enum class Outcome : uint8_t {
    need_more,     // all of the input is gone
    second_hello,  // the next record is no early data; header() has its beginning, the input goes on behind
                   // that
    too_much,      // more than limits::early_data_bytes_max
  };

  /// The HelloRetryRequest has been sent: what comes now is dropped.
  void begin() { has_begun_ = true; }
  [[nodiscard]] bool has_begun() const { return has_begun_; }

  /// Takes what is early data from the front of `input`. Not to be called again after second_hello or
  /// too_much.
  [[nodiscard]] Outcome skip(std::span<const uint8_t>& input);
  [[nodiscard]] std::span<const uint8_t> header() const { return std::span(header_).first(header_bytes_); }

 private:
  std::array<uint8_t, 5> header_{};  // RFC 8446 section 5.1: type, version, length
  size_t header_bytes_ = 0;          // how many of them have come
  size_t record_left_ = 0;           // of a record that is dropped
  size_t dropped_bytes_ = 0;
  bool has_begun_ = false;
};

}  // namespace sluice::tls
