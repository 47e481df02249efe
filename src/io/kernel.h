// Kernel: everything that the flows ask of the operating system, and nothing else. One implementation is the ring
// (io/ring.h); the other is the fake of tests/sim, which answers with seeded short reads, errors, cancels and time.
//
// One Kernel per worker; all calls are made from that worker's thread. Ring operations answer later through Op::on_done,
// each exactly once (accept_many: until it answers without `more(flags)`). Direct calls answer at once; they return what
// the system call returns, or -errno.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>

#include "base/ip.h"
#include "io/op.h"
#include "io/pipe.h"

namespace sluice::io {

/// What an accepted connection is about. `interface_index` 0: unknown.
struct Accepted {
  Endpoint client;
  Endpoint destination;
  uint32_t interface_index = 0;
};

/// How the socket towards the origin is made.
struct OriginSocket {
  bool v6 = false;
  uint32_t mark = 0;                  // SO_MARK
  // We have bytes to send as soon as it is connected: the handshake's last ACK rides on them, a segment less.
  bool speaks_first = false;
  const IpAddress* source = nullptr;  // bind to this address (IP_TRANSPARENT), port chosen at connect
};

class Kernel {
 public:
  Kernel() = default;
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;
  virtual ~Kernel() = default;

  // --- ring operations ---
  virtual void accept_many(Op& op, int listener_fd) = 0;
  /// Waits until the socket is readable, then reads into a pooled buffer. Result > 0: received(…) until release(…).
  /// -ENOBUFS: no buffer was free at that moment; ask again. The socket must be blocking.
  virtual void receive(Op& op, int fd) = 0;
  /// The same where bytes are likely to be there already: tries before it waits.
  virtual void receive_at_once(Op& op, int fd) { receive(op, fd); }
  virtual void connect(Op& op, int fd, const Endpoint& to) = 0;
  /// One-shot; `events` of poll(2); the result is the ready events.
  virtual void poll(Op& op, int fd, uint32_t events) = 0;
  /// Makes `op` answer soon (-ECANCELED, or what it would have answered anyway). A no-op when it is not in flight.
  virtual void cancel(Op& op) = 0;

  [[nodiscard]] virtual std::span<const uint8_t> received(int32_t result, uint32_t flags) = 0;
  virtual void release(uint32_t flags) = 0;
  [[nodiscard]] virtual bool more(uint32_t flags) const = 0;

  // --- direct calls ---
  [[nodiscard]] virtual int describe(int client_fd, bool want_interface, Accepted& accepted) = 0;
  [[nodiscard]] virtual int origin_socket(const OriginSocket& options) = 0;
  /// What a connect() that answered 0 really came to: 0 connected, -EINPROGRESS not yet, else what went wrong. The ring
  /// answers 0 for any event on the socket, also for an ICMP error that leaves it in SYN_SENT.
  [[nodiscard]] virtual int connect_outcome(int /*fd*/) { return 0; }
  /// Whether it is an address of this host.
  [[nodiscard]] virtual bool is_own(const IpAddress& /*address*/) { return false; }
  virtual void set_nonblocking(int fd) = 0;
  /// Probes a peer of whom nothing was heard for `idle_ms`; 0: never.
  virtual void keep_alive(int fd, uint32_t idle_ms) = 0;
  /// Never waits.
  [[nodiscard]] virtual ssize_t send_now(int fd, std::span<const uint8_t> bytes) = 0;
  [[nodiscard]] virtual ssize_t receive_now(int fd, std::span<uint8_t> bytes) = 0;
  /// splice(2), socket to pipe: up to the pipe's free capacity. Updates pipe.bytes. Never waits.
  [[nodiscard]] virtual ssize_t fill(Pipe& pipe, int from_fd) = 0;
  /// splice(2), pipe to socket: the socket must be nonblocking. Updates pipe.bytes.
  [[nodiscard]] virtual ssize_t drain(Pipe& pipe, int to_fd) = 0;
  /// nullptr: the pool is empty and may not grow. A pipe that still holds bytes is destroyed on its way back.
  [[nodiscard]] virtual Pipe* take_pipe() = 0;
  virtual void give_pipe(Pipe* pipe) = 0;
  virtual void shutdown_write(int fd) = 0;
  /// Bytes sent but not yet acknowledged by the peer (SIOCOUTQ).
  [[nodiscard]] virtual uint32_t unacknowledged_bytes(int fd) = 0;
  virtual void close(int fd) = 0;
  /// Sends RST and forgets what was not delivered (SO_LINGER 0).
  virtual void close_with_reset(int fd) = 0;

  /// Monotonic, microseconds; constant within one round of completions.
  [[nodiscard]] virtual uint64_t now_us() const = 0;
};

}  // namespace sluice::io
