// Listener: takes connections from one listening socket, for as long as there is room for them.
//
// At the session limit a connection is accepted and reset at once, so that the client learns it now. Out of descriptors,
// a reserved one is given up to do the same: a full table must not leave clients hanging in the backlog. One per worker
// and address family.
#pragma once

#include <cstdint>
#include <functional>

#include "io/kernel.h"
#include "io/op.h"
#include "io/timer_wheel.h"
#include "record/counters.h"

namespace sluice::worker {

class Listener {
 public:
  /// `admit(client_fd)` and `refuse(client_fd)` take over the descriptor; refuse is for those that come while there are no
  /// descriptors. `fd` is a listening, blocking socket and becomes the Listener's.
  Listener(io::Kernel& kernel, io::TimerWheel& timers, record::Counters& counters, int fd,
           std::function<void(int client_fd)> admit, std::function<void(int client_fd)> refuse);
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  void begin();
  /// Accepts no more; true from closed() once the kernel has let go of the socket and it is closed.
  void close();
  [[nodiscard]] bool closed() const { return fd_ < 0; }

 private:
  static void on_accept(void* owner, int32_t result, uint32_t flags);
  static void on_full(void* owner, int32_t result, uint32_t flags);
  static void on_retry(void* owner);
  void out_of_descriptors();
  void close_if_idle();

  io::Kernel& kernel_;
  io::TimerWheel& timers_;
  record::Counters& counters_;
  int fd_;
  int reserve_fd_;
  bool closing_ = false;
  std::function<void(int)> admit_;
  std::function<void(int)> refuse_;
  io::Op accept_;
  io::Op full_;
  io::Timer retry_;
};

}  // namespace sluice::worker
