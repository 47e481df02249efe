#include "flow/session.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/check.h"

namespace sluice::flow {
namespace {

Next run(Session& session, const Answer* answer) {
  switch (session.step) {
    case Step::ask: return ask(session, answer);
    case Step::resolve: return resolve(session, answer);
    case Step::decide: return decide(session, answer);
    case Step::peek: return peek(session, answer);
    case Step::connect: return connect(session, answer);
    case Step::dial: return dial(session, answer);
    case Step::splice: return splice(session, answer);
    case Step::bump: return bump(session, answer);
    case Step::exchange: return exchange(session, answer);
    case Step::finish: return finish(session, answer);
  }
  SLUICE_CHECK(false);
}

/// After a `wait` the session may be gone (finish frees it): nothing touches it here.
void advance(Session& session, const Answer* answer) {
  for (;;) {
    switch (run(session, answer)) {
      case Next::go: break;
      case Next::wait: return;
      case Next::close: session.step = Step::finish; break;
    }
    answer = nullptr;
  }
}

void on_up(void* owner, int32_t result, uint32_t flags) {
  const Answer answer{Answer::From::up, result, flags};
  advance(*static_cast<Session*>(owner), &answer);
}

void on_down(void* owner, int32_t result, uint32_t flags) {
  const Answer answer{Answer::From::down, result, flags};
  advance(*static_cast<Session*>(owner), &answer);
}

void on_client_writable(void* owner, int32_t result, uint32_t flags) {
  const Answer answer{Answer::From::client_writable, result, flags};
  advance(*static_cast<Session*>(owner), &answer);
}

void on_origin_writable(void* owner, int32_t result, uint32_t flags) {
  const Answer answer{Answer::From::origin_writable, result, flags};
  advance(*static_cast<Session*>(owner), &answer);
}

void on_timer(void* owner) {
  const Answer answer{Answer::From::timer, 0, 0};
  advance(*static_cast<Session*>(owner), &answer);
}

}  // namespace

const char* to_string(Step step) {
  switch (step) {
    case Step::ask: return "ask";
    case Step::resolve: return "resolve";
    case Step::decide: return "decide";
    case Step::peek: return "peek";
    case Step::connect: return "connect";
    case Step::dial: return "dial";
    case Step::splice: return "splice";
    case Step::bump: return "bump";
    case Step::exchange: return "exchange";
    case Step::finish: return "finish";
  }
  return "?";
}

void resume(Session& session, const Answer& answer) { advance(session, &answer); }

namespace {

void begin_with(Step step, World& world, Ruling& ruling, Session& session, int client_fd, const io::Accepted& about) {
  session.world = &world;
  session.ruling = &ruling;
  ++ruling.sessions;
  session.client_fd = client_fd;
  session.about = about;
  session.id = world.next_id;
  world.next_id += world.id_step;
  session.accepted_wall_us = world.wall_us;
  session.accepted_us = session.active_us = world.kernel.now_us();
  session.up = {on_up, &session, false};
  session.down = {on_down, &session, false};
  session.timer.on_expiry = on_timer;
  session.timer.owner = &session;
  session.step = step;
  advance(session, nullptr);
}

}  // namespace

void begin(World& world, Ruling& ruling, Session& session, int client_fd, const io::Accepted& about) {
  begin_with(Step::decide, world, ruling, session, client_fd, about);
}

void begin_explicit(World& world, Ruling& ruling, Session& session, int client_fd, const io::Accepted& about) {
  session.asked = std::make_unique<Asked>();
  begin_with(Step::ask, world, ruling, session, client_fd, about);
}

std::unique_ptr<Pair> make_pair(Session& session) {
  auto pair = std::make_unique<Pair>(*session.world, session.client_fd, session.origin_fd);
  pair->client_write = {on_client_writable, &session, false};
  pair->origin_write = {on_origin_writable, &session, false};
  return pair;
}

void end(Session& session, record::CloseReason reason) {
  if (session.step == Step::finish) return hurry(session);
  close(session, reason, Farewell::reset);
  session.step = Step::finish;
  advance(session, nullptr);
}

Next close(Session& session, record::CloseReason reason, Farewell farewell, const char* detail) {
  session.close_reason = reason;
  session.farewell = farewell;
  session.detail = detail;
  return Next::close;
}

bool is_vanished(int sys_errno) {
  return sys_errno == ETIMEDOUT || sys_errno == EHOSTUNREACH || sys_errno == ENETUNREACH;
}

Next peer_failed(Session& session, Side side, int sys_errno) {
  using record::CloseReason;
  const bool client = side == Side::client;
  if (sys_errno == ECONNRESET || sys_errno == EPIPE)
    // The origin's last bytes may still be on their way to the client: the reset comes behind them, as it would have.
    return client ? close(session, CloseReason::client_reset, Farewell::reset)
                  : close(session, CloseReason::origin_reset, Farewell::reset_after_delivery);
  const CloseReason vanished = client ? CloseReason::client_vanished : CloseReason::origin_vanished;
  return close(session, is_vanished(sys_errno) ? vanished : CloseReason::gateway_error, Farewell::reset,
               errno_name(sys_errno));
}

uint64_t quiet_limit_us(const Session& session, bool half_closed) {
  const config::Limits& limits = session.ruling->config->limits;
  return 1000ull * (half_closed ? std::min(limits.half_closed_timeout_ms, limits.idle_timeout_ms) : limits.idle_timeout_ms);
}

uint64_t hello_timeout_us(const Session& session) { return session.ruling->config->limits.hello_timeout_ms * 1000ull; }

uint64_t keep_alive_at_us(const Session& session, uint64_t begun_us) {
  const uint64_t half_us = session.ruling->config->limits.keepalive_ms * 500ull;
  return begun_us + std::min<uint64_t>(half_us, limits::keepalive_after_ms * 1000ull);
}

const char* errno_name(int sys_errno) {
  const char* name = strerrorname_np(sys_errno);
  return name != nullptr ? name : "unknown";
}

}  // namespace sluice::flow
