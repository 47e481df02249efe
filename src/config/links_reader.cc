// [links]: the lists of phishing and malicious links -> the builder.
#include <fmt/format.h>

#include <algorithm>

#include "config/rules_reader.h"
#include "rules/link_list.h"

namespace sluice::config {
namespace {

using rules::GroupId;
using rules::Position;

constexpr const char* full_text = "all lists together hold at most 4 GiB of names";

/// Links of one group, counted.
class Taker final : public rules::LinkSink {
 public:
  Taker(rules::PolicyBuilder& builder, GroupId group, ReadLinks& read,
        std::function<void(Position, std::string)> report)
      : builder_(builder), group_(group), read_(read), report_(std::move(report)) {}
  void link(const rules::Link& link) override {
    is_full_ = is_full_ || !builder_.add_link(group_, link);
    ++(link.is_host() ? read_.hosts : read_.paths);
  }
  void problem(uint32_t line, uint32_t column, std::string message) override {
    report_({line, column}, std::move(message));
  }
  [[nodiscard]] bool is_full() const { return is_full_; }

 private:
  rules::PolicyBuilder& builder_;
  GroupId group_;
  ReadLinks& read_;
  std::function<void(Position, std::string)> report_;
  bool is_full_ = false;
};

}  // namespace

// Feeds come from elsewhere, and a wrong line in one is nobody's fault here: it is told and left out. But a
// file in which nothing is right is no list at all (an error page, half a download): with it the gateway
// would seem to protect and would not.
void RulesReader::read_link_list(GroupId group, const std::string& path, const std::string& text, Position at,
                                 ReadLinks& read) {
  if (text.find("://") == std::string::npos)
    builder_.reserve_hosts(static_cast<size_t>(std::count(text.begin(), text.end(), '\n')) + 1, text.size());
  size_t wrong = 0;
  Taker taker(builder_, group, read, [&](Position where, std::string message) {
    list_problem(path, where, "left out: " + std::move(message), wrong, Severity::warning);
  });
  const rules::LinkSummary summary = rules::read_link_list(text, taker);
  if (taker.is_full()) problems_.error(at, fmt::format("the list {} does not fit: {}", path, full_text));
  if (summary.skipped > 0)
    problems_.add(
        Severity::warning, path, {summary.first_skipped_line, 1},
        fmt::format(
            "{} lines of this Adblock list are left out because they cannot be applied to a host name (URLs, "
            "elements, options such as $third-party, exceptions); {} hosts are used",
            summary.skipped, summary.entries));
  if (summary.entries == 0 && wrong > 0)
    problems_.error(
        at, fmt::format("the list {} holds no link at all, only what is none: see its first lines", path));
  if (summary.entries == 0 && wrong == 0)
    problems_.warning(at, fmt::format("the list {} is empty: it matches nothing", path));
}

void RulesReader::read_links_of(Section& section, rules::Threat threat) {
  const char* const key = rules::to_string(threat);
  const Value* const value = section.value(key);
  if (value == nullptr) return;
  ReadLinks& read = links_[static_cast<size_t>(threat)];
  read.position = value->position;
  rules::RowCondition lists;
  lists.shown = {rules::Slot::url, fmt::format("{} = {}", key, value->to_string()), value->position};
  std::optional<GroupId> written;
  std::vector<std::string> files;
  const auto take = [&](const Value& element) {
    const auto* const text = std::get_if<std::string>(&element.is);
    if (text == nullptr) {
      problems_.error(element.position,
                      fmt::format("{} must be a list of strings, \"@FILE\" or a link each, not of {}",
                                  section.full(key), element.type()));
    } else if (text->starts_with('@')) {
      if (std::find(files.begin(), files.end(), *text) != files.end()) return;
      files.push_back(*text);
      const auto list = read_list(std::string_view(*text).substr(1), element.position);
      if (!list) return;
      lists.groups.push_back(builder_.new_group(rules::Slot::url));
      read_link_list(lists.groups.back(), path_of(std::string_view(*text).substr(1)), *list, element.position,
                     read);
    } else {
      rules::Link link;
      std::string error;
      if (!rules::parse_link(*text, link, error))
        return problems_.error(element.position, fmt::format("{}: {}", section.full(key), error));
      if (!written) lists.groups.push_back(*(written = builder_.new_group(rules::Slot::url)));
      if (!builder_.add_link(*written, link))
        problems_.error(element.position,
                        fmt::format("{}: the tables are full: {}", section.full(key), full_text));
      ++(link.is_host() ? read.hosts : read.paths);
    }
  };
  if (const auto* const array = std::get_if<Array>(&value->is)) {
    for (const Value& element : array->values) take(element);
  } else {
    take(*value);
  }
  if (!lists.groups.empty()) builder_.set_links(threat, std::move(lists), read.hosts + read.paths);
}

void RulesReader::read_links(Section& links) {
  for (const rules::Threat threat : rules::link_threats) read_links_of(links, threat);
}

}  // namespace sluice::config
