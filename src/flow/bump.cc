// Step bump: terminate TLS on both sides, the origin's first (DESIGN 6). Its handshake, the verdict on its certificate, the
// protocol that it chose; then a replacement certificate, and only then the client's handshake, with the ClientHello that
// peek has kept.
//
// What cannot be bumped retreats (S13): the origin is dialled again and the client's own ClientHello replayed, as a tunnel.
// That is possible until the first byte of our answer has gone to the client. In the same way an origin that fails over a
// session that it was offered is dialled once more, for a full handshake.
//
// While the origin's handshake takes long, Session::up watches the client (as in step connect), so that one that leaves is
// noticed. The watch ends before the client's handshake begins, which reads with the same Op.

#include <poll.h>

#include <algorithm>
#include <cerrno>

#include "base/check.h"
#include "base/give_back.h"
#include "base/ip.h"
#include "flow/bumper.h"
#include "flow/client_refusal.h"
#include "flow/refusal.h"
#include "flow/session.h"
#include "http/headers.h"
#include "tls/about.h"
#include "tls/reframe.h"

namespace sluice::flow {

struct Handshakes {
  // unwatching: the origin's is done, and the client's begins when its watch has ended.
  enum class Stage : uint8_t { origin, unwatching, client, retreating };
  Stage stage = Stage::origin;
  Replacement replacement = Replacement::trusted;  // for the client's handshake
  uint64_t give_up_us = 0;                         // the origin's
  bool resumes = false;      // a session was offered to the origin
  bool bumps_again = false;  // behind `retreating`, with a full handshake; else it is a tunnel then
  uint64_t begun_us = 0;
  std::string alpn_offer;
  std::shared_ptr<const tls::Chain> chain;  // of the session that is offered
  int64_t chain_came_s = 0;
  std::vector<uint8_t> origin_wire;         // what came behind the origin's handshake
  std::string page;                         // not empty: what to tell the client in place of the origin's answer
};

void HandshakesDeleter::operator()(Handshakes* handshakes) const { delete handshakes; }

namespace {

using record::CloseReason;

BumpRoom& room_of(Session& session) { return std::get<BumpRoom>(session.room); }

int64_t now_s(const Session& session) { return session.world->wall_us / 1'000'000; }

/// The name that the origin's certificate must be for; without one, the address that was dialled.
std::string name_of(const Session& session) {
  const std::string_view name = name_from_client(session);
  return name.empty() ? session.about.destination.address.to_string() : std::string(name);
}

tls::OriginSessions::Key session_key(const Session& session, std::string_view alpn) {
  return {name_from_client(session), session.about.destination, session.ruling->material->trust->id(), alpn};
}

void forget_session(const Session& session, const Handshakes& handshakes) {
  if (handshakes.resumes) session.world->bumper->sessions.forget(session_key(session, handshakes.alpn_offer));
}

void release_replay(Session& session) {
  session.world->relay_memory_bytes -= session.replay.size();
  give_back(session.replay);
}

// --- ends ------------------------------------------------------------------------------------------------------------

/// Ends with TLS's own words, as far as there are any: an alert may be waiting in a channel.
Next end_with_alert(Session& session, CloseReason reason, const char* detail) {
  int sys_errno = 0;
  Pair& pair = *room_of(session).pair;
  (void)pair.origin.flush(sys_errno);
  const bool said_something = pair.client.has_output();
  (void)pair.client.flush(sys_errno);
  return close(session, reason, said_something ? Farewell::linger : Farewell::reset, detail);
}

/// Nothing has been said to the client: it gets the alert that tells it why, in clear, or a reset.
Next end_unanswered(Session& session, CloseReason reason, const char* detail) {
  const bool alert = session.ruling->config->tls.terminate_with == config::TerminateWith::alert;
  return close(session, reason, alert ? Farewell::alert : Farewell::reset, detail);
}

Next dial_again(Session& session) {
  World& world = *session.world;
  const bool bumps_again = room_of(session).handshakes->bumps_again;
  io::TimerWheel::stop(session.timer);
  room_of(session).pair.reset();
  session.room.emplace<std::monostate>();
  world.kernel.close(session.origin_fd);
  session.origin_fd = -1;
  if (!bumps_again) {
    ++world.counters.bump_retreats;
    session.decision.action = rules::Action::tunnel;
  }
  session.step = Step::connect;
  return Next::go;
}

/// Ends what is under way towards the origin, and then dials it again.
Next leave_origin(Session& session) {
  BumpRoom& room = room_of(session);
  room.handshakes->stage = Handshakes::Stage::retreating;
  session.world->kernel.cancel(session.down);
  session.world->kernel.cancel(room.pair->origin_write);
  if (session.down.in_flight || room.pair->origin_write.in_flight) return Next::wait;
  return dial_again(session);
}

/// The connection cannot be bumped: a tunnel, if the configuration allows, with everything as if bump had never begun.
Next retreat(Session& session, config::WhenNotBumpable when, CloseReason reason, const char* detail) {
  if (when == config::WhenNotBumpable::terminate) return end_unanswered(session, reason, detail);
  session.retreat_reason = detail;
  return leave_origin(session);
}

/// The same before anything has been said to the origin: its connection will do.
Next retreat_unsaid(Session& session, const char* detail) {
  if (session.ruling->config->tls.unsupported == config::WhenNotBumpable::terminate)
    return end_unanswered(session, CloseReason::client_tls_failed, detail);
  ++session.world->counters.bump_retreats;
  io::TimerWheel::stop(session.timer);
  session.room.emplace<std::monostate>();
  session.retreat_reason = detail;
  session.decision.action = rules::Action::tunnel;
  session.step = Step::splice;
  return Next::go;
}

/// An origin should decline a session that it cannot resume, but some fail: behind a balancer that shares keys by halves, or
/// just updated. Once, and without that session.
Next bump_again(Session& session) {
  Handshakes& handshakes = *room_of(session).handshakes;
  forget_session(session, handshakes);
  handshakes.bumps_again = true;
  session.resumes_no_more = true;
  session.bumped.reset();
  return leave_origin(session);
}

Next unsupported(Session& session, const char* detail) {
  if (room_of(session).handshakes->resumes) return bump_again(session);
  return retreat(session, session.ruling->config->tls.unsupported, CloseReason::origin_tls_failed, detail);
}

// --- the client's handshake ------------------------------------------------------------------------------------------

/// S14: it does not accept our certificate.
Next client_refused(Session& session, const char* detail) {
  ++session.world->counters.client_rejected_certificate;
  return end_with_alert(session, CloseReason::client_rejected_certificate, detail);
}

Next client_failed(Session& session) {
  const tls::Failure& failure = room_of(session).pair->client.engine()->failure();
  const char* detail = failure.fault == tls::Fault::peer_alert ? tls::alert_name(failure.alert) : tls::name_of(failure.fault);
  if (refuses_certificate(failure)) return client_refused(session, detail);
  return end_with_alert(session, CloseReason::client_tls_failed, detail);
}

Next flush_client(Session& session) {
  Pair& pair = *room_of(session).pair;
  int sys_errno = 0;
  switch (pair.client.flush(sys_errno)) {
    case Channel::Flush::done: return Next::go;
    case Channel::Flush::blocked:
      if (!pair.client_write.in_flight) session.world->kernel.poll(pair.client_write, pair.client.fd(), POLLOUT);
      return Next::wait;
    case Channel::Flush::failed: return peer_failed(session, Side::client, sys_errno);
    case Channel::Flush::no_memory: return close(session, CloseReason::overload, Farewell::reset, "relay_memory");
  }
  SLUICE_CHECK(false);
}

Next client_complete(Session& session, std::span<const uint8_t> rest) {
  World& world = *session.world;
  BumpRoom& room = room_of(session);
  if (session.bumped != nullptr)
    session.bumped->client_handshake_us = static_cast<uint32_t>(world.kernel.now_us() - room.handshakes->begun_us);
  ++world.counters.bump_handshakes;
  if (room.pair->client.engine()->agreed().resumed) ++world.counters.bump_resumed_client;
  io::TimerWheel::stop(session.timer);
  const std::vector<uint8_t> origin_wire = std::move(room.handshakes->origin_wire);
  std::string page = std::move(room.handshakes->page);
  // Our last flight (tickets, the Finished of TLS 1.2) goes out there: it knows what a client means that is gone by then.
  return begin_exchange(session, std::move(room.pair), rest, origin_wire, std::move(page));
}

/// Goes on with the client's handshake as far as `wire` allows.
Next shake_client(Session& session, std::span<const uint8_t> wire) {
  Channel& client = room_of(session).pair->client;
  switch (client.engine()->handshake(wire, client.output())) {
    case tls::Status::ok: return client_complete(session, wire);
    case tls::Status::want_input:
      if (const Next next = flush_client(session); next == Next::close) return next;
      if (!session.up.in_flight) session.world->kernel.receive(session.up, session.client_fd);
      return Next::wait;
    case tls::Status::closed: return client_refused(session, "close_notify");
    case tls::Status::failed: return client_failed(session);
  }
  SLUICE_CHECK(false);
}

/// The ClientHello, and what peek read behind it (early data). A client that sends early data is answered before that is read.
Next take_hello(Session& session) {
  const Seen& seen = *session.seen;
  const std::vector<uint8_t> replay = session.replay;
  const auto hello = std::span<const uint8_t>(replay).first(seen.hello_wire_bytes);
  const auto behind = std::span<const uint8_t>(replay).subspan(seen.hello_wire_bytes);
  release_replay(session);
  const Next next = seen.one_record ? shake_client(session, hello) : shake_client(session, tls::reframe_hello(hello));
  return next == Next::wait && !behind.empty() ? shake_client(session, behind) : next;
}

Next begin_client(Session& session) {
  World& world = *session.world;
  BumpRoom& room = room_of(session);
  Bumper& bumper = *world.bumper;
  const Replacement replacement = room.handshakes->replacement;
  tls::MintFault fault{};
  const tls::Certificate* const origin = session.bumped != nullptr ? session.bumped->verdict->leaf.get() : nullptr;
  const tls::Material& material = *session.ruling->material;
  const std::string name = name_of(session);
  const auto leaf = bumper.leaf(material, origin, name, replacement, now_s(session), world.counters, fault);
  if (leaf == nullptr) return end_unanswered(session, CloseReason::gateway_error, tls::text_of(fault));
  tls::ClientEngine::Answer answer;
  answer.leaf_chain = leaf->chain;
  // A page is HTTP/1.1, whatever the origin would have spoken.
  if (replacement != Replacement::page)
    answer.alpn = room.pair->origin.engine()->agreed().alpn;
  else if (!room.handshakes->alpn_offer.empty())
    answer.alpn = "http/1.1";
  answer.client_order = session.seen->prefers_chacha20;
  answer.retry_group = session.seen->retry_group;
  // S12: on resumption the client sees no certificate, so its ticket is to stand for the one that it would see now.
  answer.ticket_binding = Bumper::ticket_binding(
      material, origin, session.bumped != nullptr ? session.bumped->verdict->problems : OriginProblems(), name, replacement);
  auto engine = tls::ClientEngine::create(bumper.clients, answer);
  if (!engine) return end_unanswered(session, CloseReason::gateway_error, "tls");
  room.pair->client.secure(std::move(*engine));
  room.handshakes->stage = Handshakes::Stage::client;
  room.handshakes->begun_us = world.kernel.now_us();
  world.timers.start(session.timer, room.handshakes->begun_us + hello_timeout_us(session));

  // From here on the client has bytes of ours, and there is no way back.
  return take_hello(session);
}

/// As soon as nobody watches the client any more.
Next turn_to_client(Session& session, Replacement replacement) {
  Handshakes& handshakes = *room_of(session).handshakes;
  handshakes.replacement = replacement;
  if (!session.up.in_flight) return begin_client(session);
  handshakes.stage = Handshakes::Stage::unwatching;
  session.world->kernel.cancel(session.up);
  return Next::wait;
}

// --- the verdict -----------------------------------------------------------------------------------------------------

std::string page_text(const Session& session) {
  const tls::OriginVerdict& verdict = *session.bumped->verdict;
  return "The gateway of this network did not connect you to " + name_of(session) +
         ", because its certificate is not valid (" + verdict.text() + (*verdict.detail != 0 ? ": " : "") + verdict.detail + ").";
}

Next follow_verdict(Session& session) {
  BumpRoom& room = room_of(session);
  const tls::OriginVerdict& verdict = *session.bumped->verdict;
  // S10: an origin that is trusted by its fingerprint is valid whatever its certificate says, its dates included.
  if (verdict.is_good())
    return turn_to_client(session, verdict.trusted_by_fingerprint ? Replacement::trusted_as_is : Replacement::trusted);
  ++session.world->counters.origin_cert_invalid;
  switch (session.ruling->config->tls.invalid_origin.action_for(verdict.problems)) {
    case config::InvalidAction::allow: return turn_to_client(session, Replacement::trusted_as_is);
    case config::InvalidAction::untrusted: return turn_to_client(session, Replacement::untrusted);
    case config::InvalidAction::page:
      room.handshakes->page = page_text(session);
      return turn_to_client(session, Replacement::page);
    case config::InvalidAction::tunnel:
      return retreat(session, config::WhenNotBumpable::tunnel, CloseReason::origin_cert_invalid, "invalid_origin");
    case config::InvalidAction::terminate: return end_unanswered(session, CloseReason::origin_cert_invalid, verdict.detail);
  }
  SLUICE_CHECK(false);
}

/// What is to be thought of that chain now, for the name that the client wants.
std::shared_ptr<const tls::OriginVerdict> judge_chain(const Session& session, const tls::Chain& chain) {
  const std::vector<tls::ByteView> certificates(chain.certificates.begin(), chain.certificates.end());
  tls::SentChain sent;
  sent.certificates = certificates;
  sent.staple = chain.stapled_ocsp;
  sent.digest = &chain.digest;
  sent.staple_was_asked = tls::asks_for_staples();
  return session.world->bumper->verdicts.judge(*session.ruling->material->trust, sent, tls::requested_name(name_of(session)),
                                               now_s(session));
}

Next judge_origin(Session& session) {
  World& world = *session.world;
  BumpRoom& room = room_of(session);
  tls::OriginEngine& engine = *room.pair->origin.origin_engine();
  const tls::Agreed agreed = engine.agreed();
  if (agreed.version == tls::Version::tls12 && session.ruling->config->tls.min_version > 0x0303)
    return unsupported(session, "tls_1.2");
  if (agreed.resumed) ++world.counters.bump_resumed_origin;
  const bool is_old_chain = agreed.resumed && engine.chain() == nullptr;
  const std::shared_ptr<const tls::Chain> chain = is_old_chain ? room.handshakes->chain : engine.chain();
  if (chain == nullptr) return unsupported(session, "no_certificate");
  session.bumped = std::make_unique<Bumped>();
  session.bumped->chain = chain;
  session.bumped->chain_came_s = is_old_chain ? room.handshakes->chain_came_s : now_s(session);
  session.bumped->alpn_offer = room.handshakes->alpn_offer;
  session.bumped->origin_handshake_us = static_cast<uint32_t>(world.kernel.now_us() - room.handshakes->begun_us);
  const uint64_t hits = world.bumper->verdicts.hits();
  session.bumped->verdict = judge_chain(session, *chain);
  const bool was_cached = world.bumper->verdicts.hits() != hits;
  keep_origin_session(session, engine);
  if (was_cached) ++world.counters.verdict_cache_hits;
  // This connection goes on with the verdict as it is: nobody waits for what an origin says is to be fetched.
  if (!was_cached && session.ruling->config->tls.fetch_intermediates && session.bumped->verdict->lacks_only_an_issuer() &&
      world.on_missing_issuer != nullptr)
    world.on_missing_issuer(world, *session.ruling, *session.bumped->verdict);
  return follow_verdict(session);
}

// --- the origin's handshake ------------------------------------------------------------------------------------------

Next origin_failed(Session& session) {
  BumpRoom& room = room_of(session);
  const tls::Failure& failure = room.pair->origin.engine()->failure();
  if (failure.fault == tls::Fault::client_certificate_asked) {
    forget_session(session, *room.handshakes);
    return retreat(session, session.ruling->config->tls.client_cert, CloseReason::client_cert_required, "client_cert");
  }
  int sys_errno = 0;
  (void)room.pair->origin.flush(sys_errno);  // the alert that says why
  return unsupported(session, failure.fault == tls::Fault::peer_alert ? tls::alert_name(failure.alert) : tls::name_of(failure.fault));
}

Next flush_origin(Session& session) {
  Pair& pair = *room_of(session).pair;
  int sys_errno = 0;
  switch (pair.origin.flush(sys_errno)) {
    case Channel::Flush::done: return Next::go;
    case Channel::Flush::blocked:
      if (!pair.origin_write.in_flight) session.world->kernel.poll(pair.origin_write, pair.origin.fd(), POLLOUT);
      return Next::wait;
    case Channel::Flush::failed:
      // Behind our first word to the client there is no way back.
      if (room_of(session).handshakes->stage == Handshakes::Stage::client) return peer_failed(session, Side::origin, sys_errno);
      return unsupported(session, errno_name(sys_errno));
    case Channel::Flush::no_memory: return close(session, CloseReason::overload, Farewell::reset, "relay_memory");
  }
  SLUICE_CHECK(false);
}

Next shake_origin(Session& session, std::span<const uint8_t> wire) {
  BumpRoom& room = room_of(session);
  Channel& origin = room.pair->origin;
  switch (origin.engine()->handshake(wire, origin.output())) {
    case tls::Status::ok: {
      room.handshakes->origin_wire.assign(wire.begin(), wire.end());
      const Next next = flush_origin(session);  // wait: the rest goes while the client's handshake runs
      if (next == Next::close || session.step != Step::bump) return next;
      if (room_of(session).handshakes->stage == Handshakes::Stage::retreating) return Next::wait;
      return judge_origin(session);
    }
    case tls::Status::want_input: {
      const Next next = flush_origin(session);
      if (next == Next::close || session.step != Step::bump) return next;  // the latter: it has retreated
      if (room_of(session).handshakes->stage == Handshakes::Stage::retreating) return Next::wait;
      if (!session.down.in_flight) session.world->kernel.receive(session.down, session.origin_fd);
      return Next::wait;
    }
    case tls::Status::closed: return unsupported(session, "close_notify");
    case tls::Status::failed: return origin_failed(session);
  }
  SLUICE_CHECK(false);
}

/// What is offered to the origin. `usable`: false when the client offers protocols, and none that we can read.
std::vector<std::string_view> alpn_offer(const Session& session, bool inspect, bool& usable) {
  std::vector<std::string_view> offered;
  http::for_each_token(session.seen->alpn(), [&](std::string_view name) { offered.push_back(name); });
  usable = true;
  if (!inspect || offered.empty()) return offered;
  usable = std::find(offered.begin(), offered.end(), "http/1.1") != offered.end();
  return {"http/1.1"};
}

/// S26 (access.https_page): the connection is blocked, and bumped for the block page alone. Nothing is ever dialled.
Next enter_for_page(Session& session) {
  BumpRoom& room = room_of(session);
  bool usable = true;
  const std::vector<std::string_view> alpn = alpn_offer(session, true, usable);
  // A client that cannot be shown a page is blocked as ever.
  if (!usable || session.seen->version_max < session.ruling->config->tls.min_version)
    return close(session, refusal_of(session.decision), Farewell::reset, usable ? "tls_version" : "alpn");
  if (session.seen->early_data && session.seen->retry_group == 0)
    return close(session, refusal_of(session.decision), Farewell::reset, "early_data");
  if (!alpn.empty()) room.handshakes->alpn_offer = alpn.front();
  room.handshakes->page = "blocked";
  return turn_to_client(session, Replacement::page);
}

/// The client is watched from limits::dial_unwatched_ms on, and looked at again that long after each answer.
void look_later(Session& session) {
  World& world = *session.world;
  const uint64_t later_us = world.kernel.now_us() + limits::dial_unwatched_ms * 1000ull;
  world.timers.start(session.timer, std::min(room_of(session).handshakes->give_up_us, later_us));
}

/// Offers the session that is kept of this origin, if its chain is still good: on resumption no other would come, however
/// long the origin has had a better one.
void offer_session(Session& session, tls::OriginEngine::Offer& offer) {
  if (session.resumes_no_more) return;
  Handshakes& handshakes = *room_of(session).handshakes;
  tls::OriginSessions& sessions = session.world->bumper->sessions;
  const auto key = session_key(session, handshakes.alpn_offer);
  const tls::OriginSessions::Entry* const known = sessions.find(key, now_s(session));
  if (known == nullptr) return;
  if (!judge_chain(session, *known->chain)->is_good()) return sessions.forget(key);
  offer.resume = &known->session;
  handshakes.chain = known->chain;
  handshakes.chain_came_s = known->begun_s;
  handshakes.resumes = true;
}

Next enter(Session& session) {
  World& world = *session.world;
  const config::Config& config = *session.ruling->config;
  auto& room = session.room.emplace<BumpRoom>();
  room.pair = make_pair(session);
  room.handshakes.reset(new Handshakes);
  room.handshakes->begun_us = world.kernel.now_us();
  room.handshakes->give_up_us = room.handshakes->begun_us + config.limits.connect_timeout_ms * 1000ull;
  look_later(session);
  if (world.bumper == nullptr || session.ruling->material == nullptr)
    return close(session, CloseReason::gateway_error, Farewell::reset, "no CA");
  if (session.decision.action == rules::Action::block) return enter_for_page(session);
  if (session.seen->version_max < config.tls.min_version)
    return retreat_unsaid(session, "tls_version");

  bool usable = true;
  const bool inspect = session.ruling->config->policy->inspects(session.decision.tls_rule);
  const std::vector<std::string_view> alpn = alpn_offer(session, inspect, usable);
  if (!usable) return retreat_unsaid(session, "alpn");
  if (session.seen->early_data && session.seen->retry_group == 0) return retreat_unsaid(session, "early_data");
  for (const std::string_view name : alpn) {
    if (!room.handshakes->alpn_offer.empty()) room.handshakes->alpn_offer += ',';
    room.handshakes->alpn_offer += name;
  }
  tls::OriginEngine::Offer offer;
  // The origin hears by which name it is going to be judged, from a client that gave it in CONNECT alone as well.
  if (const auto name = name_from_client(session); !IpAddress::parse(name)) offer.sni = name;
  offer.alpn = alpn;
  offer.post_quantum = session.seen->post_quantum;
  offer_session(session, offer);
  auto engine = tls::OriginEngine::create(world.bumper->origins, offer);
  if (!engine) return unsupported(session, "offer");
  room.pair->origin.secure(std::move(*engine));
  return shake_origin(session, {});
}

}  // namespace

void keep_origin_session(Session& session, tls::OriginEngine& engine) {
  tls::OriginSession fresh = engine.take_session();
  const Bumped* const bumped = session.bumped.get();
  if (!fresh || bumped == nullptr || !bumped->verdict->is_good()) return;
  session.world->bumper->sessions.put(session_key(session, bumped->alpn_offer),
                                      {std::move(fresh), bumped->chain, bumped->chain_came_s});
}

namespace {

// --- answers ---------------------------------------------------------------------------------------------------------

Next on_timer(Session& session) {
  World& world = *session.world;
  const Handshakes& handshakes = *room_of(session).handshakes;
  switch (handshakes.stage) {
    case Handshakes::Stage::origin:
      if (world.kernel.now_us() >= handshakes.give_up_us) {
        forget_session(session, handshakes);
        return end_unanswered(session, CloseReason::origin_handshake_timeout, "");
      }
      world.timers.start(session.timer, handshakes.give_up_us);
      // A FIN is told whether asked for or not.
      if (!session.up.in_flight) world.kernel.poll(session.up, session.client_fd, 0);
      return Next::wait;
    case Handshakes::Stage::client: return close(session, CloseReason::client_handshake_timeout, Farewell::reset);
    case Handshakes::Stage::unwatching:
    case Handshakes::Stage::retreating: return Next::wait;  // the cancel is on its way
  }
  SLUICE_CHECK(false);
}

/// The watch has answered: because the client is gone, or because it was cancelled. One that has sent FIN is gone as well: it
/// can finish no handshake, neither with us nor through a tunnel.
Next on_watch(Session& session, int32_t result) {
  if (result > 0 && (result & (POLLERR | POLLHUP)) != 0) {
    const int sys_errno = -session.world->kernel.connect_outcome(session.client_fd);
    return peer_failed(session, Side::client, is_vanished(sys_errno) ? sys_errno : ECONNRESET);
  }
  if (result > 0 && (result & POLLRDHUP) != 0)
    return close(session, CloseReason::client_closed_early, Farewell::in_order, "origin_handshake");
  if (room_of(session).handshakes->stage == Handshakes::Stage::unwatching) return begin_client(session);
  if (room_of(session).handshakes->stage == Handshakes::Stage::origin) look_later(session);
  return Next::wait;
}

bool is_transient(int32_t result) { return result == -ENOBUFS || result == -EINTR || result == -EAGAIN; }

Next on_origin(Session& session, const Answer& answer) {
  World& world = *session.world;
  const Handshakes::Stage stage = room_of(session).handshakes->stage;
  if (stage == Handshakes::Stage::retreating) {
    world.kernel.release(answer.flags);
    return room_of(session).pair->origin_write.in_flight ? Next::wait : dial_again(session);
  }
  if (is_transient(answer.result)) {
    world.kernel.receive(session.down, session.origin_fd);
    return Next::wait;
  }
  if (answer.result == 0) return unsupported(session, "closed");
  if (answer.result < 0) return unsupported(session, errno_name(-answer.result));
  // The step may go on to the client and to the exchange: the buffer stays ours until all of that is done.
  const Next next = shake_origin(session, world.kernel.received(answer.result, answer.flags));
  world.kernel.release(answer.flags);
  return next;
}

Next on_client(Session& session, const Answer& answer) {
  World& world = *session.world;
  if (room_of(session).handshakes->stage != Handshakes::Stage::client) return on_watch(session, answer.result);
  if (is_transient(answer.result)) {
    world.kernel.receive(session.up, session.client_fd);
    return Next::wait;
  }
  if (answer.result == 0) return client_refused(session, "closed");
  if (answer.result == -ECONNRESET || answer.result == -EPIPE) return client_refused(session, "reset");
  if (answer.result < 0) return peer_failed(session, Side::client, -answer.result);
  const Next next = shake_client(session, world.kernel.received(answer.result, answer.flags));
  world.kernel.release(answer.flags);
  return next;
}

}  // namespace

Next bump(Session& session, const Answer* answer) {
  if (answer == nullptr) return enter(session);
  switch (answer->from) {
    case Answer::From::dial:
    case Answer::From::looked_up: break;  // not of this step
    case Answer::From::timer: return on_timer(session);
    case Answer::From::up: return on_client(session, *answer);
    case Answer::From::down: return on_origin(session, *answer);
    case Answer::From::client_writable: return flush_client(session) == Next::close ? Next::close : Next::wait;
    case Answer::From::origin_writable:
      if (room_of(session).handshakes->stage == Handshakes::Stage::retreating)
        return session.down.in_flight ? Next::wait : dial_again(session);
      {
        const Next next = flush_origin(session);
        return next == Next::go && session.step == Step::bump ? Next::wait : next;
      }
  }
  SLUICE_CHECK(false);
}

}  // namespace sluice::flow
