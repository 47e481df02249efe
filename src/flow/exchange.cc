// Step exchange: read what passes between client and origin, over two channels (TLS on both, or plain HTTP), and write it
// anew. HTTP/1.1 goes through the codec: heads are rebuilt from what was understood, bodies are passed on as they come.
// What is not to be read (inspect = false, the time after an upgrade) goes through as it is.
//
// Back-pressure: nothing is read from one side while the other has not taken what it got. FIN and close_notify are passed on
// behind the last byte; a message that was cut off ends in a reset, never cleanly.

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "flow/session.h"
#include "http/page.h"
#include "http/reader.h"
#include "http/write.h"
#include "rules/policy.h"
#include "tls/certificate.h"

namespace sluice::flow {

struct Exchange {
  enum class Mode : uint8_t { http, raw, page };

  /// A request that has been passed on, or is answered by us: what its record needs.
  struct Request {
    int64_t wall_us = 0;
    uint64_t begun_us = 0;
    std::string method;
    std::string url;
    std::string mime;
    uint16_t status = 0;
    uint8_t version_minor = 1;
    bool keeps_alive = true;
    bool waits_for_continue = false;  // its body may never come
    uint64_t bytes_up = 0;
    uint64_t bytes_down = 0;
    rules::Decision decision;
  };

  Mode mode = Mode::http;
  /// The readers, apart because an idle connection needs none: 600 bytes.
  struct Codec {
    http::RequestReader requests;
    http::ResponseReader responses;
  };
  std::unique_ptr<Codec> reading;
  http::BodyWriter body_up;
  http::BodyWriter body_down;
  http::Framing framing_down = http::Framing::none;
  std::vector<Request> outstanding;  // the oldest first
  std::vector<uint8_t> held;         // plain bytes of the client that must wait for a response
  /// Our own last word, said once what is outstanding has been answered.
  struct Answer {
    std::string text;
    Request request;  // whom it answers, for the record
  };
  std::unique_ptr<Answer> answer;     // apart, because an idle connection has none
  std::unique_ptr<std::string> page;  // Mode::page: the sentence
  bool client_ended = false;
  bool origin_ended = false;
  bool request_is_open = false;  // its head has been passed on, its end has not come
  int origin_errno = 0;  // nothing can be sent to it any more; what it said before may still be unread
  bool client_end_waits = false;  // behind what is held, or an upgrade that is undecided
  bool client_end_is_clean = false;
  bool client_is_done = false;  // it said that there is no further request, or has been refused
  bool closing = false;         // all is said: close when the client has taken it
  bool closing_both = false;    // … and the origin
  bool undecided = false;       // `held` waits to know whether an upgrade is granted
  bool close_after_response = false;
  bool client_has_spoken = false;
  bool kept_alive = false;
  uint64_t begun_us = 0;
  record::CloseReason reason = record::CloseReason::finished;

  [[nodiscard]] Codec& codec() {
    if (reading == nullptr) reading = std::make_unique<Codec>();
    return *reading;
  }
};

void ExchangeDeleter::operator()(Exchange* exchange) const { delete exchange; }

namespace {

using record::CloseReason;

/// Everything that a function of this step works on.
struct View {
  Session& session;
  World& world;
  Pair& pair;
  Exchange& state;
};

View view_of(Session& session) {
  auto& room = std::get<ExchangeRoom>(session.room);
  return {session, *session.world, *room.pair, *room.exchange};
}

/// Plain bytes on their way into one channel: heads and small bodies go into one record.
class Outlet {
 public:
  Outlet(World& world, Channel& to) : gathered_(world.gathered), to_(to) { SLUICE_CHECK(gathered_.empty()); }
  ~Outlet() { gathered_.clear(); }
  Outlet(const Outlet&) = delete;
  Outlet& operator=(const Outlet&) = delete;

  [[nodiscard]] std::string& text() { return gathered_; }
  [[nodiscard]] bool bytes(std::span<const uint8_t> bytes) {
    if (gathered_.size() + bytes.size() <= limits::gathered_plain_bytes) {
      gathered_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      return true;
    }
    return finish() && to_.write(bytes);
  }
  /// Call before the end; false when TLS has failed.
  [[nodiscard]] bool finish() {
    const bool ok = to_.write({reinterpret_cast<const uint8_t*>(gathered_.data()), gathered_.size()});
    gathered_.clear();
    return ok;
  }

 private:
  std::string& gathered_;
  Channel& to_;
};

// --- ends and records ------------------------------------------------------------------------------------------------

/// What must wait for a response counts as relay memory. False: there is no room for it.
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
  record.access_rule = policy.access_rule_name(request.decision.access_rule);
  record.total_us = at.world.kernel.now_us() - request.begun_us;
  at.world.records.write(record);
  ++at.world.counters.requests;
}

/// The last thing that the client hears: `answer` (complete, or empty), then the end of the connection.
Next say_goodbye(const View& at, CloseReason reason, std::string_view answer) {
  at.state.reason = reason;
  at.state.closing = true;
  at.session.active_us = at.world.kernel.now_us();
  if (!answer.empty() && !at.pair.client.write({reinterpret_cast<const uint8_t*>(answer.data()), answer.size()}))
    return out_of_memory(at.session);
  at.pair.client.end_writing();
  return Next::go;
}

/// A message was cut off: the other side must not take it for whole. What came before the cut is the client's.
Next cut_off(const View& at, CloseReason reason) {
  int sys_errno = 0;
  if (reason == CloseReason::origin_truncated) (void)at.pair.client.flush(sys_errno);
  return close(at.session, reason, reason == CloseReason::origin_truncated ? Farewell::reset_after_delivery : Farewell::reset);
}

// --- the client's requests -------------------------------------------------------------------------------------------

std::string_view fallback_host(const Session& session, std::string& text) {
  if (session.seen != nullptr && !session.seen->sni().empty()) return session.seen->sni();
  text = session.about.destination.address.to_string();
  return text;
}

/// S30: whether the certificate that the client was shown is for this host.
bool is_directed_here(const View& at, std::string_view host) {
  const Session& session = at.session;
  if (session.bumped == nullptr || host.empty()) return true;
  if (session.seen != nullptr && http::same_name(host, session.seen->sni())) return true;
  if (const auto address = IpAddress::parse(host); address && *address == session.about.destination.address) return true;
  const auto& leaf = session.bumped->verdict->leaf;
  return leaf != nullptr && tls::covers_name(*leaf, host);
}

Exchange::Request describe(const View& at, const http::RequestHead& head) {
  Exchange::Request request;
  request.wall_us = at.world.wall_us;
  request.begun_us = at.world.kernel.now_us();
  request.method = head.method();
  std::string fallback;
  head.append_url(request.url, !at.session.is_http, fallback_host(at.session, fallback));
  request.version_minor = head.version_minor;
  request.keeps_alive = head.keep_alive;
  request.waits_for_continue = head.expects_continue;
  return request;
}

rules::Decision judge(const View& at, const http::RequestHead& head) {
  rules::Facts facts = connect_facts(at.session);
  facts.host_known = rules::Known::yes;
  facts.host = head.host();
  facts.hello_known = rules::Known::never;
  return at.session.ruling->judge.request(facts);
}

/// Answers in place of the origin, once everything before has been answered, and ends the connection.
Next answer_ourselves(const View& at, Exchange::Request request, uint16_t status, std::string answer, CloseReason reason) {
  Exchange& state = at.state;
  state.client_is_done = true;
  drop_held(at);
  request.status = status;
  if (request.decision.action == rules::Action::peek) request.decision.action = rules::Action::block;
  state.reason = reason;
  state.answer = std::make_unique<Exchange::Answer>(Exchange::Answer{std::move(answer), std::move(request)});
  return Next::go;
}

Next answer_with_page(const View& at, const http::RequestHead& head, Exchange::Request request, uint16_t status,
                      std::string_view sentence, CloseReason reason) {
  http::Audience audience = http::audience_of(head);
  audience.keep_alive = false;
  std::string answer;
  http::write_page(answer, audience, status, sentence);
  return answer_ourselves(at, std::move(request), status, std::move(answer), reason);
}

Next answer_with_redirect(const View& at, const http::RequestHead& head, Exchange::Request request) {
  http::Audience audience = http::audience_of(head);
  audience.keep_alive = false;
  const auto& rules = at.session.ruling->config->policy->access_rules();
  const std::string& to = rules[static_cast<size_t>(request.decision.access_rule)].redirect_to;
  std::string answer;
  http::write_response(answer, audience, 302, "text/plain; charset=utf-8", "", "Location: " + to + "\r\n");
  return answer_ourselves(at, std::move(request), 302, std::move(answer), CloseReason::rule_redirect);
}

Next refuse_request(const View& at, http::Refusal refusal) {
  ++at.world.counters.requests_refused;
  http::Audience audience;
  const uint16_t status = http::status_of_request(refusal);
  Exchange::Request request;
  request.wall_us = at.world.wall_us;
  request.begun_us = at.world.kernel.now_us();
  at.session.detail = http::name_of(refusal);
  std::string answer;
  http::write_page(answer, audience, status, http::text_of(refusal));
  return answer_ourselves(at, std::move(request), status, std::move(answer), CloseReason::request_refused);
}

/// The same in the middle of a request whose head has been passed on: its origin waits for a body that will not come, and
/// must see that it is cut off.
Next refuse_body(const View& at, http::Refusal refusal) {
  Exchange& state = at.state;
  ++at.world.counters.requests_refused;
  at.session.detail = http::name_of(refusal);
  // The client can be told in words when no other answer has been begun or is due before.
  if (state.outstanding.size() != 1 || state.outstanding.front().status != 0)
    return close(at.session, CloseReason::request_refused, Farewell::reset, at.session.detail);
  Exchange::Request& request = state.outstanding.front();
  http::Audience audience;
  audience.version_minor = request.version_minor;
  request.status = http::status_of_request(refusal);
  std::string answer;
  http::write_page(answer, audience, request.status, http::text_of(refusal));
  log(at, request);
  state.outstanding.clear();
  state.client_is_done = true;
  return say_goodbye(at, CloseReason::request_refused, answer);
}

/// A request's head: judge it, and pass it on or answer it.
Next on_request(const View& at, Outlet& outlet) {
  Exchange& state = at.state;
  http::RequestHead& head = state.codec().requests.head();
  Exchange::Request request = describe(at, head);
  if (state.mode == Exchange::Mode::page)
    return answer_with_page(at, head, std::move(request), 502, *state.page, CloseReason::origin_cert_invalid);
  if (head.is_connect())
    return answer_with_page(at, head, std::move(request), 405, "This is no proxy port.", CloseReason::request_refused);
  if (!is_directed_here(at, head.host()))
    return answer_with_page(at, head, std::move(request), 421,
                            "This connection is not for that host: its certificate names others.", CloseReason::misdirected);
  request.decision = judge(at, head);
  if (request.decision.action == rules::Action::block)
    return answer_with_page(at, head, std::move(request), 403, "The rules of this network do not allow this page.",
                            CloseReason::rule_block);
  if (request.decision.action == rules::Action::redirect) return answer_with_redirect(at, head, std::move(request));
  if (!state.codec().responses.expect(head)) return close(at.session, CloseReason::overload, Farewell::reset, "pipelined");
  head.use_origin_form();
  http::write_head(head, outlet.text());
  state.body_up = http::BodyWriter(head.framing, head.content_length);
  if (!head.keep_alive) state.client_is_done = true;
  state.request_is_open = true;
  state.outstanding.push_back(std::move(request));
  return Next::go;
}

/// Reads requests out of plain bytes. What must wait for a response is held.
Next read_requests(const View& at, std::span<const uint8_t> plain) {
  Exchange& state = at.state;
  Outlet outlet(at.world, at.pair.origin);
  ByteReader in(plain);
  for (;;) {
    // A head takes one more place among the outstanding; nothing behind an answer of our own is read.
    if (state.answer != nullptr || state.closing) return outlet.finish() ? Next::go : out_of_memory(at.session);
    if (state.codec().requests.is_idle() && state.outstanding.size() >= limits::http_pipelined_max) break;
    const http::Event event = state.codec().requests.next(in);
    switch (event.kind) {
      case http::Event::Kind::need_more: return outlet.finish() ? Next::go : out_of_memory(at.session);
      case http::Event::Kind::head:
        if (const Next next = on_request(at, outlet); next != Next::go) return next;
        break;
      case http::Event::Kind::body:
        // Empty when the origin has answered before it has read all of the request.
        if (!state.outstanding.empty()) state.outstanding.back().bytes_up += event.bytes.size();
        if (state.body_up.is_plain()) {
          state.body_up.count_plain(event.bytes.size());
          if (!outlet.bytes(event.bytes)) return out_of_memory(at.session);
        } else {
          state.body_up.body(event.bytes, outlet.text());
          if (outlet.text().size() > limits::gathered_plain_bytes && !outlet.finish()) return out_of_memory(at.session);
        }
        break;
      case http::Event::Kind::end:
        state.request_is_open = false;
        if (!state.outstanding.empty()) state.outstanding.back().waits_for_continue = false;
        if (!state.body_up.end(state.codec().requests.trailers(), outlet.text())) return cut_off(at, CloseReason::client_truncated);
        break;
      case http::Event::Kind::raw:
        if (!outlet.bytes(event.bytes)) return out_of_memory(at.session);
        break;
      case http::Event::Kind::undecided:
        state.undecided = true;
        if (!hold(at, in.rest())) return out_of_room(at.session);
        return outlet.finish() ? Next::go : out_of_memory(at.session);
      case http::Event::Kind::over: return outlet.finish() ? Next::go : out_of_memory(at.session);
      case http::Event::Kind::refused:
        if (!outlet.finish()) return out_of_memory(at.session);
        return state.request_is_open ? refuse_body(at, event.refusal) : refuse_request(at, event.refusal);
      case http::Event::Kind::interim: SLUICE_CHECK(false);
    }
  }
  if (!hold(at, in.rest())) return out_of_room(at.session);
  return outlet.finish() ? Next::go : out_of_memory(at.session);
}

// --- the origin's responses ------------------------------------------------------------------------------------------

Next refuse_response(const View& at, http::Refusal refusal) {
  ++at.world.counters.responses_refused;
  at.session.detail = http::name_of(refusal);
  Exchange& state = at.state;
  // Nothing was asked: an origin that says why it closes (408, for instance). No response is cut by passing that on.
  if (state.outstanding.empty()) return say_goodbye(at, CloseReason::response_refused, {});
  // Before a response's head has been passed on, the client can be told in words.
  if (state.outstanding.front().status != 0) {
    int sys_errno = 0;
    (void)at.pair.client.flush(sys_errno);
    return close(at.session, CloseReason::response_refused, Farewell::reset_after_delivery, at.session.detail);
  }
  http::Audience audience;
  audience.version_minor = state.outstanding.front().version_minor;
  audience.is_head = state.outstanding.front().method == "HEAD";
  std::string answer;
  http::write_page(answer, audience, 502, http::text_of(refusal));
  state.outstanding.front().status = 502;
  for (const Exchange::Request& request : state.outstanding) log(at, request);
  state.outstanding.clear();
  state.client_is_done = true;
  return say_goodbye(at, CloseReason::response_refused, answer);
}

void on_response(const View& at, Outlet& outlet) {
  Exchange& state = at.state;
  const http::ResponseHead& head = state.codec().responses.head();
  Exchange::Request& request = state.outstanding.front();
  request.status = head.status;
  if (const auto type = head.headers.find(http::Name::content_type)) request.mime = type->substr(0, type->find(';'));
  // A body that waits for 100 may never come after a final response, and what comes instead would be read as one
  // (RFC 9110 section 10.1.1): so nothing comes any more.
  const bool body_is_owed = request.waits_for_continue && !head.upgraded && !state.codec().requests.is_idle();
  http::ResponseWriting how;
  how.client_version_minor = request.version_minor;
  how.close = body_is_owed || !request.keeps_alive;
  state.framing_down = http::write_head(head, outlet.text(), how);
  state.body_down = http::BodyWriter(state.framing_down, head.content_length);
  state.close_after_response = how.close || !head.keep_alive || state.framing_down == http::Framing::until_close;
  if (head.upgraded) {
    state.close_after_response = false;
    state.codec().requests.upgraded();
    state.undecided = false;
  }
}

/// A response has been passed on whole. `go`: there may be more.
Next on_response_end(const View& at) {
  Exchange& state = at.state;
  log(at, state.outstanding.front());
  state.outstanding.erase(state.outstanding.begin());
  if (state.outstanding.empty()) state.outstanding.shrink_to_fit();
  if (state.close_after_response) {
    for (const Exchange::Request& request : state.outstanding) log(at, request);
    state.outstanding.clear();
    state.client_is_done = true;
    return say_goodbye(at, CloseReason::finished, {});
  }
  if (state.undecided && state.outstanding.empty()) {
    state.undecided = false;
    state.codec().requests.declined();
  }
  return Next::go;
}

Next read_responses(const View& at, std::span<const uint8_t> plain) {
  Exchange& state = at.state;
  Outlet outlet(at.world, at.pair.client);
  ByteReader in(plain);
  for (;;) {
    if (state.closing) return Next::go;  // what the origin says behind the last response is nobody's
    if (state.answer != nullptr && state.outstanding.empty()) return outlet.finish() ? Next::go : out_of_memory(at.session);
    const http::Event event = state.codec().responses.next(in);
    switch (event.kind) {
      case http::Event::Kind::need_more:
      case http::Event::Kind::over: return outlet.finish() ? Next::go : out_of_memory(at.session);
      case http::Event::Kind::interim: {
        if (state.outstanding.front().version_minor == 0) break;  // HTTP/1.0 does not know them
        state.outstanding.front().waits_for_continue = false;
        (void)http::write_head(state.codec().responses.head(), outlet.text());
        break;
      }
      case http::Event::Kind::head:
        // 101 is granted behind the whole request (RFC 9110 section 7.8): before, what would be relayed is still its body.
        if (state.codec().responses.head().upgraded && !state.undecided) {
          if (!outlet.finish()) return out_of_memory(at.session);
          return refuse_response(at, http::Refusal::unsolicited);
        }
        on_response(at, outlet);
        break;
      case http::Event::Kind::body:
        state.outstanding.front().bytes_down += event.bytes.size();
        if (state.body_down.is_plain()) {
          state.body_down.count_plain(event.bytes.size());
          if (!outlet.bytes(event.bytes)) return out_of_memory(at.session);
        } else {
          state.body_down.body(event.bytes, outlet.text());
          if (outlet.text().size() > limits::gathered_plain_bytes && !outlet.finish()) return out_of_memory(at.session);
        }
        break;
      case http::Event::Kind::end: {
        if (!state.body_down.end(state.codec().responses.trailers(), outlet.text())) return cut_off(at, CloseReason::origin_truncated);
        if (!outlet.finish()) return out_of_memory(at.session);
        if (const Next next = on_response_end(at); next != Next::go) return next;
        break;
      }
      case http::Event::Kind::raw:
        if (!state.outstanding.empty()) {  // the upgrade's own request
          log(at, state.outstanding.front());
          state.outstanding.clear();
        }
        if (!outlet.bytes(event.bytes)) return out_of_memory(at.session);
        break;
      case http::Event::Kind::refused:
        if (!outlet.finish()) return out_of_memory(at.session);
        return refuse_response(at, event.refusal);
      case http::Event::Kind::undecided: SLUICE_CHECK(false);
    }
  }
}

// --- reading and ending, either side ---------------------------------------------------------------------------------

Next pass_on(const View& at, const Channel& from, std::span<const uint8_t> plain) {
  at.session.active_us = at.world.kernel.now_us();
  const bool up = from.side() == Side::client;
  if (up) at.state.client_has_spoken = true;
  if (at.state.mode == Exchange::Mode::raw)
    return (up ? at.pair.origin : at.pair.client).write(plain) ? Next::go : out_of_memory(at.session);
  if (!up) return read_responses(at, plain);
  if (at.state.held.empty() && !at.state.undecided) return read_requests(at, plain);
  return hold(at, plain) ? Next::go : out_of_room(at.session);
}

/// The client will send nothing more. `clean`: it said so (close_notify, or FIN without TLS).
/// S14: it has looked at the certificate, and left.
bool has_refused_certificate(const View& at) {
  if (at.session.bumped == nullptr || at.state.client_has_spoken || at.pair.client.engine()->agreed().resumed) return false;
  return at.world.kernel.now_us() - at.state.begun_us < limits::refusal_ms * 1000ull;
}

Next client_ended(const View& at, bool clean) {
  Exchange& state = at.state;
  state.client_ended = true;
  if (has_refused_certificate(at)) {
    ++at.world.counters.client_rejected_certificate;
    return close(at.session, CloseReason::client_rejected_certificate, Farewell::in_order, "closed_unused");
  }
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
  if (state.closing || state.answer != nullptr) return Next::go;  // it is told why, in the middle of a request or not
  switch (state.codec().requests.finish()) {
    case http::Ending::truncated: return cut_off(at, CloseReason::client_truncated);
    case http::Ending::raw:
      // Browsers leave a WebSocket that its origin has ended without a close_notify of their own.
      if (!clean && state.origin_ended) return close(at.session, CloseReason::finished, Farewell::reset_after_delivery);
      if (!clean) return cut_off(at, CloseReason::client_truncated);
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
  switch (state.codec().responses.finish()) {
    case http::Ending::truncated: return cut_off(at, CloseReason::origin_truncated);
    case http::Ending::unanswered:
      // The client may ask again on a connection of its own: it hears what it would have heard from the origin.
      return clean ? say_goodbye(at, CloseReason::origin_truncated, {}) : cut_off(at, CloseReason::origin_truncated);
    case http::Ending::raw:
      if (!clean) return cut_off(at, CloseReason::origin_truncated);
      at.pair.client.end_writing();
      return Next::go;
    case http::Ending::complete: {
      if (!clean) return cut_off(at, CloseReason::origin_truncated);
      Outlet outlet(at.world, at.pair.client);
      if (!state.body_down.end(http::Headers(), outlet.text())) return cut_off(at, CloseReason::origin_truncated);
      if (!outlet.finish()) return out_of_memory(at.session);
      for (const Exchange::Request& request : state.outstanding) log(at, request);
      state.outstanding.clear();
      return say_goodbye(at, CloseReason::finished, {});
    }
    case http::Ending::idle: return state.answer == nullptr ? say_goodbye(at, CloseReason::finished, {}) : Next::go;
  }
  SLUICE_CHECK(false);
}

Next tls_failed(const View& at, const Channel& from) {
  int sys_errno = 0;
  Channel& channel = from.side() == Side::client ? at.pair.client : at.pair.origin;
  const tls::Failure& failure = channel.engine()->failure();
  (void)channel.flush(sys_errno);
  (void)at.pair.client.flush(sys_errno);  // what came before
  const CloseReason reason = from.side() == Side::client ? CloseReason::client_tls_failed : CloseReason::origin_tls_failed;
  return close(at.session, reason, from.side() == Side::client ? Farewell::reset : Farewell::reset_after_delivery,
               failure.fault == tls::Fault::peer_alert ? tls::alert_name(failure.alert) : tls::name_of(failure.fault));
}

/// Reads all of `wire`.
Next consume(const View& at, Channel& from, std::span<const uint8_t> wire) {
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

Next wire_ended(const View& at, Channel& from) {
  const bool client = from.side() == Side::client;
  if (client ? at.state.client_ended : at.state.origin_ended) return Next::go;
  // It was reset, whatever its last read says: the error has been told already.
  if (!client && at.state.origin_errno != 0 && !at.state.closing) return peer_failed(at.session, Side::origin, at.state.origin_errno);
  const bool clean = from.engine() == nullptr || from.engine()->end_of_input() == tls::Status::closed;
  return client ? client_ended(at, clean) : origin_ended(at, clean);
}

// --- waiting ---------------------------------------------------------------------------------------------------------

uint64_t limit_us(const View& at) {
  return quiet_limit_us(at.session, at.state.closing || at.state.client_ended || at.state.origin_ended);
}

uint64_t keep_alive_at_us(const View& at) {
  return flow::keep_alive_at_us(at.session, at.state.begun_us);
}

void start_timer(const View& at) {
  uint64_t at_us = at.session.active_us + limit_us(at);
  if (!at.state.kept_alive) at_us = std::min(at_us, keep_alive_at_us(at));
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
    case Channel::Flush::done: paused = false; return Next::go;
    case Channel::Flush::blocked:
      if (!op.in_flight && !paused) at.world.kernel.poll(op, channel.fd(), POLLOUT);
      return Next::go;
    case Channel::Flush::failed:
      // All that mattered has been said.
      if (at.state.closing && !at.state.closing_both) return close(at.session, at.state.reason, Farewell::reset, at.session.detail);
      if (client || at.state.closing || at.state.origin_ended || (sys_errno != EPIPE && sys_errno != ECONNRESET))
        return peer_failed(at.session, channel.side(), sys_errno);
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
  if (state.undecided) return Next::go;
  if (!state.held.empty() && state.outstanding.size() < limits::http_pipelined_max) {
    const std::vector<uint8_t> held = take_held(at);
    if (const Next next = read_requests(at, held); next != Next::go) return next;
  }
  const bool end_is_next = state.client_end_waits && state.held.empty() && !state.undecided;
  return end_is_next ? client_ended(at, state.client_end_is_clean) : Next::go;
}

/// Our own answer, when its turn has come.
Next answer_now(const View& at) {
  Exchange& state = at.state;
  if (state.answer == nullptr || state.closing || !state.outstanding.empty()) return Next::go;
  const auto answer = std::exchange(state.answer, nullptr);
  log(at, answer->request);
  return say_goodbye(at, state.reason, answer->text);
}

bool is_over(Exchange& state) {
  if (state.mode == Exchange::Mode::raw) return state.client_ended && state.origin_ended;
  if (state.codec().requests.finish() == http::Ending::raw) return state.client_ended && state.origin_ended;
  return state.client_ended && state.outstanding.empty() && state.held.empty() && state.answer == nullptr;
}

/// Between messages the readers know nothing that matters; behind an upgrade, or while one waits, their heads do not.
void give_back_readers(Exchange& state) {
  Exchange::Codec& codec = state.codec();
  if (codec.requests.is_idle() && codec.responses.is_idle()) return state.reading.reset();
  if (codec.requests.is_idle() || codec.requests.finish() == http::Ending::raw) codec.requests.release();
  if (codec.responses.is_idle() || codec.responses.finish() == http::Ending::raw) codec.responses.release();
}

/// After every event: send, see whether it is over, and ask for what comes next.
Next settle(const View& at) {
  Exchange& state = at.state;
  if (const Next next = resume_held(at); next != Next::go) return next;
  if (const Next next = answer_now(at); next != Next::go) return next;
  if (!state.closing && is_over(state)) {
    state.closing = state.closing_both = true;
    at.pair.client.end_writing();
    at.pair.origin.end_writing();
  }
  if (const Next next = flush(at, at.pair.client); next != Next::go) return next;
  // Behind our last word to the client nothing that the origin does matters, and it must not cut that word off.
  if ((!state.closing || state.closing_both) && state.origin_errno == 0)
    if (const Next next = flush(at, at.pair.origin); next != Next::go) return next;
  if (state.closing && !at.pair.client.is_blocked() && !(state.closing_both && at.pair.origin.is_blocked())) {
    const bool both = state.client_ended && (state.origin_ended || state.mode != Exchange::Mode::page);
    return close(at.session, state.reason, both ? Farewell::in_order : Farewell::linger, at.session.detail);
  }
  start_timer(at);
  if (state.closing) return Next::wait;

  const bool origin_full = at.pair.origin.is_blocked() || state.origin_errno != 0;
  const bool client_full = at.pair.client.is_blocked();
  const bool client_waits = state.undecided || !state.held.empty() || state.answer != nullptr || (state.client_is_done && state.codec().requests.is_idle());
  // A client may send all of its request before it reads what is answered meanwhile. But what reading it makes us say to it
  // (an answer of ours, key updates) must not pile up without end.
  const bool client_owes_reading = client_full && (!(state.request_is_open || state.mode == Exchange::Mode::raw ||
                                                     state.codec().requests.finish() == http::Ending::raw) ||
                                                   at.pair.client.waiting_bytes() > limits::spare_output_bytes_max);
  if (!state.client_ended && !origin_full && !client_owes_reading && !client_waits && !at.session.up.in_flight)
    at.world.kernel.receive(at.session.up, at.session.client_fd);
  if (state.mode != Exchange::Mode::page && !state.origin_ended && !client_full && !at.session.down.in_flight)
    at.world.kernel.receive(at.session.down, at.session.origin_fd);
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
  return peer_failed(at.session, from.side(), sys_errno);
}

/// A sender that fills its buffer has more: take it now, in large pieces, as long as the receiver keeps up.
Next drain(const View& at, Channel& from, Channel& to) {
  for (uint64_t turn = 0; turn < limits::relay_turn_bytes;) {
    if (to.side() == Side::origin && at.state.origin_errno != 0) return Next::go;
    if (const Next next = flush(at, to); next != Next::go) return next;
    const bool ended = from.side() == Side::client ? at.state.client_ended : at.state.origin_ended;
    const bool waits = from.side() == Side::client && (at.state.undecided || !at.state.held.empty());
    if (to.is_blocked() || ended || waits || at.state.closing || at.state.answer != nullptr) return Next::go;
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
  if (answer.result == -ENOBUFS || answer.result == -EINTR || answer.result == -EAGAIN) return settle(at);
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

}  // namespace

void leave_exchange(Session& session) {
  const View at = view_of(session);
  for (const Exchange::Request& request : at.state.outstanding) log(at, request);
  if (at.state.answer != nullptr) log(at, at.state.answer->request);
  drop_held(at);
}

Next begin_exchange(Session& session, std::unique_ptr<Pair> pair, std::span<const uint8_t> client_wire,
                    std::span<const uint8_t> origin_wire, std::string page) {
  std::unique_ptr<Exchange, ExchangeDeleter> exchange(new Exchange);
  exchange->kept_alive = session.ruling->config->limits.keepalive_ms == 0;
  if (!session.ruling->config->policy->inspects(session.decision.tls_rule)) exchange->mode = Exchange::Mode::raw;
  if (!page.empty()) exchange->mode = Exchange::Mode::page;
  if (!page.empty()) exchange->page = std::make_unique<std::string>(std::move(page));
  session.step = Step::exchange;
  session.room.emplace<ExchangeRoom>(ExchangeRoom{std::move(pair), std::move(exchange)});
  return enter(view_of(session), client_wire, origin_wire);
}

Next exchange(Session& session, const Answer* answer) {
  // Plain HTTP comes here straight from connect, with the bytes that peek has read.
  if (answer == nullptr) {
    const std::vector<uint8_t> replay = std::exchange(session.replay, {});
    session.world->relay_memory_bytes -= replay.size();
    return begin_exchange(session, make_pair(session), replay, {});
  }
  const View at = view_of(session);
  switch (answer->from) {
    case Answer::From::timer: return on_timer(at);
    case Answer::From::up: return on_received(at, at.pair.client, at.pair.origin, *answer);
    case Answer::From::down: return on_received(at, at.pair.origin, at.pair.client, *answer);
    case Answer::From::client_writable: return on_writable(at, Side::client, answer->result);
    case Answer::From::origin_writable: return on_writable(at, Side::origin, answer->result);
  }
  SLUICE_CHECK(false);
}

}  // namespace sluice::flow
