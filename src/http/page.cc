#include "http/page.h"

#include <fmt/format.h>

#include <algorithm>
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

// The built-in page: no script, nothing from elsewhere, and nothing that may be framed, embedded or sent on
// from it.
constexpr std::string_view content_policy =
    "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; base-uri "
    "'none'\r\n";
// System colours would follow the scheme, too, but not all browsers' contrast is good; these have at least
// 7:1 in both.
constexpr std::string_view html_begin = R"(<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>)";
constexpr std::string_view html_style = R"(</title>
<style>
:root { color-scheme: light dark; --paper: #f4f5f7; --card: #fff; --ink: #1b1f24; --faint: #4a515a; --line: #d5d9de; --mark: #b3261e }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14171a; --card: #1e2226; --ink: #eef1f4; --faint: #b6bec7; --line: #3a4149; --mark: #ff8a80 }
}
* { box-sizing: border-box }
body { margin: 0; padding: 1.5rem; min-height: 100vh; display: grid; place-items: center; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif }
main { width: 100%; max-width: 40rem; padding: 1.5rem; background: var(--card); border: 1px solid var(--line);
  border-top: .3rem solid var(--mark); border-radius: .5rem }
h1 { margin: 0 0 .75rem; font-size: 1.5rem; line-height: 1.25 }
p { margin: 0 0 .75rem }
dl { margin: 1.25rem 0 0; border-top: 1px solid var(--line) }
dl > div { padding: .5rem 0; border-bottom: 1px solid var(--line) }
dt { color: var(--faint); font-size: .875rem }
dd { margin: 0; overflow-wrap: anywhere }
@media (min-width: 30rem) { dl > div { display: grid; grid-template-columns: 8rem 1fr; gap: 1rem } }
</style>
</head>
<body>
<main>
<h1>)";
constexpr std::string_view html_end = "</main>\n</body>\n</html>\n";

/// What the built-in page tells, in this order, of what there is to tell.
struct Line {
  std::string_view label;
  std::string_view MacroValues::*value;
};
constexpr Line lines[] = {{"Address", &MacroValues::url},
                          {"Host", &MacroValues::host},
                          {"Reason", &MacroValues::reason},
                          {"Rule", &MacroValues::rule},
                          {"Threat", &MacroValues::threat},
                          {"Category", &MacroValues::category},
                          {"Your address", &MacroValues::client_ip},
                          {"User", &MacroValues::user},
                          {"Gateway", &MacroValues::server}};

std::string moment(const MacroValues& values) {
  if (values.date.empty() || values.time.empty())
    return std::string(values.date.empty() ? values.time : values.date);
  return fmt::format("{} {}", values.date, values.time);
}

constexpr std::string_view html_type = "text/html; charset=utf-8";
constexpr std::string_view text_type = "text/plain; charset=utf-8";

constexpr std::string_view block_title = "This page is blocked";
constexpr std::string_view block_text = "The rules of this network do not allow what you asked for.";
constexpr std::string_view block_advice =
    "If you think that this is a mistake, tell the people who run this network what is written here.";

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
    body.append("</p>\n");
    body.append(html_end);
  } else {
    body = fmt::format("{}\n{}\n", title, text);
  }
  write_response(out, audience, status, audience.wants_html ? html_type : text_type, body,
                 audience.wants_html ? content_policy : std::string_view());
}

namespace {

std::string built_in_page(const MacroValues& values) {
  std::string body;
  for (const std::string_view part : {html_begin, block_title, html_style, block_title}) body.append(part);
  fmt::format_to(std::back_inserter(body), "</h1>\n<p>{}</p>\n<p>{}</p>\n<dl>\n", block_text, block_advice);
  const auto add = [&](std::string_view label, std::string_view value) {
    if (value.empty()) return;
    fmt::format_to(std::back_inserter(body), "<div><dt>{}</dt><dd>", label);
    append_macro_value(body, value, Escape::html);
    body.append("</dd></div>\n");
  };
  for (const Line& line : lines) add(line.label, values.*line.value);
  add("Time", moment(values));
  body.append("</dl>\n");
  body.append(html_end);
  return body;
}

std::string built_in_text(uint16_t status, const MacroValues& values) {
  std::string body = fmt::format("{} {}\n{}\n", status, reason_phrase(status), block_text);
  const auto add = [&](std::string_view label, std::string_view value) {
    if (value.empty()) return;
    fmt::format_to(std::back_inserter(body), "{}: ", label);
    append_macro_value(body, value, Escape::text);
    body += '\n';
  };
  for (const Line& line : lines) add(line.label, values.*line.value);
  add("Time", moment(values));
  return body;
}

}  // namespace

void write_block_page(std::string& out, const Audience& audience, uint16_t status,
                      std::string_view page_template, const MacroValues& values) {
  if (!audience.wants_html)
    return write_response(out, audience, status, text_type, built_in_text(status, values));
  if (page_template.empty())
    return write_response(out, audience, status, html_type, built_in_page(values), content_policy);
  std::string body;
  expand_macros(body, page_template, values, Escape::html);
  write_response(out, audience, status, html_type, body);
}

void write_redirect_to(std::string& out, const Audience& audience, std::string_view to,
                       const MacroValues& values) {
  std::string url;
  expand_macros(url, to, values, Escape::url);
  std::string body;
  if (audience.wants_html) {
    std::string escaped;
    append_html_escaped(escaped, url);
    body = fmt::format(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>302 Found</title></head>"
        "<body><p>Go to <a href=\"{0}\">{0}</a>.</p></body></html>\n",
        escaped);
  } else {
    body = fmt::format("Go to {}\n", url);
  }
  write_response(out, audience, 302, audience.wants_html ? html_type : text_type, body,
                 fmt::format("Location: {}\r\n", url));
}

}  // namespace sluice::http
