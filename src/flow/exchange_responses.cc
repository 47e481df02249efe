// Step exchange, the origin's responses: written anew for the client, in the order of their requests.

#include "flow/exchange.h"

namespace sluice::flow::exchanging {

namespace {

/// Nothing forbids it: it goes to the client, its head first.
void pass_response(const View& at, Outlet& outlet) {
  Exchange& state = at.state;
  http::ResponseHead& head = state.codec().responses.head();
  Exchange::Request& request = state.outstanding.front();
  request.status = head.status;
  // A body that waits for 100 may never come after a final response, and what comes instead would be read as one
  // (RFC 9110 section 10.1.1): so nothing comes any more.
  const bool body_is_owed = request.waits_for_continue && !head.upgraded && !state.codec().requests.is_idle();
  http::ResponseWriting how;
  how.client_version_minor = request.version_minor;
  how.close = body_is_owed || !request.keeps_alive;
  if (state.is_single) head.keep_alive = head.framing != http::Framing::until_close;  // that was for us, who asked for it
  state.framing_down = http::write_head(head, outlet.text(), how);
  state.body_down = http::BodyWriter(state.framing_down, head.content_length);
  state.close_after_response = how.close || !head.keep_alive || state.framing_down == http::Framing::until_close;
  if (head.upgraded) {
    state.close_after_response = false;
    state.codec().requests.upgraded();
    state.undecided = false;
  }
}

/// How much of the response's body is still to come.
uint64_t body_left(const View& at) {
  const http::ResponseHead& head = at.state.codec().responses.head();
  const uint64_t come = at.state.content_down != nullptr ? at.state.content_down->size() : 0;
  switch (head.framing) {
    case http::Framing::none: return 0;
    case http::Framing::length: return head.content_length - come;
    case http::Framing::chunked:
    case http::Framing::until_close: return UINT64_MAX;
  }
  SLUICE_CHECK(false);
}

/// Of the response whose verdict is pending, something has been passed on.
bool is_out(const Exchange& state) { return state.outstanding.front().status != 0; }

bool release(const View& at, Outlet& outlet, bool all) {
  Exchange& state = at.state;
  if (!is_out(state)) pass_response(at, outlet);
  Content& content = *state.content_down;
  const uint64_t before = content.held_bytes();
  if (!release_held(outlet, state.body_down, content, all)) return false;
  state.outstanding.front().bytes_down += before - content.held_bytes();
  return true;
}

/// More of its body is known. Behind this, content_down is null when there is a verdict.
Next judge_again(const View& at, Outlet& outlet, bool last) {
  Exchange& state = at.state;
  state.content_down->tell_news();
  const rules::Decision decision = judge_response(at, state.content_down.get(), last);
  merge(state.outstanding.front().decision, decision);
  if (decision.pending) {
    // What cannot be read will not be known later either.
    const bool waits_for_nothing = !last && state.content_down->is_unreadable() && (decision.needs & rules::needs_size) == 0;
    return waits_for_nothing ? judge_again(at, outlet, true) : Next::go;
  }
  if (refuses(decision)) {
    if (is_out(state)) return cut_refused(at, decision);
    const uint64_t left = last && !state.content_down->is_unreadable() ? 0 : body_left(at);
    state.content_down.reset();
    return replace_response(at, outlet, left);
  }
  if (!release(at, outlet, true)) return out_of_memory(at.session);
  state.content_down.reset();
  return Next::go;
}

/// A response's head: judge it, and pass it on, hold it or replace it.
Next on_response(const View& at, Outlet& outlet) {
  Exchange& state = at.state;
  const http::ResponseHead& head = state.codec().responses.head();
  Exchange::Request& request = state.outstanding.front();
  if (const auto type = head.headers.find(http::Name::content_type)) request.mime = type->substr(0, type->find(';'));
  if (request.asked != nullptr) {
    const rules::Decision decision = judge_response(at, nullptr, false);
    merge(request.decision, decision);
    if (decision.pending) {
      state.content_down = begin_content(at, at.session.ruling->config->policy->needs_response_content(), head.headers,
                                         head.framing, head.content_length);
      return state.content_down->has_news() ? judge_again(at, outlet, false) : Next::go;
    }
    if (refuses(decision)) return replace_response(at, outlet, body_left(at));
  }
  pass_response(at, outlet);
  return Next::go;
}

Next on_held_body(const View& at, Outlet& outlet, std::span<const uint8_t> bytes) {
  Exchange& state = at.state;
  if (!state.content_down->add(bytes)) return out_of_room(at.session);
  if (state.content_down->has_news())
    if (const Next next = judge_again(at, outlet, false); next != Next::go || state.content_down == nullptr) return next;
  if (state.content_down->excess_bytes() == 0) return Next::go;
  return release(at, outlet, false) ? Next::go : out_of_memory(at.session);
}

Next on_body(const View& at, Outlet& outlet, std::span<const uint8_t> bytes) {
  Exchange& state = at.state;
  if (state.replaced) return Next::go;
  if (state.content_down != nullptr) return on_held_body(at, outlet, bytes);
  state.outstanding.front().bytes_down += bytes.size();
  return put_body(outlet, state.body_down, bytes) ? Next::go : out_of_memory(at.session);
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

Next on_end(const View& at, Outlet& outlet) {
  Exchange& state = at.state;
  if (state.content_down != nullptr) {
    state.content_down->end();
    if (const Next next = judge_again(at, outlet, true); next != Next::go || state.closing) return next;
  }
  const bool complete = std::exchange(state.replaced, false) || state.body_down.end(state.codec().responses.trailers(), outlet.text());
  if (!complete) return cut_off(at, CloseReason::origin_truncated);
  if (!outlet.finish()) return out_of_memory(at.session);
  return on_response_end(at);
}

}  // namespace

Next read_responses(const View& at, std::span<const uint8_t> plain) {
  Exchange& state = at.state;
  Outlet outlet(at.world, at.pair.client);
  ByteReader in(plain);
  for (;;) {
    if (state.closing) return Next::go;  // what the origin says behind the last response is nobody's
    if (state.answer != nullptr && state.outstanding.empty()) {
      // What nobody asked for must not be taken for a response later: the origin is not asked again.
      if (!in.empty()) state.origin_ended = true;
      return outlet.finish() ? Next::go : out_of_memory(at.session);
    }
    const http::Event event = state.codec().responses.next(in);
    switch (event.kind) {
      case http::Event::Kind::need_more:
      case http::Event::Kind::over: return outlet.finish() ? Next::go : out_of_memory(at.session);
      case http::Event::Kind::interim: {
        if (state.outstanding.front().version_minor == 0) break;  // HTTP/1.0 does not know them
        // Any other interim response says nothing of whether the body will come.
        if (state.codec().responses.head().status == 100) state.outstanding.front().waits_for_continue = false;
        (void)http::write_head(state.codec().responses.head(), outlet.text());
        break;
      }
      case http::Event::Kind::head:
        // 101 is granted behind the whole request (RFC 9110 section 7.8): before, what would be relayed is still its body.
        if (state.codec().responses.head().upgraded && !state.undecided) {
          if (!outlet.finish()) return out_of_memory(at.session);
          return refuse_response(at, http::Refusal::unsolicited);
        }
        if (const Next next = on_response(at, outlet); next != Next::go) return next;
        break;
      case http::Event::Kind::body:
        if (const Next next = on_body(at, outlet, event.bytes); next != Next::go) return next;
        break;
      case http::Event::Kind::end:
        if (const Next next = on_end(at, outlet); next != Next::go) return next;
        break;
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

Next complete_response(const View& at) {
  Exchange& state = at.state;
  Outlet outlet(at.world, at.pair.client);
  if (state.content_down != nullptr) {
    state.content_down->end();
    if (const Next next = judge_again(at, outlet, true); next != Next::go || state.closing) return next;
  }
  if (!state.body_down.end(http::Headers(), outlet.text())) return cut_off(at, CloseReason::origin_truncated);
  if (!outlet.finish()) return out_of_memory(at.session);
  for (const Exchange::Request& request : state.outstanding) log(at, request);
  state.outstanding.clear();
  return say_goodbye(at, CloseReason::finished, {});
}

}  // namespace sluice::flow::exchanging
