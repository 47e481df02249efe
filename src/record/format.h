// A ConnectionRecord as one line of text: JSON, CEF or key=value (S35).
//
// Pure and without allocation: it runs once per connection on the worker's thread, into a buffer of the
// caller's. Whatever bytes a peer put into a name, the line is one line, valid UTF-8, and reads back as the
// fields that went in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "record/connection_record.h"

namespace sluice::record {

enum class Format : uint8_t { json, cef, key_value };

// A text field takes at most this much of a line, escapes included; a longer one is cut and ends in "…". The
// longest honest value is a host name (253 bytes).
inline constexpr size_t field_bytes_max = 1024;
// 16 text fields of 1,024 bytes, and the keys, numbers and punctuation of a line: less than 2,048.
inline constexpr size_t line_bytes_max = 18 * 1024;

/// Writes the line, its "\n" included, to the beginning of `out` and returns its length. It always fits.
///
/// Control characters, line separators, direction overrides and bytes that are not UTF-8 are escaped, the
/// last as the character of the same number: JSON and key=value write \u00NN. CEF has no such escape; there
/// they are the text \xNN.
[[nodiscard]] size_t format(const ConnectionRecord& record, Format format,
                            std::span<char, line_bytes_max> out);

}  // namespace sluice::record
