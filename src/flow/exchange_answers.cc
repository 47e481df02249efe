// Step exchange, what the gateway says in place of the origin: pages, redirects, refusals.

#include "base/give_back.h"
#include "flow/exchange.h"
#include "flow/refusal.h"
#include "flow/verdict_page.h"
#include "http/page.h"

namespace sluice::flow::exchanging {

namespace {

/// How much of the request's body is still to come, as far as it is known.
uint64_t body_left(const View& at, const http::RequestHead& head) {
  const Content* const content = at.state.content_up.get();
  switch (head.framing) {
    case http::Framing::none: return 0;
    case http::Framing::length: return head.content_length - (content != nullptr ? content->size() : 0);
    case http::Framing::chunked:
    case http::Framing::until_close: return content != nullptr && content->has_ended() ? 0 : UINT64_MAX;
  }
  SLUICE_CHECK(false);
}

/// S31: whether the connection can be used behind an answer of ours. What is left of the request must be little, and certain
/// to come: behind Expect: 100-continue it may be a body or the next request.
bool stays_usable(const View& at, const http::RequestHead& head) {
  const bool body_is_on_its_way = !head.expects_continue || (at.state.content_up != nullptr && !at.state.owes_continue);
  return head.keep_alive && body_is_on_its_way && body_left(at, head) <= limits::http_discarded_body_bytes_max;
}

http::Audience audience_for(const View& at, const http::RequestHead& head) {
  http::Audience audience = http::audience_of(head);
  audience.keep_alive = stays_usable(at, head);
  return audience;
}

uint16_t status_of(const rules::Decision& decision) { return decision.action == rules::Action::redirect ? 302 : 403; }

/// Answers in place of the origin, once everything before has been answered. `keeps`: the connection goes on behind it.
Next answer_ourselves(const View& at, Exchange::Request request, uint16_t status, std::string text, CloseReason reason, bool keeps) {
  Exchange& state = at.state;
  if (!keeps) {
    state.client_is_done = true;
    drop_held(at);
    state.reason = reason;
  }
  request.status = status;
  if (request.decision.action == rules::Action::peek) request.decision.action = rules::Action::block;
  state.answer = std::make_unique<Exchange::Answer>();
  state.answer->text = std::move(text);
  state.answer->request = std::move(request);
  state.answer->keeps = keeps;
  return Next::go;
}

}  // namespace

Next answer_with_page(const View& at, const http::RequestHead& head, Exchange::Request request, uint16_t status,
                      std::string_view sentence, CloseReason reason) {
  const http::Audience audience = audience_for(at, head);
  std::string answer;
  http::write_page(answer, audience, status, sentence);
  return answer_ourselves(at, std::move(request), status, std::move(answer), reason, audience.keep_alive);
}

Next answer_verdict(const View& at, const http::RequestHead& head, Exchange::Request request) {
  const http::Audience audience = audience_for(at, head);
  std::string answer;
  write_verdict(answer, audience, at.world, at.session, request.decision,
                {request.method, request.url, head.host(), head.headers.find("User-Agent").value_or("")});
  const uint16_t status = status_of(request.decision);
  const CloseReason reason = refusal_of(request.decision);
  return answer_ourselves(at, std::move(request), status, std::move(answer), reason, audience.keep_alive);
}

Next answer_in_page_mode(const View& at, const http::RequestHead& head, Exchange::Request request) {
  // S26: the connection was blocked, and goes on for its page alone.
  if (at.session.decision.action == rules::Action::block) {
    request.decision = at.session.decision;
    return answer_verdict(at, head, std::move(request));
  }
  // Behind this page stands an origin that is never to be asked.
  http::Audience audience = http::audience_of(head);
  audience.keep_alive = false;
  std::string answer;
  http::write_page(answer, audience, 502, *at.state.page);
  return answer_ourselves(at, std::move(request), 502, std::move(answer), CloseReason::origin_cert_invalid, false);
}

Next replace_response(const View& at, Outlet& outlet, uint64_t left) {
  Exchange& state = at.state;
  const http::ResponseHead& head = state.codec().responses.head();
  Exchange::Request& request = state.outstanding.front();
  const bool body_is_owed = request.waits_for_continue && !state.codec().requests.is_idle();
  const bool closes = body_is_owed || !request.keeps_alive || (!head.keep_alive && !state.is_single) || head.upgraded ||
                      left > limits::http_discarded_body_bytes_max;
  http::Audience audience;
  audience.version_minor = request.version_minor;
  audience.is_head = request.method == "HEAD";
  audience.wants_html = request.asked->wants_html;
  audience.keep_alive = !closes;
  write_verdict(outlet.text(), audience, at.world, at.session, request.decision,
                {request.method, request.url, request.asked->host(), request.asked->user_agent()});
  request.status = status_of(request.decision);
  if (!outlet.finish()) return out_of_memory(at.session);
  state.replaced = true;
  state.close_after_response = false;
  if (!closes) return Next::go;
  const CloseReason reason = refusal_of(request.decision);
  for (const Exchange::Request& each : state.outstanding) log(at, each);
  state.outstanding.clear();
  state.client_is_done = true;
  return say_goodbye(at, reason, {});
}

Next cut_refused(const View& at, const rules::Decision& decision) {
  return close(at.session, refusal_of(decision), Farewell::reset, "late");
}

Next refuse_request(const View& at, http::Refusal refusal) {
  ++at.world.counters.requests_refused;
  http::Audience audience;
  const uint16_t status = http::status_of_request(refusal);
  Exchange::Request request;
  request.wall_us = at.world.wall_us;
  request.begun_us = at.world.kernel.now_us();
  if (const auto waiting = std::move(at.state.waiting); waiting != nullptr) request = std::move(*waiting);
  at.state.content_up.reset();
  at.session.detail = http::name_of(refusal);
  std::string answer;
  http::write_page(answer, audience, status, http::text_of(refusal));
  return answer_ourselves(at, std::move(request), status, std::move(answer), CloseReason::request_refused, false);
}

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

Next answer_without_origin(const View& at, uint16_t status, std::string_view sentence, CloseReason reason) {
  Exchange& state = at.state;
  for (auto* const late : {&state.waiting, &state.unjudged})
    if (const auto request = std::exchange(*late, nullptr); request != nullptr) state.outstanding.push_back(std::move(*request));
  state.content_up.reset();
  Exchange::Request& first = state.outstanding.front();
  http::Audience audience;
  audience.version_minor = first.version_minor;
  audience.is_head = first.method == "HEAD";
  first.status = status;
  std::string answer;
  http::write_page(answer, audience, status, sentence);
  for (const Exchange::Request& request : state.outstanding) log(at, request);
  state.outstanding.clear();
  state.client_is_done = true;
  return say_goodbye(at, reason, answer);
}

void discard_body(const View& at, std::span<const uint8_t> bytes) { at.state.answer->request.bytes_up += bytes.size(); }

void discard_end(const View& at) {
  at.state.answer->heard = true;
  http::RequestReader& requests = at.state.codec().requests;
  if (requests.head().upgrade || requests.head().is_connect()) requests.declined();
}

Next answer_now(const View& at) {
  Exchange& state = at.state;
  if (state.answer == nullptr || state.closing || !state.outstanding.empty()) return Next::go;
  Exchange::Answer& answer = *state.answer;
  // An origin that has ended meanwhile cannot be asked anything: nor can we.
  const bool ends = !answer.keeps || state.origin_ended || state.origin_errno != 0;
  if (ends) {
    if (answer.keeps && !answer.spoken) answer.text.insert(answer.text.find("\r\n") + 2, "Connection: close\r\n");
    if (answer.keeps) state.client_is_done = true;
    log(at, answer.request);
    const auto last = std::exchange(state.answer, nullptr);
    return say_goodbye(at, state.reason, last->spoken ? std::string_view() : last->text);
  }
  if (!answer.spoken) {
    at.session.active_us = at.world.kernel.now_us();
    if (!at.pair.client.write({reinterpret_cast<const uint8_t*>(answer.text.data()), answer.text.size()}))
      return out_of_memory(at.session);
    answer.spoken = true;
    give_back(answer.text);
  }
  if (!answer.heard) return Next::go;
  log(at, answer.request);
  state.answer.reset();
  return Next::go;
}

}  // namespace sluice::flow::exchanging
