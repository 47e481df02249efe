#include "worker/listener.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace sluice::worker {
namespace {

// Out of descriptors, accepting is tried again so often; in between, newcomers are refused.
constexpr uint64_t retry_us = 100'000;

int open_reserve() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }

}  // namespace

Listener::Listener(io::Kernel& kernel, io::TimerWheel& timers, record::Counters& counters, int fd,
                   std::function<void(int)> admit, std::function<void(int)> refuse)
    : kernel_(kernel),
      timers_(timers),
      counters_(counters),
      fd_(fd),
      reserve_fd_(open_reserve()),
      admit_(std::move(admit)),
      refuse_(std::move(refuse)) {
  accept_ = {on_accept, this, false};
  full_ = {on_full, this, false};
  retry_.on_expiry = on_retry;
  retry_.owner = this;
}

void Listener::begin() { kernel_.accept_many(accept_, fd_); }

void Listener::close() {
  closing_ = true;
  io::TimerWheel::stop(retry_);
  kernel_.cancel(accept_);
  kernel_.cancel(full_);
  close_if_idle();
}

void Listener::close_if_idle() {
  if (!closing_ || fd_ < 0 || accept_.in_flight || full_.in_flight) return;
  ::close(fd_);
  if (reserve_fd_ >= 0) ::close(reserve_fd_);
  fd_ = -1;
}

void Listener::on_accept(void* owner, int32_t result, uint32_t flags) {
  auto& self = *static_cast<Listener*>(owner);
  if (result >= 0) {
    ++self.counters_.connections_accepted;
    self.admit_(result);
  } else if (result == -EMFILE || result == -ENFILE) {
    if (!self.accept_.in_flight && !self.closing_) self.out_of_descriptors();
    return self.close_if_idle();
  } else if (result != -ECANCELED && result != -ECONNABORTED) {
    ++self.counters_.accept_errors;
  }
  if (self.closing_) return self.close_if_idle();
  // A multishot ends by itself now and then (completion queue full, an error): ask again, after a pause when it failed
  // for a reason that may persist.
  if (self.kernel_.more(flags)) return;
  if (result >= 0 || result == -ECONNABORTED || result == -EINTR)
    self.begin();
  else
    self.timers_.start(self.retry_, self.kernel_.now_us() + retry_us);
}

/// accept(2) fails before it looks for a connection, so waiting for one is a poll.
void Listener::out_of_descriptors() {
  ++counters_.fd_limit_hits;
  timers_.start(retry_, kernel_.now_us() + retry_us);
  if (!full_.in_flight) kernel_.poll(full_, fd_, POLLIN);  // else its cancel is on its way: on_full asks again
}

void Listener::on_full(void* owner, int32_t result, uint32_t /*flags*/) {
  auto& self = *static_cast<Listener*>(owner);
  if (self.closing_) return self.close_if_idle();
  if (self.accept_.in_flight) return;  // accepting goes on
  if (result >= 0 && self.reserve_fd_ >= 0) {
    ::close(self.reserve_fd_);
    // Readable, so this does not wait; another worker cannot take it, each has its own queue (SO_REUSEPORT).
    if (const int refused = ::accept4(self.fd_, nullptr, nullptr, SOCK_CLOEXEC); refused >= 0) {
      ++self.counters_.connections_accepted;
      self.refuse_(refused);
    }
    self.reserve_fd_ = open_reserve();
  }
  if (self.reserve_fd_ < 0) return;  // the next retry goes on
  self.kernel_.poll(self.full_, self.fd_, POLLIN);
}

void Listener::on_retry(void* owner) {
  auto& self = *static_cast<Listener*>(owner);
  if (self.closing_ || self.accept_.in_flight) return;
  if (self.reserve_fd_ < 0) self.reserve_fd_ = open_reserve();
  self.kernel_.cancel(self.full_);
  self.begin();
}

}  // namespace sluice::worker
