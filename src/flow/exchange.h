// What the files of step exchange share: its state, and what each of them offers the others. For them alone.
//
//   exchange.cc            the step itself: entering, reading, waiting, sending
//   exchange_requests.cc   the client's requests: parsed, held or passed on
//   exchange_responses.cc  the origin's responses
//   exchange_judging.cc    what the rules see of either
//   exchange_answers.cc    what the gateway says in place of the origin
//   exchange_ends.cc       ends of either side, records, what is held meanwhile
//
// A function that returns Next::go has done its part; anything else is passed up at once. One worker.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/check.h"
#include "flow/content.h"
#include "flow/session.h"
#include "http/reader.h"
#include "http/write.h"

namespace sluice::flow {

struct Exchange {
  enum class Mode : uint8_t { http, raw, page };

  /// What rules and pages want of a request when its response has come.
  struct Asked {
    std::string text;  // the canonical URL, the host and the user agent, one behind the other
    size_t url_bytes = 0;
    size_t host_bytes = 0;
    bool wants_html = false;

    [[nodiscard]] std::string_view url() const { return std::string_view(text).substr(0, url_bytes); }
    [[nodiscard]] std::string_view host() const { return std::string_view(text).substr(url_bytes, host_bytes); }
    [[nodiscard]] std::string_view user_agent() const { return std::string_view(text).substr(url_bytes + host_bytes); }
  };
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
    std::unique_ptr<Asked> asked;  // null: no rule looks at responses
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
  /// What we say to a request in place of the origin, once what is outstanding has been answered.
  struct Answer {
    std::string text;
    Request request;      // whom it answers, for the record
    bool keeps = false;   // the connection goes on behind it (S31)
    bool spoken = false;  // it has been said
    bool heard = false;   // the request has been read to its end: of one that is blocked, to be thrown away
  };
  std::unique_ptr<Answer> answer;     // apart, because an idle connection has none
  std::unique_ptr<std::string> page;  // Mode::page: the sentence
  std::unique_ptr<Request> unjudged;  // its verdict waits for the origin's address, and it is the next that may be read
  // --- messages whose verdict waits for more of their body ---
  std::unique_ptr<Content> content_up;    // of the request that is being read
  std::unique_ptr<Request> waiting;       // that request, while nothing of it has been passed on
  std::unique_ptr<Content> content_down;  // of the response that is being read
  bool owes_continue = false;             // the waiting request's client waits for 100 (Continue), which we have to say
  bool replaced = false;  // the response that is being read has been replaced by ours: its body is thrown away
  bool is_single = false;   // an explicit client's request in clear: what comes behind it is step ask's
  bool has_asked = false;   // a request's head has been read
  bool is_leaving = false;  // back to ask, once nothing is in flight
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
  bool origin_has_spoken = false;
  bool kept_alive = false;
  uint64_t begun_us = 0;
  uint64_t head_begun_us = 0;  // since when a request's head has been incomplete while the client was read; 0: it is not
  size_t owed_to_origin = 0;   // bytes that the origin makes us say and does not take: answers to its key updates
  record::CloseReason reason = record::CloseReason::finished;

  /// Nothing more is read from the client for now: what it has sent waits for somebody else's turn.
  [[nodiscard]] bool client_waits() const {
    return undecided || !held.empty() || unjudged != nullptr || (answer != nullptr && (answer->heard || !answer->keeps));
  }
  [[nodiscard]] Codec& codec() {
    if (reading == nullptr) reading = std::make_unique<Codec>();
    return *reading;
  }
};

namespace exchanging {

using record::CloseReason;

/// Everything that a function of this step works on.
struct View {
  Session& session;
  World& world;
  Pair& pair;
  Exchange& state;
};

/// Plain bytes on their way into one channel: heads and small bodies go into one record.
class Outlet {
 public:
  Outlet(World& world, Channel& to) : gathered_(world.gathered), to_(to) { SLUICE_CHECK(gathered_.empty()); }
  ~Outlet() { gathered_.clear(); }
  Outlet(const Outlet&) = delete;
  Outlet& operator=(const Outlet&) = delete;

  [[nodiscard]] std::string& text() { return gathered_; }
  [[nodiscard]] bool bytes(std::span<const uint8_t> bytes) {
    const bool alone = gathered_.empty() && bytes.size() >= limits::gathered_plain_bytes / 4;
    if (!alone && gathered_.size() + bytes.size() <= limits::gathered_plain_bytes) {
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

/// Body bytes in the framing of `writer`. False: TLS has failed.
[[nodiscard]] bool put_body(Outlet& outlet, http::BodyWriter& writer, std::span<const uint8_t> bytes);
/// All that `content` holds, or what it holds too much.
[[nodiscard]] bool release_held(Outlet& outlet, http::BodyWriter& writer, Content& content, bool all);

// --- exchange_judging.cc ---
/// What the record needs of the request whose head has just been read, and what its response will need.
Exchange::Request describe(const View& at, const http::RequestHead& head);
/// The request that is being read. `request`: what describe() has made of it, null if that is gone. `content`: what is known of its
/// body, null: nothing but what its head says.
rules::Decision judge_request(const View& at, const Exchange::Request* request, const Content* content, bool last);
/// The response that is being read, to the oldest request.
rules::Decision judge_response(const View& at, const Content* content, bool last);
/// The later verdict on the same transaction; a rule that has been named stays named when no other is.
void merge(rules::Decision& into, const rules::Decision& later);
[[nodiscard]] bool refuses(const rules::Decision& decision);
std::unique_ptr<Content> begin_content(const View& at, rules::Needs wanted, const http::Headers& headers, http::Framing framing,
                                       uint64_t content_length);
/// What the rules of this policy want to read must come whole, and in a coding that can be undone.
void ask_for_readable(http::RequestHead& head, rules::Needs wanted);

// --- exchange_requests.cc ---
/// Reads requests out of plain bytes. What must wait for a response is held.
Next read_requests(const View& at, std::span<const uint8_t> plain);
/// The unjudged request's host has been looked up: the addresses that the rules forbid it are left out of Asked::addresses. False:
/// they forbid all of them (and all are kept).
[[nodiscard]] bool may_go_anywhere(const View& at);
/// The unjudged request's origin is there.
Next judge_unjudged(const View& at);
/// Whether the request that this exchange is for has been read to its end, if it is for one only.
[[nodiscard]] bool is_read(Exchange& state);

// --- exchange_responses.cc ---
Next read_responses(const View& at, std::span<const uint8_t> plain);
/// The body that lasts until the origin's end is complete.
Next complete_response(const View& at);

// --- exchange_answers.cc ---
Next answer_with_page(const View& at, const http::RequestHead& head, Exchange::Request request, uint16_t status,
                      std::string_view sentence, CloseReason reason);
/// Mode::page: the one page that this connection is for.
Next answer_in_page_mode(const View& at, const http::RequestHead& head, Exchange::Request request);
Next refuse_request(const View& at, http::Refusal refusal);
/// The same in the middle of a request whose head has been passed on: its origin waits for a body that will not come, and
/// must see that it is cut off.
Next refuse_body(const View& at, http::Refusal refusal);
Next refuse_response(const View& at, http::Refusal refusal);
/// The verdict on a request whose body may be on its way: a page, or a redirect.
Next answer_verdict(const View& at, const http::RequestHead& head, Exchange::Request request);
/// The verdict on a response of which nothing has been passed on: a page or a redirect in its place. `left`: bytes of its body
/// that will still come, as far as known.
Next replace_response(const View& at, Outlet& outlet, uint64_t left);
/// The verdict on a message of which something has been passed on: a reset, so that nobody takes it for whole.
Next cut_refused(const View& at, const rules::Decision& decision);
/// There is no origin, or none any more, for the oldest request that has not been answered.
Next answer_without_origin(const View& at, uint16_t status, std::string_view sentence, CloseReason reason);
/// What the request that is being read has sent behind its head, when we answer it.
void discard_body(const View& at, std::span<const uint8_t> bytes);
/// That request has been read to its end.
void discard_end(const View& at);
/// Our own answer, when its turn has come.
Next answer_now(const View& at);

// --- exchange_ends.cc ---
/// What must wait for a response counts as relay memory. False: there is no room for it.
bool hold(const View& at, std::span<const uint8_t> bytes);
std::vector<uint8_t> take_held(const View& at);
void drop_held(const View& at);
Next out_of_room(Session& session);
Next out_of_memory(Session& session);
void log(const View& at, const Exchange::Request& request);
/// The last thing that the client hears: `answer` (complete, or empty), then the end of the connection.
Next say_goodbye(const View& at, CloseReason reason, std::string_view answer);
/// A message was cut off: the other side must not take it for whole. What came before the cut is the client's.
Next cut_off(const View& at, CloseReason reason);
/// Nothing can be read from the client's socket any more, or sent to it.
Next client_failed(const View& at, int sys_errno);
/// The client will send nothing more. `clean`: it said so (close_notify, or FIN without TLS).
Next client_ended(const View& at, bool clean);
Next origin_ended(const View& at, bool clean);
Next tls_failed(const View& at, const Channel& from);
Next wire_ended(const View& at, Channel& from);

}  // namespace exchanging
}  // namespace sluice::flow
