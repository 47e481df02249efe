#include "rules/link_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/canonical_url.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "rules/list.h"
#include "rules/url_table.h"

namespace sluice::rules {
namespace {

constexpr std::string_view allowed =
    "allowed are a host (\"example.com\"), a URL (\"https://example.com/path\"), an address or a network";

using detail::is_space;
using detail::trimmed;

// A name of one label has only itself: who lists "com" does not mean all of it. (Adblock's "||com^" does.)
HostPattern::Kind kind_of(std::string_view name) {
  return name.find('.') == std::string_view::npos ? HostPattern::Kind::exact : HostPattern::Kind::both;
}

bool parse_network(std::string_view text, Link& link, std::string& error) {
  std::optional<Cidr> meant;
  link.network = Cidr::parse(text, &meant);
  if (link.network) return true;
  error =
      meant ? fmt::format("'{}' has bits set behind its prefix; its network is {}", text, meant->to_string())
            : fmt::format("'{}' is not an address or a network; {}", printable(text), allowed);
  return false;
}

// Whether it can only be read as a URL: no name has these, or ends in a number.
bool is_url(std::string_view text) {
  if (text.find_first_of(":/\\?#@[%") != std::string_view::npos) return true;
  const size_t last = text.rfind('.') + 1;
  return last < text.size() && text[last] >= '0' && text[last] <= '9';
}

bool has_scheme(std::string_view text) {
  const size_t colon = text.find_first_of(":/\\?#@.");
  return colon != std::string_view::npos && colon + 1 < text.size() && text[colon] == ':' &&
         (text[colon + 1] == '/' || text[colon + 1] == '\\');
}

bool parse_url(std::string_view text, Link& link, std::string& error) {
  const auto canonical =
      has_scheme(text) ? canonical_url(text, error) : canonical_url("http://" + std::string(text), error);
  UrlParts parts;
  if (!canonical || !UrlParts::split(*canonical, parts)) {
    error = fmt::format("{}; {}", error, allowed);
    return false;
  }
  link.url.address = IpAddress::parse(parts.host);
  if (!link.url.address) {
    link.url.host.name = parts.host;
    link.url.host.kind = kind_of(parts.host);
  }
  if (parts.target == "/") return true;
  link.url.target = parts.target;
  const bool is_directory = !link.url.has_query() && parts.target.ends_with('/');
  link.url.path = is_directory ? UrlPattern::Path::directory : UrlPattern::Path::exact;
  return true;
}

// The fields of one line of CSV (RFC 4180, section 2); false when a quote is not closed.
struct Field {
  std::string text;
  size_t start = 0;  // where it begins in the line
};
bool split_fields(std::string_view line, std::vector<Field>& fields) {
  fields.clear();
  size_t at = 0;
  for (;;) {
    while (at < line.size() && is_space(line[at])) ++at;
    Field& field = fields.emplace_back();
    field.start = at;
    if (at < line.size() && line[at] == '"') {
      for (++at;; ++at) {
        if (at >= line.size()) return false;
        if (line[at] == '"' && (at + 1 == line.size() || line[at + 1] != '"')) break;
        if (line[at] == '"') ++at;
        field.text += line[at];
      }
      field.start += 1;
      at = std::min(line.find(',', at), line.size());
    } else {
      const size_t comma = std::min(line.find(',', at), line.size());
      field.text = trimmed(line.substr(at, comma - at));
      at = comma;
    }
    if (at == line.size()) return true;
    ++at;
  }
}

/// The column "url" of a header; nullopt when the line is none.
std::optional<size_t> url_column(std::string_view line) {
  while (!line.empty() && (line.front() == '#' || is_space(line.front()))) line.remove_prefix(1);
  std::vector<Field> fields;
  if (line.find(',') == std::string_view::npos || !split_fields(line, fields)) return std::nullopt;
  const auto found = std::find_if(fields.begin(), fields.end(), [](const Field& field) {
    return field.text == "url" || field.text == "URL";
  });
  if (found == fields.end()) return std::nullopt;
  return static_cast<size_t>(found - fields.begin());
}

class LinkListReader {
 public:
  LinkListReader(std::string_view text, LinkSink& sink) : sink_(sink) { find_columns(text); }

  void line(std::string_view line, uint32_t number) {
    line_ = line;
    number_ = number;
    if (number <= header_lines_) return;
    if (summary_.form == LinkForm::csv) return record();
    uint32_t column = 1;
    const std::string_view entry = detail::trim_entry(line, column);
    if (entry.empty()) return;
    const auto space = std::find_if(entry.begin(), entry.end(), is_space);
    const auto first = entry.substr(0, static_cast<size_t>(space - entry.begin()));
    // A space inside a URL is part of it.
    if (first.size() == entry.size() || has_scheme(first)) return take(entry, column);
    hosts(first, entry.substr(first.size()));
  }

  [[nodiscard]] const LinkSummary& summary() const { return summary_; }

 private:
  // CSV has a header with a column "url", in a comment or not, or begins with a quote as all lines of URLhaus
  // do.
  void find_columns(std::string_view text) {
    text = detail::without_byte_order_mark(text);
    std::optional<size_t> in_comment;
    for (uint32_t number = 1; !text.empty(); ++number) {
      const size_t end = std::min(text.find('\n'), text.size());
      const std::string_view line = trimmed(text.substr(0, end));
      text.remove_prefix(std::min(end + 1, text.size()));
      if (line.empty()) continue;
      const auto column = url_column(line);
      if (line.front() == '#') {
        if (column) in_comment = column;
        continue;
      }
      if (column) {
        header_lines_ = number;
      } else if (line.front() != '"' && (!in_comment || line.find(',') == std::string_view::npos)) {
        return;
      }
      summary_.form = LinkForm::csv;
      column_ = column ? *column : in_comment.value_or(urlhaus_column);
      return;
    }
  }

  void record() {
    const std::string_view record = trimmed(line_);
    if (record.empty() || record.front() == '#') return;
    const auto start = static_cast<uint32_t>(record.data() - line_.data());
    if (!split_fields(record, fields_))
      return sink_.problem(number_, start + 1, "a quote is not closed in this line of CSV");
    if (fields_.size() <= column_)
      return sink_.problem(number_, start + 1,
                           fmt::format("this line of CSV has {} fields, and the URL is to be field {}",
                                       fields_.size(), column_ + 1));
    take(fields_[column_].text, start + static_cast<uint32_t>(fields_[column_].start) + 1);
  }

  void hosts(std::string_view address, std::string_view names) {
    const auto column_of = [&](std::string_view part) {
      return static_cast<uint32_t>(part.data() - line_.data()) + 1;
    };
    if (!IpAddress::parse(address.substr(0, address.find('%'))))
      return sink_.problem(
          number_, column_of(names) + 1,
          fmt::format("one entry a line, or \"ADDRESS name …\" as in a hosts file; '{}' is not an address",
                      printable(address)));
    while (!(names = trimmed(names)).empty()) {
      const auto end = std::find_if(names.begin(), names.end(), is_space);
      const std::string_view name = names.substr(0, static_cast<size_t>(end - names.begin()));
      names.remove_prefix(name.size());
      if (!detail::is_local_name(name) && name != address) take(name, column_of(name));
    }
  }

  void take(std::string_view text, uint32_t column) {
    if (!parse_link(text, link_, error_)) return sink_.problem(number_, column, error_);
    sink_.link(link_);
    ++summary_.entries;
  }

  LinkSink& sink_;
  LinkSummary summary_;
  static constexpr size_t urlhaus_column = 2;  // when its header has been cut off
  size_t column_ = 0;
  uint32_t header_lines_ = 0;
  std::string_view line_;
  uint32_t number_ = 0;
  std::vector<Field> fields_;
  Link link_;
  std::string error_;
};

// What the reader of host lists finds, as links.
class AdblockSink final : public ListSink {
 public:
  explicit AdblockSink(LinkSink& sink) : sink_(sink) {}
  void host(const HostPattern& pattern) override {
    link_ = {};
    link_.url.host = pattern;
    sink_.link(link_);
  }
  void network(const Cidr& network) override {
    link_ = {};
    link_.network = network;
    sink_.link(link_);
  }
  void problem(uint32_t line, uint32_t column, std::string message) override {
    sink_.problem(line, column, std::move(message));
  }

 private:
  LinkSink& sink_;
  Link link_;
};

}  // namespace

bool parse_link(std::string_view text, Link& link, std::string& error) {
  link.network.reset();
  link.url.address.reset();
  link.url.path = UrlPattern::Path::none;
  link.url.target.clear();
  text = trimmed(text);
  if (text.size() > limits::url_pattern_bytes_max) {
    error = fmt::format("the entry has {} bytes; at most {} are allowed", text.size(),
                        limits::url_pattern_bytes_max);
    return false;
  }
  if (may_be_network(text)) return parse_network(text, link, error);
  if (is_url(text)) return parse_url(text, link, error);
  if (!HostPattern::parse_into(text, link.url.host, error)) {
    error = printable(error);
    return false;
  }
  if (text.front() != '.' && text.front() != '*') link.url.host.kind = kind_of(link.url.host.name);
  return true;
}

LinkSummary read_link_list(std::string_view text, LinkSink& sink) {
  if (form_of(text) == ListForm::adblock) {
    AdblockSink adblock(sink);
    const ListSummary read = read_host_list(text, adblock);
    return {LinkForm::adblock, read.entries, read.skipped + read.exceptions, read.first_skipped_line};
  }
  LinkListReader reader(text, sink);
  detail::for_each_line(text, [&](std::string_view line, uint32_t number) { reader.line(line, number); });
  return reader.summary();
}

}  // namespace sluice::rules
