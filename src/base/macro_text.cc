#include "base/macro_text.h"

#include <algorithm>
#include <array>

#include "base/limits.h"
#include "base/utf8.h"

namespace sluice {

namespace {

constexpr std::array names = {
#define SLUICE_MACRO(member, name, meaning) std::string_view(name),
#include "base/macros.def"
#undef SLUICE_MACRO
};
constexpr std::array<std::string_view, names.size()> meanings = {
#define SLUICE_MACRO(member, name, meaning) meaning,
#include "base/macros.def"
#undef SLUICE_MACRO
};

constexpr bool is_capital(char c) { return c >= 'A' && c <= 'Z'; }
constexpr bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'); }
constexpr char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 0x20) : c; }

std::string_view value_of(std::string_view name, const MacroValues& values) {
#define SLUICE_MACRO(member, text, meaning) \
  if (name == text) return values.member;
#include "base/macros.def"
#undef SLUICE_MACRO
  return {};
}

bool is_macro(std::string_view name) { return std::find(names.begin(), names.end(), name) != names.end(); }

/// What stands between the '%' in front of `text` and the next one, if it could be meant as a macro: capital
/// letters, or a macro's name in any case. "AB" and the like is a percent-encoded character.
std::string_view macro_at(std::string_view text) {
  const size_t end = text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_", 1);
  if (end == std::string_view::npos || end == 1 || text[end] != '%') return {};
  const std::string_view name = text.substr(1, end - 1);
  if (name.size() == 2 && is_hex(name[0]) && is_hex(name[1])) return {};
  if (std::all_of(name.begin(), name.end(), [](char c) { return is_capital(c) || c == '_'; })) return name;
  std::string capitals(name);
  std::transform(capitals.begin(), capitals.end(), capitals.begin(), upper);
  return is_macro(capitals) ? name : std::string_view();
}

/// Calls `literal(text)` and `macro(name, its offset)` in turn.
template <class Literal, class Macro>
void for_each_piece(std::string_view text, Literal&& literal, Macro&& macro) {
  size_t at = 0;
  while (at < text.size()) {
    const size_t percent = std::min(text.find('%', at), text.size());
    if (percent != at) literal(text.substr(at, percent - at));
    if (percent == text.size()) return;
    const std::string_view rest = text.substr(percent);
    if (const std::string_view name = macro_at(rest); !name.empty()) {
      macro(name, percent);
      at = percent + name.size() + 2;
    } else {
      literal("%");
      at = percent + (rest.starts_with("%%") ? 2 : 1);
    }
  }
}

/// At most limits::macro_value_bytes_max bytes of it; no character is cut in two.
std::string_view cut(std::string_view value) {
  if (value.size() <= limits::macro_value_bytes_max) return value;
  size_t size = limits::macro_value_bytes_max;
  while (size > limits::macro_value_bytes_max - 4 && (static_cast<uint8_t>(value[size]) & 0xc0) == 0x80)
    --size;
  return value.substr(0, size);
}

void append_percent_encoded(std::string& out, std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  for (const char c : text) {
    const bool is_unreserved =
        is_capital(upper(c)) || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
    if (is_unreserved) {
      out += c;
    } else {
      const auto byte = static_cast<uint8_t>(c);
      out += {'%', digits[byte >> 4], digits[byte & 15]};
    }
  }
}

}  // namespace

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

void append_macro_value(std::string& out, std::string_view value, Escape escape) {
  const std::string_view shown = cut(value);
  switch (escape) {
    case Escape::html:
      append_html_escaped(out, printable(shown));
      break;
    case Escape::url:
      append_percent_encoded(out, shown);
      return;
    case Escape::text:
      out += printable(shown);
      break;
  }
  if (shown.size() < value.size()) out += "\u2026";
}

void expand_macros(std::string& out, std::string_view text, const MacroValues& values, Escape escape) {
  size_t count = 0;
  for_each_piece(
      text, [&](std::string_view literal) { out += literal; },
      [&](std::string_view name, size_t) {
        if (is_macro(name) && ++count <= limits::macros_max)
          return append_macro_value(out, value_of(name, values), escape);
        out += '%';
        out += name;
        out += '%';
      });
}

std::optional<MacroFault> find_macro_fault(std::string_view text) {
  std::optional<MacroFault> fault;
  size_t count = 0;
  for_each_piece(
      text, [](std::string_view) {},
      [&](std::string_view name, size_t at) {
        const bool is_too_many = ++count == limits::macros_max + 1;
        if (fault || (is_macro(name) && !is_too_many)) return;
        const std::string_view before = text.substr(0, at);
        const std::string_view line = before.substr(before.rfind('\n') + 1);  // npos + 1 is 0
        const auto is_first_byte = [](char c) { return (static_cast<uint8_t>(c) & 0xc0) != 0x80; };
        fault = MacroFault{1 + static_cast<size_t>(std::count(before.begin(), before.end(), '\n')),
                           1 + static_cast<size_t>(std::count_if(line.begin(), line.end(), is_first_byte)),
                           is_macro(name) ? std::string_view() : name};
      });
  return fault;
}

std::span<const std::string_view> macro_names() { return names; }
std::string_view macro_meaning(size_t index) { return meanings[index]; }

}  // namespace sluice
