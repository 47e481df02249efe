#include "http/reader.h"

#include <algorithm>

#include "base/check.h"
#include "http/framing.h"

namespace sluice::http {

namespace {

Event event_of(Event::Kind kind, std::span<const uint8_t> bytes = {}) {
  return {.kind = kind, .refusal = Refusal::not_http, .bytes = bytes};
}

/// All of `in`, or its first `most` bytes.
Event take(Event::Kind kind, ByteReader& in, uint64_t most = UINT64_MAX) {
  const auto count = static_cast<size_t>(std::min<uint64_t>(in.left(), most));
  return count == 0 ? event_of(Event::Kind::need_more) : event_of(kind, *in.bytes(count));
}

}  // namespace

const char* to_string(Event::Kind kind) {
  switch (kind) {
    case Event::Kind::need_more:
      return "need_more";
    case Event::Kind::head:
      return "head";
    case Event::Kind::interim:
      return "interim";
    case Event::Kind::body:
      return "body";
    case Event::Kind::end:
      return "end";
    case Event::Kind::undecided:
      return "undecided";
    case Event::Kind::raw:
      return "raw";
    case Event::Kind::over:
      return "over";
    case Event::Kind::refused:
      return "refused";
  }
  return "?";
}

const char* to_string(Ending ending) {
  switch (ending) {
    case Ending::idle:
      return "idle";
    case Ending::unanswered:
      return "unanswered";
    case Ending::complete:
      return "complete";
    case Ending::truncated:
      return "truncated";
    case Ending::raw:
      return "raw";
  }
  return "?";
}

// --- requests
// -------------------------------------------------------------------------------------------------------

Event RequestReader::refuse(Refusal reason) {
  state_ = State::refused;
  refusal_ = reason;
  return {.kind = Event::Kind::refused, .refusal = reason, .bytes = {}};
}

Event RequestReader::next(ByteReader& in) {
  switch (state_) {
    case State::between:
      return begin(in);
    case State::head:
      return read_head(in);
    case State::length:
      return read_length(in);
    case State::chunked:
      return read_chunks(in);
    case State::ended:
      return end();
    case State::undecided:
      return event_of(Event::Kind::undecided);
    case State::raw:
      return take(Event::Kind::raw, in);
    case State::over:
      return event_of(Event::Kind::over);
    case State::refused:
      break;
  }
  return refuse(refusal_);
}

Event RequestReader::begin(ByteReader& in) {
  switch (parser_.skip_empty_lines(in)) {
    case Parser::Stop::refused:
      return refuse(parser_.refusal());
    case Parser::Stop::need_more:
      return event_of(Event::Kind::need_more);
    case Parser::Stop::head:
    case Parser::Stop::body:
    case Parser::Stop::end:
      break;
  }
  head_.clear();
  parser_.begin();
  state_ = State::head;
  return read_head(in);
}

Event RequestReader::read_head(ByteReader& in) {
  const Parser::Stop stop = parser_.run(in, head_.headers);
  if (stop == Parser::Stop::refused) return refuse(parser_.refusal());
  if (stop == Parser::Stop::need_more) return event_of(Event::Kind::need_more);
  SLUICE_CHECK(stop == Parser::Stop::head);

  head_.version_minor = parser_.version_minor();
  head_.set_start_line(parser_.method(), parser_.start_text());
  if (const auto refusal = settle(head_)) return refuse(*refusal);
  left_ = head_.framing == Framing::length ? head_.content_length : 0;
  is_last_ = !head_.keep_alive;
  after_ = head_.upgrade || head_.is_connect() ? State::undecided : is_last_ ? State::over : State::between;
  switch (head_.framing) {
    case Framing::chunked:
      state_ = State::chunked;
      break;
    case Framing::length:
      state_ = left_ == 0 ? State::ended : State::length;
      break;
    case Framing::none:
    case Framing::until_close:
      state_ = State::ended;
      break;  // the latter is never a request's
  }
  return event_of(Event::Kind::head);
}

Event RequestReader::read_length(ByteReader& in) {
  const Event event = take(Event::Kind::body, in, left_);
  left_ -= event.bytes.size();
  if (left_ == 0) state_ = State::ended;
  return event;
}

Event RequestReader::read_chunks(ByteReader& in) {
  switch (parser_.run(in, head_.headers)) {
    case Parser::Stop::refused:
      return refuse(parser_.refusal());
    case Parser::Stop::need_more:
      return event_of(Event::Kind::need_more);
    case Parser::Stop::body:
      return event_of(Event::Kind::body, parser_.body());
    case Parser::Stop::end:
    case Parser::Stop::head:
      break;
  }
  return end();
}

Event RequestReader::end() {
  state_ = after_;
  return event_of(Event::Kind::end);
}

void RequestReader::upgraded() {
  SLUICE_CHECK(state_ == State::undecided);
  state_ = State::raw;
}

void RequestReader::declined() {
  SLUICE_CHECK(state_ == State::undecided);
  state_ = is_last_ ? State::over : State::between;
}

Ending RequestReader::finish() const {
  switch (state_) {
    case State::between:
    case State::ended:
    case State::undecided:
    case State::over:
      return Ending::idle;
    case State::raw:
      return Ending::raw;
    case State::head:
    case State::length:
    case State::chunked:
    case State::refused:
      break;
  }
  return Ending::truncated;
}

void RequestReader::release() {
  head_.release();
  parser_.release();
}

size_t RequestReader::bytes_held() const { return head_.headers.bytes_held() + parser_.bytes_held(); }

// --- responses
// ------------------------------------------------------------------------------------------------------

bool ResponseReader::expect(const RequestHead& request) {
  if (expected_count_ == expected_.size()) return false;
  expected_[expected_count_++] = {
      .is_head = request.is_head(), .is_connect = request.is_connect(), .upgrade = request.upgrade};
  return true;
}

Event ResponseReader::refuse(Refusal reason) {
  state_ = State::refused;
  refusal_ = reason;
  return {.kind = Event::Kind::refused, .refusal = reason, .bytes = {}};
}

Event ResponseReader::next(ByteReader& in) {
  switch (state_) {
    case State::between:
      return begin(in);
    case State::head:
      return read_head(in);
    case State::length:
      return read_length(in);
    case State::chunked:
      return read_chunks(in);
    case State::until_close:
      return take(Event::Kind::body, in);
    case State::ended:
      return end();
    case State::raw:
      return take(Event::Kind::raw, in);
    case State::over:
      return event_of(Event::Kind::over);
    case State::refused:
      break;
  }
  return refuse(refusal_);
}

Event ResponseReader::begin(ByteReader& in) {
  switch (parser_.skip_empty_lines(in)) {
    case Parser::Stop::refused:
      return refuse(parser_.refusal());
    case Parser::Stop::need_more:
      return event_of(Event::Kind::need_more);
    case Parser::Stop::head:
    case Parser::Stop::body:
    case Parser::Stop::end:
      break;
  }
  if (expected_count_ == 0) return refuse(Refusal::unsolicited);
  head_.clear();
  parser_.begin();
  state_ = State::head;
  return read_head(in);
}

Event ResponseReader::read_head(ByteReader& in) {
  const Parser::Stop stop = parser_.run(in, head_.headers);
  if (stop == Parser::Stop::refused) return refuse(parser_.refusal());
  if (stop == Parser::Stop::need_more) return event_of(Event::Kind::need_more);
  SLUICE_CHECK(stop == Parser::Stop::head);

  head_.version_minor = parser_.version_minor();
  head_.status = parser_.status();
  head_.set_reason(parser_.start_text());
  if (const auto refusal = settle(head_, expected_.front())) return refuse(*refusal);
  if (head_.is_interim()) {
    if (++interim_count_ > limits::http_interim_max) return refuse(Refusal::too_many_interim);
    state_ = State::between;
    return event_of(Event::Kind::interim);
  }
  begin_body();
  return event_of(Event::Kind::head);
}

void ResponseReader::begin_body() {
  interim_count_ = 0;
  std::copy(expected_.begin() + 1, expected_.end(), expected_.begin());
  --expected_count_;
  left_ = head_.framing == Framing::length ? head_.content_length : 0;
  after_ = head_.keep_alive ? State::between : State::over;
  if (head_.upgraded) {
    state_ = State::raw;
    return;
  }
  switch (head_.framing) {
    case Framing::chunked:
      state_ = State::chunked;
      break;
    case Framing::length:
      state_ = left_ == 0 ? State::ended : State::length;
      break;
    case Framing::none:
      state_ = State::ended;
      break;
    case Framing::until_close:
      state_ = State::until_close;
      break;
  }
}

Event ResponseReader::read_length(ByteReader& in) {
  const Event event = take(Event::Kind::body, in, left_);
  left_ -= event.bytes.size();
  if (left_ == 0) state_ = State::ended;
  return event;
}

Event ResponseReader::read_chunks(ByteReader& in) {
  switch (parser_.run(in, head_.headers)) {
    case Parser::Stop::refused:
      return refuse(parser_.refusal());
    case Parser::Stop::need_more:
      return event_of(Event::Kind::need_more);
    case Parser::Stop::body:
      return event_of(Event::Kind::body, parser_.body());
    case Parser::Stop::end:
    case Parser::Stop::head:
      break;
  }
  return end();
}

Event ResponseReader::end() {
  state_ = after_;
  return event_of(Event::Kind::end);
}

Ending ResponseReader::finish() const {
  switch (state_) {
    case State::between:
      return expected_count_ == 0 ? Ending::idle : Ending::unanswered;
    case State::ended:
    case State::over:
      return Ending::idle;
    case State::until_close:
      return Ending::complete;
    case State::raw:
      return Ending::raw;
    case State::head:
    case State::length:
    case State::chunked:
    case State::refused:
      break;
  }
  return Ending::truncated;
}

void ResponseReader::release() {
  head_.release();
  parser_.release();
}

size_t ResponseReader::bytes_held() const { return head_.headers.bytes_held() + parser_.bytes_held(); }

// --- what is it?
// ----------------------------------------------------------------------------------------------------

namespace {

/// RFC 9110 section 5.6.2: what a method may be made of.
bool is_token_character(char c) {
  const bool is_alphanumeric = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
  return is_alphanumeric || std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

/// What servers take for the space in a request line, and what they skip before it (RFC 9112 sections 3
/// and 2.2).
constexpr std::string_view loose_spaces = " \t\v\f\r";
constexpr std::string_view loose_beginnings = " \t\v\f\r\n";

/// "HTTP/1.1" as a word of its own, in any case.
bool names_version(std::string_view rest) {
  for (size_t i = 1; i < rest.size(); ++i) {
    const bool is_word = loose_spaces.find(rest[i - 1]) != std::string_view::npos;
    if (is_word && begins_with_letters(rest.substr(i), "http/")) return true;
  }
  return false;
}

}  // namespace

Protocol recognise(std::span<const uint8_t> bytes) {
  std::string_view text = as_text(bytes);
  // Longer than any line that is read: the reader says what is wrong with it.
  const Protocol open = text.size() > limits::http_target_bytes_max ? Protocol::http : Protocol::need_more;
  text.remove_prefix(std::min(text.find_first_not_of(loose_beginnings), text.size()));
  const auto method_end = std::find_if_not(text.begin(), text.end(), is_token_character);
  const std::string_view method = text.substr(0, static_cast<size_t>(method_end - text.begin()));
  if (method.size() == text.size()) return open;
  std::string_view rest = text.substr(method.size());
  if (method.empty() || loose_spaces.find(rest.front()) == std::string_view::npos) return Protocol::other;

  const size_t target = rest.find_first_not_of(loose_spaces);
  if (target == std::string_view::npos) return open;
  if (rest[target] == '\n') return Protocol::other;  // a word by itself, which no server takes for a request
  // With these even a line that ends behind the target is one, of HTTP/0.9.
  constexpr std::string_view known[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "CONNECT", "TRACE"};
  if (std::find(std::begin(known), std::end(known), method) != std::end(known)) return Protocol::http;
  const size_t end = rest.find('\n');
  if (end == std::string_view::npos) return open;
  rest = rest.substr(0, end);
  const std::string_view from_target = rest.substr(target);
  const bool is_target = from_target.front() == '/' || from_target.front() == '*' ||
                         begins_with_letters(from_target, "http://") ||
                         begins_with_letters(from_target, "https://");
  // The version at its end tells the rest from the commands of SMTP, FTP or IRC.
  return is_target || names_version(rest) ? Protocol::http : Protocol::other;
}

}  // namespace sluice::http
