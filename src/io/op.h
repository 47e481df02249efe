// Op: one thing that the kernel has been asked for and has not answered yet.
//
// An Op lives inside its owner (a session, a listener); its address is the `user_data` of the ring. So the owner must
// outlive it: an owner is freed only when `in_flight` is false for all of its Ops (close is cancel -> join -> close).
// Belongs to the thread of its ring.
#pragma once

#include <cstdint>

namespace sluice::io {

struct Op {
  /// `result`: as of the system call, or -errno. `flags`: pass on to Kernel::received() and Kernel::release().
  using Handler = void (*)(void* owner, int32_t result, uint32_t flags);

  Handler on_done = nullptr;
  void* owner = nullptr;
  bool in_flight = false;
};

}  // namespace sluice::io
