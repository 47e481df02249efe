// Step peek: read the client's first bytes until they are a ClientHello or cannot become one. The bytes are consumed
// and kept (`replay`): they go to the origin as they came.

#include <cerrno>

#include "flow/session.h"
#include "http/reader.h"

namespace sluice::flow {
namespace {

/// From here on the client is waited for: an explicit one must first have heard that it may begin.
uint64_t begun_us(const Session& session) {
  return session.asked == nullptr ? session.accepted_us : session.asked->established_us;
}

Next wait_for_bytes(Session& session) {
  session.world->kernel.receive(session.up, session.client_fd);
  return Next::wait;
}

/// The hello event has come, with a hello or without: decide looks at what is known.
Next done(Session& session) {
  io::TimerWheel::stop(session.timer);
  session.peek_us = static_cast<uint32_t>(session.world->kernel.now_us() - begun_us(session));
  session.peeked = true;
  session.step = Step::decide;
  return Next::go;
}

/// Plain HTTP shows itself in its first line; anything else in its first byte, most often. That of HTTP/2,
/// too, which the exchange refuses: in a tunnel it would be requests that nobody sees.
Next read_http(Session& session, bool last) {
  const http::Protocol protocol = http::recognise(session.replay);
  session.hello_incomplete = protocol == http::Protocol::need_more && last;
  if (protocol == http::Protocol::need_more && !last) return wait_for_bytes(session);
  session.speaks_http = protocol == http::Protocol::http;
  return done(session);
}

/// Looks at what has come so far. With `last`, there will be no more.
Next read(Session& session, bool last) {
  if (session.is_http) return read_http(session, last);
  World& world = *session.world;
  auto outcome = std::get<PeekRoom>(session.room).reader.read(session.replay);
  if (std::holds_alternative<hello::NeedMore>(outcome)) {
    if (!last) return wait_for_bytes(session);
    session.hello_incomplete = true;
  } else if (auto* found = std::get_if<hello::ClientHello>(&outcome)) {
    ++world.counters.hello_complete;
    if (!found->has_sni) ++world.counters.sni_missing;
    session.hello = std::make_unique<hello::ClientHello>(std::move(*found));
  } else {
    session.malformed = std::get<hello::Malformed>(outcome);
  }
  return done(session);
}

Next enter(Session& session) {
  World& world = *session.world;
  ++world.counters.peeks;
  session.room.emplace<PeekRoom>();
  world.timers.start(session.timer, begun_us(session) + hello_timeout_us(session));
  if (!session.replay.empty()) return read(session, false);  // it came behind the CONNECT, without waiting for the answer
  world.kernel.receive_at_once(session.up, session.client_fd);  // most clients speak with their handshake's last ACK
  return Next::wait;
}

/// Silence, or a hello that does not end. The receive that is still in flight is cancelled; its answer brings us to the
/// decision, so that nothing is ever read behind our back.
Next on_timeout(Session& session) {
  session.hello_incomplete = !session.replay.empty();
  session.silent = session.replay.empty();
  session.world->kernel.cancel(session.up);
  return Next::wait;
}

}  // namespace

// Many clients with large hellos must not fill the machine.
bool keep_for_replay(Session& session, std::span<const uint8_t> bytes) {
  World& world = *session.world;
  if (world.relay_memory_bytes + bytes.size() > world.relay_memory_max_bytes) {
    ++world.counters.relay_memory_limit_hits;
    return false;
  }
  world.relay_memory_bytes += bytes.size();
  session.replay.insert(session.replay.end(), bytes.begin(), bytes.end());
  return true;
}

Next peek(Session& session, const Answer* answer) {
  if (answer == nullptr) return enter(session);
  if (answer->from == Answer::From::timer) return on_timeout(session);

  World& world = *session.world;
  const bool timed_out = session.silent || session.hello_incomplete;
  if (answer->result > 0) {
    const auto bytes = world.kernel.received(answer->result, answer->flags);
    const bool kept = keep_for_replay(session, bytes);
    world.kernel.release(answer->flags);
    if (!kept) return close(session, record::CloseReason::overload, Farewell::reset, "relay_memory");
    session.silent = false;  // it spoke just in time
    session.hello_incomplete = false;
    return read(session, timed_out);
  }
  switch (-answer->result) {
    case ECANCELED:
      if (timed_out) return done(session);
      return close(session, record::CloseReason::gateway_error, Farewell::reset, "ECANCELED");
    case 0:
      // A FIN is still there for whoever reads next. An error is not: it is told once, so it is dealt with below, or a
      // tunnel would take what follows for an end in order.
      if (timed_out) return done(session);
      return close(session, record::CloseReason::client_closed_early, Farewell::in_order);
    case ENOBUFS:
    case EINTR: return timed_out ? done(session) : wait_for_bytes(session);
    default: return peer_failed(session, Side::client, -answer->result);
  }
}

}  // namespace sluice::flow
