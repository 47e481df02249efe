// Step finish: the only place that closes, counts and logs. Cancel, then join (nothing in flight), then close: the kernel
// may answer an Op until it has answered it, so its owner stays until then.

#include <array>
#include <cerrno>
#include <variant>

#include "base/check.h"
#include "base/give_back.h"
#include "flow/lookups.h"
#include "flow/refusal.h"
#include "flow/session.h"
#include "rules/policy.h"

namespace sluice::flow {
namespace {

// RFC 8446 section 6: alert, fatal(2), access_denied(49), as a record of its own in clear.
constexpr std::array<uint8_t, 7> alert_access_denied = {21, 3, 3, 0, 2, 2, 49};

/// Gives back what the relay holds, and keeps its numbers.
void leave_room(Session& session) {
  if (auto* room = std::get_if<SpliceRoom>(&session.room)) {
    session.bytes_up = room->up.bytes;
    session.bytes_down = room->down.bytes;
    for (Relay* relay : {&room->up, &room->down}) {
      if (relay->pipe != nullptr) session.world->kernel.give_pipe(relay->pipe);
      session.world->relay_memory_bytes -= relay->spill.size;
    }
  }
  std::unique_ptr<Dialer> dialer;
  if (auto* dialling = std::get_if<DialRoom>(&session.room)) dialer = std::move(dialling->dialer);
  if (const auto parked = std::move(session.parked); parked != nullptr) session.room.emplace<ExchangeRoom>(std::move(*parked));
  std::unique_ptr<Pair> pair;
  if (auto* bumping = std::get_if<BumpRoom>(&session.room)) pair = std::move(bumping->pair);
  if (auto* exchanging = std::get_if<ExchangeRoom>(&session.room)) {
    leave_exchange(session);
    pair = std::move(exchanging->pair);
  }
  if (pair != nullptr) {
    session.bytes_up += pair->origin.sent_bytes();
    session.bytes_down += pair->client.sent_bytes();
  }
  if (const Asked* const asked = session.asked.get()) {
    session.bytes_up += asked->bytes_up;
    session.bytes_down += asked->bytes_down;
  }
  session.world->relay_memory_bytes -= session.replay.size();
  give_back(session.replay);
  session.hello.reset();
  auto& room = session.room.emplace<FinishRoom>();
  room.pair = std::move(pair);
  room.dialer = std::move(dialer);
}

void count(Session& session) {
  record::Counters& counters = session.world->counters;
  ++counters.connections_finished;
  counters.count_close(session.close_reason);
  counters.bytes_up += session.bytes_up;
  counters.bytes_down += session.bytes_down;
  switch (session.decision.action) {
    case rules::Action::tunnel: ++counters.action_tunnel; break;
    case rules::Action::tunnel_sni: ++counters.action_tunnel_sni; break;
    case rules::Action::bump: ++counters.action_bump; break;
    case rules::Action::terminate: ++counters.action_terminate; break;
    case rules::Action::block: ++counters.action_block; break;
    case rules::Action::redirect: ++counters.action_redirect; break;
    case rules::Action::peek: ++counters.action_none; break;
  }
}

const char* version_name(uint16_t version) {
  switch (version) {
    case 0x0300: return "ssl3";
    case 0x0301: return "1.0";
    case 0x0302: return "1.1";
    case 0x0303: return "1.2";
    case 0x0304: return "1.3";
    default: return "unknown";
  }
}

void log(Session& session) {
  World& world = *session.world;
  const rules::Policy& policy = *session.ruling->config->policy;
  record::ConnectionRecord record;
  const std::string destination = session.about.destination.address.to_string();
  record.time_us = session.accepted_wall_us;
  record.id = session.id;
  record.mode = session.asked == nullptr ? "transparent" : "explicit";
  record.client = session.about.client;
  record.destination = session.about.destination;
  record.interface = world.interfaces.name(session.about.interface_index);
  record.host = destination;
  if (const Asked* asked = session.asked.get()) {
    if (!asked->host.empty()) record.host = asked->host;
    record.user = asked->user;
  }
  if (const Seen* seen = session.seen.get()) {
    const std::string_view names = seen->names;
    record.sni = names.substr(0, seen->sni_bytes);
    record.alpn = names.substr(seen->sni_bytes);
    // Of an explicit client both names are judged (S4), and both are logged.
    if (!record.sni.empty() && session.asked == nullptr) record.host = record.sni;
    record.tls_version = version_name(seen->version_max);
    record.ja4 = {seen->ja4.data(), seen->ja4.size()};
    record.ech = seen->ech;
  }
  const rules::Action action = session.decision.action;
  // A connection that ended before its verdict has no action.
  if (action != rules::Action::peek) record.action = rules::to_string(action);
  else if (session.speaks_http) record.action = "allow";
  record.tls_rule = policy.tls_rule_name(session.decision.tls_rule);
  record.bypass_rule = policy.bypass_rule_name(session.decision.bypass_rule);
  record.access_rule = policy.access_rule_name(session.decision.access_rule);
  // That [protection.default] applies to what no rule names would be said in every line.
  if (session.decision.protection_rule >= 0) record.protection_rule = policy.protection_rule_name(session.decision.protection_rule);
  if (action == rules::Action::tunnel || action == rules::Action::tunnel_sni) {
    record.scan = "skipped";
    record.scan_reason = "tunnel";
  }
  if (const auto threat = session.decision.threat) {
    record.scan = rules::to_string(*threat);
    count_threat(world.counters, *threat);
  }
  if (session.retreat_reason != nullptr) record.scan_reason = session.retreat_reason;
  record.bytes_up = session.bytes_up;
  record.bytes_down = session.bytes_down;
  if (session.peek_us != UINT32_MAX) record.peek_us = session.peek_us;
  if (session.connect_us != UINT32_MAX) record.connect_us = session.connect_us;
  std::string verdict_text;
  if (const Bumped* bumped = session.bumped.get()) {
    verdict_text = bumped->verdict->text();
    record.origin_cert = verdict_text;
    if (bumped->verdict->leaf != nullptr) record.origin_fingerprint = bumped->verdict->leaf->fingerprint;
    if (bumped->origin_handshake_us != UINT32_MAX) record.origin_handshake_us = bumped->origin_handshake_us;
    if (bumped->client_handshake_us != UINT32_MAX) record.client_handshake_us = bumped->client_handshake_us;
  }
  record.total_us = world.kernel.now_us() - session.accepted_us;
  record.close = session.close_reason;
  record.detail = session.detail;
  world.records.write(record);
}

void close_origin(Session& session) {
  if (session.origin_fd < 0) return;
  if (session.farewell == Farewell::in_order || session.farewell == Farewell::linger)
    session.world->kernel.close(session.origin_fd);
  else
    session.world->kernel.close_with_reset(session.origin_fd);
  session.origin_fd = -1;
}

/// The session's last moment: afterwards its slot belongs to somebody else.
Next depart(Session& session, bool with_reset) {
  io::TimerWheel::stop(session.timer);
  close_origin(session);
  if (with_reset)
    session.world->kernel.close_with_reset(session.client_fd);
  else
    session.world->kernel.close(session.client_fd);
  session.client_fd = -1;
  count(session);
  log(session);
  SLUICE_CHECK(!session.up.in_flight && !session.down.in_flight);
  --session.ruling->sessions;
  session.world->on_session_end(*session.world, session);
  return Next::wait;
}

/// Our last words must not be overtaken by a reset, which unread bytes would cause: close our half, read the client's.
Next begin_linger(Session& session) {
  World& world = *session.world;
  close_origin(session);
  world.kernel.shutdown_write(session.client_fd);
  std::get<FinishRoom>(session.room).stage = FinishRoom::Stage::lingering;
  world.timers.start(session.timer, world.kernel.now_us() + limits::linger_ms * 1000ull);
  world.kernel.receive(session.up, session.client_fd);
  return Next::wait;
}

Next begin_alert(Session& session) {
  const ssize_t sent = session.world->kernel.send_now(session.client_fd, alert_access_denied);
  return sent < 0 ? depart(session, true) : begin_linger(session);
}

Next on_lingering(Session& session, const Answer& answer) {
  World& world = *session.world;
  if (answer.from == Answer::From::timer) {
    if (!session.up.in_flight) return depart(session, false);
    session.farewell = Farewell::reset;
    world.kernel.cancel(session.up);
    return Next::wait;
  }
  world.kernel.release(answer.flags);
  const bool again = answer.result > 0 || answer.result == -ENOBUFS || answer.result == -EINTR;
  if (!again || session.farewell == Farewell::reset) return depart(session, session.farewell == Farewell::reset);
  world.kernel.receive(session.up, session.client_fd);
  return Next::wait;
}

/// The origin was reset behind its last bytes; so is the client, once it has acknowledged them.
Next await_delivery(Session& session) {
  World& world = *session.world;
  auto& room = std::get<FinishRoom>(session.room);
  const uint64_t now_us = world.kernel.now_us();
  if (room.stage != FinishRoom::Stage::delivering) {
    room.stage = FinishRoom::Stage::delivering;
    room.give_up_us = now_us + limits::reset_after_delivery_ms * 1000ull;
    close_origin(session);
  }
  if (world.kernel.unacknowledged_bytes(session.client_fd) == 0 || now_us >= room.give_up_us) return depart(session, true);
  world.timers.start(session.timer, now_us + 1);  // the next tick
  return Next::wait;
}

Next on_joined(Session& session) {
  switch (session.farewell) {
    case Farewell::in_order: return depart(session, false);
    case Farewell::reset: return depart(session, true);
    case Farewell::alert: return begin_alert(session);
    case Farewell::linger: return begin_linger(session);
    case Farewell::reset_after_delivery: return await_delivery(session);
  }
  SLUICE_CHECK(false);
}

}  // namespace

void hurry(Session& session) {
  session.farewell = Farewell::reset;
  switch (auto& room = std::get<FinishRoom>(session.room); room.stage) {
    case FinishRoom::Stage::joining: break;  // its answers are on their way
    case FinishRoom::Stage::lingering: session.world->kernel.cancel(session.up); break;
    case FinishRoom::Stage::delivering:
      room.give_up_us = 0;
      session.world->timers.start(session.timer, session.world->kernel.now_us());
      break;
  }
}

Next finish(Session& session, const Answer* answer) {
  if (answer == nullptr) {
    leave_room(session);
    io::TimerWheel::stop(session.timer);
    session.world->kernel.cancel(session.up);
    session.world->kernel.cancel(session.down);
    if (Pair* pair = std::get<FinishRoom>(session.room).pair.get()) {
      session.world->kernel.cancel(pair->client_write);
      session.world->kernel.cancel(pair->origin_write);
    }
    if (Dialer* dialer = std::get<FinishRoom>(session.room).dialer.get()) dialer->cancel();
    if (session.asked != nullptr) session.world->lookups->forget(session);
  } else {
    switch (auto& room = std::get<FinishRoom>(session.room); room.stage) {
      case FinishRoom::Stage::joining:
        if (answer->from == Answer::From::dial)
          (void)room.dialer->on_answer(*answer);
        else
          session.world->kernel.release(answer->flags);
        break;
      case FinishRoom::Stage::lingering: return on_lingering(session, *answer);
      case FinishRoom::Stage::delivering: return await_delivery(session);
    }
  }
  if (session.up.in_flight || session.down.in_flight) return Next::wait;
  auto& pair = std::get<FinishRoom>(session.room).pair;
  if (pair != nullptr && (pair->client_write.in_flight || pair->origin_write.in_flight)) return Next::wait;
  auto& dialer = std::get<FinishRoom>(session.room).dialer;
  if (dialer != nullptr && !dialer->is_idle()) return Next::wait;
  pair.reset();
  dialer.reset();
  return on_joined(session);
}

}  // namespace sluice::flow
