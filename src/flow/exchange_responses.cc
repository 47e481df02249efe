// Step exchange, the origin's responses: written anew for the client, in the order of their requests.

#include "flow/exchange.h"

namespace sluice::flow::exchanging {

namespace {

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

}  // namespace sluice::flow::exchanging
