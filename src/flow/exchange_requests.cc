// Step exchange, the client's requests: each is judged by itself, written anew for the origin, or answered by us.

#include "flow/exchange.h"
#include "http/page.h"
#include "rules/policy.h"
#include "tls/certificate.h"

namespace sluice::flow::exchanging {

namespace {

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

/// An explicit client's request in clear. The next one may be for another host, so it comes on a connection of its own.
void prepare_for_proxying(const View& at, http::RequestHead& head, Exchange::Request& request) {
  head.keep_alive = request.keeps_alive = false;
  at.state.codec().requests.stop_behind_this();
  (void)head.headers.remove("Proxy-Authorization");
  head.headers.add("Via", "1." + std::to_string(head.version_minor) + " " + at.world.via);
}

/// A request's head: judge it, and pass it on or answer it.
Next on_request(const View& at, Outlet& outlet) {
  Exchange& state = at.state;
  http::RequestHead& head = state.codec().requests.head();
  Exchange::Request request = describe(at, head);
  if (const Asked* asked = at.session.asked.get(); asked != nullptr && !asked->is_connect) prepare_for_proxying(at, head, request);
  if (state.mode == Exchange::Mode::page)
    return answer_with_page(at, head, std::move(request), 502, *state.page, CloseReason::origin_cert_invalid);
  if (head.is_connect())
    return answer_with_page(at, head, std::move(request), 405, "This is no proxy port.", CloseReason::request_refused);
  if (!is_directed_here(at, head.host()))
    return answer_with_page(at, head, std::move(request), 421,
                            "This connection is not for that host: its certificate names others.", CloseReason::misdirected);
  request.decision = judge(at, head);
  if (request.decision.action == rules::Action::block || request.decision.action == rules::Action::redirect)
    return answer_with_verdict(at, head, std::move(request));
  if (!state.codec().responses.expect(head)) return close(at.session, CloseReason::overload, Farewell::reset, "pipelined");
  head.use_origin_form();
  http::write_head(head, outlet.text());
  state.body_up = http::BodyWriter(head.framing, head.content_length);
  if (!head.keep_alive) state.client_is_done = true;
  state.request_is_open = true;
  state.outstanding.push_back(std::move(request));
  return Next::go;
}

}  // namespace

Next read_requests(const View& at, std::span<const uint8_t> plain) {
  Exchange& state = at.state;
  Outlet outlet(at.world, at.pair.origin);
  ByteReader in(plain);
  for (;;) {
    // Nothing is read behind an answer of ours that ends the connection; behind another one when it has been said.
    if (state.closing || (state.answer != nullptr && !state.answer->keeps))
      return outlet.finish() ? Next::go : out_of_memory(at.session);
    if (state.answer != nullptr && state.answer->heard) break;
    // A head takes one more place among the outstanding.
    if (state.codec().requests.is_idle() && state.outstanding.size() >= limits::http_pipelined_max) break;
    const http::Event event = state.codec().requests.next(in);
    switch (event.kind) {
      case http::Event::Kind::need_more: return outlet.finish() ? Next::go : out_of_memory(at.session);
      case http::Event::Kind::head:
        if (const Next next = on_request(at, outlet); next != Next::go) return next;
        break;
      case http::Event::Kind::body:
        if (state.answer != nullptr) {
          discard_body(at, event.bytes);
          break;
        }
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
        if (state.answer != nullptr) {
          discard_end(at);
          break;
        }
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

}  // namespace sluice::flow::exchanging
