// SessionPool: pooled slots for sessions, and the list of those that are open. One per worker.
//
// Slots come in slabs and stay for the worker's life, so that the address of a session (its Ops are the ring's user_data)
// never becomes anything else.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "flow/session.h"

namespace sluice::worker {

class SessionPool {
 public:
  explicit SessionPool(uint32_t sessions_max) : sessions_max_(sessions_max) { open_.next = open_.previous = &open_; }
  SessionPool(const SessionPool&) = delete;
  SessionPool& operator=(const SessionPool&) = delete;

  /// A fresh session, or nullptr at the limit.
  [[nodiscard]] flow::Session* take();
  void give(flow::Session& session);

  [[nodiscard]] uint32_t open() const { return count_; }
  [[nodiscard]] uint32_t max() const { return sessions_max_; }
  /// Those that are open stay, also when they are more than that.
  void set_max(uint32_t sessions_max) { sessions_max_ = sessions_max; }
  /// Calls `visit(session)` for each open session; it may end the one that it is given.
  template <class Visit>
  void for_each(Visit&& visit) {
    for (flow::Session* at = open_.next; at != &open_;) {
      flow::Session* next = at->next;
      visit(*at);
      at = next;
    }
  }

 private:
  static constexpr size_t slab_sessions = 64;

  uint32_t sessions_max_;
  uint32_t count_ = 0;
  flow::Session open_;  // sentinel of a circular list
  std::vector<std::unique_ptr<flow::Session[]>> slabs_;
  std::vector<flow::Session*> free_;
};

}  // namespace sluice::worker
