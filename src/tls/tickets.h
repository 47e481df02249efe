// Session tickets for clients (RFC 5077, RFC 8446 section 4.6.1): stateless, sealed with a key that rotates
// by time, and bound to what the client was shown.
//
// All workers start from the same TicketKeys, and each derives the same keys on its own: no lock and nothing
// shared. The secret is a one-way chain, so that a key which has been replaced twice is in nobody's memory
// any more.
//
// TicketKeys is a value. A TicketSealer belongs to one thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

struct Aes;

namespace sluice::tls {

/// A digest of what a ticket stands for: on resumption no certificate is shown, so it opens only where the
/// client would be shown what it has accepted.
using TicketBinding = std::array<uint8_t, 32>;

class TicketKeys {
 public:
  /// How long tickets are sealed with one key; they are opened for as long again.
  static constexpr int64_t period_s = 4 * 3600;

  struct Key {
    int64_t period = -1;  // which period it seals in; -1: no key
    std::array<uint8_t, 16> name{};
    std::array<uint8_t, 32> key{};
  };

  /// `seed`: from the system's random numbers, once per process. `start_s`: now, on the clock that later
  /// calls use.
  TicketKeys(std::span<const uint8_t, 32> seed, int64_t start_s);
  TicketKeys(const TicketKeys&) = default;
  TicketKeys& operator=(const TicketKeys&) = default;
  ~TicketKeys();

  /// Moves on to the period of `now_s`; true if the keys have changed. Time that goes backwards changes
  /// nothing.
  bool advance(int64_t now_s);
  [[nodiscard]] const Key& current() const { return current_; }
  [[nodiscard]] const Key& previous() const { return previous_; }

 private:
  void next();
  [[nodiscard]] Key derive() const;

  std::array<uint8_t, 32> secret_{};
  int64_t start_s_ = 0;
  int64_t period_ = 0;
  Key current_;
  Key previous_;
};

/// Seals and opens tickets: AES-256-GCM over what wolfSSL wants to see again and the depth of the chain of
/// resumptions. The key's name and the binding are authenticated with it; the binding is not in the ticket.
class TicketSealer {
 public:
  static constexpr size_t tag_bytes = 16;
  static constexpr size_t nonce_bytes = 12;
  /// What the seal adds to the content.
  static constexpr size_t depth_bytes = 1;

  explicit TicketSealer(const TicketKeys& keys);
  TicketSealer(const TicketSealer&) = delete;
  TicketSealer& operator=(const TicketSealer&) = delete;
  ~TicketSealer();

  /// Encrypts `content` in place; its last byte is overwritten with `depth`. `nonce` must be random. False:
  /// wolfCrypt failed.
  [[nodiscard]] bool seal(int64_t now_s, const TicketBinding& binding, uint8_t depth,
                          std::span<const uint8_t, nonce_bytes> nonce, std::span<uint8_t> content,
                          std::span<uint8_t, 16> key_name, std::span<uint8_t, tag_bytes> tag);
  /// Decrypts in place. False: sealed by a key that is unknown or too old, under another binding, or changed
  /// since; `content` is then void.
  [[nodiscard]] bool open(int64_t now_s, const TicketBinding& binding, std::span<const uint8_t, 16> key_name,
                          std::span<const uint8_t, nonce_bytes> nonce,
                          std::span<const uint8_t, tag_bytes> tag, std::span<uint8_t> content,
                          uint8_t& depth);

 private:
  struct AesDeleter {
    void operator()(Aes* aes) const;
  };
  using AesPointer = std::unique_ptr<Aes, AesDeleter>;

  void advance(int64_t now_s);
  static AesPointer prepared(const TicketKeys::Key& key);

  TicketKeys keys_;
  AesPointer current_;
  AesPointer previous_;
};

}  // namespace sluice::tls
