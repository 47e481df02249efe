#include "http/write.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <iterator>

#include "base/check.h"
#include "base/limits.h"
#include "http/framing.h"

namespace sluice::http {

namespace {

// What is written beside the arena's text: start line, Connection, framing, and four characters per field.
constexpr size_t beside_text_bytes = 192;

void put_field(std::string& out, std::string_view name, std::string_view value) {
  const size_t at = out.size();
  out.resize(at + name.size() + value.size() + 4);
  char* to = std::copy(name.begin(), name.end(), out.data() + at);
  *to++ = ':';
  *to++ = ' ';
  to = std::copy(value.begin(), value.end(), to);
  *to++ = '\r';
  *to = '\n';
}

void put_number_field(std::string& out, std::string_view name, uint64_t value) {
  std::array<char, 20> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  put_field(out, name, {digits.data(), static_cast<size_t>(end - digits.data())});
}

/// Fields for the recipient at the end, which Connection may not name (RFC 9110 section 7.6.1). Obeyed, it
/// would take away what the rules have judged the message by: without its Content-Encoding a body is another
/// one.
bool is_end_to_end(std::string_view name) {
  constexpr std::string_view content = "content-";
  if (name.size() > content.size() && begins_with_letters(name, content)) return true;
  constexpr std::string_view others[] = {"accept",
                                         "accept-encoding",
                                         "accept-ranges",
                                         "access-control-allow-origin",
                                         "age",
                                         "authorization",
                                         "cache-control",
                                         "cookie",
                                         "date",
                                         "etag",
                                         "expect",
                                         "expires",
                                         "host",
                                         "if-match",
                                         "if-modified-since",
                                         "if-none-match",
                                         "if-range",
                                         "if-unmodified-since",
                                         "last-modified",
                                         "location",
                                         "origin",
                                         "pragma",
                                         "range",
                                         "referer",
                                         "refresh",
                                         "server",
                                         "set-cookie",
                                         "strict-transport-security",
                                         "user-agent",
                                         "vary",
                                         "www-authenticate",
                                         "x-content-type-options",
                                         "x-frame-options"};
  return std::any_of(std::begin(others), std::end(others), [name](auto it) { return same_name(it, name); });
}

/// The names in Connection that are fields to be left out. The four that mean something themselves, and what
/// is meant for the other end, are not among them.
class Listed {
 public:
  explicit Listed(const Headers& headers) {
    for (size_t i = 0; i < headers.size(); ++i) {
      if (headers[i].known == Name::connection)
        for_each_token(headers[i].value, [this](auto it) { add(it); });
    }
  }
  [[nodiscard]] bool has(std::string_view name) const {
    const auto known = std::span(names_).first(count_);
    return std::any_of(known.begin(), known.end(), [name](auto it) { return same_name(it, name); });
  }

 private:
  void add(std::string_view name) {
    const bool is_option = same_name(name, "close") || same_name(name, "keep-alive");
    if (is_option || is_end_to_end(name) || count_ == names_.size()) return;  // more are refused by settle()
    names_[count_++] = name;
  }
  std::array<std::string_view, limits::http_connection_options_max> names_;
  size_t count_ = 0;
};

/// What this hop says in Connection, in the order in which browsers do.
struct Options {
  bool close = false;
  bool keep_alive = false;
  bool upgrade = false;
  bool te = false;

  [[nodiscard]] bool empty() const { return !close && !keep_alive && !upgrade && !te; }
};

void put_connection(std::string& out, std::string_view name, const Options& options) {
  if (options.empty()) return;
  std::array<char, 40> value;  // "keep-alive, Upgrade, TE" and less
  char* to = value.data();
  const auto add = [&](bool is_set, std::string_view option) {
    if (!is_set) return;
    if (to != value.data()) *to++ = ',', *to++ = ' ';
    to = std::copy(option.begin(), option.end(), to);
  };
  add(options.close, "close");
  add(options.keep_alive && !options.close, "keep-alive");
  add(options.upgrade, "Upgrade");
  add(options.te, "TE");
  put_field(out, name, {value.data(), static_cast<size_t>(to - value.data())});
}

/// Upgrade without the protocols that may not be upgraded to.
void put_upgrade(std::string& out, const Header& header) {
  std::string kept;
  for_each_token(header.value, [&](std::string_view protocol) {
    if (!may_upgrade_to(protocol)) return;
    if (!kept.empty()) kept += ", ";
    kept += protocol;
  });
  if (!kept.empty()) put_field(out, header.name, kept);
}

bool offers_upgrade(const Headers& headers) {
  bool offers = false;
  for (size_t i = 0; i < headers.size(); ++i) {
    if (headers[i].known != Name::upgrade) continue;
    for_each_token(headers[i].value, [&](std::string_view it) { offers = offers || may_upgrade_to(it); });
  }
  return offers;
}

/// What a message says once, and has perhaps said already at the place where it stood.
struct Hop {
  Options options;
  bool upgrade = false;
  bool trailers_wanted = false;
  Framing framing = Framing::none;
  bool length_written_too =
      false;  // with Framing::none: Content-Length of a body that is not sent (HEAD, 304)
  uint64_t content_length = 0;
  std::string_view host;  // replaces Host, unless empty

  bool connection_done = false;
  bool framing_done = false;
  bool te_done = false;

  [[nodiscard]] bool has_length() const { return framing == Framing::length || length_written_too; }
};

void put_framing(std::string& out, const Header& header, Hop& hop) {
  if (hop.framing_done) return;
  if (header.known == Name::content_length && hop.has_length()) {
    put_number_field(out, header.name, hop.content_length);
    hop.framing_done = true;
  }
  if (header.known == Name::transfer_encoding && hop.framing == Framing::chunked) {
    put_field(out, header.name, "chunked");
    hop.framing_done = true;
  }
}

void put_header(std::string& out, const Header& header, const Listed& listed, Hop& hop) {
  switch (header.known) {
    case Name::connection:
      if (!hop.connection_done) put_connection(out, header.name, hop.options);
      hop.connection_done = true;
      return;
    case Name::content_length:
    case Name::transfer_encoding:
      return put_framing(out, header, hop);
    case Name::te:
      if (hop.trailers_wanted && !hop.te_done) put_field(out, header.name, "trailers");
      hop.te_done = true;
      return;
    case Name::upgrade:
      if (hop.upgrade) put_upgrade(out, header);
      return;
    case Name::host:
      return put_field(out, header.name, hop.host.empty() ? header.value : hop.host);
    case Name::keep_alive:
    case Name::proxy_connection:
      return;
    case Name::other:
    case Name::accept:
    case Name::content_type:
    case Name::expect:
    case Name::trailer:
      if (!listed.has(header.name)) put_field(out, header.name, header.value);
      return;
  }
}

/// The fields and the empty line; what had no place of its own comes last.
void put_headers(std::string& out, const Headers& headers, Hop& hop) {
  const Listed listed(headers);
  for (size_t i = 0; i < headers.size(); ++i) put_header(out, headers[i], listed, hop);
  if (!hop.framing_done && hop.framing == Framing::length) {
    put_number_field(out, "Content-Length", hop.content_length);
  }
  if (!hop.framing_done && hop.framing == Framing::chunked) put_field(out, "Transfer-Encoding", "chunked");
  if (!hop.connection_done) put_connection(out, "Connection", hop.options);
  out.append("\r\n");
}

void reserve(std::string& out, const Headers& headers, size_t more) {
  const size_t needed = out.size() + headers.arena_bytes() + 4 * headers.size() + beside_text_bytes + more;
  if (needed > out.capacity()) out.reserve(std::max(needed, 2 * out.capacity()));
}

/// RFC 9110 section 6.5.1: trailers are merged into what is known of a message only where that cannot
/// mislead.
bool may_trail(const Header& header) {
  if (header.known != Name::other) return false;
  constexpr std::string_view never[] = {"authorization",
                                        "cache-control",
                                        "content-encoding",
                                        "content-range",
                                        "cookie",
                                        "location",
                                        "max-forwards",
                                        "proxy-authenticate",
                                        "range",
                                        "set-cookie",
                                        "vary",
                                        "www-authenticate",
                                        "age",
                                        "proxy-authorization"};
  return std::none_of(std::begin(never), std::end(never),
                      [&](auto it) { return same_name(it, header.name); });
}

}  // namespace

void write_head(const RequestHead& head, std::string& out) {
  reserve(out, head.headers, head.target_authority().size());
  out.append(head.method());
  out.push_back(' ');
  out.append(head.target());
  out.append(head.version_minor == 0 ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n");
  Hop hop;
  hop.options.close = !head.keep_alive && head.version_minor != 0;
  hop.options.keep_alive = head.keep_alive && (head.connection_named || head.version_minor == 0);
  hop.options.upgrade = hop.upgrade = head.upgrade;
  hop.options.te = hop.trailers_wanted = head.trailers_wanted && head.version_minor != 0;
  hop.framing = head.framing;
  hop.content_length = head.content_length;
  hop.host = head.target_authority();
  put_headers(out, head.headers, hop);
}

Framing write_head(const ResponseHead& head, std::string& out, const ResponseWriting& how) {
  reserve(out, head.headers, 0);
  const bool is_old = how.client_version_minor == 0;
  const Framing framing = is_old && head.framing == Framing::chunked ? Framing::until_close : head.framing;
  const bool close = how.close || !head.keep_alive || framing == Framing::until_close;

  fmt::format_to(std::back_inserter(out), "HTTP/1.{} {} ", head.version_minor, head.status);
  out.append(head.reason());
  out.append("\r\n");
  Hop hop;
  // 1xx say nothing of the connection's end, and 101 ends its being HTTP.
  const bool is_about_connection = head.status >= 200 && !head.upgraded;
  hop.options.close = close && is_about_connection;
  hop.options.keep_alive =
      !close && is_about_connection && (head.connection_named || head.version_minor == 0 || is_old);
  // Apache offers h2c in every first response: only where the status gives it a meaning is Upgrade for the
  // client.
  hop.upgrade = (head.status == 101 || head.status == 426) && offers_upgrade(head.headers);
  hop.options.upgrade = hop.upgrade;
  hop.framing = framing;
  hop.content_length = head.content_length;
  hop.length_written_too =
      framing == Framing::none && head.status >= 200 && head.status != 204 && !head.upgraded;
  put_headers(out, head.headers, hop);
  return framing;
}

void BodyWriter::count_plain(size_t bytes) {
  if (framing_ != Framing::length) return;
  SLUICE_CHECK(bytes <= left_);
  left_ -= bytes;
}

void BodyWriter::body(std::span<const uint8_t> bytes, std::string& out) {
  if (bytes.empty()) return;  // an empty chunk would be the last one
  SLUICE_CHECK(framing_ != Framing::none);
  if (is_plain()) {
    count_plain(bytes.size());
    out.append(as_text(bytes));
    return;
  }
  std::array<char, 18> line;  // 16 digits and CRLF
  char* end = std::to_chars(line.data(), line.data() + 16, bytes.size(), 16).ptr;
  *end++ = '\r';
  *end++ = '\n';
  out.append(line.data(), static_cast<size_t>(end - line.data()));
  out.append(as_text(bytes));
  out.append("\r\n");
}

bool BodyWriter::end(const Headers& trailers, std::string& out) {
  if (framing_ != Framing::chunked) return left_ == 0;
  out.append("0\r\n");
  for (size_t i = 0; i < trailers.size(); ++i) {
    if (may_trail(trailers[i])) put_field(out, trailers[i].name, trailers[i].value);
  }
  out.append("\r\n");
  return true;
}

}  // namespace sluice::http
