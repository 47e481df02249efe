// Responses that the gateway makes itself: errors (400, 421, 502 …), block pages, redirects. Never cacheable,
// with the right length, without a body for HEAD, and understood by HTTP/1.0 clients. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/macro_text.h"
#include "http/head.h"

namespace sluice::http {

/// Whom it is for. Taken from the request when there is one; the defaults suit a request that could not be
/// read.
struct Audience {
  uint8_t version_minor = 1;
  bool is_head = false;     // the same head, no body
  bool wants_html = false;  // else short plain text
  bool keep_alive = false;  // else Connection: close. False when body bytes of the request will not be read
};
[[nodiscard]] Audience audience_of(const RequestHead& request);
/// Accept allows text/html, by the most specific range that matches (RFC 9110 section 12.5.1). No Accept:
/// everything is.
[[nodiscard]] bool accepts_html(const RequestHead& request);

/// The head and body of a response made here. `extra` is complete header lines, each with its CRLF
/// ("Location: …\r\n"), or empty; `content_type` likewise names its charset.
void write_response(std::string& out, const Audience& audience, uint16_t status,
                    std::string_view content_type, std::string_view body, std::string_view extra = {});
/// The built-in page: the status and its name as a title, then `text`, a sentence for people; as HTML or as
/// plain text. `text` need not be escaped.
void write_page(std::string& out, const Audience& audience, uint16_t status, std::string_view text);

/// A block page (S31). `page_template`: a text with macros that was checked when it was read, or empty for
/// the built-in page, which shows the values that are not empty. A client that does not accept HTML gets a
/// few lines of text.
void write_block_page(std::string& out, const Audience& audience, uint16_t status,
                      std::string_view page_template, const MacroValues& values);
/// 302 to a URL with macros (S31); what they stand for is percent-encoded. With a short body, for people
/// whose client does not follow.
void write_redirect_to(std::string& out, const Audience& audience, std::string_view to,
                       const MacroValues& values);

/// "Bad Gateway" for 502; "" when it is unknown.
[[nodiscard]] std::string_view reason_phrase(uint16_t status);

}  // namespace sluice::http
