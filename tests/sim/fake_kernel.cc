#include "sim/fake_kernel.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/limits.h"

namespace sluice::sim {
namespace {
// What io_uring adds to the events of every poll (IO_POLL_UNMASK in io_uring/poll.c): a FIN is told whether asked or not.
constexpr uint32_t always_polled = POLLERR | POLLHUP | POLLRDHUP;
}  // namespace

// --- bytes on their way
// ----------------------------------------------------------------------------------------------

void ByteQueue::drop(size_t count) {
  head_ += count;
  if (head_ < bytes_.size() / 2) return;
  bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<ptrdiff_t>(head_));
  head_ = 0;
}

Bytes ByteQueue::take(size_t count) {
  const auto front = view().first(std::min(count, size()));
  Bytes out(front.begin(), front.end());
  drop(out.size());
  return out;
}

// --- the far end
// -----------------------------------------------------------------------------------------------------

size_t Connection::send(std::span<const uint8_t> bytes) {
  if (fin_in_ || dead() || got_reset_) return 0;
  if (closed_) {  // nobody is there to read them: the gateway's kernel answers with a reset
    got_reset_ = true;
    outbox_.clear();
    return 0;
  }
  const size_t count = std::min(bytes.size(), room());
  inbox_.put(bytes.first(count));
  bytes_sent_ += count;
  return count;
}

void Connection::finish() {
  if (!dead() && !got_reset_) fin_in_ = true;
}

void Connection::close() {
  finish();
  close_after_fin_ = true;
}

void Connection::reset() {
  if (dead() || got_reset_) return;
  sent_reset_ = true;
  // tcp_reset(): EPIPE in CLOSE_WAIT, that is when FIN had come and ours had not gone.
  fail(fin_in_ && !shut_write_ ? EPIPE : ECONNRESET);
}

void Connection::vanish(int sys_errno) {
  if (dead() || got_reset_) return;
  vanished_ = true;
  fail(sys_errno);
}

void Connection::fail(int sys_errno) {
  outbox_.clear();
  if (!closed_) error_ = sys_errno;
}

Bytes Connection::read(size_t most) {
  if (dead() || got_reset_) return {};
  return outbox_.take(most);
}

bool Connection::refuse_bytes() {
  if (!close_after_fin_ || outbox_.empty() || dead() || got_reset_) return false;
  reset();
  return true;
}

// --- the gateway's end, as Linux has it
// ------------------------------------------------------------------------------

uint32_t Connection::events() const {
  uint32_t events = 0;
  if (!inbox_.empty()) events |= POLLIN;
  if (fin_in_ || dead()) events |= POLLIN | POLLRDHUP;
  if (dead() || (fin_in_ && shut_write_)) events |= POLLHUP;
  if (error_ != 0) events |= POLLERR;
  // sk_stream_is_writable(): a third of the buffer is free.
  if (dead() || shut_write_ || outbox_max - std::min(outbox_.size(), outbox_max) >= outbox_max / 3)
    events |= POLLOUT;
  return events;
}

ssize_t Connection::may_read() {
  if (!inbox_.empty()) return static_cast<ssize_t>(inbox_.size());
  if (fin_in_) return 0;  // SOCK_DONE comes before sk_err in tcp_recvmsg()
  if (error_ != 0) return -std::exchange(error_, 0);
  return dead() ? 0 : -EAGAIN;
}

ssize_t Connection::may_write() {
  if (error_ != 0) return -std::exchange(error_, 0);
  if (dead() || shut_write_) return -EPIPE;
  const size_t used = std::min(outbox_.size(), outbox_max);
  return used == outbox_max ? -EAGAIN : static_cast<ssize_t>(outbox_max - used);
}

// --- the kernel: set-up and accounting
// -------------------------------------------------------------------------------

FakeKernel::FakeKernel(Random& random) : random_(random) {}
FakeKernel::~FakeKernel() = default;

Connection& FakeKernel::accepted() {
  const int fd = next_fd_++;
  return *(connections_[fd] = std::make_unique<Connection>(fd, true));
}

void FakeKernel::offer(int listener_fd, int result, bool last) {
  listeners_[listener_fd].offers.push_back({result, last});
}
void FakeKernel::set_readable(int listener_fd, bool readable) { listeners_[listener_fd].readable = readable; }

Connection* FakeKernel::open_connection(int fd, const char* call) {
  const auto at = connections_.find(fd);
  if (at == connections_.end()) {
    complain(std::string(call) + " on a descriptor that never was: " + std::to_string(fd));
    return nullptr;
  }
  if (!at->second->closed_) return at->second.get();
  complain(std::string(call) + " on a closed descriptor: " + std::to_string(fd));
  return nullptr;
}

FakeKernel::FakePipe* FakeKernel::pipe_of(const io::Pipe* pipe, const char* call) {
  for (auto& out : pipes_out_) {
    if (&out->pipe != pipe) continue;
    if (pipe->bytes != out->bytes.size())
      complain(std::string(call) + ": pipe.bytes does not tell what is in the pipe");
    return out.get();
  }
  complain(std::string(call) + " with a pipe that was not taken");
  return nullptr;
}

std::string FakeKernel::leftovers() const {
  std::string text;
  const auto add = [&text](size_t count, const char* what) {
    if (count > 0) text += std::to_string(count) + ' ' + what + "; ";
  };
  add(waiting_.size(), "operations in flight");
  add(done_.size(), "completions not delivered");
  add(buffers_out_.size(), "receive buffers not released");
  add(pipes_out_.size(), "pipes not given back");
  size_t open = 0;
  for (const auto& [fd, connection] : connections_) open += connection->closed_ ? 0u : 1u;
  add(open, "sockets open");
  return text;
}

// --- ring operations: asked for
// --------------------------------------------------------------------------------------

void FakeKernel::start(Waiting waiting, const char* call) {
  if (waiting.op->in_flight) complain(std::string(call) + " with an Op that is in flight");
  waiting.op->in_flight = true;
  waiting_.push_back(waiting);
}

void FakeKernel::accept_many(io::Op& op, int listener_fd) {
  if (!listeners_.contains(listener_fd)) complain("accept_many on something that is no listener");
  start({&op, Kind::accept, listener_fd}, "accept_many");
}

void FakeKernel::receive(io::Op& op, int fd) {
  const Connection* connection = open_connection(fd, "receive");
  if (connection != nullptr && connection->nonblocking_)
    complain("a ring receive on a nonblocking socket: it would answer -EAGAIN for ever");
  if (connection != nullptr && !connection->established_)
    complain("receive on a socket that is not connected");
  start({&op, Kind::receive, fd}, "receive");
}

void FakeKernel::connect(io::Op& op, int fd, const Endpoint& to) {
  Waiting waiting{&op, Kind::connect, fd};
  if (Connection* connection = open_connection(fd, "connect"); connection != nullptr) {
    if (connection->dialled_ || connection->established_)
      complain("connect on a socket that was dialled before");
    connection->dialled_ = true;
    dialled_.push_back(to);
    if (on_dial) connection->dial_ = on_dial(op.owner, to, *connection);
  }
  start(waiting, "connect");
}

void FakeKernel::poll(io::Op& op, int fd, uint32_t events) {
  ++polls;
  if (!listeners_.contains(fd)) (void)open_connection(fd, "poll");
  start({&op, Kind::poll, fd, events}, "poll");
}

void FakeKernel::cancel(io::Op& op) {
  if (!op.in_flight) return;
  for (Waiting& waiting : waiting_)
    if (waiting.op == &op) waiting.cancelled = true;
}

// --- ring operations: performed
// --------------------------------------------------------------------------------------

bool FakeKernel::dial_decided(const Connection& connection) const {
  return !connection.dial_.never && connection.dial_.at_us <= now_us_;
}

/// What poll() sees.
uint32_t FakeKernel::events_of(int fd, uint32_t wanted) const {
  if (const auto listener = listeners_.find(fd); listener != listeners_.end())
    return listener->second.readable ? uint32_t{POLLIN} : 0;
  const Connection& connection = *connections_.at(fd);
  if (connection.established_) return connection.events() & (wanted | always_polled);
  if (!dial_decided(connection)) return 0;
  return connection.dial_.result == 0 ? wanted & POLLOUT : (wanted & POLLOUT) | POLLERR | POLLHUP;
}

bool FakeKernel::ready(const Waiting& waiting) const {
  switch (waiting.kind) {
    case Kind::accept:
      return !listeners_.at(waiting.fd).offers.empty();
    case Kind::connect:
      return dial_decided(*connections_.at(waiting.fd));
    case Kind::receive:
      return connections_.at(waiting.fd)->readable_now();
    case Kind::poll:
      return events_of(waiting.fd, waiting.events) != 0;
  }
  return false;
}

bool FakeKernel::can_execute(const Waiting& waiting) {
  if (waiting.cancelled || ready(waiting)) return true;
  switch (waiting.kind) {
    case Kind::accept:
      return false;
    case Kind::connect:
      return random_.chance(chaos.early_connect);
    case Kind::receive:  // it was waiting when its socket became nonblocking
      return connections_.at(waiting.fd)->nonblocking_ && random_.chance(chaos.spurious_poll);
    case Kind::poll:
      return waiting.events != 0 && random_.chance(chaos.spurious_poll);
  }
  return false;
}

bool FakeKernel::execute_one() {
  if (waiting_.empty()) return false;
  const size_t first = chaos.reorder > 0 ? random_.below(waiting_.size()) : 0;
  for (size_t i = 0; i < waiting_.size(); ++i) {
    const size_t index = (first + i) % waiting_.size();
    if (!can_execute(waiting_[index])) continue;
    execute(index);
    return true;
  }
  return false;
}

void FakeKernel::execute(size_t index) {
  const Waiting waiting = waiting_[index];
  const bool is_ready = ready(waiting);
  if (waiting.cancelled && !(is_ready && random_.chance(chaos.cancel_loses)))
    return finish(index, -ECANCELED, 0);
  switch (waiting.kind) {
    case Kind::accept:
      return execute_accept(index);
    case Kind::receive:
      return is_ready ? execute_receive(index) : finish(index, -EAGAIN, 0);
    case Kind::connect: {
      Connection& connection = *connections_.at(waiting.fd);
      if (!is_ready || random_.chance(chaos.early_connect))
        return finish(index, 0, 0);  // connect_outcome() knows
      connection.established_ = connection.dial_.result == 0;
      return finish(index, connection.dial_.result, 0);
    }
    case Kind::poll: {
      const uint32_t events = events_of(waiting.fd, waiting.events);
      return finish(index, static_cast<int32_t>(events != 0 ? events : waiting.events), 0);
    }
  }
}

void FakeKernel::execute_accept(size_t index) {
  auto& offers = listeners_.at(waiting_[index].fd).offers;
  const Listening::Offer offer = offers.front();
  offers.pop_front();
  if (offer.last) return finish(index, offer.result, 0);
  done_.push_back({waiting_[index].op, waiting_[index].fd, offer.result, flag_more});
}

void FakeKernel::execute_receive(size_t index) {
  Connection& connection = *connections_.at(waiting_[index].fd);
  if (random_.chance(chaos.eintr)) return finish(index, -EINTR, 0);
  if (buffers_out_.size() >= buffers_max || random_.chance(chaos.no_buffer))
    return finish(index, -ENOBUFS, 0);
  const ssize_t available = connection.may_read();
  if (available <= 0) return finish(index, static_cast<int32_t>(available), 0);
  size_t count = std::min(static_cast<size_t>(available), limits::ring_buffer_bytes);
  if (random_.chance(chaos.short_receive)) count = random_.between(1, count);
  const uint32_t buffer = next_buffer_++ & 0xffff;
  SLUICE_CHECK(!buffers_out_.contains(buffer));
  // Exactly as long as it is, and freed on release, so that AddressSanitizer sees every stray look at it.
  buffers_out_[buffer] = connection.inbox_.take(count);
  finish(index, static_cast<int32_t>(count), buffer << buffer_shift | flag_buffer);
}

void FakeKernel::finish(size_t index, int32_t result, uint32_t flags) {
  done_.push_back({waiting_[index].op, waiting_[index].fd, result, flags});
  waiting_.erase(waiting_.begin() + static_cast<ptrdiff_t>(index));
}

bool FakeKernel::deliver() {
  if (done_.empty()) return false;
  size_t count = done_.size();
  if (chaos.reorder > 0) count = random_.between(1, count);
  while (count-- > 0) {
    size_t index = random_.chance(chaos.reorder) ? random_.below(done_.size()) : 0;
    // The answers of one operation come in order, whatever the others do.
    for (size_t i = 0; i < index; ++i)
      if (done_[i].op == done_[index].op) index = i;
    const Done done = done_[index];
    done_.erase(done_.begin() + static_cast<ptrdiff_t>(index));
    if (!more(done.flags)) done.op->in_flight = false;
    done.op->on_done(done.op->owner, done.result, done.flags);  // `op` may be gone now
  }
  return true;
}

uint64_t FakeKernel::next_us() const {
  uint64_t at_us = UINT64_MAX;
  for (const Waiting& waiting : waiting_) {
    const auto at = connections_.find(waiting.fd);
    if (at == connections_.end() || at->second->established_ || at->second->dial_.never) continue;
    if (at->second->dial_.at_us > now_us_) at_us = std::min(at_us, at->second->dial_.at_us);
  }
  return at_us;
}

// --- receive buffers
// -------------------------------------------------------------------------------------------------

std::span<const uint8_t> FakeKernel::received(int32_t result, uint32_t flags) {
  const auto at = buffers_out_.find(flags >> buffer_shift);
  if ((flags & flag_buffer) == 0 || at == buffers_out_.end()) {
    complain("received() of a buffer that is not held");
    return {};
  }
  if (static_cast<size_t>(result) != at->second.size())
    complain("received() with another result than was answered");
  return at->second;
}

void FakeKernel::release(uint32_t flags) {
  if ((flags & flag_buffer) == 0) return;
  if (buffers_out_.erase(flags >> buffer_shift) != 1) complain("a receive buffer released twice");
}

// --- direct calls
// ----------------------------------------------------------------------------------------------------

int FakeKernel::describe(int client_fd, bool /*want_interface*/, io::Accepted& accepted) {
  if (open_connection(client_fd, "describe") == nullptr) return -EBADF;
  accepted = {};
  return 0;
}

int FakeKernel::origin_socket(const io::OriginSocket& options) {
  last_origin_options_ = options;
  last_origin_options_.source = nullptr;  // the caller's; not ours to keep
  if (const int error = std::exchange(origin_socket_errno, 0); error != 0) return -error;
  ++origin_sockets_;
  const int fd = next_fd_++;
  connections_[fd] = std::make_unique<Connection>(fd, false);
  return fd;
}

int FakeKernel::connect_outcome(int fd) {
  Connection* connection = open_connection(fd, "connect_outcome");
  if (connection == nullptr) return -EBADF;
  // getpeername() fails on a socket that was reset, and SO_ERROR is told once.
  if (connection->dead())
    return connection->error_ != 0 ? -std::exchange(connection->error_, 0) : -EINPROGRESS;
  if (connection->established_) return 0;
  if (!dial_decided(*connection)) return -EINPROGRESS;
  connection->established_ = connection->dial_.result == 0;
  return connection->dial_.result;
}

void FakeKernel::keep_alive(int fd, uint32_t idle_ms) {
  if (Connection* connection = open_connection(fd, "keep_alive"); connection != nullptr)
    connection->keepalive_ms_ = idle_ms;
}

void FakeKernel::set_nonblocking(int fd) {
  if (Connection* connection = open_connection(fd, "set_nonblocking"); connection != nullptr)
    connection->nonblocking_ = true;
}

ssize_t FakeKernel::send_now(int fd, std::span<const uint8_t> bytes) {
  Connection* connection = open_connection(fd, "send_now");
  if (connection == nullptr) return -EBADF;
  if (bytes.empty()) complain("send_now of nothing");
  if (!connection->established_) {
    if (!connection->dialled_) complain("send_now on a socket that was never connected");
    if (!dial_decided(*connection)) return -EAGAIN;  // tcp_sendmsg: would wait for the handshake
    if (connection->dial_.result != 0) return connection->dial_.result;
    connection->established_ = true;
  }
  if (random_.chance(chaos.eintr)) return -EINTR;
  if (random_.chance(chaos.send_eagain)) return -EAGAIN;
  if (random_.chance(chaos.send_enobufs)) return -ENOBUFS;
  const ssize_t room = connection->may_write();
  if (room < 0) return room;
  size_t count = std::min(bytes.size(), static_cast<size_t>(room));
  // Linux never splits a handful of bytes; it splits where its buffers end.
  if (count > 16 && random_.chance(chaos.short_send)) count = random_.between(1, count);
  connection->outbox_.put(bytes.first(count));
  connection->bytes_taken_ += count;
  return static_cast<ssize_t>(count);
}

ssize_t FakeKernel::receive_now(int fd, std::span<uint8_t> bytes) {
  Connection* connection = open_connection(fd, "receive_now");
  if (connection == nullptr) return -EBADF;
  if (random_.chance(chaos.eintr)) return -EINTR;
  const ssize_t available = connection->may_read();
  if (available <= 0) return available;
  size_t count = std::min(static_cast<size_t>(available), bytes.size());
  if (random_.chance(chaos.short_receive)) count = random_.between(1, count);
  std::memcpy(bytes.data(), connection->inbox_.view().data(), count);
  connection->inbox_.drop(count);
  return static_cast<ssize_t>(count);
}

ssize_t FakeKernel::fill(io::Pipe& pipe, int from_fd) {
  Connection* connection = open_connection(from_fd, "fill");
  FakePipe* fake = pipe_of(&pipe, "fill");
  if (connection == nullptr || fake == nullptr) return -EBADF;
  if (random_.chance(chaos.eintr)) return -EINTR;
  if (pipe.bytes >= pipe.capacity) return -EAGAIN;
  const ssize_t available = connection->may_read();
  if (available <= 0) return available;
  size_t count = std::min(static_cast<size_t>(available), static_cast<size_t>(pipe.capacity - pipe.bytes));
  if (random_.chance(chaos.short_fill)) count = random_.between(1, count);
  fake->bytes.put(connection->inbox_.view().first(count));
  connection->inbox_.drop(count);
  pipe.bytes += static_cast<uint32_t>(count);
  return static_cast<ssize_t>(count);
}

ssize_t FakeKernel::drain(io::Pipe& pipe, int to_fd) {
  Connection* connection = open_connection(to_fd, "drain");
  FakePipe* fake = pipe_of(&pipe, "drain");
  if (connection == nullptr || fake == nullptr) return -EBADF;
  if (!connection->nonblocking_) complain("drain into a blocking socket: it would wait");
  if (pipe.bytes == 0) {
    complain("drain of an empty pipe");
    return 0;
  }
  if (random_.chance(chaos.eintr)) return -EINTR;
  if (random_.chance(chaos.send_eagain)) return -EAGAIN;
  const ssize_t room = connection->may_write();
  if (room < 0) return room;
  size_t count = std::min(fake->bytes.size(), static_cast<size_t>(room));
  if (random_.chance(chaos.short_send)) count = random_.between(1, count);
  connection->outbox_.put(fake->bytes.view().first(count));
  connection->bytes_taken_ += count;
  fake->bytes.drop(count);
  pipe.bytes -= static_cast<uint32_t>(count);
  return static_cast<ssize_t>(count);
}

io::Pipe* FakeKernel::take_pipe() {
  if (pipes_out_.size() >= pipes_max || random_.chance(chaos.pipe_denied)) return nullptr;
  if (pipes_free_.empty()) {
    auto fresh = std::make_unique<FakePipe>();
    fresh->pipe.capacity = pipe_bytes;
    pipes_free_.push_back(std::move(fresh));
  }
  pipes_out_.push_back(std::move(pipes_free_.back()));
  pipes_free_.pop_back();
  return &pipes_out_.back()->pipe;
}

void FakeKernel::give_pipe(io::Pipe* pipe) {
  FakePipe* fake = pipe_of(pipe, "give_pipe");
  if (fake == nullptr) return;
  const auto at =
      std::find_if(pipes_out_.begin(), pipes_out_.end(), [&](const auto& out) { return out.get() == fake; });
  if (fake->bytes.empty())
    pipes_free_.push_back(std::move(*at));
  else
    ++pipes_destroyed_;  // bytes of one connection must never reach another
  pipes_out_.erase(at);
}

void FakeKernel::shutdown_write(int fd) {
  Connection* connection = open_connection(fd, "shutdown_write");
  if (connection == nullptr || connection->dead()) return;
  connection->shut_write_ = true;
  connection->fin_out_ = true;
}

uint32_t FakeKernel::unacknowledged_bytes(int fd) {
  const Connection* connection = open_connection(fd, "unacknowledged_bytes");
  return connection == nullptr ? 0 : static_cast<uint32_t>(connection->outbox_.size());
}

void FakeKernel::close(int fd) { close_either(fd, false); }
void FakeKernel::close_with_reset(int fd) { close_either(fd, true); }

void FakeKernel::close_either(int fd, bool with_reset) {
  const auto at = connections_.find(fd);
  if (at == connections_.end() && with_reset && fd < 1000) {  // a real descriptor (worker/listener)
    foreign_resets_.push_back(fd);
    ::close(fd);
    return;
  }
  Connection* connection = open_connection(fd, "close");
  if (connection == nullptr) return;
  const auto uses_fd = [fd](const auto& entry) { return entry.fd == fd; };
  if (std::any_of(waiting_.begin(), waiting_.end(), uses_fd) ||
      std::any_of(done_.begin(), done_.end(), uses_fd))
    complain("close with an operation in flight on " + std::to_string(fd));
  connection->closed_ = true;
  connection->error_ = 0;
  if (connection->dead() || !connection->established_) return;
  // tcp_close(): unread bytes make it a reset, so that the far end learns that they were lost.
  if (with_reset || !connection->inbox_.empty()) {
    connection->got_reset_ = true;
    connection->outbox_.clear();
  } else {
    connection->fin_out_ = true;
  }
  connection->inbox_.clear();
}

}  // namespace sluice::sim
