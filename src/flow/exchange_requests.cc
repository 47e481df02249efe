// Step exchange, the client's requests: each is judged by itself, written anew for the origin, or answered by us.

#include <optional>

#include "flow/exchange.h"
#include "http/page.h"
#include "rules/policy.h"
#include "tls/certificate.h"

namespace sluice::flow::exchanging {

namespace {

/// S30: whether the certificate that the client was shown is for this host. The address is a name like any other: only a client
/// that has called the origin by it may go on doing so.
bool is_directed_here(const View& at, std::string_view host) {
  const Session& session = at.session;
  if (session.bumped == nullptr || host.empty()) return true;
  const std::string_view name = name_from_client(session);
  if (http::same_name(host, name)) return true;
  const std::optional<IpAddress> called = name.empty() ? session.about.destination.address : IpAddress::parse(name);
  if (called && IpAddress::parse(host) == called) return true;
  const auto& leaf = session.bumped->verdict->leaf;
  return leaf != nullptr && tls::covers_name(*leaf, host);
}

/// An explicit client's request in clear.
void prepare_for_proxying(const View& at, http::RequestHead& head) {
  (void)head.headers.remove("Proxy-Authorization");
  head.headers.add("Via", "1." + std::to_string(head.version_minor) + " " + at.world.via);
}

/// Nothing forbids it: it goes to the origin, its head first.
Next pass_request(const View& at, Outlet& outlet, Exchange::Request request) {
  Exchange& state = at.state;
  http::RequestHead& head = state.codec().requests.head();
  if (!state.codec().responses.expect(head)) return close(at.session, CloseReason::overload, Farewell::reset, "pipelined");
  head.use_origin_form();
  const rules::Needs wanted = at.session.ruling->config->policy->needs_response_content();
  if (wanted != rules::needs_nothing) ask_for_readable(head, wanted);
  // The next one may be for another host, so this origin hears no more than one. (An upgrade is not the end.)
  const bool keeps_alive = std::exchange(head.keep_alive, head.keep_alive && (!state.is_single || head.upgrade));
  http::write_head(head, outlet.text());
  head.keep_alive = keeps_alive;
  state.body_up = http::BodyWriter(head.framing, head.content_length);
  if (!head.keep_alive) state.client_is_done = true;
  state.request_is_open = true;
  state.outstanding.push_back(std::move(request));
  return Next::go;
}

/// More of its body must be known: nothing of it goes to the origin until then.
void hold_request(const View& at, Exchange::Request request) {
  Exchange& state = at.state;
  http::RequestHead& head = state.codec().requests.head();
  state.content_up = begin_content(at, at.session.ruling->config->policy->needs_request_content(), head.headers, head.framing,
                                   head.content_length);
  // Its client may wait to be told to go on, and the origin cannot say so.
  state.owes_continue = head.expects_continue;
  if (head.expects_continue) head.headers.remove("Expect");
  request.waits_for_continue = false;
  state.waiting = std::make_unique<Exchange::Request>(std::move(request));
}

/// The request whose body is being read; null: it has been answered already, before all of it had come.
Exchange::Request* open_request(Exchange& state) {
  if (state.waiting != nullptr) return state.waiting.get();
  return state.outstanding.empty() ? nullptr : &state.outstanding.back();
}

/// More of its body is known. Behind this, content_up is null when there is a verdict.
Next judge_again(const View& at, Outlet& outlet, bool last) {
  Exchange& state = at.state;
  state.content_up->tell_news();
  const rules::Decision decision = judge_request(at, open_request(state), state.content_up.get(), last);
  if (Exchange::Request* const request = open_request(state)) request->decision = decision;
  if (decision.pending) {
    // What cannot be read will not be known later either.
    const bool waits_for_nothing = !last && state.content_up->is_unreadable() && (decision.needs & rules::needs_size) == 0;
    return waits_for_nothing ? judge_again(at, outlet, true) : Next::go;
  }
  const std::unique_ptr<Exchange::Request> waiting = std::move(state.waiting);
  if (refuses(decision) && waiting == nullptr) return cut_refused(at, decision);
  if (refuses(decision)) {
    const Next next = answer_verdict(at, state.codec().requests.head(), std::move(*waiting));
    state.content_up.reset();
    state.owes_continue = false;
    return next;
  }
  if (waiting != nullptr)
    if (const Next next = pass_request(at, outlet, std::move(*waiting)); next != Next::go) return next;
  const std::unique_ptr<Content> content = std::move(state.content_up);
  return release_held(outlet, state.body_up, *content, true) ? Next::go : out_of_memory(at.session);
}

/// Not so of an explicit client's request in clear, whose host is looked up once it may pass; nor while one of several addresses
/// may answer.
bool is_destination_known(const Session& session) {
  return session.asked == nullptr || (session.asked->is_resolved && session.asked->addresses.size() < 2);
}

/// What becomes of a request whose head alone has been judged.
Next follow_verdict(const View& at, Outlet& outlet, Exchange::Request request) {
  Exchange& state = at.state;
  http::RequestHead& head = state.codec().requests.head();
  // Where it goes comes first: whatever a verdict waits for, rules over addresses may stand behind it.
  if (request.decision.pending && !is_destination_known(at.session)) {
    state.unjudged = std::make_unique<Exchange::Request>(std::move(request));
    return Next::go;
  }
  if (request.decision.pending) {
    hold_request(at, std::move(request));
    return state.content_up->has_news() ? judge_again(at, outlet, false) : Next::go;
  }
  if (refuses(request.decision)) return answer_verdict(at, head, std::move(request));
  return pass_request(at, outlet, std::move(request));
}

/// A request's head: judge it, and pass it on, hold it or answer it.
Next on_request(const View& at, Outlet& outlet) {
  Exchange& state = at.state;
  http::RequestHead& head = state.codec().requests.head();
  Exchange::Request request = describe(at, head);
  state.has_asked = true;
  if (state.is_single) prepare_for_proxying(at, head);
  if (state.mode == Exchange::Mode::page) return answer_in_page_mode(at, head, std::move(request));
  if (head.is_connect())
    return answer_with_page(at, head, std::move(request), 405, "This is no proxy port.", CloseReason::request_refused);
  if (!is_directed_here(at, head.host()))
    return answer_with_page(at, head, std::move(request), 421,
                            "This connection is not for that host: its certificate names others.", CloseReason::misdirected);
  request.decision = judge_request(at, &request, nullptr, false);
  return follow_verdict(at, outlet, std::move(request));
}

Next on_held_body(const View& at, Outlet& outlet, std::span<const uint8_t> bytes) {
  Exchange& state = at.state;
  state.owes_continue = false;
  if (Exchange::Request* const request = open_request(state)) request->bytes_up += bytes.size();
  if (!state.content_up->add(bytes)) return out_of_room(at.session);
  if (state.content_up->has_news())
    if (const Next next = judge_again(at, outlet, false); next != Next::go || state.content_up == nullptr) return next;
  if (state.content_up->excess_bytes() == 0) return Next::go;
  if (const auto waiting = std::move(state.waiting); waiting != nullptr)
    if (const Next next = pass_request(at, outlet, std::move(*waiting)); next != Next::go) return next;
  return release_held(outlet, state.body_up, *state.content_up, false) ? Next::go : out_of_memory(at.session);
}

Next on_body(const View& at, Outlet& outlet, std::span<const uint8_t> bytes) {
  Exchange& state = at.state;
  if (state.answer != nullptr) {
    discard_body(at, bytes);
    return Next::go;
  }
  if (state.content_up != nullptr) return on_held_body(at, outlet, bytes);
  // Empty when the origin has answered before it has read all of the request.
  if (!state.outstanding.empty()) state.outstanding.back().bytes_up += bytes.size();
  return put_body(outlet, state.body_up, bytes) ? Next::go : out_of_memory(at.session);
}

Next on_end(const View& at, Outlet& outlet) {
  Exchange& state = at.state;
  if (state.content_up != nullptr) {
    state.owes_continue = false;
    state.content_up->end();
    if (const Next next = judge_again(at, outlet, true); next != Next::go) return next;
  }
  if (state.answer != nullptr) {
    discard_end(at);
    return Next::go;
  }
  state.request_is_open = false;
  if (!state.outstanding.empty()) state.outstanding.back().waits_for_continue = false;
  return state.body_up.end(state.codec().requests.trailers(), outlet.text()) ? Next::go : cut_off(at, CloseReason::client_truncated);
}

}  // namespace

bool is_read(Exchange& state) { return state.is_single && state.has_asked && state.codec().requests.is_idle(); }

bool may_go_anywhere(const View& at) {
  Asked& asked = *at.session.asked;
  std::vector<Endpoint> addresses = std::exchange(asked.addresses, {});  // so that each counts as known while it is judged
  std::vector<Endpoint> allowed;
  for (const Endpoint& address : addresses) {
    at.session.about.destination = address;
    if (!refuses(judge_request(at, at.state.unjudged.get(), nullptr, false))) allowed.push_back(address);
  }
  const bool may = !allowed.empty();
  asked.addresses = std::move(may ? allowed : addresses);
  at.session.about.destination = asked.addresses.front();
  return may;
}

Next judge_unjudged(const View& at) {
  {
    Outlet outlet(at.world, at.pair.origin);
    Exchange::Request request = std::move(*at.state.unjudged);
    at.state.unjudged.reset();
    request.decision = judge_request(at, &request, nullptr, false);
    if (const Next next = follow_verdict(at, outlet, std::move(request)); next != Next::go) return next;
    if (!outlet.finish()) return out_of_memory(at.session);
  }
  // Nothing of it has been read but its head: its end may need no more bytes.
  const std::vector<uint8_t> held = take_held(at);
  return read_requests(at, held);
}

Next read_requests(const View& at, std::span<const uint8_t> plain) {
  Exchange& state = at.state;
  Outlet outlet(at.world, at.pair.origin);
  ByteReader in(plain);
  for (;;) {
    // Nothing is read behind an answer of ours that ends the connection; behind another one when it has been said.
    if (state.closing || (state.answer != nullptr && !state.answer->keeps))
      return outlet.finish() ? Next::go : out_of_memory(at.session);
    if (state.unjudged != nullptr || is_read(state) || (state.answer != nullptr && state.answer->heard)) break;
    // A head takes one more place among the outstanding.
    if (state.codec().requests.is_idle() && state.outstanding.size() >= limits::http_pipelined_max) break;
    const http::Event event = state.codec().requests.next(in);
    switch (event.kind) {
      case http::Event::Kind::need_more: return outlet.finish() ? Next::go : out_of_memory(at.session);
      case http::Event::Kind::head:
        state.head_begun_us = 0;
        if (const Next next = on_request(at, outlet); next != Next::go) return next;
        break;
      case http::Event::Kind::body:
        if (const Next next = on_body(at, outlet, event.bytes); next != Next::go) return next;
        break;
      case http::Event::Kind::end:
        if (const Next next = on_end(at, outlet); next != Next::go) return next;
        break;
      case http::Event::Kind::raw:
        if (!outlet.bytes(event.bytes)) return out_of_memory(at.session);
        break;
      case http::Event::Kind::undecided:
        if (state.outstanding.empty()) {  // it was answered before its body had come
          state.codec().requests.declined();
          break;
        }
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

}  // namespace sluice::flow::exchanging
