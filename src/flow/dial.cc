// Step dial: a client that is configured for a proxy has named a host; connect to the first of its addresses that answers.
// The counterpart of step connect, which knows one address. A host that is not reached is told to the client in words, as long
// as nothing has been said to it.

#include <poll.h>

#include <algorithm>
#include <cerrno>

#include "base/give_back.h"
#include "flow/dialer.h"
#include "flow/session.h"

namespace sluice::flow {
namespace {

using record::CloseReason;

/// What a client hears of a dial that came to nothing.
struct Words {
  uint16_t status;
  const char* sentence;
};

Words words_for(CloseReason reason) {
  if (reason == CloseReason::origin_refused) return {502, "The server refused the connection."};
  if (reason == CloseReason::origin_connect_timeout) return {504, "The server did not answer in time."};
  if (reason == CloseReason::origin_reset) return {502, "The server reset the connection."};
  if (reason == CloseReason::origin_unreachable) return {502, "The server cannot be reached."};
  if (reason == CloseReason::overload) return {503, "The gateway is at its limit. Try again later."};
  return {502, "The gateway could not make the connection."};
}

void start_timer(Session& session, const DialRoom& room) {
  const uint64_t watch_us = room.watches ? UINT64_MAX : room.watch_us;
  session.world->timers.start(session.timer, std::min({room.give_up_us, room.dialer->next_us(), watch_us}));
}

Next failed(Session& session, int sys_errno) {
  if (session.parked != nullptr && session.up.in_flight) {  // step exchange reads with the Op that watches the client
    std::get<DialRoom>(session.room).failed_errno = sys_errno;
    io::TimerWheel::stop(session.timer);
    session.world->kernel.cancel(session.up);
    return Next::wait;
  }
  const CloseReason reason = reason_of_dial(sys_errno);
  const Words words = words_for(reason);
  session.detail = errno_name(sys_errno);
  if (session.parked != nullptr) return exchange_without_origin(session, words.status, words.sentence, reason);
  if (!session.asked->established) return answer_in_words(session, words.status, words.sentence, reason);
  return close(session, reason, Farewell::reset, session.detail);
}

Next connected(Session& session) {
  auto& room = std::get<DialRoom>(session.room);
  session.connect_us = static_cast<uint32_t>(session.world->kernel.now_us() - room.begun_us);
  io::TimerWheel::stop(session.timer);
  const Dialer::Connection connection = room.dialer->take();
  session.origin_fd = connection.fd;
  session.about.destination = connection.to;
  give_back(session.asked->addresses);  // should it be dialled again (S13), then there
  if (!establish(session)) return close(session, CloseReason::client_reset, Farewell::reset);
  session.step = step_behind_connect(session);
  return Next::go;
}

Next follow(Session& session, Dialer::State state) {
  auto& room = std::get<DialRoom>(session.room);
  switch (state) {
    case Dialer::State::dialling: start_timer(session, room); return Next::wait;
    case Dialer::State::failed: return failed(session, room.gave_up ? ETIMEDOUT : room.dialer->sys_errno());
    case Dialer::State::connected:
      room.is_connected = true;
      if (!session.up.in_flight) return connected(session);
      session.world->kernel.cancel(session.up);
      return Next::wait;
  }
  return close(session, CloseReason::gateway_error, Farewell::reset);
}

Next enter(Session& session) {
  World& world = *session.world;
  const uint64_t now_us = world.kernel.now_us();
  const bool speaks_first = (session.asked->established && !session.replay.empty()) || session.parked != nullptr;
  auto& room = session.room.emplace<DialRoom>();
  room.dialer = std::make_unique<Dialer>(session, session.asked->addresses, speaks_first);
  room.begun_us = now_us;
  room.watch_us = now_us + limits::dial_unwatched_ms * 1000ull;
  room.give_up_us = now_us + session.ruling->config->limits.connect_timeout_ms * 1000ull;
  return follow(session, room.dialer->begin());
}

Next on_timer(Session& session) {
  auto& room = std::get<DialRoom>(session.room);
  if (room.is_connected || room.gave_up || room.failed_errno != 0) return Next::wait;
  const uint64_t now_us = session.world->kernel.now_us();
  if (now_us >= room.give_up_us) {
    room.gave_up = true;
    room.dialer->cancel();
    return room.dialer->is_idle() ? failed(session, ETIMEDOUT) : Next::wait;
  }
  // Most dials are answered long before anybody loses patience, so the client is watched only when one takes long.
  if (!room.watches && now_us >= room.watch_us) {
    room.watches = true;
    if (!session.up.in_flight) session.world->kernel.poll(session.up, session.client_fd, 0);
  }
  if (now_us >= room.dialer->next_us()) return follow(session, room.dialer->on_time());
  start_timer(session, room);
  return Next::wait;
}

/// The watch has answered: because the client is gone, or because it was cancelled.
Next on_watch(Session& session, int32_t result) {
  auto& room = std::get<DialRoom>(session.room);
  if (result > 0 && (result & (POLLERR | POLLHUP)) != 0) {
    const int sys_errno = -session.world->kernel.connect_outcome(session.client_fd);
    return peer_failed(session, Side::client, is_vanished(sys_errno) ? sys_errno : ECONNRESET);
  }
  if (room.is_connected) return connected(session);
  if (room.failed_errno != 0) return failed(session, room.failed_errno);
  room.watches = false;  // a mere FIN: look again later (see connect.cc)
  room.watch_us = session.world->kernel.now_us() + limits::dial_unwatched_ms * 1000ull;
  start_timer(session, room);
  return Next::wait;
}

}  // namespace

Next dial(Session& session, const Answer* answer) {
  if (answer == nullptr) return enter(session);
  switch (answer->from) {
    case Answer::From::timer: return on_timer(session);
    case Answer::From::dial: return follow(session, std::get<DialRoom>(session.room).dialer->on_answer(*answer));
    case Answer::From::up: return on_watch(session, answer->result);
    case Answer::From::down:
    case Answer::From::looked_up:
    case Answer::From::client_writable:
    case Answer::From::origin_writable: break;
  }
  return close(session, CloseReason::gateway_error, Farewell::reset);
}

}  // namespace sluice::flow
