// Step exchange, the ends of either side, the records of requests, and what is held meanwhile.

#include <cerrno>

#include "flow/client_refusal.h"
#include "flow/exchange.h"
#include "flow/refusal.h"
#include "rules/policy.h"

namespace sluice::flow::exchanging {

bool put_body(Outlet& outlet, http::BodyWriter& writer, std::span<const uint8_t> bytes) {
  if (writer.is_plain()) {
    writer.count_plain(bytes.size());
    return outlet.bytes(bytes);
  }
  writer.body(bytes, outlet.text());
  return outlet.text().size() <= limits::gathered_plain_bytes || outlet.finish();
}

bool release_held(Outlet& outlet, http::BodyWriter& writer, Content& content, bool all) {
  while (const uint64_t due = all ? content.held_bytes() : content.excess_bytes()) {
    const std::span<const uint8_t> bytes = content.oldest(due);
    if (!put_body(outlet, writer, bytes)) return false;
    content.drop(bytes.size());
  }
  return true;
}

bool hold(const View& at, std::span<const uint8_t> bytes) {
  std::vector<uint8_t>& held = at.state.held;
  const bool fits = at.world.relay_memory_bytes + bytes.size() <= at.world.relay_memory_max_bytes;
  if (!fits) ++at.world.counters.relay_memory_limit_hits;
  if (!fits || held.size() + bytes.size() > limits::held_plain_bytes_max) return false;
  at.world.relay_memory_bytes += bytes.size();
  held.insert(held.end(), bytes.begin(), bytes.end());
  return true;
}

std::vector<uint8_t> take_held(const View& at) {
  at.world.relay_memory_bytes -= at.state.held.size();
  return std::exchange(at.state.held, {});
}

void drop_held(const View& at) { (void)take_held(at); }

Next out_of_room(Session& session) { return close(session, CloseReason::overload, Farewell::reset, "held"); }

Next out_of_memory(Session& session) { return close(session, CloseReason::overload, Farewell::reset, "tls"); }

void log(const View& at, const Exchange::Request& request) {
  const rules::Policy& policy = *at.session.ruling->config->policy;
  record::RequestRecord record;
  record.time_us = request.wall_us;
  record.id = at.session.id;
  record.client = at.session.about.client;
  record.method = request.method;
  record.url = request.url;
  if (request.status != 0) record.status = request.status;
  record.mime = request.mime;
  record.bytes_up = request.bytes_up;
  record.bytes_down = request.bytes_down;
  record.action = request.decision.action == rules::Action::peek ? "allow" : rules::to_string(request.decision.action);
  record.bypass_rule = policy.bypass_rule_name(request.decision.bypass_rule);
  record.access_rule = policy.access_rule_name(request.decision.access_rule);
  // That [protection.default] applies to what no rule names would be said in every line.
  if (request.decision.protection_rule >= 0) record.protection_rule = policy.protection_rule_name(request.decision.protection_rule);
  const rules::Decision& decision = request.decision;
  if (decision.threat) {
    record.scan = "threat";
    record.threat = rules::to_string(*decision.threat);
    count_threat(at.world.counters, *decision.threat);
  } else if (decision.action == rules::Action::peek && !decision.scan) {
    record.scan = "skipped";
  } else if (decision.action == rules::Action::peek && policy.has_links()) {
    record.scan = "clean";
  }
  record.total_us = at.world.kernel.now_us() - request.begun_us;
  at.world.records.write(record);
  ++at.world.counters.requests;
}

Next say_goodbye(const View& at, CloseReason reason, std::string_view answer) {
  at.state.reason = reason;
  at.state.closing = true;
  at.session.active_us = at.world.kernel.now_us();
  if (!answer.empty() && !at.pair.client.write({reinterpret_cast<const uint8_t*>(answer.data()), answer.size()}))
    return out_of_memory(at.session);
  at.pair.client.end_writing();
  return Next::go;
}

Next cut_off(const View& at, CloseReason reason) {
  int sys_errno = 0;
  const bool by_origin = reason == CloseReason::origin_truncated;
  (void)(by_origin ? at.pair.client : at.pair.origin).flush(sys_errno);  // what came before
  return close(at.session, reason, by_origin ? Farewell::reset_after_delivery : Farewell::reset);
}

namespace {

/// S14: the client looks at the certificate, and leaves. Not one that came for what the origin says first, or that the origin
/// leaves; and one that resumes has accepted us before.
bool refuses_by_leaving(const View& at) {
  const Exchange& state = at.state;
  if (at.session.bumped == nullptr || at.pair.client.engine()->agreed().resumed) return false;
  if (state.client_has_spoken || state.origin_has_spoken || state.client_ended || state.origin_ended || state.closing) return false;
  return at.world.kernel.now_us() - state.begun_us < limits::refusal_ms * 1000ull;
}

Next certificate_refused(const View& at, Farewell farewell, const char* detail) {
  ++at.world.counters.client_rejected_certificate;
  return close(at.session, CloseReason::client_rejected_certificate, farewell, detail);
}

}  // namespace

Next client_failed(const View& at, int sys_errno) {
  // A client that closes with our tickets unread sends a reset.
  const bool leaves = sys_errno == ECONNRESET || sys_errno == EPIPE;
  if (leaves && refuses_by_leaving(at)) return certificate_refused(at, Farewell::reset, "closed_unused");
  return peer_failed(at.session, Side::client, sys_errno);
}

Next client_ended(const View& at, bool clean) {
  Exchange& state = at.state;
  // Where nothing is inspected, a client that has nothing to say may still be there to listen.
  const bool listens = state.mode == Exchange::Mode::raw && clean;
  if (!listens && refuses_by_leaving(at)) return certificate_refused(at, Farewell::in_order, "closed_unused");
  state.client_ended = true;
  at.session.active_us = at.world.kernel.now_us();  // from this moment the origin has half_closed_timeout
  if (state.mode == Exchange::Mode::raw) {
    if (!clean) return cut_off(at, CloseReason::client_truncated);
    at.pair.origin.end_writing();
    return Next::go;
  }
  state.client_is_done = true;
  state.client_end_waits = state.undecided || !state.held.empty();
  state.client_end_is_clean = clean;
  if (state.client_end_waits) return Next::go;
  if (state.answer != nullptr) state.answer->heard = true;
  if (state.closing || state.answer != nullptr) return Next::go;  // it is told why, in the middle of a request or not
  switch (state.codec().requests.finish()) {
    case http::Ending::truncated: return cut_off(at, CloseReason::client_truncated);
    case http::Ending::raw:
      // Browsers leave a WebSocket that its origin has ended without a close_notify of their own.
      if (!clean && state.origin_ended) return close(at.session, CloseReason::finished, Farewell::reset_after_delivery);
      if (!clean) return cut_off(at, CloseReason::client_left);
      at.pair.origin.end_writing();
      return Next::go;
    case http::Ending::idle:
    case http::Ending::unanswered:
    case http::Ending::complete: break;
  }
  return Next::go;
}

Next origin_ended(const View& at, bool clean) {
  Exchange& state = at.state;
  state.origin_ended = true;
  at.session.active_us = at.world.kernel.now_us();
  if (state.closing) return Next::go;
  if (state.mode == Exchange::Mode::raw) {
    if (!clean) return cut_off(at, CloseReason::origin_truncated);
    at.pair.client.end_writing();
    return Next::go;
  }
  // The client has its answer, from us.
  if (state.replaced) {
    for (const Exchange::Request& request : state.outstanding) log(at, request);
    state.outstanding.clear();
    return say_goodbye(at, CloseReason::finished, {});
  }
  switch (state.codec().responses.finish()) {
    case http::Ending::truncated: return cut_off(at, CloseReason::origin_truncated);
    case http::Ending::unanswered:
      // The client may ask again on a connection of its own: it hears what it would have heard from the origin.
      return clean ? say_goodbye(at, CloseReason::origin_truncated, {}) : cut_off(at, CloseReason::origin_truncated);
    case http::Ending::raw:
      if (!clean) return cut_off(at, CloseReason::origin_truncated);
      at.pair.client.end_writing();
      return Next::go;
    case http::Ending::complete: return clean ? complete_response(at) : cut_off(at, CloseReason::origin_truncated);
    case http::Ending::idle:
      if (is_read(state) && state.outstanding.empty()) return Next::go;  // another one is dialled for the next
      if (state.waiting != nullptr)
        return answer_without_origin(at, 502, "The server has closed the connection before it was sent this request.",
                                     CloseReason::origin_truncated);
      return state.answer == nullptr ? say_goodbye(at, CloseReason::finished, {}) : Next::go;
  }
  SLUICE_CHECK(false);
}

Next tls_failed(const View& at, const Channel& from) {
  int sys_errno = 0;
  Channel& channel = from.side() == Side::client ? at.pair.client : at.pair.origin;
  const tls::Failure& failure = channel.engine()->failure();
  (void)channel.flush(sys_errno);
  (void)at.pair.client.flush(sys_errno);  // what came before
  const char* detail = failure.fault == tls::Fault::peer_alert ? tls::alert_name(failure.alert) : tls::name_of(failure.fault);
  if (from.side() == Side::origin) return close(at.session, CloseReason::origin_tls_failed, Farewell::reset_after_delivery, detail);
  if (!at.state.client_has_spoken && refuses_certificate(failure)) return certificate_refused(at, Farewell::reset, detail);
  return close(at.session, CloseReason::client_tls_failed, Farewell::reset, detail);
}

Next wire_ended(const View& at, Channel& from) {
  const bool client = from.side() == Side::client;
  if (client ? at.state.client_ended : at.state.origin_ended) return Next::go;
  // It was reset, whatever its last read says: the error has been told already.
  if (!client && at.state.origin_errno != 0 && !at.state.closing) return peer_failed(at.session, Side::origin, at.state.origin_errno);
  const bool clean = from.engine() == nullptr || from.engine()->end_of_input() == tls::Status::closed;
  return client ? client_ended(at, clean) : origin_ended(at, clean);
}

}  // namespace sluice::flow::exchanging
