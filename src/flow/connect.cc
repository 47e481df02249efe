// Step connect: dial the original destination (S11: never what the SNI resolves to). A failed dial resets the client at
// once, so that it tries its next address.

#include <cerrno>

#include "flow/session.h"

namespace sluice::flow {
namespace {

using record::CloseReason;

Next failed(Session& session, int sys_errno) {
  ++session.world->counters.dial_failures;
  CloseReason reason = CloseReason::gateway_error;
  switch (sys_errno) {
    case ECONNREFUSED: reason = CloseReason::origin_refused; break;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EHOSTDOWN: reason = CloseReason::origin_unreachable; break;
    case ETIMEDOUT: reason = CloseReason::origin_connect_timeout; break;
    case ECONNRESET: reason = CloseReason::origin_reset; break;
    case EMFILE:
    case ENFILE:
      ++session.world->counters.fd_limit_hits;
      [[fallthrough]];
    case ENOBUFS:
    case ENOMEM: reason = CloseReason::overload; break;
    default: break;
  }
  return close(session, reason, Farewell::reset, errno_name(sys_errno));
}

Next enter(Session& session) {
  World& world = *session.world;
  const config::Config& config = *session.ruling->config;
  ++world.counters.dials;
  io::OriginSocket options;
  options.v6 = !session.about.destination.address.is_v4();
  options.mark = config.gateway.own_mark;
  options.keepalive_ms = config.limits.keepalive_ms;
  if (config.gateway.client_source == config::ClientSource::client) options.source = &session.about.client.address;
  const int fd = world.kernel.origin_socket(options);
  if (fd < 0) return failed(session, -fd);
  session.origin_fd = fd;
  session.room.emplace<ConnectRoom>(ConnectRoom{world.kernel.now_us()});
  world.timers.start(session.timer, world.kernel.now_us() + config.limits.connect_timeout_ms * 1000ull);
  world.kernel.connect(session.down, fd, session.about.destination);
  return Next::wait;
}

}  // namespace

Next connect(Session& session, const Answer* answer) {
  if (answer == nullptr) return enter(session);
  // A time-out closes the session; finish cancels the connect that is in flight.
  if (answer->from == Answer::From::timer) return failed(session, ETIMEDOUT);
  if (answer->result < 0) return failed(session, -answer->result);
  session.connect_us =
      static_cast<uint32_t>(session.world->kernel.now_us() - std::get<ConnectRoom>(session.room).begun_us);
  io::TimerWheel::stop(session.timer);
  session.step = Step::splice;
  return Next::go;
}

}  // namespace sluice::flow
