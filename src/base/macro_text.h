// Texts with macros, as %URL%: the page template and the URLs of redirects (S31). config checks them, http
// expands them.
//
// A macro is a name of capital letters and '_' between percent signs. "%%" is one percent sign. Any other '%'
// stands for itself, so that style sheets ("width: 50%;") and percent-encoded characters ("%20", "%C3%A4")
// need no care. Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace sluice {

/// What each macro stands for; views that the caller keeps alive during the call. Bytes from a peer may be in
/// them as they came.
struct MacroValues {
#define SLUICE_MACRO(member, name, meaning) std::string_view member;
#include "base/macros.def"
#undef SLUICE_MACRO
};

enum class Escape : uint8_t {
  html,  // for text and for quoted attributes: & < > " ' as references
  url,   // percent-encoded, all but unreserved characters (RFC 3986 section 2.3): for any part of a URL
  text   // as it is, for plain text
};

/// Appends `text` with its macros replaced. A value longer than limits::macro_value_bytes_max is cut;
/// characters that are unsafe to show, and bytes that are not UTF-8, become \xNN first (in URLs they are
/// encoded as they are). An unknown macro stays as it is: check with find_macro_fault() when the text is
/// read.
void expand_macros(std::string& out, std::string_view text, const MacroValues& values, Escape escape);
/// One value in that way.
void append_macro_value(std::string& out, std::string_view value, Escape escape);

struct MacroFault {
  size_t line = 1;  // both from 1, the column in characters
  size_t column = 1;
  std::string_view
      name;  // what stands between the percent signs; empty: there are more than limits::macros_max
};
/// The first macro that there is not.
[[nodiscard]] std::optional<MacroFault> find_macro_fault(std::string_view text);

[[nodiscard]] std::span<const std::string_view> macro_names();  // "URL" …, for suggestions
[[nodiscard]] std::string_view macro_meaning(size_t index);     // of macro_names()[index], for the docs

void append_html_escaped(std::string& out, std::string_view text);

}  // namespace sluice
