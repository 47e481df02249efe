// llhttp behind a face that stops at every event. Only reader.cc uses this; it is a header so that a reader
// can hold one by value.
//
// Every leniency of llhttp stays off. Two things it cannot do are done here: methods that it does not know
// (the method is read here, and llhttp sees POST or CONNECT), and naming the reason of a refusal. It parses
// heads and chunks; bodies by length are counted by the reader. One thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/byte_reader.h"
#include "http/headers.h"
#include "http/refusal.h"

namespace sluice::http {

/// What a response needs to know of its request.
struct RequestKind {
  bool is_head : 1 = false;
  bool is_connect : 1 = false;
  bool upgrade : 1 = false;
};

class Parser {
 public:
  enum class Kind : uint8_t { request, response };
  enum class Stop : uint8_t { need_more, head, body, end, refused };

  explicit Parser(Kind kind) : kind_(kind) {}

  /// Between messages: Stop::head when the next message's first byte is in front of `in`.
  [[nodiscard]] Stop skip_empty_lines(ByteReader& in);
  /// Before the first byte of a message.
  void begin();
  /// Goes on to the next event. Fields and the text of the start line are appended to `headers` (until
  /// Stop::head).
  [[nodiscard]] Stop run(ByteReader& in, Headers& headers);

  // With Stop::head.
  [[nodiscard]] Slice method() const { return method_; }
  [[nodiscard]] Slice start_text() const { return start_text_; }  // the target, or the reason phrase
  [[nodiscard]] uint8_t version_minor() const { return version_minor_; }
  [[nodiscard]] uint16_t status() const { return status_; }
  // With Stop::body: a view into `in`.
  [[nodiscard]] std::span<const uint8_t> body() const { return body_; }
  // With Stop::refused.
  [[nodiscard]] Refusal refusal() const { return refusal_; }

  [[nodiscard]] const Headers& trailers() const;
  void release() { trailers_.reset(); }
  [[nodiscard]] size_t bytes_held() const;

 private:
  enum class Phase : uint8_t { method, head, chunk_line, chunk_data, trailers };
  struct Callbacks;
  static constexpr size_t llhttp_bytes = 96;  // sizeof(llhttp_t), asserted in parser.cc

  [[nodiscard]] Stop refuse(Refusal reason);
  [[nodiscard]] Stop read_method(ByteReader& in, Headers& headers);
  [[nodiscard]] Stop execute(ByteReader& in);
  [[nodiscard]] Refusal refusal_in(std::span<const uint8_t> piece);
  [[nodiscard]] size_t allowance() const;
  [[nodiscard]] Refusal refusal_past_allowance() const;

  alignas(8) std::array<std::byte, llhttp_bytes> llhttp_{};
  Headers* headers_ = nullptr;  // only during run()
  std::unique_ptr<Headers> trailers_;
  std::span<const uint8_t> body_;
  uint64_t chunk_left_ = 0;
  uint32_t bytes_ = 0;  // so far, of what has a limit in this phase: head, chunk's size line or trailers
  Slice method_;
  Slice start_text_;
  Slice field_name_;
  uint32_t field_value_at_ = 0;
  uint16_t status_ = 0;
  uint8_t version_minor_ = 1;
  bool has_version_ = false;
  uint8_t empty_lines_ = 0;
  bool after_cr_ = false;
  Kind kind_;
  Phase phase_ = Phase::method;
  Stop stop_ = Stop::need_more;  // what the callbacks want
  Refusal refusal_ = Refusal::not_http;
};

}  // namespace sluice::http
