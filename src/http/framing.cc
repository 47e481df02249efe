#include "http/framing.h"

#include <array>

#include "base/limits.h"
#include "http/authority.h"

namespace sluice::http {

namespace {

constexpr uint64_t length_max = INT64_MAX;

/// What the header fields say of framing and of the connection, before any of it is believed.
struct Said {
  uint8_t version_minor = 1;
  size_t lengths = 0;
  std::string_view length;
  size_t encodings = 0;
  size_t codings = 0;  // in all Transfer-Encoding fields
  bool ends_in_chunked = false;
  size_t chunked = 0;
  size_t hosts = 0;
  size_t options = 0;  // names in Connection
  bool close = false;
  bool keep_alive = false;
  bool option_upgrade = false;
  bool upgrade = false;  // to something that may be let through
  bool expects_continue = false;
  bool trailers_wanted = false;
};

void hear_connection(std::string_view value, Said& said) {
  for_each_token(value, [&](std::string_view token) {
    ++said.options;
    if (same_name(token, "close")) said.close = true;
    if (same_name(token, "keep-alive")) said.keep_alive = true;
    if (same_name(token, "upgrade")) said.option_upgrade = true;
  });
}

void hear_encoding(std::string_view value, Said& said) {
  ++said.encodings;
  for_each_token(value, [&](std::string_view coding) {
    ++said.codings;
    said.ends_in_chunked = same_name(coding, "chunked");
    if (said.ends_in_chunked) ++said.chunked;
  });
}

void hear(const Header& header, Said& said) {
  switch (header.known) {
    case Name::connection:
      return hear_connection(header.value, said);
    case Name::transfer_encoding:
      return hear_encoding(header.value, said);
    case Name::content_length:
      ++said.lengths;
      said.length = header.value;
      return;
    case Name::host:
      ++said.hosts;
      return;
    case Name::upgrade:
      for_each_token(header.value, [&](std::string_view it) { said.upgrade |= may_upgrade_to(it); });
      return;
    case Name::expect:
      for_each_token(header.value,
                     [&](std::string_view it) { said.expects_continue |= same_name(it, "100-continue"); });
      return;
    case Name::te:
      for_each_token(header.value,
                     [&](std::string_view it) { said.trailers_wanted |= same_name(it, "trailers"); });
      return;
    case Name::other:
    case Name::accept:
    case Name::content_type:
    case Name::keep_alive:
    case Name::proxy_connection:
    case Name::trailer:
      return;
  }
}

Said listen(const Headers& headers, uint8_t version_minor) {
  Said said;
  said.version_minor = version_minor;
  for (size_t i = 0; i < headers.size(); ++i) hear(headers[i], said);
  return said;
}

std::optional<Refusal> read_length(std::string_view text, uint64_t& length) {
  if (text.empty()) return Refusal::bad_length;
  length = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return Refusal::bad_length;
  }
  for (const char c : text) {
    const auto digit = static_cast<uint64_t>(c - '0');
    if (length > (length_max - digit) / 10) return Refusal::body_too_large;
    length = length * 10 + digit;
  }
  return std::nullopt;
}

/// RFC 9112 section 6.3, read strictly: `framing` becomes chunked, length or none ("nothing was said").
std::optional<Refusal> settle_framing(const Said& said, Framing& framing, uint64_t& length) {
  if (said.encodings != 0 && said.lengths != 0) return Refusal::length_and_encoding;
  if (said.encodings != 0) {
    if (said.version_minor == 0) return Refusal::encoding_in_http_1_0;
    if (!said.ends_in_chunked || said.chunked != 1) return Refusal::bad_encoding;
    if (said.codings != 1) return Refusal::unknown_encoding;
    framing = Framing::chunked;
    return std::nullopt;
  }
  if (said.lengths > 1) return Refusal::duplicate_length;
  if (said.lengths == 0) return std::nullopt;
  framing = Framing::length;
  return read_length(said.length, length);
}

bool keeps_alive(const Said& said) { return !said.close && (said.version_minor != 0 || said.keep_alive); }

/// Characters that no target has (RFC 3986 section 2), in case the parser lets them through. Bytes above 0x7f
/// are not allowed there either, but are sent and understood.
bool has_bad_character(std::string_view target) {
  for (const char c : target) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte <= 0x20 || byte == 0x7f || byte == '#') return true;
  }
  return target.empty();
}

/// Remembers the host of `authority` as the request's.
bool take_host(RequestHead& head, std::string_view authority) {  // which may lie in the arena that grows here
  HostBuffer buffer;
  const auto parsed = parse_authority(authority, buffer);
  if (!parsed) return false;
  head.set_host(head.headers.append(parsed->host));
  head.port = parsed->port;
  return true;
}

/// "http://example.com/path": the authority here is the one that counts, whatever Host says (RFC 9112
/// section 3.2.2).
std::optional<Refusal> settle_absolute(RequestHead& head) {
  const std::string_view target = head.target();
  const size_t colon = target.find("://");
  if (colon == std::string_view::npos) return Refusal::bad_target;
  const std::string_view scheme = target.substr(0, colon);
  head.scheme = same_name(scheme, "http")    ? Scheme::http
                : same_name(scheme, "https") ? Scheme::https
                                             : Scheme::none;
  if (head.scheme == Scheme::none) return Refusal::bad_target;
  const size_t begin = colon + 3;
  const size_t end = std::min(target.find_first_of("/?", begin), target.size());
  const std::string authority(target.substr(begin, end - begin));  // the arena moves when it grows
  if (authority.find('@') != std::string::npos) return Refusal::userinfo_in_target;

  const auto part = [&](size_t from, size_t to) {
    return Slice{static_cast<uint32_t>(head.target_slice().at + from), static_cast<uint32_t>(to - from)};
  };
  Slice path = part(end, target.size());
  if (path.size == 0 || target[end] != '/') {
    const std::string rooted = "/" + std::string(target.substr(end));
    path = head.headers.append(rooted);
  }
  head.target_form = TargetForm::absolute;
  head.set_target_parts(part(begin, end), path);
  return take_host(head, authority) ? std::nullopt : std::optional(Refusal::bad_target);
}

/// "example.com:443", of CONNECT alone. The port must be there.
std::optional<Refusal> settle_authority(RequestHead& head) {
  head.target_form = TargetForm::authority;
  const std::string authority(head.target());
  if (authority.find('@') != std::string::npos) return Refusal::userinfo_in_target;
  if (!take_host(head, authority) || head.port == 0) return Refusal::bad_target;
  head.set_target_parts(head.target_slice(), {});
  return std::nullopt;
}

std::optional<Refusal> settle_target(RequestHead& head) {
  const std::string_view target = head.target();
  if (target.size() > limits::http_target_bytes_max) return Refusal::target_too_long;
  if (has_bad_character(target)) return Refusal::bad_target;
  if (head.method() == "CONNECT") return settle_authority(head);
  if (target.front() == '/') return std::nullopt;
  if (target != "*") return settle_absolute(head);
  if (head.method() != "OPTIONS") return Refusal::bad_target;
  head.target_form = TargetForm::asterisk;
  return std::nullopt;
}

/// Host must be there and must be readable even where the target has the last word.
std::optional<Refusal> settle_host(RequestHead& head, const Said& said) {
  if (said.hosts > 1) return Refusal::duplicate_host;
  if (said.hosts == 0) return said.version_minor == 0 ? std::nullopt : std::optional(Refusal::missing_host);
  const std::string_view host = *head.headers.find(Name::host);
  if (!head.target_authority().empty()) {
    HostBuffer buffer;
    return parse_authority(host, buffer) ? std::nullopt : std::optional(Refusal::bad_host);
  }
  return take_host(head, host) ? std::nullopt : std::optional(Refusal::bad_host);
}

bool is_text(std::string_view reason) {
  for (const char c : reason) {
    const auto byte = static_cast<uint8_t>(c);
    if ((byte < 0x20 && byte != '\t') || byte == 0x7f) return false;
  }
  return true;
}

}  // namespace

bool may_upgrade_to(std::string_view protocol) {
  const std::string_view name = protocol.substr(0, protocol.find('/'));
  return !same_name(name, "h2c") && !same_name(name, "h2") && !same_name(name, "http") &&
         !same_name(name, "tls");
}

std::optional<Refusal> settle(RequestHead& head) {
  const Said said = listen(head.headers, head.version_minor);
  if (said.options > limits::http_connection_options_max) return Refusal::too_many_options;
  if (const auto refusal = settle_framing(said, head.framing, head.content_length)) return refusal;
  head.keep_alive = keeps_alive(said);
  head.connection_named = said.keep_alive;
  head.expects_continue = said.version_minor != 0 && said.expects_continue;
  head.upgrade = said.version_minor != 0 && said.option_upgrade && said.upgrade;
  head.trailers_wanted = said.version_minor != 0 && said.trailers_wanted;
  if (const auto refusal = settle_target(head)) return refusal;
  return settle_host(head, said);
}

std::optional<Refusal> settle(ResponseHead& head, RequestKind request) {
  if (head.status < 100) return Refusal::bad_status;
  if (!is_text(head.reason())) return Refusal::bad_start_line;
  const Said said = listen(head.headers, head.version_minor);
  if (said.options > limits::http_connection_options_max) return Refusal::too_many_options;
  if (const auto refusal = settle_framing(said, head.framing, head.content_length)) return refusal;
  head.keep_alive = keeps_alive(said);
  head.connection_named = said.keep_alive;

  const bool is_switch = head.status == 101;
  if (is_switch && !(request.upgrade && said.upgrade)) return Refusal::unexpected_upgrade;
  head.upgraded = is_switch || (request.is_connect && head.status / 100 == 2);
  if (head.status < 200 || head.upgraded) head.keep_alive = true;  // they say nothing of the connection's end
  const bool is_bodiless = head.status < 200 || head.status == 204 || head.status == 304;
  if (is_bodiless || head.upgraded || request.is_head) {
    head.framing = Framing::none;
  } else if (head.framing == Framing::none) {
    head.framing = Framing::until_close;
    head.keep_alive = false;
  }
  return std::nullopt;
}

}  // namespace sluice::http
