// FakeKernel: an operating system in memory for the flows. TCP connections, pipes and time, all from one
// seed.
//
// What it simulates: receive queues and send buffers with bounds; short reads and sends; -EAGAIN, -EINTR,
// -ENOBUFS; spurious poll wake-ups; completions that answer late and in any order; cancels that lose the
// race; every way in which a dial can end; FIN, RST and silence from the far end, with Linux's error
// reporting (an error is reported once, then the socket reads as ended and sends as broken; a socket that has
// seen FIN never reads an error). It is strict: an operation on a closed descriptor, a close with an
// operation in flight, a ring receive on a nonblocking socket, a splice that would block, a buffer or pipe
// that comes back twice or not at all are all complaints(), each in a sentence.
//
// Nothing happens by itself: execute_one() lets the kernel perform an operation, deliver() runs handlers,
// advance() moves the clock. Whoever drives it (tests/sim/lab.h) chooses the order. One thread.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/kernel.h"
#include "sim/random.h"

namespace sluice::sim {

using Bytes = std::vector<uint8_t>;

/// How unkind the kernel is: the chance of each mishap at each opportunity. All zero: what a test asks for,
/// in order.
struct Chaos {
  double short_receive = 0;
  double short_send = 0;   // and short drains
  double short_fill = 0;   // a splice into a pipe that stops before the socket is empty
  double send_eagain = 0;  // although there is room
  double send_enobufs = 0;
  double eintr = 0;      // direct calls and ring receives
  double no_buffer = 0;  // -ENOBUFS for a receive
  double spurious_poll = 0;
  double reorder = 0;  // completions do not come in the order in which they happened
  double pipe_denied = 0;
  double early_connect =
      0;                    // connect answers 0 before the dial is decided, as the ring does on an ICMP error
  double cancel_loses = 0;  // the operation answers as if it had not been cancelled, if it can
};

/// Bytes on their way, taken from the front.
class ByteQueue {
 public:
  [[nodiscard]] size_t size() const { return bytes_.size() - head_; }
  [[nodiscard]] bool empty() const { return size() == 0; }
  [[nodiscard]] std::span<const uint8_t> view() const { return std::span(bytes_).subspan(head_); }
  void put(std::span<const uint8_t> more) { bytes_.insert(bytes_.end(), more.begin(), more.end()); }
  void drop(size_t count);
  [[nodiscard]] Bytes take(size_t count);
  void clear() {
    bytes_.clear();
    head_ = 0;
  }

 private:
  Bytes bytes_;
  size_t head_ = 0;
};

/// What becomes of a dial.
struct DialOutcome {
  int result = 0;      // 0 or -errno
  bool never = false;  // no answer at all
  uint64_t at_us = 0;  // not before
};

/// A TCP connection of the gateway and the far end's view of it. Stays when the gateway closes it, so that
/// the far end can still be asked what it saw.
class Connection {
 public:
  Connection(int fd, bool established) : fd_(fd), established_(established) {}

  // --- the far end: the peer's application and its kernel ---
  /// What fits into the gateway's receive queue; the rest stays with the caller.
  size_t send(std::span<const uint8_t> bytes);
  /// FIN behind what was sent (shutdown); the far end goes on reading.
  void finish();
  /// FIN, and whatever comes from now on is answered with a reset.
  void close();
  void reset();
  /// The host is gone; the gateway's kernel finds out and says `sys_errno` (ETIMEDOUT, EHOSTUNREACH).
  void vanish(int sys_errno);
  [[nodiscard]] Bytes read(size_t most);
  /// A closed far end answers bytes with a reset; true if it just did.
  bool refuse_bytes();

  [[nodiscard]] size_t readable() const { return outbox_.size(); }
  [[nodiscard]] bool got_fin() const { return fin_out_ && outbox_.empty() && !got_reset_; }
  [[nodiscard]] bool got_reset() const { return got_reset_; }
  [[nodiscard]] bool sent_fin() const { return fin_in_; }
  [[nodiscard]] bool sent_reset() const { return sent_reset_; }
  [[nodiscard]] bool vanished() const { return vanished_; }
  [[nodiscard]] uint64_t bytes_sent() const { return bytes_sent_; }
  [[nodiscard]] size_t room() const { return inbox_max > inbox_.size() ? inbox_max - inbox_.size() : 0; }
  [[nodiscard]] size_t unread_by_gateway() const { return inbox_.size(); }

  // --- the gateway ---
  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] bool established() const { return established_; }
  [[nodiscard]] bool closed_by_gateway() const { return closed_; }
  [[nodiscard]] bool nonblocking() const { return nonblocking_; }
  [[nodiscard]] uint32_t keepalive_ms() const { return keepalive_ms_; }
  /// The gateway has ended its half in order, whether the far end has read up to there or not.
  [[nodiscard]] bool gateway_finished() const { return fin_out_ && !got_reset_; }
  /// What the gateway's socket took, alerts included.
  [[nodiscard]] uint64_t bytes_taken() const { return bytes_taken_; }

  size_t inbox_max = 256 * 1024;   // the gateway's receive queue
  size_t outbox_max = 256 * 1024;  // the gateway's send buffer and the peer's receive window

 private:
  friend class FakeKernel;
  [[nodiscard]] bool dead() const { return sent_reset_ || vanished_; }
  [[nodiscard]] uint32_t events() const;
  [[nodiscard]] bool readable_now() const { return !inbox_.empty() || fin_in_ || error_ != 0 || dead(); }
  /// Bytes that may be read now (0: end), or -errno.
  [[nodiscard]] ssize_t may_read();
  [[nodiscard]] ssize_t may_write();
  void fail(int sys_errno);

  int fd_;
  bool established_;
  bool dialled_ = false;
  DialOutcome dial_;
  bool nonblocking_ = false;
  uint32_t keepalive_ms_ = 0;
  bool shut_write_ = false;
  bool closed_ = false;
  bool close_after_fin_ = false;  // the far end has closed altogether
  ByteQueue inbox_;
  ByteQueue outbox_;
  int error_ = 0;  // reported once
  bool fin_in_ = false;
  bool fin_out_ = false;
  bool sent_reset_ = false;
  bool got_reset_ = false;
  bool vanished_ = false;
  uint64_t bytes_sent_ = 0;
  uint64_t bytes_taken_ = 0;
};

class FakeKernel final : public io::Kernel {
 public:
  uint64_t polls = 0;  // asked for so far

  explicit FakeKernel(Random& random);
  ~FakeKernel() override;

  // --- for the test ---
  Chaos chaos;
  size_t buffers_max = 64;
  size_t pipes_max = 64;
  uint32_t pipe_bytes = 64 * 1024;
  int origin_socket_errno = 0;  // the next origin_socket() fails so
  /// Asked once per dial; `owner` is the Op's, `connection` the new socket.
  std::function<DialOutcome(void* owner, const Endpoint& to, Connection& connection)> on_dial;

  /// A connection that a client has made, as accept would have returned it.
  Connection& accepted();
  /// A listening descriptor, real or not.
  void add_listener(int fd) { listeners_[fd]; }
  /// A completion for accept_many on that listener: a descriptor or -errno; `last` ends the multishot.
  void offer(int listener_fd, int result, bool last);
  /// The listener is readable (or not): for poll.
  void set_readable(int listener_fd, bool readable);

  /// Performs one operation that can be performed. False: there is none.
  bool execute_one();
  /// Runs the handlers of what has been performed. False: nothing has.
  bool deliver();
  void advance(uint64_t us) { now_us_ += us; }
  /// When an operation can next be performed although nobody does anything; UINT64_MAX: never.
  [[nodiscard]] uint64_t next_us() const;

  [[nodiscard]] const std::vector<std::string>& complaints() const { return complaints_; }
  /// What is still held, at the end: in flight, open, out. Empty: all is given back.
  [[nodiscard]] std::string leftovers() const;
  [[nodiscard]] size_t origin_sockets() const { return origin_sockets_; }
  [[nodiscard]] size_t pipes_out() const { return pipes_out_.size(); }
  [[nodiscard]] uint64_t pipes_destroyed() const { return pipes_destroyed_; }
  [[nodiscard]] const std::vector<Endpoint>& dialled() const { return dialled_; }
  [[nodiscard]] const io::OriginSocket& last_origin_options() const { return last_origin_options_; }
  [[nodiscard]] const std::vector<int>& foreign_resets() const { return foreign_resets_; }
  [[nodiscard]] size_t in_flight() const { return waiting_.size() + done_.size(); }

  // --- io::Kernel ---
  void accept_many(io::Op& op, int listener_fd) override;
  void receive(io::Op& op, int fd) override;
  void connect(io::Op& op, int fd, const Endpoint& to) override;
  void poll(io::Op& op, int fd, uint32_t events) override;
  void cancel(io::Op& op) override;
  [[nodiscard]] std::span<const uint8_t> received(int32_t result, uint32_t flags) override;
  void release(uint32_t flags) override;
  [[nodiscard]] bool more(uint32_t flags) const override { return (flags & flag_more) != 0; }
  [[nodiscard]] int describe(int client_fd, bool want_interface, io::Accepted& accepted) override;
  [[nodiscard]] int origin_socket(const io::OriginSocket& options) override;
  [[nodiscard]] int connect_outcome(int fd) override;
  void keep_alive(int fd, uint32_t idle_ms) override;
  void set_nonblocking(int fd) override;
  [[nodiscard]] ssize_t send_now(int fd, std::span<const uint8_t> bytes) override;
  [[nodiscard]] ssize_t receive_now(int fd, std::span<uint8_t> bytes) override;
  [[nodiscard]] ssize_t fill(io::Pipe& pipe, int from_fd) override;
  [[nodiscard]] ssize_t drain(io::Pipe& pipe, int to_fd) override;
  [[nodiscard]] io::Pipe* take_pipe() override;
  void give_pipe(io::Pipe* pipe) override;
  void shutdown_write(int fd) override;
  [[nodiscard]] uint32_t unacknowledged_bytes(int fd) override;
  void close(int fd) override;
  void close_with_reset(int fd) override;
  [[nodiscard]] uint64_t now_us() const override { return now_us_; }

 private:
  static constexpr uint32_t flag_buffer = 1;
  static constexpr uint32_t flag_more = 2;
  static constexpr unsigned buffer_shift = 16;

  enum class Kind : uint8_t { accept, receive, connect, poll };
  struct Waiting {
    io::Op* op;
    Kind kind;
    int fd;
    uint32_t events = 0;
    bool cancelled = false;
    bool spurious = false;
  };
  struct Done {
    io::Op* op;
    int fd;
    int32_t result;
    uint32_t flags;
  };
  struct Listening {
    struct Offer {
      int result;
      bool last;
    };
    std::deque<Offer> offers;
    bool readable = false;
  };
  struct FakePipe {
    io::Pipe pipe;
    ByteQueue bytes;
  };

  void complain(std::string what) { complaints_.push_back(std::move(what)); }
  Connection* open_connection(int fd, const char* call);
  void start(Waiting waiting, const char* call);
  [[nodiscard]] bool can_execute(const Waiting& waiting);
  [[nodiscard]] bool ready(const Waiting& waiting) const;
  [[nodiscard]] bool dial_decided(const Connection& connection) const;
  [[nodiscard]] uint32_t events_of(int fd, uint32_t wanted) const;
  void execute(size_t index);
  void finish(size_t index, int32_t result, uint32_t flags);
  void execute_receive(size_t index);
  void execute_accept(size_t index);
  void close_either(int fd, bool with_reset);
  FakePipe* pipe_of(const io::Pipe* pipe, const char* call);

  Random& random_;
  uint64_t now_us_ = 1'000'000'000;
  int next_fd_ = 1000;
  std::map<int, std::unique_ptr<Connection>> connections_;
  std::map<int, Listening> listeners_;
  std::vector<Waiting> waiting_;
  std::vector<Done> done_;
  std::map<uint32_t, Bytes> buffers_out_;
  uint32_t next_buffer_ = 0;
  std::vector<std::unique_ptr<FakePipe>> pipes_free_;
  std::vector<std::unique_ptr<FakePipe>> pipes_out_;
  uint64_t pipes_destroyed_ = 0;
  size_t origin_sockets_ = 0;
  std::vector<Endpoint> dialled_;
  io::OriginSocket last_origin_options_;
  std::vector<int> foreign_resets_;
  std::vector<std::string> complaints_;
};

}  // namespace sluice::sim
