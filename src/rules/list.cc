#include "rules/list.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "rules/address_error.h"

namespace sluice::rules {
namespace {

using detail::is_space;

std::string_view next_word(std::string_view& text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  size_t end = 0;
  while (end < text.size() && !is_space(text[end])) ++end;
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(end);
  return word;
}

// Options that leave an Adblock rule meaning "everything at this host".
bool options_cover_everything(std::string_view options) {
  while (true) {
    const size_t comma = options.find(',');
    const std::string_view option = options.substr(0, comma);
    if (option != "all" && option != "important" && option != "document" && option != "doc") return false;
    if (comma == std::string_view::npos) return true;
    options.remove_prefix(comma + 1);
  }
}

// The lines of name servers' configurations, which block lists come in as well: "address=/ads.example/0.0.0.0" of dnsmasq,
// "local-zone: \"ads.example\" always_nxdomain" of unbound. The name in it.
std::optional<std::string_view> name_of_resolver_line(std::string_view entry) {
  for (const std::string_view start : {"address=/", "server=/", "local=/"})
    if (entry.starts_with(start)) return entry.substr(start.size(), entry.find('/', start.size()) - start.size());
  if (!entry.starts_with("local-zone:") && !entry.starts_with("local-data:")) return std::nullopt;
  const size_t quote = entry.find('"');
  if (quote == std::string_view::npos) return std::nullopt;
  return entry.substr(quote + 1, entry.find_first_of("\" ", quote + 1) - quote - 1);
}

std::string resolver_problem(std::string_view entry, std::string_view name) {
  const bool is_unbound = entry.starts_with("local-");
  return fmt::format("this is the form of {}, which is not read; write \".{}\" for the name and all under it, or take the list in "
                     "another form",
                     is_unbound ? "unbound" : "dnsmasq", name);
}

class HostListReader {
 public:
  HostListReader(ListForm form, ListSink& sink) : sink_(sink) { summary_.form = form; }

  void line(std::string_view line, uint32_t number) {
    number_ = number;
    line_ = line;
    if (summary_.form == ListForm::adblock) return adblock(line);
    uint32_t column = 1;
    std::string_view entry = detail::trim_entry(line, column);
    if (entry.empty()) return;
    if (const auto name = name_of_resolver_line(entry)) return problem(entry, resolver_problem(entry, *name));
    std::string_view rest = entry;
    const std::string_view first = next_word(rest);
    if (rest.empty()) return pattern(first);
    hosts(first, rest);
  }
  [[nodiscard]] const ListSummary& summary() const { return summary_; }

 private:
  // `part` is a view into the current line.
  void problem(std::string_view part, std::string message) {
    sink_.problem(number_, static_cast<uint32_t>(part.data() - line_.data()) + 1, std::move(message));
  }

  void pattern(std::string_view text) {
    if (may_be_network(text)) {
      std::optional<Cidr> meant;
      const auto network = Cidr::parse(text, &meant);
      if (!network) {
        if (meant)
          return problem(text, fmt::format("'{}' has bits set behind its prefix; its network is {}", text, meant->to_string()));
        return problem(text, address_hint(text).value_or(fmt::format("'{}' is not an address or a network", text)));
      }
      sink_.network(*network);
      ++summary_.entries;
      return;
    }
    if (!HostPattern::parse_into(text, pattern_, error_)) return problem(text, error_);
    sink_.host(pattern_);
    ++summary_.entries;
  }

  void hosts(std::string_view address, std::string_view names) {
    if (!IpAddress::parse(address.substr(0, address.find('%'))))
      return problem(
          names,
          fmt::format("one entry a line, or \"ADDRESS name …\" as in a hosts file; '{}' is not an address",
                      address));
    for (std::string_view name = next_word(names); !name.empty(); name = next_word(names)) {
      if (detail::is_local_name(name) || name == address) continue;  // "0.0.0.0 0.0.0.0" opens some lists
      if (!normalize_host(name, pattern_.name, error_)) {
        problem(name, error_);
        continue;
      }
      pattern_.kind = HostPattern::Kind::exact;
      sink_.host(pattern_);
      ++summary_.entries;
    }
  }

  void skip(size_t& count) {
    ++count;
    if (summary_.first_skipped_line == 0) summary_.first_skipped_line = number_;
  }

  void adblock(std::string_view line) {
    line = detail::trimmed(line);
    const bool comment =
        line.empty() || line.front() == '!' || line.front() == '[' || line == "#" || line.starts_with("# ");
    if (comment) return;
    if (line.starts_with("@@")) return skip(summary_.exceptions);
    if (!line.starts_with("||")) return skip(summary_.skipped);
    std::string_view host = line.substr(2);
    if (const size_t dollar = host.find('$'); dollar != std::string_view::npos) {
      if (!options_cover_everything(host.substr(dollar + 1))) return skip(summary_.skipped);
      host = host.substr(0, dollar);
    }
    if (host.ends_with('|')) host.remove_suffix(1);
    if (host.ends_with('^')) host.remove_suffix(1);
    if (may_be_network(host)) {
      const auto address = IpAddress::parse(host);
      if (!address) return skip(summary_.skipped);
      sink_.network({*address, 128});
      ++summary_.entries;
      return;
    }
    // A name begins with a label: ".example.com" and "*.example.com" would be patterns of ours, not of
    // Adblock.
    if (host.starts_with('.') || host.starts_with('*') || !HostPattern::parse_into(host, pattern_, error_))
      return skip(summary_.skipped);
    pattern_.kind = HostPattern::Kind::both;
    sink_.host(pattern_);
    ++summary_.entries;
  }

  ListSink& sink_;
  ListSummary summary_;
  std::string_view line_;
  uint32_t number_ = 0;
  HostPattern pattern_;
  std::string error_;
};

}  // namespace

bool may_be_network(std::string_view text) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (text.empty()) return false;
  // "1.2.3.4" and "1.2.3.4/24", also with a mistake in them; "1e100.net" and "360.cn" are names.
  if (is_digit(text.back()) && text.find_first_not_of("0123456789./") == std::string_view::npos) return true;
  // IPv6 has two colons at least; one alone is a port behind a name.
  return std::count(text.begin(), text.end(), ':') >= 2 &&
         text.find_first_not_of("0123456789abcdefABCDEF:./") == std::string_view::npos;
}

const char* other_than_text(std::string_view text) {
  struct Mark {
    std::string_view bytes;
    const char* what;
  };
  using namespace std::string_view_literals;
  constexpr std::array<Mark, 11> marks = {{{"\x1f\x8b"sv, "gzip: unpack it"},
                                           {"PK\x03\x04"sv, "zip: unpack it"},
                                           {"BZh91AY"sv, "bzip2: unpack it"},
                                           {"\xfd\x37zXZ\0"sv, "xz: unpack it"},
                                           {"\x28\xb5\x2f\xfd"sv, "zstd: unpack it"},
                                           {"7z\xbc\xaf"sv, "7z: unpack it"},
                                           {"%PDF-"sv, "PDF"},
                                           {"\x7f\x45LF"sv, "a program"},
                                           {"\xff\xfe"sv, "UTF-16: save it as UTF-8"},
                                           {"\xfe\xff"sv, "UTF-16: save it as UTF-8"},
                                           {"SQLite format 3"sv, "a database"}}};
  for (const Mark& mark : marks)
    if (text.starts_with(mark.bytes)) return mark.what;
  text = detail::without_byte_order_mark(text);
  constexpr size_t looked_at_bytes = 1024;
  const std::string_view start = text.substr(0, looked_at_bytes);
  if (const size_t zero = start.find('\0'); zero != std::string_view::npos)
    return zero == 1 && start.size() > 3 && start[3] == '\0' ? "UTF-16: save it as UTF-8" : "binary";
  const size_t first = start.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return nullptr;
  std::string opening(start.substr(first, 14));
  for (char& c : opening)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  for (const std::string_view tag : {"<!doctype html", "<html", "<head", "<body", "<?xml"})
    if (opening.starts_with(tag)) return tag == "<?xml" ? "XML" : "HTML: a page was saved in place of the list";
  return nullptr;
}

const char* to_string(ListForm form) {
  switch (form) {
    case ListForm::plain:
      return "plain";
    case ListForm::hosts:
      return "hosts";
    case ListForm::adblock:
      return "Adblock";
  }
  return "?";
}

namespace detail {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

bool is_local_name(std::string_view name) {
  constexpr std::array<std::string_view, 11> local_names = {
      "localhost",     "localhost.localdomain", "local",        "broadcasthost",
      "ip6-localhost", "ip6-loopback",          "ip6-localnet", "ip6-mcastprefix",
      "ip6-allnodes",  "ip6-allrouters",        "ip6-allhosts"};
  return std::find(local_names.begin(), local_names.end(), name) != local_names.end();
}

std::string_view without_byte_order_mark(std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  return text;
}

std::string_view trim_entry(std::string_view line, uint32_t& column) {
  size_t start = 0;
  while (start < line.size() && is_space(line[start])) ++start;
  size_t end = start;
  for (; end < line.size(); ++end)
    if ((line[end] == '#' || line[end] == ';') && (end == start || is_space(line[end - 1]))) break;
  while (end > start && is_space(line[end - 1])) --end;
  column = static_cast<uint32_t>(start) + 1;
  return line.substr(start, end - start);
}

}  // namespace detail

ListForm form_of(std::string_view text) {
  text = detail::without_byte_order_mark(text);
  if (text.starts_with("||") || text.starts_with("@@") || text.starts_with("[Adblock") ||
      text.starts_with("!") || text.find("\n||") != std::string_view::npos)
    return ListForm::adblock;
  ListForm form = ListForm::plain;
  while (!text.empty()) {  // the first entry tells
    const size_t end = text.find('\n');
    uint32_t column = 1;
    std::string_view entry = detail::trim_entry(text.substr(0, end), column);
    if (!entry.empty()) {
      next_word(entry);
      if (!entry.empty()) form = ListForm::hosts;
      break;
    }
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return form;
}

ListSummary read_host_list(std::string_view text, ListSink& sink) {
  HostListReader reader(form_of(text), sink);
  detail::for_each_line(text, [&](std::string_view line, uint32_t number) { reader.line(line, number); });
  return reader.summary();
}

}  // namespace sluice::rules
