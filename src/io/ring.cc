#include "io/ring.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <span>

#include "base/check.h"
#include "base/limits.h"

namespace sluice::io {
namespace {

// One submission queue holds what a round of completions asks for; when it is full it is submitted early.
constexpr unsigned submission_entries = 1024;
// Several completions per session may be pending at once (FACTS: size it well above the SQ). 16 bytes each: 256 KiB.
constexpr unsigned completion_entries = 16 * 1024;
// A buffer is in use only from a completion to the send or copy that follows it in the same round, so few are needed;
// when a round has more readers than this, the rest are told -ENOBUFS and ask again. 64 × 16 KiB = 1 MiB.
constexpr unsigned buffer_count = 64;
constexpr unsigned buffer_bytes = limits::ring_buffer_bytes;
constexpr int buffer_group = 0;

ssize_t or_errno(ssize_t result) { return result < 0 ? -errno : result; }

}  // namespace

Result<std::unique_ptr<Ring>> Ring::create(const Options& options) {
  std::unique_ptr<Ring> self(new Ring(options));
  io_uring_params params{};
  // SINGLE_ISSUER + DEFER_TASKRUN: completions run when this thread asks, in batches, without locks (Linux 6.1).
  // SUBMIT_ALL: one bad entry does not hold up the others.
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL;
  params.cq_entries = completion_entries;
  if (const int error = io_uring_queue_init_params(submission_entries, &self->ring_, &params); error < 0)
    return fail(ErrorCode::unsupported, Side::gateway, -error);
  self->ring_ready_ = true;
#ifdef IORING_FEAT_MIN_TIMEOUT
  self->can_gather_ = (params.features & IORING_FEAT_MIN_TIMEOUT) != 0;
#endif
  // Saves a descriptor look-up per system call; a kernel without it works as well.
  (void)io_uring_register_ring_fd(&self->ring_);

  int error = 0;
  self->buffers_ = io_uring_setup_buf_ring(&self->ring_, buffer_count, buffer_group, 0, &error);
  if (self->buffers_ == nullptr) return fail(ErrorCode::unsupported, Side::gateway, -error);
  self->buffer_memory_ = std::make_unique_for_overwrite<uint8_t[]>(size_t{buffer_count} * buffer_bytes);
  for (unsigned i = 0; i < buffer_count; ++i)
    io_uring_buf_ring_add(self->buffers_, self->buffer_memory_.get() + size_t{i} * buffer_bytes, buffer_bytes,
                          static_cast<unsigned short>(i), io_uring_buf_ring_mask(buffer_count), static_cast<int>(i));
  io_uring_buf_ring_advance(self->buffers_, buffer_count);

  self->addresses_.resize(submission_entries);
  self->now_us_ = clock_us();
  return self;
}

Ring::~Ring() {
  if (buffers_ != nullptr) io_uring_free_buf_ring(&ring_, buffers_, buffer_count, buffer_group);
  if (ring_ready_) io_uring_queue_exit(&ring_);
}

uint64_t Ring::clock_us() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000 + static_cast<uint64_t>(now.tv_nsec) / 1000;
}

void Ring::gather(uint32_t us, uint32_t completions) {
  gather_us_ = can_gather_ ? us : 0;
  gather_completions_ = us == 0 ? 1 : completions;
}

void Ring::wait(uint64_t until_us) {
  const uint64_t now = clock_us();
  const uint64_t wait_us = until_us > now ? until_us - now : 0;
  // An hour at the most: the kernel takes seconds in 64 bits, but a clock that far ahead is a bug of ours.
  const uint64_t bounded_us = std::min<uint64_t>(wait_us, 3'600'000'000);
  __kernel_timespec timeout{static_cast<int64_t>(bounded_us / 1'000'000),
                            static_cast<long long>(bounded_us % 1'000'000 * 1000)};
  io_uring_cqe* unused = nullptr;
  // Errors are -ETIME (nothing happened) and -EINTR (a signal): both mean "look at the clock and the messages".
#ifdef IORING_FEAT_MIN_TIMEOUT
  if (gather_us_ != 0)
    (void)io_uring_submit_and_wait_min_timeout(&ring_, &unused, gather_completions_, &timeout, gather_us_, nullptr);
  else
#endif
    (void)io_uring_submit_and_wait_timeout(&ring_, &unused, 1, &timeout, nullptr);
  now_us_ = clock_us();
}

unsigned Ring::dispatch() {
  unsigned head = 0;
  unsigned seen = 0;
  io_uring_cqe* cqe = nullptr;
  // A handler may queue entries, and a full queue is submitted; that adds completions behind `seen`, never before it.
  io_uring_for_each_cqe(&ring_, head, cqe) {
    ++seen;
    auto* op = static_cast<Op*>(io_uring_cqe_get_data(cqe));
    if (op == nullptr) continue;  // the answer to a cancel: the cancelled Op answers for itself
    if ((cqe->flags & IORING_CQE_F_MORE) == 0) op->in_flight = false;
    op->on_done(op->owner, cqe->res, cqe->flags);
  }
  io_uring_cq_advance(&ring_, seen);
  return seen;
}

io_uring_sqe* Ring::sqe(Op& op) {
  SLUICE_CHECK(!op.in_flight);
  io_uring_sqe* entry = io_uring_get_sqe(&ring_);
  while (entry == nullptr) {
    (void)io_uring_submit(&ring_);
    entry = io_uring_get_sqe(&ring_);
  }
  op.in_flight = true;
  return entry;
}

void Ring::accept_many(Op& op, int listener_fd) {
  io_uring_sqe* entry = sqe(op);
  io_uring_prep_multishot_accept(entry, listener_fd, nullptr, nullptr, SOCK_CLOEXEC);
  io_uring_sqe_set_data(entry, &op);
}

io_uring_sqe* Ring::prepare_receive(Op& op, int fd) {
  io_uring_sqe* entry = sqe(op);
  io_uring_prep_recv(entry, fd, nullptr, 0, 0);
  io_uring_sqe_set_flags(entry, IOSQE_BUFFER_SELECT);
  entry->buf_group = buffer_group;
  io_uring_sqe_set_data(entry, &op);
  return entry;
}

/// POLL_FIRST: the socket has just been emptied or is fresh; a try before waiting would only cost.
void Ring::receive(Op& op, int fd) { prepare_receive(op, fd)->ioprio |= IORING_RECVSEND_POLL_FIRST; }

void Ring::receive_at_once(Op& op, int fd) { (void)prepare_receive(op, fd); }

void Ring::connect(Op& op, int fd, const Endpoint& to) {
  io_uring_sqe* entry = sqe(op);
  SocketAddress& address = addresses_[next_address_];
  next_address_ = (next_address_ + 1) % addresses_.size();
  address = to_socket_address(to);
  io_uring_prep_connect(entry, fd, address.get(), address.length);
  io_uring_sqe_set_data(entry, &op);
}

void Ring::poll(Op& op, int fd, uint32_t events) {
  io_uring_sqe* entry = sqe(op);
  io_uring_prep_poll_add(entry, fd, events);
  io_uring_sqe_set_data(entry, &op);
}

void Ring::cancel(Op& op) {
  if (!op.in_flight) return;
  io_uring_sqe* entry = io_uring_get_sqe(&ring_);
  while (entry == nullptr) {
    (void)io_uring_submit(&ring_);
    entry = io_uring_get_sqe(&ring_);
  }
  io_uring_prep_cancel(entry, &op, 0);
  io_uring_sqe_set_data(entry, nullptr);
  // Nobody needs the answer, unless it fails; -ENOENT and -EALREADY mean that the Op's own answer is on its way.
  io_uring_sqe_set_flags(entry, IOSQE_CQE_SKIP_SUCCESS);
}

std::span<const uint8_t> Ring::received(int32_t result, uint32_t flags) {
  SLUICE_CHECK(result > 0 && (flags & IORING_CQE_F_BUFFER) != 0);
  const size_t index = flags >> IORING_CQE_BUFFER_SHIFT;
  return {buffer_memory_.get() + index * buffer_bytes, static_cast<size_t>(result)};
}

void Ring::release(uint32_t flags) {
  if ((flags & IORING_CQE_F_BUFFER) == 0) return;
  const auto index = static_cast<unsigned short>(flags >> IORING_CQE_BUFFER_SHIFT);
  io_uring_buf_ring_add(buffers_, buffer_memory_.get() + size_t{index} * buffer_bytes, buffer_bytes, index,
                        io_uring_buf_ring_mask(buffer_count), 0);
  io_uring_buf_ring_advance(buffers_, 1);
}

bool Ring::more(uint32_t flags) const { return (flags & IORING_CQE_F_MORE) != 0; }

int Ring::describe(int client_fd, bool want_interface, Accepted& accepted) {
  return describe_accepted(client_fd, want_interface, accepted);
}

int Ring::origin_socket(const OriginSocket& options) { return make_origin_socket(options); }

bool Ring::is_own(const IpAddress& address) { return is_own_address(address); }
void Ring::keep_alive(int fd, uint32_t idle_ms) { (void)io::keep_alive(fd, idle_ms); }

int Ring::connect_outcome(int fd) {
  SocketAddress peer;
  peer.length = sizeof peer.storage;
  if (getpeername(fd, peer.get(), &peer.length) == 0) return 0;
  int error = 0;
  socklen_t length = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) return -errno;
  return error != 0 ? -error : -EINPROGRESS;
}

// splice(2) into a socket waits for its buffer unless the socket itself is nonblocking: sock_sendpage before Linux 6.5,
// splice_to_socket since. SPLICE_F_NONBLOCK is about the pipe.
void Ring::set_nonblocking(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags >= 0) (void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

ssize_t Ring::send_now(int fd, std::span<const uint8_t> bytes) {
  return or_errno(::send(fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL));
}

ssize_t Ring::receive_now(int fd, std::span<uint8_t> bytes) {
  return or_errno(::recv(fd, bytes.data(), bytes.size(), MSG_DONTWAIT));
}

ssize_t Ring::fill(Pipe& pipe, int from_fd) {
  const ssize_t moved =
      or_errno(::splice(from_fd, nullptr, pipe.write_fd, nullptr, pipe.capacity, SPLICE_F_MOVE | SPLICE_F_NONBLOCK));
  if (moved > 0) pipe.bytes += static_cast<uint32_t>(moved);
  return moved;
}

ssize_t Ring::drain(Pipe& pipe, int to_fd) {
  const ssize_t moved =
      or_errno(::splice(pipe.read_fd, nullptr, to_fd, nullptr, pipe.bytes, SPLICE_F_MOVE | SPLICE_F_NONBLOCK));
  if (moved > 0) pipe.bytes -= static_cast<uint32_t>(moved);
  return moved;
}

Pipe* Ring::take_pipe() { return pipes_.take(); }
void Ring::give_pipe(Pipe* pipe) { pipes_.give(pipe); }

void Ring::shutdown_write(int fd) { (void)::shutdown(fd, SHUT_WR); }

uint32_t Ring::unacknowledged_bytes(int fd) {
  int bytes = 0;
  return ioctl(fd, SIOCOUTQ, &bytes) == 0 && bytes > 0 ? static_cast<uint32_t>(bytes) : 0;
}

void Ring::close(int fd) { (void)::close(fd); }

void Ring::close_with_reset(int fd) {
  const linger now{1, 0};
  (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  (void)::close(fd);
}

const char* explain_ring_error(int sys_errno) {
  switch (sys_errno) {
    case EPERM:
      return "io_uring is forbidden here: set the sysctl kernel.io_uring_disabled = 0, and if this is a container, allow "
             "io_uring_setup, io_uring_enter and io_uring_register in its seccomp profile";
    case ENOSYS: return "this kernel has no io_uring (CONFIG_IO_URING), or a seccomp profile hides it: Linux 6.1 or newer is needed";
    case EINVAL: return "this kernel's io_uring is too old: Linux 6.1 or newer is needed";
    case ENOMEM: return "no memory for the ring: raise the memory lock limit (LimitMEMLOCK=infinity, ulimit -l)";
    case EMFILE:
    case ENFILE: return "no file descriptor left for the ring: raise the limit (LimitNOFILE=, ulimit -n)";
    default: return "the ring could not be created";
  }
}

}  // namespace sluice::io
