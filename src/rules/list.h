// List files: "@lists/x.txt" in plain, hosts and Adblock form.
//
//   plain    one entry a line, as it would stand in rules.toml
//   hosts    "0.0.0.0 name name …": every name; the usual entries for localhost are passed over
//   Adblock  "||host^": the host and every name under it. Lines that cannot be applied to a host name (URLs,
//   element
//            hiding, options such as $third-party) and exceptions (@@) are counted and left out.
//
// '#' starts a comment (';' too, in plain form; '!' in Adblock form). Pure: the text is an argument.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/ip.h"
#include "rules/host_pattern.h"

namespace sluice::rules {

enum class ListForm : uint8_t { plain, hosts, adblock };
[[nodiscard]] const char* to_string(ListForm form);

/// Whether an entry for `host` is meant as an address or a network rather than a name; it may still be a wrong one.
[[nodiscard]] bool may_be_network(std::string_view text);

/// What a file is that is no list of lines: "gzip", "HTML, a web page", "UTF-16"; null for text. From its first bytes.
[[nodiscard]] const char* other_than_text(std::string_view text);

/// The form of a list of hosts, from its text.
[[nodiscard]] ListForm form_of(std::string_view text);

/// Takes what a list holds, line by line.
class ListSink {
 public:
  virtual ~ListSink() = default;
  virtual void host(const HostPattern& pattern) = 0;
  virtual void network(const Cidr& network) = 0;
  /// Lines and columns count from 1; columns in bytes.
  virtual void problem(uint32_t line, uint32_t column, std::string message) = 0;
};

struct ListSummary {
  ListForm form = ListForm::plain;
  size_t entries = 0;
  size_t skipped = 0;               // Adblock lines that cannot be applied to a host name
  size_t exceptions = 0;            // Adblock lines that begin with @@
  uint32_t first_skipped_line = 0;  // of either kind; 0: none
};

/// A list of host patterns; addresses and networks in it match the destination (S20).
ListSummary read_host_list(std::string_view text, ListSink& sink);

/// Any other list: calls entry(text, line, column) for each.
template <class Entry>
void read_plain_list(std::string_view text, Entry&& entry);

// ----------------------------------------------------------------------------------------------------------------------

namespace detail {
/// White space inside a line.
[[nodiscard]] constexpr bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f'; }
[[nodiscard]] std::string_view trimmed(std::string_view text);
/// `line` without the comment, spaces and carriage return around; `column` is where it begins.
[[nodiscard]] std::string_view trim_entry(std::string_view line, uint32_t& column);
[[nodiscard]] std::string_view without_byte_order_mark(std::string_view text);
/// Hosts files name the machine itself; such lines are not meant as patterns.
[[nodiscard]] bool is_local_name(std::string_view name);

template <class Line>
void for_each_line(std::string_view text, Line&& line) {
  text = without_byte_order_mark(text);
  uint32_t number = 0;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    ++number;
    line(text.substr(0, end), number);
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
}
}  // namespace detail

template <class Entry>
void read_plain_list(std::string_view text, Entry&& entry) {
  detail::for_each_line(text, [&](std::string_view line, uint32_t number) {
    uint32_t column = 1;
    const std::string_view trimmed = detail::trim_entry(line, column);
    if (!trimmed.empty()) entry(trimmed, number, column);
  });
}

}  // namespace sluice::rules
