// What the files of step exchange share: its state, and what each of them offers the others. For them alone.
//
//   exchange.cc            the step itself: entering, reading, waiting, sending
//   exchange_requests.cc   the client's requests: parsed, judged, passed on
//   exchange_responses.cc  the origin's responses
//   exchange_answers.cc    what the gateway says in place of the origin
//   exchange_ends.cc       ends of either side, records, what is held meanwhile
//
// A function that returns Next::go has done its part; anything else is passed up at once. One worker.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/check.h"
#include "flow/session.h"
#include "http/reader.h"
#include "http/write.h"

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

  /// Nothing more is read from the client for now: what it has sent waits for somebody else's turn.
  [[nodiscard]] bool client_waits() const {
    return undecided || !held.empty() || (answer != nullptr && (answer->heard || !answer->keeps));
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

// --- exchange_requests.cc ---
/// Reads requests out of plain bytes. What must wait for a response is held.
Next read_requests(const View& at, std::span<const uint8_t> plain);

// --- exchange_responses.cc ---
Next read_responses(const View& at, std::span<const uint8_t> plain);

// --- exchange_answers.cc ---
Next answer_with_page(const View& at, const http::RequestHead& head, Exchange::Request request, uint16_t status,
                      std::string_view sentence, CloseReason reason);
Next answer_with_verdict(const View& at, const http::RequestHead& head, Exchange::Request request);
Next refuse_request(const View& at, http::Refusal refusal);
/// The same in the middle of a request whose head has been passed on: its origin waits for a body that will not come, and
/// must see that it is cut off.
Next refuse_body(const View& at, http::Refusal refusal);
Next refuse_response(const View& at, http::Refusal refusal);
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
/// The client will send nothing more. `clean`: it said so (close_notify, or FIN without TLS).
Next client_ended(const View& at, bool clean);
Next origin_ended(const View& at, bool clean);
Next tls_failed(const View& at, const Channel& from);
Next wire_ended(const View& at, Channel& from);

}  // namespace exchanging
}  // namespace sluice::flow
