// Contexts: what all connections of a worker have in common, one for each role. Made once, read-only
// afterwards.
//
// Each owns its WOLFSSL_CTX. A context belongs to one worker: its ticket keys advance with time without a
// lock. Engines must not outlive it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/result.h"
#include "tls/tickets.h"

struct WOLFSSL_CTX;

namespace sluice::tls {

struct ContextDeleter {
  void operator()(WOLFSSL_CTX* context) const;
};
using ContextPointer = std::unique_ptr<WOLFSSL_CTX, ContextDeleter>;

/// Call once in the main thread before any other of tls/: wolfSSL picks the CPU's instructions at its first
/// use and sets up its globals. May be called again.
[[nodiscard]] Result<> start_tls_library();

/// Towards origins: TLS 1.2 and 1.3; X25519, P-256, P-384, and X25519MLKEM768 when asked for. Accepts every
/// certificate: OriginEngine::chain() is judged afterwards.
class OriginContext {
 public:
  [[nodiscard]] static Result<OriginContext> create();

 private:
  friend class OriginEngine;
  OriginContext() = default;
  ContextPointer classic_;
  ContextPointer post_quantum_;  // its hellos hold two key shares; null when wolfSSL cannot
};

/// Towards clients: TLS 1.2 and 1.3; X25519MLKEM768, X25519, P-256, P-384. Stateless tickets, no 0-RTT.
class ClientContext {
 public:
  /// `leaf_key`: the private key of every minted leaf, DER (PKCS#8, SEC1 or PKCS#1). Each worker gets the
  /// same `tickets`, so that a client may come back to any of them.
  [[nodiscard]] static Result<ClientContext> create(std::span<const uint8_t> leaf_key,
                                                    const TicketKeys& tickets);

 private:
  friend class ClientEngine;
  ClientContext() = default;
  ContextPointer context_;
  std::unique_ptr<TicketSealer> sealer_;  // wolfSSL holds its address
};

}  // namespace sluice::tls
