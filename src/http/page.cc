#include "http/page.h"

#include <fmt/format.h>

#include <iterator>

namespace sluice::http {

namespace {

struct Phrase {
  uint16_t status;
  std::string_view text;
};
// RFC 9110 section 15 and RFC 6585: those that a gateway has reason to send.
constexpr Phrase phrases[] = {
    {200, "OK"},
    {302, "Found"},
    {303, "See Other"},
    {307, "Temporary Redirect"},
    {400, "Bad Request"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {411, "Length Required"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
};

constexpr std::string_view html_begin =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
    "<meta name=\"viewport\" content=\"width=device-width\"><title>";
constexpr std::string_view html_style =
    "</title><style>body{font:1em/1.5 sans-serif;max-width:40em;margin:4em auto;padding:0 1em}</style></head>"
    "<body>\n<h1>";
constexpr std::string_view html_end = "</p>\n</body></html>\n";

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// ";q=0", ";q=0.0", ";q=0.000": not acceptable (RFC 9110 section 12.4.2).
bool is_refused(std::string_view parameters) {
  while (!parameters.empty()) {
    parameters.remove_prefix(1);  // the semicolon
    const size_t next = std::min(parameters.find(';'), parameters.size());
    const std::string_view parameter = trimmed(parameters.substr(0, next));
    parameters.remove_prefix(next);
    if (parameter.size() < 3 || !same_name(parameter.substr(0, 2), "q=")) continue;
    return parameter.substr(2).find_first_not_of("0.") == std::string_view::npos;
  }
  return false;
}

}  // namespace

std::string_view reason_phrase(uint16_t status) {
  for (const Phrase& phrase : phrases) {
    if (phrase.status == status) return phrase.text;
  }
  return {};
}

void append_html_escaped(std::string& out, std::string_view text) {
  for (const char c : text) {
    switch (c) {  // not an enum
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
}

bool accepts_html(const RequestHead& request) {
  constexpr std::string_view ranges[] = {"*/*", "text/*", "text/html"};
  bool has_accept = false;
  size_t closest = 0;  // index of the most specific range that was there, plus one
  bool is_accepted = false;
  for (size_t i = 0; i < request.headers.size(); ++i) {
    if (request.headers[i].known != Name::accept) continue;
    for_each_token(request.headers[i].value, [&](std::string_view element) {
      has_accept = true;
      const size_t end = std::min(element.find(';'), element.size());
      const std::string_view range = trimmed(element.substr(0, end));
      for (size_t rank = closest; rank < std::size(ranges); ++rank) {
        if (!same_name(range, ranges[rank])) continue;
        closest = rank + 1;
        is_accepted = !is_refused(element.substr(end));
      }
    });
  }
  return !has_accept || is_accepted;
}

Audience audience_of(const RequestHead& request) {
  const bool has_body = request.framing == Framing::chunked ||
                        (request.framing == Framing::length && request.content_length != 0);
  return {.version_minor = request.version_minor,
          .is_head = request.is_head(),
          .wants_html = accepts_html(request),
          .keep_alive = request.keep_alive && !has_body && !request.upgrade && !request.is_connect()};
}

void write_response(std::string& out, const Audience& audience, uint16_t status,
                    std::string_view content_type, std::string_view body, std::string_view extra) {
  fmt::format_to(std::back_inserter(out), "HTTP/1.1 {} {}\r\n", status, reason_phrase(status));
  if (!content_type.empty()) fmt::format_to(std::back_inserter(out), "Content-Type: {}\r\n", content_type);
  fmt::format_to(std::back_inserter(out), "Content-Length: {}\r\nCache-Control: no-store\r\n", body.size());
  // An HTTP/1.0 client that asked for it keeps the connection only if told so.
  out.append(!audience.keep_alive          ? "Connection: close\r\n"
             : audience.version_minor == 0 ? "Connection: keep-alive\r\n"
                                           : "");
  out.append(extra);
  out.append("\r\n");
  if (!audience.is_head) out.append(body);
}

void write_page(std::string& out, const Audience& audience, uint16_t status, std::string_view text) {
  const std::string title = fmt::format("{} {}", status, reason_phrase(status));
  std::string body;
  if (audience.wants_html) {
    body.append(html_begin);
    body.append(title);
    body.append(html_style);
    body.append(title);
    body.append("</h1>\n<p>");
    append_html_escaped(body, text);
    body.append(html_end);
  } else {
    body = fmt::format("{}\n{}\n", title, text);
  }
  write_response(out, audience, status,
                 audience.wants_html ? "text/html; charset=utf-8" : "text/plain; charset=utf-8", body);
}

}  // namespace sluice::http
