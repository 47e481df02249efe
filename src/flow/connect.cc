// Step connect: dial the original destination (S11: never what the SNI resolves to). A failed dial resets the client at
// once. (Its own connect has succeeded long before, so that hardly any client goes on to its next address.)

#include <poll.h>

#include <algorithm>
#include <cerrno>

#include "base/give_back.h"
#include "flow/session.h"

namespace sluice::flow {
namespace {

using record::CloseReason;

Next failed(Session& session, int sys_errno) {
  count_failed_dial(*session.world, sys_errno);
  return close(session, reason_of_dial(sys_errno), Farewell::reset, errno_name(sys_errno));
}

Next enter(Session& session) {
  World& world = *session.world;
  const config::Config& config = *session.ruling->config;
  ++world.counters.dials;
  io::OriginSocket options;
  options.v6 = !session.about.destination.address.is_v4();
  options.mark = config.gateway.own_mark;
  options.speaks_first = !session.replay.empty() || session.parked != nullptr;  // these bytes, or what stands for them
  if (config.gateway.client_source == config::ClientSource::client) options.source = &session.about.client.address;
  const int fd = world.kernel.origin_socket(options);
  if (fd < 0) return failed(session, -fd);
  session.origin_fd = fd;
  const uint64_t now_us = world.kernel.now_us();
  const uint64_t give_up_us = now_us + config.limits.connect_timeout_ms * 1000ull;
  session.room.emplace<ConnectRoom>(ConnectRoom{now_us, give_up_us, false});
  world.timers.start(session.timer, std::min<uint64_t>(give_up_us, now_us + limits::dial_unwatched_ms * 1000ull));
  world.kernel.connect(session.down, fd, session.about.destination);
  return Next::wait;
}

/// Most dials are answered long before anybody loses patience, so the client is watched only when one takes long.
Next on_timer(Session& session) {
  World& world = *session.world;
  const auto& room = std::get<ConnectRoom>(session.room);
  if (room.connected) return Next::wait;
  // A time-out closes the session; finish cancels the connect that is in flight.
  if (world.kernel.now_us() >= room.give_up_us) return failed(session, ETIMEDOUT);
  world.timers.start(session.timer, room.give_up_us);
  if (!session.up.in_flight) world.kernel.poll(session.up, session.client_fd, 0);
  return Next::wait;
}

Next connected(Session& session) {
  session.connect_us =
      static_cast<uint32_t>(session.world->kernel.now_us() - std::get<ConnectRoom>(session.room).begun_us);
  io::TimerWheel::stop(session.timer);
  session.step = step_behind_connect(session);
  return Next::go;
}

/// The ClientHello goes out at once, and its way tells whether the dial came to anything (Kernel::connect_outcome), which
/// saves asking. 0: it has not; look for the reason.
ssize_t send_hello(Session& session) {
  World& world = *session.world;
  const ssize_t sent = world.kernel.send_now(session.origin_fd, session.replay);
  if (sent == -EAGAIN || sent == -EINTR || sent == -ENOBUFS) return 0;
  if (sent <= 0) return sent;
  session.bytes_up = static_cast<uint64_t>(sent);
  world.counters.bytes_copied += session.bytes_up;
  world.relay_memory_bytes -= session.bytes_up;
  if (session.bytes_up == session.replay.size())
    give_back(session.replay);
  else
    session.replay.erase(session.replay.begin(), session.replay.begin() + sent);
  return sent;
}

Next on_dialled(Session& session, int32_t result) {
  if (result < 0) return failed(session, -result);
  const bool replays = step_behind_connect(session) == Step::splice && !session.replay.empty();
  const ssize_t sent = replays ? send_hello(session) : 0;
  if (sent < 0) return failed(session, static_cast<int>(-sent));
  if (const int outcome = sent > 0 ? 0 : session.world->kernel.connect_outcome(session.origin_fd); outcome != 0) {
    if (outcome != -EINPROGRESS) return failed(session, -outcome);
    session.world->kernel.poll(session.down, session.origin_fd, POLLOUT);
    return Next::wait;
  }
  if (!session.up.in_flight) return connected(session);
  std::get<ConnectRoom>(session.room).connected = true;
  session.world->kernel.cancel(session.up);
  return Next::wait;
}

/// The watch has answered: because the client is gone, or because it was cancelled.
Next on_watch(Session& session, int32_t result) {
  if (result > 0 && (result & (POLLERR | POLLHUP)) != 0) {
    const int sys_errno = -session.world->kernel.connect_outcome(session.client_fd);
    return peer_failed(session, Side::client, is_vanished(sys_errno) ? sys_errno : ECONNRESET);
  }
  const auto& room = std::get<ConnectRoom>(session.room);
  if (room.connected) return connected(session);
  // A mere FIN: io_uring tells it whether asked or not, and would tell it again at once. So look again a little later; a
  // client that has said all it wants to say is still to be served.
  const uint64_t later_us = session.world->kernel.now_us() + limits::dial_unwatched_ms * 1000ull;
  session.world->timers.start(session.timer, std::min<uint64_t>(room.give_up_us, later_us));
  return Next::wait;
}

}  // namespace

void count_failed_dial(World& world, int sys_errno) {
  ++world.counters.dial_failures;
  if (sys_errno == EMFILE || sys_errno == ENFILE) ++world.counters.fd_limit_hits;
}

CloseReason reason_of_dial(int sys_errno) {
  switch (sys_errno) {
    case ECONNREFUSED: return CloseReason::origin_refused;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EHOSTDOWN: return CloseReason::origin_unreachable;
    case ETIMEDOUT: return CloseReason::origin_connect_timeout;
    case EPIPE:  // a reset behind a FIN, both before we looked
    case ECONNRESET: return CloseReason::origin_reset;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM: return CloseReason::overload;
    default: return CloseReason::gateway_error;
  }
}

Step step_behind_connect(const Session& session) {
  if (session.decision.action == rules::Action::bump) return Step::bump;
  return session.is_http && session.speaks_http ? Step::exchange : Step::splice;
}

Next connect(Session& session, const Answer* answer) {
  if (answer == nullptr && session.asked != nullptr && !session.asked->addresses.empty()) {
    if (session.parked != nullptr) return exchange_before_dial(session);
    session.step = Step::dial;
    return Next::go;
  }
  if (answer == nullptr) return enter(session);
  switch (answer->from) {
    case Answer::From::timer: return on_timer(session);
    case Answer::From::down: return on_dialled(session, answer->result);
    case Answer::From::up: return on_watch(session, answer->result);
    case Answer::From::client_writable:
    case Answer::From::origin_writable:
    case Answer::From::dial:
    case Answer::From::looked_up: break;
  }
  return close(session, CloseReason::gateway_error, Farewell::reset);
}

}  // namespace sluice::flow
