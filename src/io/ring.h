// Ring: the Kernel of production. One io_uring, its provided buffers and its pipes; created in, and used by, one thread.
#pragma once

#include <liburing.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "io/kernel.h"
#include "io/pipe_pool.h"
#include "io/socket.h"

namespace sluice::io {

class Ring final : public Kernel {
 public:
  struct Options {
    uint32_t pipes_max = 64;
  };

  /// Call it in the thread that will use the ring (IORING_SETUP_SINGLE_ISSUER). Errors: EPERM (io_uring is forbidden),
  /// ENOSYS (not in this kernel), EINVAL (kernel older than 6.1), ENOMEM (memory lock limit).
  [[nodiscard]] static Result<std::unique_ptr<Ring>> create(const Options& options);
  ~Ring() override;

  /// Submits what was asked for and waits until something completes or `until_us` (monotonic) has passed; then now_us() is
  /// the time of waking up. dispatch() comes next.
  void wait(uint64_t until_us);
  /// Runs the handlers of all completions, and says how many there were.
  unsigned dispatch();
  /// Under load a wake-up costs more than the bytes that it moves: wait up to this long for more
  /// completions before returning (0: return at once). Linux 6.12.
  void gather(uint32_t us, uint32_t completions);

  void accept_many(Op& op, int listener_fd) override;
  void receive(Op& op, int fd) override;
  void receive_at_once(Op& op, int fd) override;
  void connect(Op& op, int fd, const Endpoint& to) override;
  void poll(Op& op, int fd, uint32_t events) override;
  void cancel(Op& op) override;
  [[nodiscard]] std::span<const uint8_t> received(int32_t result, uint32_t flags) override;
  void release(uint32_t flags) override;
  [[nodiscard]] bool more(uint32_t flags) const override;

  [[nodiscard]] int describe(int client_fd, bool want_interface, Accepted& accepted) override;
  [[nodiscard]] int origin_socket(const OriginSocket& options) override;
  [[nodiscard]] int connect_outcome(int fd) override;
  [[nodiscard]] bool is_own(const IpAddress& address) override;
  void keep_alive(int fd, uint32_t idle_ms) override;
  void set_nonblocking(int fd) override;
  [[nodiscard]] ssize_t send_now(int fd, std::span<const uint8_t> bytes) override;
  [[nodiscard]] ssize_t receive_now(int fd, std::span<uint8_t> bytes) override;
  [[nodiscard]] ssize_t fill(Pipe& pipe, int from_fd) override;
  [[nodiscard]] ssize_t drain(Pipe& pipe, int to_fd) override;
  [[nodiscard]] Pipe* take_pipe() override;
  void give_pipe(Pipe* pipe) override;
  void shutdown_write(int fd) override;
  [[nodiscard]] uint32_t unacknowledged_bytes(int fd) override;
  void close(int fd) override;
  void close_with_reset(int fd) override;
  [[nodiscard]] uint64_t now_us() const override { return now_us_; }

  /// The clock behind now_us(), read afresh.
  [[nodiscard]] static uint64_t clock_us();

 private:
  explicit Ring(const Options& options) : pipes_(options.pipes_max) {}
  [[nodiscard]] io_uring_sqe* prepare_receive(Op& op, int fd);
  io_uring_sqe* sqe(Op& op);

  io_uring ring_{};
  bool ring_ready_ = false;
  bool can_gather_ = false;
  uint32_t gather_us_ = 0;
  uint32_t gather_completions_ = 1;
  io_uring_buf_ring* buffers_ = nullptr;
  std::unique_ptr<uint8_t[]> buffer_memory_;
  PipePool pipes_;
  uint64_t now_us_ = 0;
  // connect() keeps its address until submission, which copies it: a slot for each entry of the submission queue.
  std::vector<SocketAddress> addresses_;
  size_t next_address_ = 0;
};

/// An errno as an administrator can act on it: what the start of a ring needs and does not find here.
[[nodiscard]] const char* explain_ring_error(int sys_errno);

}  // namespace sluice::io
