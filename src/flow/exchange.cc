// Step exchange: read what passes between client and origin, over two channels (TLS on both, or plain HTTP), and write it
// anew. HTTP/1.1 goes through the codec: heads are rebuilt from what was understood, bodies are passed on as they come.
// What is not to be read (inspect = false, the time after an upgrade) goes through as it is.
//
// Back-pressure: nothing is read from one side while the other has not taken what it got. FIN and close_notify are passed on
// behind the last byte; a message that was cut off ends in a reset, never cleanly.

#include <poll.h>

#include <algorithm>
#include <cerrno>

#include "base/check.h"
#include "flow/exchange.h"
#include "flow/refusal.h"
#include "rules/policy.h"

namespace sluice::flow {

void ExchangeDeleter::operator()(Exchange* exchange) const { delete exchange; }

namespace exchanging {
namespace {

View view_of(Session& session) {
  auto& room = std::get<ExchangeRoom>(session.room);
  return {session, *session.world, *room.pair, *room.exchange};
}

// --- reading ---------------------------------------------------------------------------------------------------------

Next pass_on(const View& at, const Channel& from, std::span<const uint8_t> plain) {
  at.session.active_us = at.world.kernel.now_us();
  const bool up = from.side() == Side::client;
  (up ? at.state.client_has_spoken : at.state.origin_has_spoken) = true;
  if (at.state.mode == Exchange::Mode::raw)
    return (up ? at.pair.origin : at.pair.client).write(plain) ? Next::go : out_of_memory(at.session);
  if (!up) return read_responses(at, plain);
  if (at.state.held.empty() && !at.state.undecided && at.state.unjudged == nullptr && !is_read(at.state)) return read_requests(at, plain);
  return hold(at, plain) ? Next::go : out_of_room(at.session);
}

/// Reads all of `wire`.
Next consume_all(const View& at, Channel& from, std::span<const uint8_t> wire) {
  bool& ended = from.side() == Side::client ? at.state.client_ended : at.state.origin_ended;
  while (!ended) {
    std::span<const uint8_t> plain;
    switch (from.read(wire, plain)) {
      case Channel::Read::bytes:
        if (const Next next = pass_on(at, from, plain); next != Next::go) return next;
        break;
      case Channel::Read::want_input:
        if (tls::OriginEngine* const engine = from.origin_engine()) keep_origin_session(at.session, *engine);
        return Next::go;
      case Channel::Read::closed: return from.side() == Side::client ? client_ended(at, true) : origin_ended(at, true);
      case Channel::Read::failed: return tls_failed(at, from);
    }
  }
  return Next::go;
}

/// The same; counts what the origin makes us say to it.
Next consume(const View& at, Channel& from, std::span<const uint8_t> wire) {
  if (from.side() == Side::client) return consume_all(at, from, wire);
  const size_t waited = from.waiting_bytes();
  const Next next = consume_all(at, from, wire);
  if (next == Next::go && from.waiting_bytes() > waited) at.state.owed_to_origin += from.waiting_bytes() - waited;
  return next;
}

// --- waiting ---------------------------------------------------------------------------------------------------------

/// It makes us speak and does not listen.
bool origin_owes_reading(const Exchange& state) { return state.owed_to_origin > limits::spare_output_bytes_max; }

uint64_t limit_us(const View& at) {
  return quiet_limit_us(at.session, at.state.closing || at.state.client_ended || at.state.origin_ended);
}

uint64_t keep_alive_at_us(const View& at) {
  return flow::keep_alive_at_us(at.session, at.state.begun_us);
}

void start_timer(const View& at) {
  uint64_t at_us = at.session.active_us + limit_us(at);
  if (!at.state.kept_alive) at_us = std::min(at_us, keep_alive_at_us(at));
  if (at.state.head_begun_us != 0) at_us = std::min(at_us, at.state.head_begun_us + hello_timeout_us(at.session));
  if (at.pair.client_paused || at.pair.origin_paused) at_us = at.world.kernel.now_us() + 1;  // the next tick
  at.world.timers.start(at.session.timer, at_us);
}

Next settle(const View& at);

/// A socket that was full may have room.
Next on_writable(const View& at, Side side, int32_t result) {
  const bool only_told_of_fin = result > 0 && (result & (POLLOUT | POLLERR | POLLHUP)) == 0;
  if (!only_told_of_fin) return settle(at);
  (side == Side::client ? at.pair.client_paused : at.pair.origin_paused) = true;
  start_timer(at);
  return Next::wait;
}

Next on_timer(const View& at) {
  const uint64_t now_us = at.world.kernel.now_us();
  if (!at.state.kept_alive && now_us >= keep_alive_at_us(at)) {
    at.state.kept_alive = true;
    if (at.session.origin_fd >= 0) at.world.kernel.keep_alive(at.session.origin_fd, at.session.ruling->config->limits.keepalive_ms);
  }
  // However busily a client sends one: a head that never ends would hold the connection for ever.
  if (at.state.head_begun_us != 0 && now_us >= at.state.head_begun_us + hello_timeout_us(at.session))
    return close(at.session, CloseReason::hello_timeout, Farewell::reset);
  if (now_us < at.session.active_us + limit_us(at)) {
    const bool asks_again = at.pair.client_paused || at.pair.origin_paused;
    at.pair.client_paused = at.pair.origin_paused = false;
    if (asks_again) return settle(at);
    start_timer(at);
    return Next::wait;
  }
  if (at.state.closing) return close(at.session, at.state.reason, Farewell::reset, at.session.detail);
  const bool half_closed = at.state.client_ended || at.state.origin_ended;
  return close(at.session, half_closed ? CloseReason::half_closed_timeout : CloseReason::idle_timeout, Farewell::reset);
}

/// Sends what waits; watches a socket that is full.
Next flush(const View& at, Channel& channel) {
  const bool client = channel.side() == Side::client;
  io::Op& op = client ? at.pair.client_write : at.pair.origin_write;
  bool& paused = client ? at.pair.client_paused : at.pair.origin_paused;
  int sys_errno = 0;
  const uint64_t sent_before = channel.sent_bytes();
  const Channel::Flush outcome = channel.flush(sys_errno);
  if (channel.sent_bytes() != sent_before) at.session.active_us = at.world.kernel.now_us();
  switch (outcome) {
    case Channel::Flush::done:
      paused = false;
      if (!client) at.state.owed_to_origin = 0;
      return Next::go;
    case Channel::Flush::blocked:
      if (!op.in_flight && !paused) at.world.kernel.poll(op, channel.fd(), POLLOUT);
      return Next::go;
    case Channel::Flush::failed:
      // All that mattered has been said.
      if (at.state.closing && !at.state.closing_both) return close(at.session, at.state.reason, Farewell::reset, at.session.detail);
      if (client) return client_failed(at, sys_errno);
      if (at.state.closing || at.state.origin_ended || (sys_errno != EPIPE && sys_errno != ECONNRESET))
        return peer_failed(at.session, Side::origin, sys_errno);
      // An origin that has answered without reading all of the request: the answer may still be unread.
      at.state.origin_errno = sys_errno;
      return Next::go;
    case Channel::Flush::no_memory: return close(at.session, CloseReason::overload, Farewell::reset, "relay_memory");
  }
  SLUICE_CHECK(false);
}

/// Requests that had to wait may go on, once a response has ended or an upgrade is decided; and the end behind them.
Next resume_held(const View& at) {
  Exchange& state = at.state;
  if (state.undecided || state.unjudged != nullptr || is_read(state) || (state.answer != nullptr && state.answer->heard)) return Next::go;
  if (!state.held.empty() && state.outstanding.size() < limits::http_pipelined_max) {
    const std::vector<uint8_t> held = take_held(at);
    if (const Next next = read_requests(at, held); next != Next::go) return next;
  }
  const bool end_is_next = state.client_end_waits && state.held.empty() && !state.undecided;
  return end_is_next ? client_ended(at, state.client_end_is_clean) : Next::go;
}

/// The client of a request that we hold waits for 100 (Continue): it hears that behind the responses before.
Next say_continue(const View& at) {
  Exchange& state = at.state;
  if (!state.owes_continue) return Next::go;
  const size_t itself = state.waiting == nullptr ? 1 : 0;
  if (state.outstanding.size() > itself) return Next::go;
  state.owes_continue = false;
  if (state.outstanding.size() < itself) return Next::go;  // it has been answered already
  constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
  const bool ok = at.pair.client.write({reinterpret_cast<const uint8_t*>(go_on.data()), go_on.size()});
  return ok ? Next::go : out_of_memory(at.session);
}

/// The requests that had to wait, with answers of ours between them, as long as the client takes those.
Next catch_up(const View& at) {
  Exchange& state = at.state;
  if (const Next next = say_continue(at); next != Next::go) return next;
  for (;;) {
    if (at.pair.client.waiting_bytes() > limits::spare_output_bytes_max) {
      if (const Next next = flush(at, at.pair.client); next != Next::go) return next;
      if (at.pair.client.is_blocked()) return Next::go;
    }
    if (const Next next = resume_held(at); next != Next::go) return next;
    if (state.answer == nullptr) return Next::go;
    if (const Next next = answer_now(at); next != Next::go) return next;
    if (state.answer != nullptr || state.held.empty()) return Next::go;
  }
}

bool is_over(Exchange& state) {
  if (state.mode == Exchange::Mode::raw) return state.client_ended && state.origin_ended;
  if (state.codec().requests.finish() == http::Ending::raw) return state.client_ended && state.origin_ended;
  return state.client_ended && state.outstanding.empty() && state.held.empty() && state.answer == nullptr && state.unjudged == nullptr;
}

/// Between messages the readers know nothing that matters; behind an upgrade, or while one waits, their heads do not.
void give_back_readers(Exchange& state) {
  Exchange::Codec& codec = state.codec();
  if (codec.requests.is_idle() && codec.responses.is_idle()) return state.reading.reset();
  if (codec.requests.is_idle() || codec.requests.finish() == http::Ending::raw) codec.requests.release();
  if (codec.responses.is_idle() || codec.responses.finish() == http::Ending::raw) codec.responses.release();
}

/// Nobody is dialled before a request may pass, or its verdict waits for the address.
bool wants_origin(const View& at) {
  return at.session.origin_fd < 0 && !at.state.closing && (at.pair.origin.has_output() || at.state.unjudged != nullptr);
}

/// What is said to the client is with it, and nothing of what this step has asked of the kernel is unanswered. False: wait.
bool is_at_rest(const View& at) {
  bool rests = !at.pair.client.is_blocked();
  // Nothing is read from the client now (see settle), and what the origin says no longer matters.
  for (io::Op* const op : {&at.session.up, &at.session.down, &at.pair.origin_write}) {
    if (op->in_flight) at.world.kernel.cancel(*op);
    rests = rests && !op->in_flight;
  }
  return rests && !at.pair.client_write.in_flight;
}

Next fetch_origin(const View& at) {
  Session& session = at.session;
  if (!is_at_rest(at)) {
    start_timer(at);
    return Next::wait;
  }
  session.step = session.asked != nullptr && session.asked->addresses.empty() ? Step::resolve : Step::connect;
  session.parked = std::make_unique<ExchangeRoom>(std::move(std::get<ExchangeRoom>(session.room)));
  session.room.emplace<std::monostate>();
  return Next::go;
}

/// The one request of this exchange has been answered: the next is step ask's.
bool is_dealt_with(Exchange& state) {
  return is_read(state) && state.outstanding.empty() && state.answer == nullptr && !state.closing && !state.client_ended;
}

Next return_to_ask(const View& at) {
  Session& session = at.session;
  at.state.is_leaving = true;
  if (!is_at_rest(at)) {
    start_timer(at);
    return Next::wait;
  }
  session.asked->bytes_up += at.pair.origin.sent_bytes();
  session.asked->bytes_down += at.pair.client.sent_bytes();
  session.replay = std::exchange(at.state.held, {});  // counted as before
  if (session.origin_fd >= 0) at.world.kernel.close(std::exchange(session.origin_fd, -1));
  session.room.emplace<std::monostate>();
  session.step = Step::ask;
  return Next::go;
}

/// After every event: send, see whether it is over, and ask for what comes next.
Next settle(const View& at) {
  Exchange& state = at.state;
  if (const Next next = catch_up(at); next != Next::go) return next;
  if (!state.closing && is_over(state)) {
    state.closing = state.closing_both = true;
    at.pair.client.end_writing();
    if (at.session.origin_fd >= 0) at.pair.origin.end_writing();
  }
  if (const Next next = flush(at, at.pair.client); next != Next::go) return next;
  if (wants_origin(at)) return fetch_origin(at);
  if (is_dealt_with(state)) return return_to_ask(at);
  // Behind our last word to the client nothing that the origin does matters, and it must not cut that word off.
  if ((!state.closing || state.closing_both) && state.origin_errno == 0)
    if (const Next next = flush(at, at.pair.origin); next != Next::go) return next;
  if (state.closing && !at.pair.client.is_blocked() && !(state.closing_both && at.pair.origin.is_blocked())) {
    const bool both = state.client_ended && (state.origin_ended || state.mode != Exchange::Mode::page);
    return close(at.session, state.reason, both ? Farewell::in_order : Farewell::linger, at.session.detail);
  }
  if (state.closing) {
    start_timer(at);
    return Next::wait;
  }

  const bool origin_full = at.pair.origin.is_blocked() || state.origin_errno != 0;
  const bool client_full = at.pair.client.is_blocked();
  const bool client_waits = state.client_waits() || is_read(state) || (state.client_is_done && state.codec().requests.is_idle());
  // A client may send all of its request before it reads what is answered meanwhile. But what reading it makes us say to it
  // (an answer of ours, key updates) must not pile up without end.
  const bool client_owes_reading = client_full && (!(state.request_is_open || state.content_up != nullptr || state.mode == Exchange::Mode::raw ||
                                                     state.codec().requests.finish() == http::Ending::raw) ||
                                                   at.pair.client.waiting_bytes() > limits::spare_output_bytes_max);
  const bool reads_client = !state.client_ended && !origin_full && !client_owes_reading && !client_waits;
  if (reads_client && !at.session.up.in_flight) at.world.kernel.receive(at.session.up, at.session.client_fd);
  if (at.session.origin_fd >= 0 && !state.origin_ended && !client_full && !origin_owes_reading(state) && !at.session.down.in_flight)
    at.world.kernel.receive(at.session.down, at.session.origin_fd);
  const bool in_head = reads_client && state.reading != nullptr && state.reading->requests.is_in_head();
  if (!in_head)
    state.head_begun_us = 0;
  else if (state.head_begun_us == 0)
    state.head_begun_us = at.world.kernel.now_us();
  start_timer(at);
  give_back_readers(state);
  return Next::wait;
}

// --- the step --------------------------------------------------------------------------------------------------------

Next receive_failed(const View& at, const Channel& from, int sys_errno) {
  if (at.state.closing && !at.state.closing_both) {
    if (from.side() == Side::client) return close(at.session, at.state.reason, Farewell::reset, at.session.detail);
    at.state.origin_ended = true;
    return Next::go;
  }
  // Nothing is asked of this origin: what it does must not cut off what is still on its way to the client.
  const bool asked = at.state.mode == Exchange::Mode::raw || !at.state.outstanding.empty() || at.state.codec().requests.finish() == http::Ending::raw;
  if (from.side() == Side::origin && !asked && (at.state.answer != nullptr || at.pair.client.has_output())) {
    at.state.origin_ended = true;
    return at.state.answer != nullptr ? Next::go : say_goodbye(at, CloseReason::origin_reset, {});
  }
  return from.side() == Side::client ? client_failed(at, sys_errno) : peer_failed(at.session, Side::origin, sys_errno);
}

/// A sender that fills its buffer has more: take it now, in large pieces, as long as the receiver keeps up.
Next drain(const View& at, Channel& from, Channel& to) {
  for (uint64_t turn = 0; turn < limits::relay_turn_bytes;) {
    if (to.side() == Side::origin && (to.fd() < 0 || at.state.origin_errno != 0)) return Next::go;
    if (const Next next = flush(at, to); next != Next::go) return next;
    const bool ended = from.side() == Side::client ? at.state.client_ended : at.state.origin_ended;
    const bool waits = from.side() == Side::client && at.state.client_waits();
    const bool owes_reading = from.side() == Side::origin && origin_owes_reading(at.state);
    if (to.is_blocked() || ended || waits || owes_reading || at.state.closing) return Next::go;
    const ssize_t read = at.world.kernel.receive_now(from.fd(), at.world.scratch);
    if (read == -EINTR) continue;
    if (read == 0) return wire_ended(at, from);
    if (read == -EAGAIN || read == -ENOBUFS) return Next::go;
    // An error is told once: the receive that follows would see an end in order.
    if (read < 0) return receive_failed(at, from, static_cast<int>(-read));
    const auto wire = std::span<const uint8_t>(at.world.scratch).first(static_cast<size_t>(read));
    if (const Next next = consume(at, from, wire); next != Next::go) return next;
    if (wire.size() < at.world.scratch.size()) return Next::go;
    turn += wire.size();
  }
  return Next::go;
}

Next on_received(const View& at, Channel& from, Channel& to, const Answer& answer) {
  if (answer.result == -ENOBUFS || answer.result == -EINTR || answer.result == -EAGAIN || answer.result == -ECANCELED) return settle(at);
  if (at.state.is_leaving && from.side() == Side::origin) {
    at.world.kernel.release(answer.flags);
    return settle(at);
  }
  if (answer.result < 0) {
    const Next next = receive_failed(at, from, -answer.result);
    return next == Next::go ? settle(at) : next;
  }
  if (answer.result == 0) {
    const Next next = wire_ended(at, from);
    return next == Next::go ? settle(at) : next;
  }
  const auto wire = at.world.kernel.received(answer.result, answer.flags);
  const bool full = wire.size() >= limits::ring_buffer_bytes;
  Next next = consume(at, from, wire);
  at.world.kernel.release(answer.flags);
  if (next == Next::go && full) next = drain(at, from, to);
  return next == Next::go ? settle(at) : next;
}

Next enter(const View& at, std::span<const uint8_t> client_wire, std::span<const uint8_t> origin_wire) {
  at.session.active_us = at.state.begun_us = at.world.kernel.now_us();
  if (!origin_wire.empty())
    if (const Next next = consume(at, at.pair.origin, origin_wire); next != Next::go) return next;
  // What came behind the handshake may already be decrypted inside the engine's reach: ask even without new bytes.
  if (const Next next = consume(at, at.pair.client, client_wire); next != Next::go) return next;
  return settle(at);
}

View unpark(Session& session) {
  session.room.emplace<ExchangeRoom>(std::move(*session.parked));
  session.parked.reset();
  session.step = Step::exchange;
  return view_of(session);
}

/// Nobody may be dialled for the request that waits for its origin's address: it hears so, and the connection goes on.
Next on_forbidden(Session& session) {
  const std::vector<Endpoint> addresses = session.asked->addresses;  // for the next request, if this is a CONNECT's
  session.asked->addresses.clear();
  const View at = unpark(session);
  session.active_us = at.world.kernel.now_us();
  if (const Next next = judge_unjudged(at); next != Next::go) return next;
  if (session.asked->is_connect) session.asked->addresses = addresses;
  return settle(at);
}

/// The origin that was wanted is there.
Next on_origin(Session& session) {
  const View at = unpark(session);
  at.pair.origin.open(session.origin_fd);
  session.active_us = at.state.begun_us = at.world.kernel.now_us();
  at.state.kept_alive = session.ruling->config->limits.keepalive_ms == 0;
  if (at.state.unjudged != nullptr)
    if (const Next next = judge_unjudged(at); next != Next::go) return next;
  return settle(at);
}

}  // namespace
}  // namespace exchanging

using exchanging::View;
using exchanging::view_of;

Next exchange_before_dial(Session& session) {
  const View at{session, *session.world, *session.parked->pair, *session.parked->exchange};
  if (at.state.unjudged != nullptr && !exchanging::may_go_anywhere(at)) return exchanging::on_forbidden(session);
  session.step = Step::dial;
  return Next::go;
}

Next exchange_without_origin(Session& session, uint16_t status, std::string_view sentence, record::CloseReason reason) {
  const View at = exchanging::unpark(session);
  const Next next = exchanging::answer_without_origin(at, status, sentence, reason);
  return next == Next::go ? exchanging::settle(at) : next;
}

void leave_exchange(Session& session) {
  const View at = view_of(session);
  for (const Exchange::Request& request : at.state.outstanding) exchanging::log(at, request);
  if (at.state.answer != nullptr) exchanging::log(at, at.state.answer->request);
  if (at.state.waiting != nullptr) exchanging::log(at, *at.state.waiting);
  if (at.state.unjudged != nullptr) exchanging::log(at, *at.state.unjudged);
  exchanging::drop_held(at);
}

Next begin_exchange(Session& session, std::unique_ptr<Pair> pair, std::span<const uint8_t> client_wire,
                    std::span<const uint8_t> origin_wire, std::string page) {
  std::unique_ptr<Exchange, ExchangeDeleter> exchange(new Exchange);
  exchange->kept_alive = session.ruling->config->limits.keepalive_ms == 0;
  if (!session.ruling->config->policy->inspects(session.decision.tls_rule)) exchange->mode = Exchange::Mode::raw;
  exchange->is_single = session.asked != nullptr && !session.asked->is_connect;
  if (!page.empty()) exchange->mode = Exchange::Mode::page;
  if (!page.empty()) exchange->page = std::make_unique<std::string>(std::move(page));
  if (session.decision.action == rules::Action::block) {
    exchange->mode = Exchange::Mode::page;
    exchange->reason = refusal_of(session.decision);
  }
  session.step = Step::exchange;
  session.room.emplace<ExchangeRoom>(ExchangeRoom{std::move(pair), std::move(exchange)});
  return exchanging::enter(view_of(session), client_wire, origin_wire);
}

Next exchange(Session& session, const Answer* answer) {
  if (answer == nullptr && session.parked != nullptr) return exchanging::on_origin(session);
  // Plain HTTP comes here without an origin, with the bytes that peek or ask has read.
  if (answer == nullptr) {
    const std::vector<uint8_t> replay = std::exchange(session.replay, {});
    session.world->relay_memory_bytes -= replay.size();
    return begin_exchange(session, make_pair(session), replay, {});
  }
  const View at = view_of(session);
  switch (answer->from) {
    case Answer::From::timer: return exchanging::on_timer(at);
    case Answer::From::up: return exchanging::on_received(at, at.pair.client, at.pair.origin, *answer);
    case Answer::From::down: return exchanging::on_received(at, at.pair.origin, at.pair.client, *answer);
    case Answer::From::client_writable: return exchanging::on_writable(at, Side::client, answer->result);
    case Answer::From::origin_writable: return exchanging::on_writable(at, Side::origin, answer->result);
    case Answer::From::dial:
    case Answer::From::looked_up: break;  // not of this step
  }
  SLUICE_CHECK(false);
}

}  // namespace sluice::flow
