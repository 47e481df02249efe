#include "config/syntax_hint.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>

namespace sluice::config {
namespace {

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") + 1 - first);
}

std::string_view line_of(std::string_view text, uint32_t number) {
  for (uint32_t line = 1; line < number; ++line) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) return {};
    text.remove_prefix(end + 1);
  }
  return text.substr(0, text.find('\n'));
}

// Where the character of a column begins, in bytes.
size_t byte_of(std::string_view line, uint32_t column) {
  size_t byte = 0;
  for (uint32_t seen = 1; byte < line.size(); ++byte) {
    if ((static_cast<uint8_t>(line[byte]) & 0xc0) == 0x80) continue;  // inside a UTF-8 sequence
    if (seen++ == column) break;
  }
  return byte;
}

struct Place {
  std::string_view text;     // the document
  std::string_view line;     // without its end
  uint32_t number = 0;       // of the line
  size_t byte = 0;           // in the line; its size: at the end
  std::string_view message;  // the parser's
};

std::string hint_of_encoding(std::string_view text, std::string_view message) {
  const bool has_mark = text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff");
  const bool has_zeros = text.size() >= 2 && (text[0] == '\0') != (text[1] == '\0');
  if (has_mark || has_zeros) return "; this file is UTF-16: save it as UTF-8";
  return contains(message, "invalid utf-8") ? "; save the file as UTF-8" : "";
}

std::string hint_of_characters(const Place& place) {
  if (contains(place.message, "saw '\\u00A0'")) return "; this is a no-break space: write a plain one";
  if (contains(place.message, "expected space or tab, saw '\\u"))
    return "; this only looks like a space: write a plain one";
  const bool of_string = contains(place.message, "control characters") ||
                         contains(place.message, "determine value") ||
                         contains(place.message, "expected '=', saw");
  const std::string_view code = place.line.substr(0, place.line.find('#'));
  for (const std::string_view quote : {"“", "”", "„", "‘", "’", "‚", "«", "»", "″"})
    if (of_string && contains(code, quote))
      return fmt::format("; {} is no quote here: write straight ones, \"…\"", quote);
  const std::string_view rest = place.line.substr(std::min(place.byte, place.line.size()));
  if (contains(place.message, "saw '/'") && rest.starts_with("//")) return "; a comment begins with #";
  if (contains(place.message, "saw ';'"))
    return place.byte == place.line.find_first_not_of(" \t") ? "; a comment begins with #"
                                                             : "; a line ends without ;";
  return "";
}

std::string hint_of_string(const Place& place) {
  if (contains(place.message, "escape sequence") || contains(place.message, "unicode scalar")) {
    const size_t quote = place.line.substr(0, place.byte).rfind('"');
    const size_t end = quote == std::string_view::npos ? quote : place.line.find('"', place.byte);
    const std::string_view inside = end == std::string_view::npos
                                        ? std::string_view(R"(re:\d+)")
                                        : place.line.substr(quote + 1, end - quote - 1);
    return fmt::format(
        "; in double quotes a backslash is written twice; single quotes take it as it is: '{}'", inside);
  }
  const bool at_end = trimmed(place.line.substr(std::min(place.byte, place.line.size()))).empty();
  return contains(place.message, "control characters") && at_end ? "; the closing quote is missing" : "";
}

// The name in "cannot redefine existing array 'lan'".
std::string_view quoted_in(std::string_view message) {
  const size_t first = message.find('\'');
  const size_t last = message.find('\'', first + 1);
  return first == std::string_view::npos || last == std::string_view::npos
             ? std::string_view()
             : message.substr(first + 1, last - first - 1);
}

// The last line above `number` of which `is_it` is true; 0: none.
template <class IsIt>
uint32_t line_above(std::string_view text, uint32_t number, IsIt&& is_it) {
  uint32_t found = 0;
  for (uint32_t line = 1; line < number && !text.empty(); ++line) {
    const size_t end = text.find('\n');
    if (is_it(trimmed(text.substr(0, end)))) found = line;
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return found;
}

// A header without its comment and the spaces inside: "[ tls ] # x" is "[tls]".
std::string header_of(std::string_view line) {
  if (!line.starts_with('[')) return "";
  std::string header(line.substr(0, line.find('#')));
  std::erase_if(header, [](char c) { return c == ' ' || c == '\t'; });
  return header;
}

std::string hint_of_second(const Place& place) {
  if (!contains(place.message, "redefine existing")) return "";
  const std::string_view name = quoted_in(place.message);
  if (contains(place.message, "table header")) {
    const std::string header = fmt::format("[{}]", name);
    const uint32_t line =
        line_above(place.text, place.number, [&](std::string_view l) { return header_of(l) == header; });
    if (line == 0) {
      const uint32_t dotted = line_above(place.text, place.number, [&](std::string_view l) {
        return l.starts_with(fmt::format("{}.", name));
      });
      return dotted == 0
                 ? ""
                 : fmt::format("; line {} has a key of it, {}.…: put that below [{}]", dotted, name, name);
    }
    return contains(place.message, "array-of-tables")
               ? fmt::format("; line {} has [{}]: write [[{}]] there, too", line, name, name)
               : fmt::format("; [{}] is there already, in line {}: put the keys there", name, line);
  }
  const uint32_t line = line_above(place.text, place.number, [&](std::string_view l) {
    return l.starts_with(name) && trimmed(l.substr(name.size())).starts_with('=');
  });
  const uint32_t header =
      line_above(place.text, place.number, [](std::string_view l) { return l.starts_with('['); });
  return line > header ? fmt::format("; '{}' is there already, in line {}", name, line) : "";
}

std::string hint_of_header(const Place& place) {
  if (!contains(place.message, "table header: expected") || !place.line.starts_with('[')) return "";
  std::string name(place.line.substr(0, place.line.find('#')));
  std::erase_if(name, [](char c) { return c == '[' || c == ']' || c == ' ' || c == '\t' || c == '\r'; });
  const bool is_name =
      !name.empty() && name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_.") == std::string::npos;
  if (!is_name) return "";
  return name.ends_with(".rules") ? fmt::format("; write [[{}]]", name) : fmt::format("; write [{}]", name);
}

std::string hint_of_braces(const Place& place) {
  if (!contains(place.message, "inline table")) {
    return contains(place.message, "parsing array: encountered end-of-file") ? "; a closing ] is missing"
                                                                             : "";
  }
  if (contains(place.message, "dangling comma")) return "; leave the last comma out";
  if (!contains(place.message, "saw '\\n'") && !contains(place.message, "saw '\\r") &&
      !contains(place.message, "saw '#'") && !contains(place.message, "end-of-file"))
    return "";
  const std::string_view key = trimmed(place.line.substr(0, place.line.find('=')));
  if (key == "when")
    return "; braces stay on one line: close them there, or write a line for each, when.host = …, when.port "
           "= …";
  return "; braces stay on one line: close them there";
}

// The value at the place, from what is in front of it to what is behind: "8000-8100".
std::string_view bare_value(const Place& place) {
  size_t start = place.line.substr(0, place.byte).find_last_of("=,[{");
  start = start == std::string_view::npos ? 0 : start + 1;
  // Addresses of IPv6 in brackets would end here; they begin with one, so nothing is lost.
  const size_t end = std::min(place.line.find_first_of(",]}#;", start), place.line.size());
  return trimmed(place.line.substr(start, end - start));
}

std::string hint_of_value(const Place& place) {
  constexpr std::array<std::string_view, 8> of_value = {
      "parsing value", "parsing boolean", "parsing floating-point", "decimal integer",
      "parsing date",  "parsing time",    "parsing date-time",      "key-value pair: expected a comment"};
  if (std::none_of(of_value.begin(), of_value.end(),
                   [&](std::string_view part) { return contains(place.message, part); }) ||
      contains(place.message, "hexadecimal") || contains(place.message, "leading zeroes"))
    return "";
  const std::string_view value = bare_value(place);
  if (value.empty() || value.size() > 100 || value.find_first_of("\"'=\\") != std::string_view::npos)
    return "";
  for (const std::string_view yes : {"yes", "Yes", "YES", "on", "On", "ON", "True", "TRUE"})
    if (value == yes) return "; write true";
  for (const std::string_view no : {"no", "No", "NO", "off", "Off", "OFF", "False", "FALSE"})
    if (value == no) return "; write false";
  return fmt::format("; write it in quotes: \"{}\"", value);
}

}  // namespace

std::string syntax_hint(std::string_view text, rules::Position at, std::string_view message) {
  if (std::string hint = hint_of_encoding(text, message); !hint.empty()) return hint;
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);  // a byte order mark counts for no column
  std::string_view line = line_of(text, at.line);
  if (line.ends_with('\r')) line.remove_suffix(1);
  const Place place{text, line, at.line, byte_of(line, at.column), message};
  for (const auto hint_of :
       {hint_of_characters, hint_of_string, hint_of_second, hint_of_header, hint_of_braces, hint_of_value})
    if (std::string hint = hint_of(place); !hint.empty()) return hint;
  return "";
}

}  // namespace sluice::config
