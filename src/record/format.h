// A ConnectionRecord or RequestRecord as one line of text: JSON, CEF or key=value (S35).
//
// Pure and without allocation: it runs once per connection and per request on the worker's thread, into a
// buffer of the caller's. Whatever bytes a peer put into a name, the line is one line, valid UTF-8, and reads
// back as the fields that went in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "record/connection_record.h"
#include "record/request_record.h"

namespace sluice::record {

enum class Format : uint8_t { json, cef, key_value };

// A text field takes at most this much of a line, escapes included; a longer one is cut and ends in "…". The
// longest honest value is a host name (253 bytes).
inline constexpr size_t field_bytes_max = 1024;
// The same for a URL. Browsers and servers agree on some 8,000 bytes (RFC 9110 section 4.1).
inline constexpr size_t url_bytes_max = 8 * 1024;
// A connection: 17 text fields of 1,024 bytes (CEF has the action twice), and the keys, numbers and
// punctuation of a line: less than 2,048. A request: a URL of 8,192, 9 text fields, and the rest: less than
// 2,048.
inline constexpr size_t line_bytes_max = 19 * 1024;

/// Writes the line, its "\n" included, to the beginning of `out` and returns its length. It always fits.
///
/// Control characters, line separators, direction overrides and bytes that are not UTF-8 are escaped, the
/// last as the character of the same number: JSON and key=value write \u00NN. CEF has no such escape; there
/// they are the text \xNN.
[[nodiscard]] size_t format(const ConnectionRecord& record, Format format,
                            std::span<char, line_bytes_max> out);
[[nodiscard]] size_t format(const RequestRecord& record, Format format, std::span<char, line_bytes_max> out);

}  // namespace sluice::record
