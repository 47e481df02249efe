// Step exchange, what the gateway says in place of the origin: pages, redirects, refusals.

#include "flow/exchange.h"
#include "http/page.h"
#include "rules/policy.h"

namespace sluice::flow::exchanging {

namespace {

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

}  // namespace

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

Next answer_now(const View& at) {
  Exchange& state = at.state;
  if (state.answer == nullptr || state.closing || !state.outstanding.empty()) return Next::go;
  const auto answer = std::exchange(state.answer, nullptr);
  log(at, answer->request);
  return say_goodbye(at, state.reason, answer->text);
}

}  // namespace sluice::flow::exchanging
