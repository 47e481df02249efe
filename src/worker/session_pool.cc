#include "worker/session_pool.h"

#include "base/check.h"

namespace sluice::worker {

flow::Session* SessionPool::take() {
  if (count_ >= sessions_max_) return nullptr;
  if (free_.empty()) {
    auto slab = std::make_unique<flow::Session[]>(slab_sessions);
    for (size_t i = slab_sessions; i-- > 0;) free_.push_back(&slab[i]);
    slabs_.push_back(std::move(slab));
  }
  flow::Session* session = free_.back();
  free_.pop_back();
  session->next = &open_;
  session->previous = open_.previous;
  open_.previous->next = session;
  open_.previous = session;
  ++count_;
  return session;
}

void SessionPool::give(flow::Session& session) {
  SLUICE_CHECK(!session.up.in_flight && !session.down.in_flight && !session.timer.running());
  session.previous->next = session.next;
  session.next->previous = session.previous;
  session = flow::Session{};
  free_.push_back(&session);
  --count_;
}

}  // namespace sluice::worker
