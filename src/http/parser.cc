#include "http/parser.h"

#include <llhttp.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/limits.h"

namespace sluice::http {

namespace {

// What a head is likely to need, so that it grows at most once or twice.
constexpr size_t arena_bytes_at_once = 1024;
constexpr size_t arena_bytes_guessed_max = 4096;

constexpr bool is_token(uint8_t c) {  // RFC 9110 section 5.6.2
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return true;
  return c != 0 && std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(c)) != std::string_view::npos;
}

constexpr auto token_table = [] {
  std::array<bool, 256> table{};
  for (size_t c = 0; c < table.size(); ++c) table[c] = is_token(static_cast<uint8_t>(c));
  return table;
}();

/// Where llhttp points when it refuses: seen from the byte that could not stand where it stood.
enum class Points : uint8_t { elsewhere, at_it, behind_it };

/// llhttp's texts, because its numbers lump together what is told apart here. That byte decides the rest.
struct Row {
  std::string_view text;
  Refusal refusal;
  Points points = Points::elsewhere;
};
constexpr Row rows[] = {
    {"Expected HTTP/", Refusal::bad_start_line},
    {"Expected space after method", Refusal::bad_method},
    {"Expected CRLF after version", Refusal::bad_start_line, Points::behind_it},
    {"Expected space after version", Refusal::bad_start_line},
    {"Invalid HTTP version", Refusal::bad_version},
    {"Invalid major version", Refusal::bad_version},
    {"Invalid minor version", Refusal::bad_version},
    {"Expected dot", Refusal::bad_version},
    {"Expected SOURCE method for ICE/x.x request", Refusal::bad_version},
    {"Invalid method for HTTP/x.x request", Refusal::bad_version},
    {"Invalid method for RTSP/x.x request", Refusal::bad_version},
    {"Invalid status code", Refusal::bad_status},
    {"Invalid response status", Refusal::bad_start_line},
    {"Missing expected CR after response line", Refusal::bare_lf},
    {"Unexpected space after start line", Refusal::folded_header},
    {"Unexpected whitespace after header value", Refusal::folded_header},
    {"Invalid header field char", Refusal::bad_header_name, Points::behind_it},
    {"Invalid header token", Refusal::bad_header_name, Points::at_it},
    {"Invalid header value char", Refusal::bad_header_value},
    {"Missing expected CR after header value", Refusal::bare_lf},
    {"Missing expected LF after header value", Refusal::bare_cr},
    {"Expected LF after headers", Refusal::bare_cr},
    {"Expected LF after CR", Refusal::bare_cr},
    {"Expected CRLF", Refusal::bare_cr},
    {"Duplicate Content-Length", Refusal::duplicate_length},
    {"Empty Content-Length", Refusal::bad_length},
    {"Invalid character in Content-Length", Refusal::bad_length},
    {"Content-Length overflow", Refusal::body_too_large},
    {"Content-Length can't be present with Transfer-Encoding", Refusal::length_and_encoding},
    {"Transfer-Encoding can't be present with Content-Length", Refusal::length_and_encoding},
    {"Invalid `Transfer-Encoding` header value", Refusal::bad_encoding},
    {"Request has invalid `Transfer-Encoding`", Refusal::bad_encoding},
    {"Invalid character in chunk size", Refusal::bad_chunk_size},
    {"Chunk size overflow", Refusal::body_too_large},
    {"Expected LF after chunk size", Refusal::bare_cr},
    {"Missing expected CR after chunk size", Refusal::bare_lf},
    {"Missing expected CR after chunk extension name", Refusal::bare_lf},
    {"Missing expected CR after chunk extension value", Refusal::bare_lf},
    {"Expected LF after chunk data", Refusal::bad_chunk_end},
    {"Missing expected CR after chunk data", Refusal::bad_chunk_end},
};

/// For texts that another version of llhttp may have.
Refusal refusal_of_number(llhttp_errno_t error) {
  if (error == HPE_INVALID_URL) return Refusal::bad_target;
  if (error == HPE_INVALID_VERSION) return Refusal::bad_version;
  if (error == HPE_INVALID_STATUS) return Refusal::bad_status;
  if (error == HPE_INVALID_HEADER_TOKEN || error == HPE_UNEXPECTED_SPACE) return Refusal::bad_header_name;
  if (error == HPE_INVALID_CONTENT_LENGTH) return Refusal::bad_length;
  if (error == HPE_UNEXPECTED_CONTENT_LENGTH) return Refusal::duplicate_length;
  if (error == HPE_INVALID_TRANSFER_ENCODING) return Refusal::bad_encoding;
  if (error == HPE_INVALID_CHUNK_SIZE) return Refusal::bad_chunk_size;
  if (error == HPE_CR_EXPECTED) return Refusal::bare_lf;
  if (error == HPE_LF_EXPECTED) return Refusal::bare_cr;
  return Refusal::bad_start_line;
}

Row row_of(llhttp_errno_t error, std::string_view text) {
  for (const Row& row : rows) {
    if (row.text == text) return row;
  }
  const bool is_extension = text.find("chunk extension") != std::string_view::npos;
  return {text, is_extension ? Refusal::bad_chunk_extension : refusal_of_number(error)};
}

/// More exactly, by the byte that could not stand where it stood.
Refusal by_byte(Refusal refusal, uint8_t byte) {
  const bool is_name = refusal == Refusal::bad_header_name;
  if (is_name && (byte == ' ' || byte == '\t')) return Refusal::space_before_colon;
  const bool is_line_end = byte == '\n' && (is_name || refusal == Refusal::bad_start_line);
  return is_line_end ? Refusal::bare_lf : refusal;
}

/// Fields of a trailer section that llhttp refuses because they would be wrong in a head, too.
bool is_about_framing(Refusal refusal) {
  return refusal == Refusal::length_and_encoding || refusal == Refusal::duplicate_length ||
         refusal == Refusal::bad_length || refusal == Refusal::body_too_large ||
         refusal == Refusal::bad_encoding;
}

const char* chars(std::span<const uint8_t> bytes) { return reinterpret_cast<const char*>(bytes.data()); }

}  // namespace

/// What llhttp calls. Each returns 0 to go on, HPE_PAUSED to stop at an event, HPE_USER to refuse.
struct Parser::Callbacks {
  static Parser& self(llhttp_t* parser) { return *static_cast<Parser*>(parser->data); }

  static int stop(Parser& parser, Stop why) {
    parser.stop_ = why;
    return HPE_PAUSED;
  }
  static int refuse(Parser& parser, Refusal reason) {
    parser.refusal_ = reason;
    parser.stop_ = Stop::refused;
    return HPE_USER;
  }

  static int start_text(llhttp_t* llhttp, const char* at, size_t size) {
    Parser& parser = self(llhttp);
    parser.headers_->append({at, size});
    parser.start_text_.size += static_cast<uint32_t>(size);
    return 0;
  }

  static int version_complete(llhttp_t* llhttp) {
    Parser& parser = self(llhttp);
    if (llhttp->http_major != 1 || llhttp->http_minor > 1) return refuse(parser, Refusal::bad_version);
    parser.version_minor_ = llhttp->http_minor;
    parser.has_version_ = true;
    // In a response the reason phrase comes now.
    if (parser.kind_ == Kind::response) {
      parser.start_text_ = {static_cast<uint32_t>(parser.headers_->arena_bytes()), 0};
    }
    return 0;
  }

  static Headers& fields(Parser& parser) {
    if (parser.phase_ == Phase::head) return *parser.headers_;
    if (!parser.trailers_) parser.trailers_ = std::make_unique<Headers>();
    return *parser.trailers_;
  }

  static int name(llhttp_t* llhttp, const char* at, size_t size) {
    Parser& parser = self(llhttp);
    if (!parser.has_version_) return refuse(parser, Refusal::bad_version);  // HTTP/0.9
    const Slice added = fields(parser).append({at, size});
    if (parser.field_name_.size == 0) parser.field_name_.at = added.at;
    parser.field_name_.size += added.size;
    return 0;
  }
  static int name_complete(llhttp_t* llhttp) {
    Parser& parser = self(llhttp);
    parser.field_value_at_ = static_cast<uint32_t>(fields(parser).arena_bytes());
    return 0;
  }
  static int value(llhttp_t* llhttp, const char* at, size_t size) {
    fields(self(llhttp)).append({at, size});
    return 0;
  }
  static int value_complete(llhttp_t* llhttp) {
    Parser& parser = self(llhttp);
    Headers& headers = fields(parser);
    const auto size = static_cast<uint32_t>(headers.arena_bytes()) - parser.field_value_at_;
    headers.push(parser.field_name_, {parser.field_value_at_, size});
    parser.field_name_ = {};
    if (headers.size() > limits::http_headers_max) return refuse(parser, Refusal::too_many_headers);
    return parser.phase_ == Phase::head ? 0 : check_trailer(parser, headers[headers.size() - 1]);
  }
  /// RFC 9110 section 6.5.1: nothing that says where a message ends or goes may come behind it.
  static int check_trailer(Parser& parser, const Header& trailer) {
    const bool is_bad = trailer.known == Name::content_length || trailer.known == Name::transfer_encoding ||
                        trailer.known == Name::host;
    return is_bad ? refuse(parser, Refusal::bad_trailer) : 0;
  }

  static int headers_complete(llhttp_t* llhttp) {
    Parser& parser = self(llhttp);
    if (!parser.has_version_) return refuse(parser, Refusal::bad_version);
    parser.status_ = llhttp->status_code;
    parser.phase_ = Phase::chunk_line;
    return stop(parser, Stop::head);
  }

  static int chunk_header(llhttp_t* llhttp) {
    Parser& parser = self(llhttp);
    if (llhttp->content_length > INT64_MAX) return refuse(parser, Refusal::body_too_large);
    parser.chunk_left_ = llhttp->content_length;
    parser.phase_ = parser.chunk_left_ == 0 ? Phase::trailers : Phase::chunk_data;
    return stop(parser, Stop::need_more);  // the limit of what follows is another one
  }
  static int body(llhttp_t* llhttp, const char* at, size_t size) {
    if (size == 0) return 0;
    Parser& parser = self(llhttp);
    parser.body_ = {reinterpret_cast<const uint8_t*>(at), size};
    parser.chunk_left_ -= size;
    if (parser.chunk_left_ == 0) parser.phase_ = Phase::chunk_line;
    return stop(parser, Stop::body);
  }
  static int message_complete(llhttp_t* llhttp) { return stop(self(llhttp), Stop::end); }

  static llhttp_settings_t common() {
    llhttp_settings_t settings;
    llhttp_settings_init(&settings);
    settings.on_version_complete = version_complete;
    settings.on_header_field = name;
    settings.on_header_field_complete = name_complete;
    settings.on_header_value = value;
    settings.on_header_value_complete = value_complete;
    settings.on_headers_complete = headers_complete;
    settings.on_chunk_header = chunk_header;
    settings.on_body = body;
    settings.on_message_complete = message_complete;
    return settings;
  }
  static llhttp_settings_t of_requests() {
    llhttp_settings_t settings = common();
    settings.on_url = start_text;
    return settings;
  }
  static llhttp_settings_t of_responses() {
    llhttp_settings_t settings = common();
    settings.on_status = start_text;
    return settings;
  }
};

static llhttp_t* llhttp_in(std::span<std::byte> storage) {
  static_assert(alignof(llhttp_t) <= 8);
  return reinterpret_cast<llhttp_t*>(storage.data());
}

void Parser::begin() {
  static_assert(sizeof(llhttp_t) == llhttp_bytes);
  static const llhttp_settings_t request_settings = Callbacks::of_requests();
  static const llhttp_settings_t response_settings = Callbacks::of_responses();
  const bool is_request = kind_ == Kind::request;
  llhttp_init(llhttp_in(llhttp_), is_request ? HTTP_REQUEST : HTTP_RESPONSE,
              is_request ? &request_settings : &response_settings);
  if (trailers_) trailers_->clear();
  method_ = start_text_ = field_name_ = {};
  bytes_ = 0;
  status_ = 0;
  has_version_ = false;
  phase_ = is_request ? Phase::method : Phase::head;
}

Parser::Stop Parser::refuse(Refusal reason) {
  refusal_ = reason;
  return Stop::refused;
}

Parser::Stop Parser::skip_empty_lines(ByteReader& in) {
  while (!in.empty()) {
    const uint8_t byte = in.rest().front();
    if (after_cr_ && byte != '\n') return refuse(Refusal::bare_cr);
    if (!after_cr_ && byte == '\n') return refuse(Refusal::bare_lf);
    if (!after_cr_ && byte != '\r') {
      empty_lines_ = 0;
      return Stop::head;
    }
    if (after_cr_ && ++empty_lines_ > limits::http_empty_lines_max) return refuse(Refusal::empty_lines);
    after_cr_ = !after_cr_;
    (void)in.u8();
  }
  return Stop::need_more;
}

/// The method, which llhttp would only know from its own list. Leaves the space behind it to llhttp.
Parser::Stop Parser::read_method(ByteReader& in, Headers& headers) {
  const auto rest = in.rest();
  size_t size = 0;
  while (size < rest.size() && token_table[rest[size]]) ++size;
  if (method_.size + size > limits::http_method_bytes_max) return refuse(Refusal::method_too_long);
  const Slice added = headers.append(as_text(rest.first(size)));
  if (method_.size == 0) method_.at = added.at;
  method_.size += added.size;
  bytes_ += added.size;
  (void)in.bytes(size);
  if (in.empty()) return Stop::need_more;
  if (method_.size == 0) return refuse(Refusal::not_http);
  if (in.rest().front() != ' ') return refuse(Refusal::bad_method);

  // What a target may look like depends on CONNECT alone; to llhttp every other method is PUT, which unlike
  // GET and POST it refuses in RTSP and ICE requests.
  const std::string_view stand_in = headers.text(method_) == "CONNECT" ? "CONNECT" : "PUT";
  SLUICE_CHECK(llhttp_execute(llhttp_in(llhttp_), stand_in.data(), stand_in.size()) == HPE_OK);
  start_text_ = {static_cast<uint32_t>(headers.arena_bytes()), 0};
  phase_ = Phase::head;
  return Stop::head;
}

Parser::Stop Parser::run(ByteReader& in, Headers& headers) {
  headers_ = &headers;
  if (headers.arena_bytes() == 0) {
    headers.reserve(std::clamp(in.left(), arena_bytes_at_once, arena_bytes_guessed_max));
  }
  if (phase_ == Phase::method) {
    const Stop stop = read_method(in, headers);
    if (stop != Stop::head) return stop;
  }
  while (!in.empty()) {
    const Stop stop = execute(in);
    if (stop != Stop::need_more) return stop;
  }
  return Stop::need_more;
}

/// How much llhttp may take before it must have reached the next event.
size_t Parser::allowance() const {
  switch (phase_) {
    case Phase::method:
    case Phase::head:
      return limits::http_head_bytes_max - bytes_;
    case Phase::chunk_line:
      return limits::http_chunk_line_bytes_max - bytes_;
    case Phase::trailers:
      return limits::http_trailer_bytes_max - bytes_;
    case Phase::chunk_data:
      return SIZE_MAX;
  }
  return 0;
}

Refusal Parser::refusal_past_allowance() const {
  switch (phase_) {
    case Phase::method:
    case Phase::head:
      break;
    case Phase::chunk_line:
      return Refusal::chunk_line_too_long;
    case Phase::trailers:
    case Phase::chunk_data:
      return Refusal::trailers_too_large;
  }
  return kind_ == Kind::request && !has_version_ ? Refusal::target_too_long : Refusal::head_too_large;
}

Refusal Parser::refusal_in(std::span<const uint8_t> piece) {
  llhttp_t* const llhttp = llhttp_in(llhttp_);
  const Row row = row_of(llhttp_get_errno(llhttp), llhttp_get_error_reason(llhttp));
  const char* const at = llhttp_get_error_pos(llhttp) - (row.points == Points::behind_it ? 1 : 0);
  const bool is_inside = at >= chars(piece) && at < chars(piece) + piece.size();
  const bool is_known = row.points != Points::elsewhere && is_inside;
  const Refusal refusal = is_known ? by_byte(row.refusal, static_cast<uint8_t>(*at)) : row.refusal;
  if (!has_version_) {
    const bool is_start = refusal == Refusal::bad_start_line || refusal == Refusal::bad_target;
    if (kind_ == Kind::response) return refusal == Refusal::bad_start_line ? Refusal::not_http : refusal;
    return is_start ? refusal : Refusal::bad_version;  // a header field already: HTTP/0.9
  }
  return phase_ == Phase::trailers && is_about_framing(refusal) ? Refusal::bad_trailer : refusal;
}

Parser::Stop Parser::execute(ByteReader& in) {
  llhttp_t* const llhttp = llhttp_in(llhttp_);
  llhttp->data = this;
  stop_ = Stop::need_more;
  const Phase before = phase_;
  const auto piece = in.rest().first(std::min(in.left(), allowance()));
  const llhttp_errno_t error = llhttp_execute(llhttp, chars(piece), piece.size());
  if (stop_ == Stop::refused) return Stop::refused;

  size_t taken = piece.size();
  if (error == HPE_PAUSED) {
    taken = static_cast<size_t>(llhttp_get_error_pos(llhttp) - chars(piece));
    llhttp_resume(llhttp);
  } else if (error != HPE_OK) {
    return refuse(refusal_in(piece));
  }
  SLUICE_CHECK(taken <= piece.size());
  (void)in.bytes(taken);
  bytes_ = phase_ == before && phase_ != Phase::chunk_data ? bytes_ + static_cast<uint32_t>(taken) : 0;
  if (stop_ == Stop::need_more && allowance() == 0) return refuse(refusal_past_allowance());
  return stop_;
}

const Headers& Parser::trailers() const {
  static const Headers none;
  return trailers_ ? *trailers_ : none;
}

size_t Parser::bytes_held() const { return trailers_ ? sizeof(Headers) + trailers_->bytes_held() : 0; }

}  // namespace sluice::http
