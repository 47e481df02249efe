// Step splice: relay both directions until both have ended.
//
// Small and idle flows copy: a ring receive into a pooled buffer, then a send; nothing is held in between. A direction
// that fills its buffers streams: from then on both sockets are nonblocking and waited for with poll, and the bytes go
// through a pipe (splice(2)), which is attached only while it holds some. What a slow receiver cannot take is kept
// (`Spill`) and nothing more is read from the sender until it is gone: that is the back-pressure.
//
// FIN is passed on behind the last byte, in each direction on its own. A reset is passed on as a reset, behind the bytes
// that came before it.

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "flow/session.h"

namespace sluice::flow {
namespace {

using record::CloseReason;
using Waiting = Relay::Waiting;

/// One direction of one session, with names for its ends.
struct Lane {
  Session& session;
  Relay& relay;
  Relay& opposite;
  io::Op& op;
  int from;
  int to;
  bool up;

  [[nodiscard]] io::Kernel& kernel() const { return session.world->kernel; }
  [[nodiscard]] SpliceRoom& room() const { return std::get<SpliceRoom>(session.room); }
};

Lane lane(Session& session, Direction direction) {
  auto& room = std::get<SpliceRoom>(session.room);
  if (direction == Direction::up)
    return {session, room.up, room.down, session.up, session.client_fd, session.origin_fd, true};
  return {session, room.down, room.up, session.down, session.origin_fd, session.client_fd, false};
}

// --- waiting ---------------------------------------------------------------------------------------------------------

Next wait_for_source(const Lane& lane) {
  if (lane.room().nonblocking) {
    lane.relay.waiting = Waiting::readable;
    lane.kernel().poll(lane.op, lane.from, POLLIN | POLLRDHUP);
  } else {
    lane.relay.waiting = Waiting::receive;
    lane.kernel().receive(lane.op, lane.from);
  }
  return Next::wait;
}

Next wait_for_receiver(const Lane& lane) {
  lane.relay.waiting = Waiting::writable;
  lane.kernel().poll(lane.op, lane.to, POLLOUT);
  return Next::wait;
}

bool half_closed(const SpliceRoom& room) { return room.up.ended || room.down.ended; }

/// The idle limit is looked at when the timer fires, so that progress costs nothing; only a shorter limit restarts it.
uint64_t limit_us(const Session& session) {
  return quiet_limit_us(session, half_closed(std::get<SpliceRoom>(session.room)));
}

bool any_paused(const Session& session) {
  const auto& room = std::get<SpliceRoom>(session.room);
  return room.up.waiting == Waiting::paused || room.down.waiting == Waiting::paused;
}

uint64_t keep_alive_at_us(const Session& session) {
  return flow::keep_alive_at_us(session, std::get<SpliceRoom>(session.room).begun_us);
}

/// When the timer has to fire next: at the limit, or at the next tick for a direction that is paused.
void start_timer(Session& session) {
  const auto& room = std::get<SpliceRoom>(session.room);
  uint64_t at_us = any_paused(session) ? session.world->kernel.now_us() + 1 : session.active_us + limit_us(session);
  if (!room.kept_alive) at_us = std::min(at_us, keep_alive_at_us(session));
  session.world->timers.start(session.timer, at_us);
}

/// The client's socket has them from its listener.
void keep_alive(Session& session) {
  auto& room = std::get<SpliceRoom>(session.room);
  if (room.kept_alive || session.world->kernel.now_us() < keep_alive_at_us(session)) return;
  room.kept_alive = true;
  session.world->kernel.keep_alive(session.origin_fd, session.ruling->config->limits.keepalive_ms);
}

Next pause(const Lane& lane) {
  lane.relay.waiting = Waiting::paused;
  start_timer(lane.session);
  return Next::wait;
}

Next on_timer(Session& session) {
  keep_alive(session);
  if (session.world->kernel.now_us() < session.active_us + limit_us(session)) {
    for (const Direction direction : {Direction::up, Direction::down})
      if (const Lane at = lane(session, direction); at.relay.waiting == Waiting::paused) wait_for_receiver(at);
    start_timer(session);
    return Next::wait;
  }
  const auto& room = std::get<SpliceRoom>(session.room);
  return close(session, half_closed(room) ? CloseReason::half_closed_timeout : CloseReason::idle_timeout, Farewell::reset);
}

/// One direction has ended: from this moment the other has half_closed_timeout, however long nothing had passed before.
void restart_timer(Session& session) {
  session.active_us = session.world->kernel.now_us();
  start_timer(session);
}

// --- ends and failures -----------------------------------------------------------------------------------------------

Next source_failed(const Lane& lane, int sys_errno) { return peer_failed(lane.session, lane.up ? Side::client : Side::origin, sys_errno); }

void drop_spill(const Lane& lane) {
  lane.session.world->relay_memory_bytes -= lane.relay.spill.size;
  lane.relay.spill = {};
}

void drop_pipe(const Lane& lane) {
  if (lane.relay.pipe == nullptr) return;
  lane.kernel().give_pipe(lane.relay.pipe);
  lane.relay.pipe = nullptr;
}

/// The receiver is gone. What it sent before it went may still be unread: the opposite direction reads it to its end and
/// then closes. When that has ended already, so has everything.
Next receiver_failed(const Lane& lane, int sys_errno) {
  drop_spill(lane);
  drop_pipe(lane);
  lane.relay.receiver_errno = sys_errno;
  lane.relay.ended = true;
  if (lane.opposite.ended) return peer_failed(lane.session, lane.up ? Side::origin : Side::client, sys_errno);
  restart_timer(lane.session);
  return Next::wait;
}

/// All bytes of this direction have been passed on, and its FIN was the last thing that came.
Next pass_on_end(const Lane& lane) {
  drop_pipe(lane);
  lane.relay.ended = true;
  // A side that could no longer be sent to was reset, whatever its last read says (the error is reported only once).
  if (lane.opposite.receiver_errno != 0) return peer_failed(lane.session, lane.up ? Side::client : Side::origin, lane.opposite.receiver_errno);
  if (lane.opposite.ended) {
    // The receiver sent FIN long ago, so no read of ours would tell that it has since thrown our bytes away: ask.
    if (const int outcome = lane.kernel().connect_outcome(lane.to); outcome != 0)
      return peer_failed(lane.session, lane.up ? Side::origin : Side::client, outcome == -EINPROGRESS ? ECONNRESET : -outcome);
    return close(lane.session, CloseReason::finished, Farewell::in_order);
  }
  lane.kernel().shutdown_write(lane.to);
  restart_timer(lane.session);
  return Next::wait;
}

// --- moving bytes ----------------------------------------------------------------------------------------------------

void delivered(const Lane& lane, size_t bytes, uint64_t& kind) {
  lane.relay.bytes += bytes;
  kind += bytes;
  lane.session.active_us = lane.kernel().now_us();
}

enum class Offer : uint8_t { taken, spilled, failed, no_memory };

/// Sends what the receiver takes and keeps the rest. On `failed`, `sys_errno` is set.
Offer offer(const Lane& lane, std::span<const uint8_t> bytes, int& sys_errno) {
  World& world = *lane.session.world;
  const ssize_t sent = lane.kernel().send_now(lane.to, bytes);
  if (sent < 0 && sent != -EAGAIN && sent != -EINTR && sent != -ENOBUFS) {
    sys_errno = static_cast<int>(-sent);
    return Offer::failed;
  }
  const size_t taken = sent > 0 ? static_cast<size_t>(sent) : 0;
  delivered(lane, taken, world.counters.bytes_copied);
  if (taken == bytes.size()) return Offer::taken;

  const auto rest = bytes.subspan(taken);
  if (world.relay_memory_bytes + rest.size() > world.relay_memory_max_bytes) {
    ++world.counters.relay_memory_limit_hits;
    return Offer::no_memory;
  }
  world.relay_memory_bytes += rest.size();
  auto copy = std::make_unique_for_overwrite<uint8_t[]>(rest.size());
  std::memcpy(copy.get(), rest.data(), rest.size());
  lane.relay.spill = {std::move(copy), static_cast<uint32_t>(rest.size()), 0};
  return Offer::spilled;
}

/// What follows an offer that was not taken whole.
Next after_offer(const Lane& lane, Offer outcome, int sys_errno) {
  switch (outcome) {
    case Offer::taken:
    case Offer::spilled: return wait_for_receiver(lane);
    case Offer::failed: return receiver_failed(lane, sys_errno);
    case Offer::no_memory: return close(lane.session, CloseReason::overload, Farewell::reset, "relay_memory");
  }
  SLUICE_CHECK(false);
}

Next stream(const Lane& lane);

/// A ring receive has answered.
Next on_received(const Lane& lane, const Answer& answer) {
  World& world = *lane.session.world;
  if (answer.result == 0) {
    lane.relay.source_ended = true;
    return pass_on_end(lane);
  }
  if (answer.result < 0) {
    if (answer.result == -ENOBUFS || answer.result == -EINTR || answer.result == -EAGAIN) return wait_for_source(lane);
    return source_failed(lane, -answer.result);
  }
  const auto bytes = lane.kernel().received(answer.result, answer.flags);
  int sys_errno = 0;
  const Offer outcome = offer(lane, bytes, sys_errno);
  const bool full = bytes.size() >= limits::ring_buffer_bytes;
  lane.kernel().release(answer.flags);

  lane.relay.full_reads = full ? static_cast<uint8_t>(lane.relay.full_reads + 1) : uint8_t{0};
  if (lane.relay.full_reads >= limits::full_reads_to_stream && !lane.room().nonblocking) {
    ++world.counters.promotions;
    lane.room().nonblocking = true;
    lane.relay.splices = true;
    lane.kernel().set_nonblocking(lane.from);
    lane.kernel().set_nonblocking(lane.to);
  }
  if (outcome != Offer::taken) return after_offer(lane, outcome, sys_errno);
  return wait_for_source(lane);
}

/// The receiver has room again.
Next on_writable(const Lane& lane) {
  Relay& relay = lane.relay;
  if (relay.spill.size == 0) return stream(lane);  // what waits is in the pipe
  const std::span<const uint8_t> rest(relay.spill.bytes.get() + relay.spill.sent, relay.spill.size - relay.spill.sent);
  const ssize_t sent = lane.kernel().send_now(lane.to, rest);
  if (sent < 0) {
    if (sent == -EAGAIN || sent == -EINTR || sent == -ENOBUFS) return wait_for_receiver(lane);
    return receiver_failed(lane, static_cast<int>(-sent));
  }
  delivered(lane, static_cast<size_t>(sent), lane.session.world->counters.bytes_copied);
  relay.spill.sent += static_cast<uint32_t>(sent);
  if (relay.spill.sent < relay.spill.size) return wait_for_receiver(lane);
  drop_spill(lane);
  if (relay.source_ended) return pass_on_end(lane);
  return wait_for_source(lane);
}

/// Empties the pipe into the receiver. `done`: the pipe is empty; else `next` is what to do.
bool drain_pipe(const Lane& lane, Next& next) {
  while (lane.relay.pipe->bytes > 0) {
    const ssize_t moved = lane.kernel().drain(*lane.relay.pipe, lane.to);
    if (moved > 0) {
      delivered(lane, static_cast<size_t>(moved), lane.session.world->counters.bytes_spliced);
      continue;
    }
    if (moved == -EINTR) continue;
    next = moved == -EAGAIN ? wait_for_receiver(lane) : receiver_failed(lane, moved == 0 ? EPIPE : static_cast<int>(-moved));
    return false;
  }
  return true;
}

/// Few bytes at a time are cheaper copied than spliced.
Next stream_by_copy(const Lane& lane) {
  auto& scratch = lane.session.world->scratch;
  for (uint64_t turn = 0; turn < limits::relay_turn_bytes;) {
    const ssize_t read = lane.kernel().receive_now(lane.from, scratch);
    if (read == 0) {
      lane.relay.source_ended = true;
      return pass_on_end(lane);
    }
    if (read == -EAGAIN) return wait_for_source(lane);
    if (read == -EINTR) continue;
    if (read < 0) return source_failed(lane, static_cast<int>(-read));
    const auto bytes = std::span<const uint8_t>(scratch).first(static_cast<size_t>(read));
    int sys_errno = 0;
    if (const Offer outcome = offer(lane, bytes, sys_errno); outcome != Offer::taken)
      return after_offer(lane, outcome, sys_errno);
    if (bytes.size() < scratch.size()) break;  // the socket is empty now; poll answers at once if it is not
    if (lane.relay.pipe_denied == 0) lane.relay.splices = true;
    lane.relay.pipe_denied = lane.relay.pipe_denied > 0 ? static_cast<uint8_t>(lane.relay.pipe_denied - 1) : uint8_t{0};
    turn += bytes.size();
    if (lane.relay.splices) break;
  }
  return wait_for_source(lane);
}

/// Sockets are nonblocking: move bytes until the source is empty, the receiver is full, or the turn is over.
Next stream(const Lane& lane) {
  Relay& relay = lane.relay;
  World& world = *lane.session.world;
  Next next = Next::wait;
  if (relay.pipe != nullptr && !drain_pipe(lane, next)) return next;
  if (relay.source_ended) return pass_on_end(lane);
  if (!relay.splices) {
    drop_pipe(lane);
    return stream_by_copy(lane);
  }
  ++world.streamed_wakeups;
  for (uint64_t turn = 0; turn < limits::relay_turn_bytes;) {
    if (relay.pipe == nullptr && (relay.pipe = lane.kernel().take_pipe()) == nullptr) {
      ++world.counters.pipe_pool_empty;
      relay.splices = false;
      relay.pipe_denied = limits::copies_before_asking_for_a_pipe;
      return stream_by_copy(lane);
    }
    const ssize_t moved = lane.kernel().fill(*relay.pipe, lane.from);
    if (moved == -EINTR) continue;
    if (moved == -EAGAIN) break;
    if (moved == 0) {
      relay.source_ended = true;
      return pass_on_end(lane);
    }
    if (moved < 0) return source_failed(lane, static_cast<int>(-moved));
    // The pipe's size is read before draining, because draining changes it.
    const bool was_full = relay.pipe->bytes >= relay.pipe->capacity / 2;
    const bool small = relay.pipe->bytes < limits::ring_buffer_bytes;
    if (!drain_pipe(lane, next)) return next;
    turn += static_cast<uint64_t>(moved);
    relay.small_reads = small ? static_cast<uint8_t>(relay.small_reads + 1) : uint8_t{0};
    if (relay.small_reads >= limits::small_reads_to_copy) {
      relay.small_reads = 0;
      relay.splices = false;
      break;
    }
    if (!was_full) break;  // the socket is empty now; poll answers at once if it is not
  }
  drop_pipe(lane);
  return wait_for_source(lane);
}

// --- the step --------------------------------------------------------------------------------------------------------

Next enter(Session& session) {
  auto& room = session.room.emplace<SpliceRoom>();
  session.active_us = room.begun_us = session.world->kernel.now_us();
  room.up.bytes = session.bytes_up;  // what connect has sent already
  room.kept_alive = session.ruling->config->limits.keepalive_ms == 0;
  start_timer(session);
  const std::vector<uint8_t> replay = std::exchange(session.replay, {});
  session.world->relay_memory_bytes -= replay.size();
  const Lane up = lane(session, Direction::up);
  const Lane down = lane(session, Direction::down);
  wait_for_source(down);
  if (!replay.empty()) {
    int sys_errno = 0;
    if (const Offer outcome = offer(up, replay, sys_errno); outcome != Offer::taken) return after_offer(up, outcome, sys_errno);
  }
  return wait_for_source(up);
}

}  // namespace

Next splice(Session& session, const Answer* answer) {
  if (answer == nullptr) return enter(session);
  if (answer->from == Answer::From::timer) return on_timer(session);
  const Lane at = lane(session, answer->from == Answer::From::up ? Direction::up : Direction::down);
  const bool only_told_of_fin = (answer->result & (POLLOUT | POLLERR | POLLHUP)) == 0 && answer->result > 0;
  switch (std::exchange(at.relay.waiting, Waiting::nothing)) {
    case Waiting::receive: return on_received(at, *answer);
    case Waiting::readable: return stream(at);
    case Waiting::writable: return only_told_of_fin ? pause(at) : on_writable(at);
    case Waiting::paused:
    case Waiting::nothing: break;
  }
  SLUICE_CHECK(false);
}

}  // namespace sluice::flow
