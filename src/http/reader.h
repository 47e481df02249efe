// RequestReader and ResponseReader: a peer's bytes in, one event at a time out. HTTP/1.1 behind a face that
// HTTP/2 can share.
//
// The caller owns the bytes and asks for the next event whenever it can take one; that is all the
// back-pressure there is. Each call takes from the front of `in` exactly the bytes that belong to the event
// it returns, so that the next message's stay where they are. Body bytes are views into `in`: they are never
// copied and never kept. What is kept between calls is the head (one arena), and nothing of that after
// release(). Any cut of the bytes gives the same events, apart from where body bytes are divided. The parser
// is llhttp with every leniency off, and what it still lets through is checked in framing.h.
//
//   RequestReader client;  ResponseReader origin;
//   for (;;) {
//     const Event event = client.next(in);
//     switch (event.kind) {
//       case Event::Kind::need_more: …read more into `in`, which is empty now…
//       case Event::Kind::head:      origin.expect(client.head()); write_head(client.head(), out); …
//       case Event::Kind::body:      body_writer.body(event.bytes, out); …
//       case Event::Kind::end:       body_writer.end(client.trailers(), out); …
//       …
//
// One thread. Movable while no call is running.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/byte_reader.h"
#include "base/limits.h"
#include "http/head.h"
#include "http/parser.h"
#include "http/refusal.h"

namespace sluice::http {

struct Event {
  enum class Kind : uint8_t {
    need_more,  // everything has been taken from `in`
    head,       // head() is complete. A body (if head().framing says so), then `end`, or `raw`, follow
    interim,    // responses: head() is that of a 1xx; no end follows, the next head does
    body,       // `bytes` of the body, never empty
    end,        // the message is complete; trailers() may have something
    undecided,  // requests: this one asked for an upgrade (or CONNECT): what follows depends on the response.
                // Nothing was taken; call upgraded() or declined()
    raw,        // after an upgrade: `bytes` that are not HTTP, never empty
    over,  // this message was the connection's last (keep_alive is false): nothing more is read. Nothing was
           // taken
    refused,  // `refusal` says why; so says every later call
  };
  Kind kind = Kind::need_more;
  Refusal refusal = Refusal::not_http;  // with refused
  std::span<const uint8_t> bytes;       // with body and raw: a view into what `in` was made of
};
[[nodiscard]] const char* to_string(Event::Kind kind);

/// What the end of a peer's bytes means at this point.
enum class Ending : uint8_t {
  idle,        // between messages: nothing is missing
  unanswered,  // responses: before the first byte of one that was expected
  complete,  // responses until close: the body is complete, if the end is one to trust (TLS: close_notify was
             // there)
  truncated,  // in the middle of a message: never to be passed on as a clean end
  raw,        // after an upgrade: the end of whatever that is
};
[[nodiscard]] const char* to_string(Ending ending);

class RequestReader {
 public:
  [[nodiscard]] Event next(ByteReader& in);
  /// Valid from Kind::head until the first byte of the next message is read, or release(). May be changed and
  /// moved from.
  [[nodiscard]] RequestHead& head() { return head_; }
  [[nodiscard]] const RequestHead& head() const { return head_; }
  [[nodiscard]] const Headers& trailers() const { return parser_.trailers(); }  // at Kind::end

  /// After Kind::undecided: the response was 101 or a 2xx to CONNECT; or it was not, and HTTP goes on.
  void upgraded();
  void declined();

  [[nodiscard]] Ending finish() const;
  /// No byte of a message has been read and none is owed: the moment to call release().
  [[nodiscard]] bool is_idle() const { return state_ == State::between; }
  /// A head has begun and is not complete.
  [[nodiscard]] bool is_in_head() const { return state_ == State::head; }
  void release();
  [[nodiscard]] size_t bytes_held() const;

 private:
  enum class State : uint8_t { between, head, length, chunked, ended, undecided, raw, over, refused };

  [[nodiscard]] Event begin(ByteReader& in);
  [[nodiscard]] Event read_head(ByteReader& in);
  [[nodiscard]] Event read_length(ByteReader& in);
  [[nodiscard]] Event read_chunks(ByteReader& in);
  [[nodiscard]] Event end();
  [[nodiscard]] Event refuse(Refusal reason);

  State state_ = State::between;
  State after_ = State::between;  // the state behind this message: the head may have been moved away by then
  bool is_last_ = false;          // of this connection, unless it is upgraded
  Refusal refusal_ = Refusal::not_http;
  uint64_t left_ = 0;  // body bytes still to come, with State::length
  Parser parser_{Parser::Kind::request};
  RequestHead head_;
};

class ResponseReader {
 public:
  /// Tells of a request that has been sent: responses come in the order of their requests, and what a
  /// response is depends on its request (HEAD has no body, 101 must have been asked for). False:
  /// limits::http_pipelined_max are outstanding already.
  [[nodiscard]] bool expect(const RequestHead& request);
  [[nodiscard]] size_t outstanding() const { return expected_count_; }

  [[nodiscard]] Event next(ByteReader& in);
  [[nodiscard]] ResponseHead& head() { return head_; }
  [[nodiscard]] const ResponseHead& head() const { return head_; }
  [[nodiscard]] const Headers& trailers() const { return parser_.trailers(); }

  [[nodiscard]] Ending finish() const;
  [[nodiscard]] bool is_idle() const { return state_ == State::between && expected_count_ == 0; }
  void release();
  [[nodiscard]] size_t bytes_held() const;

 private:
  enum class State : uint8_t { between, head, length, chunked, until_close, ended, raw, over, refused };

  [[nodiscard]] Event begin(ByteReader& in);
  [[nodiscard]] Event read_head(ByteReader& in);
  [[nodiscard]] Event read_length(ByteReader& in);
  [[nodiscard]] Event read_chunks(ByteReader& in);
  [[nodiscard]] Event end();
  [[nodiscard]] Event refuse(Refusal reason);
  void begin_body();

  State state_ = State::between;
  State after_ = State::between;
  Refusal refusal_ = Refusal::not_http;
  uint8_t expected_count_ = 0;
  uint8_t interim_count_ = 0;
  std::array<RequestKind, limits::http_pipelined_max> expected_{};  // the oldest first
  uint64_t left_ = 0;
  Parser parser_{Parser::Kind::response};
  ResponseHead head_;
};

/// What a connection's first bytes are, for ports where anything may come (`http.non_http`). Takes nothing.
///
/// Whatever some server might answer as a request is HTTP here, so that RequestReader refuses what it does not like: lines behind
/// empty ones or white space, with tabs for spaces, of any method, without a version (HTTP/0.9), and the preface of HTTP/2. `other`
/// is only what no more bytes can make a request; as long as they can, need_more.
enum class Protocol : uint8_t { need_more, http, other };
[[nodiscard]] Protocol recognise(std::span<const uint8_t> bytes);

}  // namespace sluice::http
