#include "config/rules_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "config/page_reader.h"
#include "config/remedy.h"
#include "config/units.h"
#include "rules/address_error.h"

namespace sluice::config {
namespace {

using rules::Action;
using rules::GroupId;
using rules::Position;
using rules::Slot;

// A list with a mistake in every line must not bury the rest.
constexpr size_t list_problems_max = 20;
constexpr size_t interface_bytes_max = 15;  // IFNAMSIZ with its terminator, linux/if.h

constexpr std::string_view why_no_bump = "\"bump\": this version does not decrypt yet; allowed are ";
constexpr std::array<Slot, rules::slot_count> all_slots = {
    Slot::client, Slot::destination, Slot::port,      Slot::host,      Slot::sni,  Slot::ech,       Slot::alpn,
    Slot::tls_version, Slot::ja4,    Slot::schedule,  Slot::method,    Slot::user, Slot::user_agent, Slot::url,
    Slot::mime,   Slot::file_name,   Slot::file_type, Slot::size,      Slot::direction, Slot::md5,  Slot::sha256};

// What a TLS rule cannot ask for: it is decided before anything inside is read.
constexpr uint32_t message_slots = rules::content_slots | rules::bit_of(Slot::direction);

bool network_of(std::string_view text, Cidr& network, std::string& error) {
  std::optional<Cidr> meant;
  if (const auto parsed = Cidr::parse(text, &meant)) {
    network = *parsed;
    return true;
  }
  error = meant ? fmt::format("'{}' has bits set behind its prefix; its network is \"{}\"", text,
                              meant->to_string())
                : rules::address_error(text);
  return false;
}

std::optional<uint16_t> port_of(std::string_view text) {
  uint16_t port = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (failure != std::errc{} || end != text.data() + text.size() || port == 0) return std::nullopt;
  return port;
}

// Names of services, and the colon of other programs' ranges.
std::string hint_of_port(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, uint16_t>, 8> services = {
      {{"http", 80}, {"https", 443}, {"ftp", 21}, {"ssh", 22}, {"smtp", 25}, {"smtps", 465}, {"imaps", 993}, {"dns", 53}}};
  for (const auto& [name, port] : services)
    if (text == name) return fmt::format("; write {}", port);
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos || !port_of(text.substr(0, colon)) || !port_of(text.substr(colon + 1))) return "";
  return fmt::format("; write \"{}-{}\"", text.substr(0, colon), text.substr(colon + 1));
}

constexpr std::array<std::pair<std::string_view, uint16_t>, 4> tls_versions = {
    {{"1.0", 0x0301}, {"1.1", 0x0302}, {"1.2", 0x0303}, {"1.3", 0x0304}}};

// a_b_c of the JA4 definition: "t13d1516h2_8daaf6152771_b186095e22b6".
bool is_ja4(std::string_view text) {
  const bool prefix = text.ends_with('*');
  if (prefix) text.remove_suffix(1);
  if (text.empty() || text.size() > 36 || (!prefix && text.size() != 36)) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool alphanumeric = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if ((i == 10 || i == 23) ? c != '_' : !alphanumeric) return false;
  }
  return true;
}

class HostSink final : public rules::ListSink {
 public:
  HostSink(rules::PolicyBuilder& builder, GroupId group, std::function<void(Position, std::string)> report)
      : builder_(builder), group_(group), report_(std::move(report)) {}
  void host(const rules::HostPattern& pattern) override {
    full_ = full_ || !builder_.add_host(group_, pattern.kind, pattern.name);
  }
  void network(const Cidr& network) override { builder_.add_network(group_, network); }
  void problem(uint32_t line, uint32_t column, std::string message) override {
    report_({line, column}, std::move(message));
  }
  [[nodiscard]] bool full() const { return full_; }

 private:
  rules::PolicyBuilder& builder_;
  GroupId group_;
  std::function<void(Position, std::string)> report_;
  bool full_ = false;
};

}  // namespace

bool is_interface_name(std::string_view name) {
  const bool is_number = name.find_first_not_of("0123456789") == std::string_view::npos;  // "100": a VLAN, perhaps
  if (!is_number && rules::looks_like_address(name)) return false;
  if (name.ends_with('*')) name.remove_suffix(1);
  return !name.empty() && name.size() <= interface_bytes_max && name != "." && name != ".." &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  std::string_view("_.+=~@%-").find(c) != std::string_view::npos;
         });
}

const std::vector<std::string>& RulesReader::written(GroupId group) const {
  static const std::vector<std::string> nothing;
  const auto found = written_.find(group);
  return found == written_.end() ? nothing : found->second;
}

// --- lists
// ------------------------------------------------------------------------------------------------------------

std::optional<std::string> RulesReader::read_list(std::string_view name, Position at) {
  const std::string path = path_of(name);
  std::string error;
  if (name.empty()) {
    problems_.error(at, "\"@\" must be followed by the name of a list file, as in \"@lists/x.txt\"");
    return std::nullopt;
  }
  auto text = read_file_(path, error);
  list_files_.push_back(path);
  if (!text)
    problems_.error(
        at, fmt::format("cannot read the list {}: {} (names are relative to the directory of this file)",
                        path, error));
  if (!text) return text;
  if (const char* const what = rules::other_than_text(*text)) {
    problems_.error(at, fmt::format("the list {} is not text ({})", path, what));
    return std::nullopt;
  }
  return text;
}

void RulesReader::list_problem(const std::string& path, Position at, std::string message, size_t& count,
                               Severity severity) {
  if (++count <= list_problems_max) {
    problems_.add(severity, path, at, std::move(message));
  } else if (count == list_problems_max + 1) {
    problems_.add(severity, path, at, "more lines of this list are wrong; only the first are shown");
  }
}

void RulesReader::read_hosts(GroupId group, const std::string& path, const std::string& text, Position at) {
  builder_.reserve_hosts(static_cast<size_t>(std::count(text.begin(), text.end(), '\n')) + 1, text.size());
  size_t wrong = 0;
  HostSink sink(builder_, group, [&](Position where, std::string message) {
    list_problem(path, where, std::move(message), wrong);
  });
  const rules::ListSummary summary = rules::read_host_list(text, sink);
  if (sink.full())
    problems_.error(
        at, fmt::format("the list {} does not fit: all lists together hold at most 4 GiB of names", path));
  if (summary.skipped + summary.exceptions > 0)
    problems_.add(
        Severity::warning, path, {summary.first_skipped_line, 1},
        fmt::format(
            "{} lines of this Adblock list are left out because they cannot be applied to a host name "
            "(URLs, elements, options such as $third-party), and {} exceptions (@@): name those in the "
            "rule's except; {} hosts are used",
            summary.skipped, summary.exceptions, summary.entries));
  if (summary.entries == 0 && wrong == 0)
    problems_.warning(at, fmt::format("the list {} is empty: it matches nothing", path));
}

std::optional<GroupId> RulesReader::list_group(Slot slot, std::string_view name, Position at) {
  const auto [known, is_new] = lists_.try_emplace({slot, std::string(name)});
  if (!is_new) return known->second;
  const auto text = read_list(name, at);
  if (!text) return std::nullopt;
  const GroupId group = builder_.new_group(slot);
  known->second = group;
  const std::string path = path_of(name);
  const bool of_hosts = slot == Slot::url && rules::form_of(*text) != rules::ListForm::plain;
  if (slot == Slot::host || of_hosts) {
    read_hosts(group, path, *text, at);
    return group;
  }
  size_t entries = 0;
  size_t wrong = 0;
  rules::read_plain_list(*text, [&](std::string_view entry, uint32_t line, uint32_t column) {
    ++entries;
    std::string error;
    if (!add_alternative(group, entry, true, error)) list_problem(path, {line, column}, error, wrong);
  });
  if (entries == 0) problems_.warning(at, fmt::format("the list {} is empty: it matches nothing", path));
  return group;
}

std::vector<Cidr> RulesReader::networks(Section& section, std::string_view key) {
  std::vector<Cidr> result;
  entries(section, key, "strings", [&](std::string_view text, std::string& error) {
    Cidr network;
    if (network_of(text, network, error)) result.push_back(network);
  });
  return result;
}

void RulesReader::entries(Section& section, std::string_view key, std::string_view what,
                          const TakeEntry& take) {
  const Array* array = section.array(key);
  if (array == nullptr) return;
  for (const Value& element : array->values) {
    const auto* text = std::get_if<std::string>(&element.is);
    std::string error;
    if (text == nullptr) {
      problems_.error(element.position, fmt::format("{} must be a list of {}, not of {}", section.full(key),
                                                    what, element.type()));
    } else if (text->starts_with('@')) {
      const std::string name = text->substr(1);
      const std::string path = path_of(name);
      size_t wrong = 0;
      if (const auto list = read_list(name, element.position))
        rules::read_plain_list(*list, [&](std::string_view entry, uint32_t line, uint32_t column) {
          std::string entry_error;
          take(entry, entry_error);
          if (!entry_error.empty()) list_problem(path, {line, column}, std::move(entry_error), wrong);
        });
    } else if (take(*text, error); !error.empty()) {
      problems_.error(element.position, fmt::format("{}: {}", section.full(key), error));
    }
  }
}

// --- conditions
// -------------------------------------------------------------------------------------------------------

bool RulesReader::add_alternative(GroupId group, std::string_view text, bool in_list, std::string& error) {
  const auto full = [&](bool fits) {
    if (!fits) error = "the tables are full: all lists together hold at most 4 GiB of names";
    return fits;
  };
  switch (builder_.slot_of(group)) {
    case Slot::client: {
      Cidr network;
      if (!rules::looks_like_address(text) && is_interface_name(text)) return full(builder_.add_text(group, text));
      if (text == "*") {
        error = "'*' would match every client; leave the condition out to match all";
        return false;
      }
      if (!network_of(text, network, error)) {
        if (!rules::looks_like_address(text)) error += ", or the name of an interface (\"eth2\", \"wg*\")";
        return false;
      }
      builder_.add_network(group, network);
      return true;
    }
    case Slot::destination: {
      Cidr network;
      if (!network_of(text, network, error)) {
        if (!rules::looks_like_address(text)) error += "; a name goes into the condition host";
        return false;
      }
      builder_.add_network(group, network);
      return true;
    }
    case Slot::host: {
      Cidr network;
      if (rules::may_be_network(text)) {
        if (!network_of(text, network, error)) return false;
        builder_.add_network(group, network);
        return true;
      }
      const auto pattern = rules::HostPattern::parse(text, error);
      return pattern && full(builder_.add_host(group, pattern->kind, pattern->name));
    }
    case Slot::port: {
      const size_t dash = text.find('-');
      const auto first = port_of(text.substr(0, dash));
      const auto last = dash == std::string_view::npos ? first : port_of(text.substr(dash + 1));
      if (first && last && *first > *last) {
        error = fmt::format("'{}' is not a port range: it ends before it begins", text);
        return false;
      }
      if (!first || !last) {
        error = fmt::format(
            "'{}' is not a port; allowed are numbers from 1 to 65535 and ranges (\"8000-8100\"){}", text, hint_of_port(text));
        return false;
      }
      builder_.add_ports(group, *first, *last);
      return true;
    }
    case Slot::sni:
    case Slot::ech: {
      const bool present = text == "present" || text == "true";
      if (!present && text != "absent" && text != "false") {
        const bool is_name = builder_.slot_of(group) == Slot::sni && text.find('.') != std::string_view::npos;
        error = fmt::format("'{}' is not allowed; allowed are \"present\" and \"absent\"{}", text,
                            is_name ? "; a name goes into the condition host" : "");
        return false;
      }
      builder_.add_presence(group, present);
      return true;
    }
    case Slot::alpn:
      if (text.find('*') != std::string_view::npos) {
        error = fmt::format("'{}': ALPN protocols are named whole, as in \"h2\" or \"http/1.1\"", text);
        return false;
      }
      if (text.empty() || text.size() > rules::NameTable::name_bytes_max) {
        error = fmt::format(
            "'{}' is not an ALPN protocol: those have 1 to 255 bytes, as in \"h2\" or \"http/1.1\"", text);
        return false;
      }
      return full(builder_.add_text(group, text));
    case Slot::tls_version: {
      for (const auto& [name, version] : tls_versions) {
        if (text != name) continue;
        builder_.add_version(group, version);
        return true;
      }
      error =
          fmt::format("'{}' is not a TLS version; allowed are \"1.0\", \"1.1\", \"1.2\" and \"1.3\"", text);
      return false;
    }
    case Slot::ja4:
      if (!is_ja4(text)) {
        error = fmt::format(
            "'{}' is not a JA4 fingerprint; allowed are a whole one "
            "(\"t13d1516h2_8daaf6152771_b186095e22b6\") "
            "and a beginning (\"t13d1516h2_*\")",
            text);
        return false;
      }
      return full(builder_.add_text(group, text));
    case Slot::schedule: {
      const auto schedule = rules::Schedule::parse(text, error);
      if (schedule) builder_.add_schedule(group, *schedule);
      return schedule.has_value();
    }
    case Slot::method:
    case Slot::user:
    case Slot::user_agent:
    case Slot::url:
    case Slot::mime:
    case Slot::file_name:
    case Slot::file_type:
    case Slot::size:
    case Slot::direction:
    case Slot::md5:
    case Slot::sha256:
      return add_message_alternative(group, text, in_list, error);
  }
  return false;
}

std::vector<GroupId> RulesReader::read_groups(Slot slot, const Value& value, const std::string& key) {
  std::vector<GroupId> groups;
  std::vector<std::pair<std::string, Position>> inline_values;
  std::string inline_key;  // equal values of different rules share a group
  const auto take = [&](const Value& element) {
    std::string text;
    if (const auto* string = std::get_if<std::string>(&element.is)) {
      text = *string;
    } else if (const auto* number = std::get_if<int64_t>(&element.is);
               number != nullptr && slot == Slot::port) {
      text = fmt::to_string(*number);
    } else if (const auto* boolean = std::get_if<bool>(&element.is);
               boolean != nullptr && (slot == Slot::sni || slot == Slot::ech)) {
      text = *boolean ? "present" : "absent";
    } else {
      problems_.error(
          element.position,
          fmt::format("{} must be {}, or a list of these, not {}{}", key,
                      slot == Slot::port ? "a number, or a string like \"8000-8100\"" : "a string", element.type(),
                      slot == Slot::tls_version || slot == Slot::user ? quotes_remedy(element) : ""));
      return;
    }
    if (text.starts_with('@')) {
      if (const auto group = list_group(slot, std::string_view(text).substr(1), element.position))
        if (std::find(groups.begin(), groups.end(), *group) == groups.end()) groups.push_back(*group);
      return;
    }
    inline_key += text + '\n';
    inline_values.emplace_back(std::move(text), element.position);
  };
  if (const auto* array = std::get_if<Array>(&value.is)) {
    if (array->values.empty())
      problems_.error(
          value.position,
          fmt::format(
              "{} is an empty list, which nothing matches: leave the condition out, or name something", key));
    for (const Value& element : array->values) take(element);
  } else {
    take(value);
  }
  if (inline_values.empty()) return groups;
  if (const auto known = inline_groups_.find({slot, inline_key}); known != inline_groups_.end()) {
    groups.push_back(known->second);
    return groups;
  }
  const GroupId group = builder_.new_group(slot);
  bool all_good = true;
  for (const auto& [text, at] : inline_values) {
    std::string error;
    if (add_alternative(group, text, false, error)) {
      written_[group].push_back(text);
    } else {
      const bool has_commas = slot == Slot::schedule || slot == Slot::url || slot == Slot::user_agent;  // of their own
      if (const std::string list = has_commas ? "" : list_in(text); !list.empty())
        error = fmt::format("'{}' are several in one string; write a list, {}", text, list);
      problems_.error(at, fmt::format("{}: {}", key, error));
      all_good = false;
    }
  }
  if (all_good) inline_groups_.emplace(std::pair(slot, inline_key), group);
  groups.push_back(group);
  return groups;
}

std::vector<rules::RowCondition> RulesReader::read_conditions(const Table& table, const std::string& path,
                                                              Position position, rules::TableKind kind) {
  std::vector<rules::RowCondition> conditions;
  Section section(table, path, position, problems_);
  for (const Slot slot : all_slots) {
    const char* key = rules::to_string(slot);
    const Value* value = section.value(key);
    if (value == nullptr) continue;
    const Position at = table.find(key)->key.position;
    if (kind == rules::TableKind::tls && (rules::bit_of(slot) & message_slots) != 0) {
      problems_.error(at, fmt::format("{}: a TLS rule is decided before anything inside the connection is read; "
                                      "conditions over it belong into [[access.rules]]",
                                      section.full(key)));
      continue;
    }
    rules::RowCondition condition;
    condition.shown = {slot, fmt::format("{} = {}", key, value->to_string()), at};
    condition.groups = read_groups(slot, *value, section.full(key));
    conditions.push_back(std::move(condition));
  }
  section.finish();
  std::sort(conditions.begin(), conditions.end(), [](const auto& a, const auto& b) {
    return std::pair(a.shown.position.line, a.shown.position.column) <
           std::pair(b.shown.position.line, b.shown.position.column);
  });
  return conditions;
}

// --- rules
// ------------------------------------------------------------------------------------------------------------

bool RulesReader::take_bump(const std::string& key, const Value& value, std::string_view others) {
  if (!may_bump_) {
    problems_.error(value.position, fmt::format("{}: {}{}", key, why_no_bump, others));
    return false;
  }
  if (!first_bump_) first_bump_ = Bump{key, value.position};
  return true;
}

void RulesReader::read_action(Section& section, const std::string& path, Position position,
                              rules::RuleSource& rule) {
  const Value* action = section.value("action");
  const auto* text = action == nullptr ? nullptr : std::get_if<std::string>(&action->is);
  if (action == nullptr) {
    problems_.error(position, fmt::format("{} has no action; allowed are \"tunnel\", \"tunnel-sni\", "
                                          "\"bump\" and \"terminate\"",
                                          path));
  } else if (text == nullptr || *text != "bump") {
    section.choice<Action>("action",
                           {{"tunnel", Action::tunnel},
                            {"tunnel-sni", Action::tunnel_sni},
                            {"bump", Action::bump},
                            {"terminate", Action::terminate}},
                           rule.action);
  } else if (take_bump(path + ".action", *action, "\"tunnel\", \"tunnel-sni\" and \"terminate\"")) {
    rule.action = Action::bump;
  }
  const Value* inspect = section.value("inspect");
  section.boolean("inspect", rule.inspect);
  if (inspect != nullptr && text != nullptr && *text != "bump")
    problems_.error(inspect->position,
                    fmt::format("{}.inspect is only for action = \"bump\": nothing else is decrypted", path));
}

void RulesReader::read_name(Section& section, const std::string& path, rules::RuleSource& rule) {
  const std::string* name = section.string("name");
  if (name == nullptr) return;
  const Position at = section.value("name")->position;
  if (name->empty())
    problems_.error(at, fmt::format("{}.name is empty: leave it out, or give the rule a name for the log", path));
  if (*name == "default")
    problems_.error(at, fmt::format("{}.name must not be \"default\": the log calls the table's default so", path));
  if (!name->empty()) rule.name = *name;
}

void RulesReader::read_excepts(Section& section, const std::string& path, rules::TableKind kind,
                               rules::RuleSource& rule) {
  const Array* excepts = section.array("except");
  if (excepts == nullptr) return;
  for (const Value& entry : excepts->values) {
    const auto* conditions = std::get_if<Table>(&entry.is);
    if (conditions == nullptr) {
      problems_.error(entry.position, fmt::format("{}.except must be a list of tables of conditions, as in "
                                                  "[ {{ client = \"10.20.0.7\" }} ], not of {}",
                                                  path, entry.type()));
    } else if (conditions->entries.empty()) {
      problems_.error(entry.position, fmt::format("{}.except has an entry without conditions, which would "
                                                  "always hold: the rule could never match",
                                                  path));
    } else {
      rule.excepts.push_back(read_conditions(*conditions, path + ".except", entry.position, kind));
    }
  }
}

// Of a bypass or access rule.
void RulesReader::read_traffic_action(Section& section, const std::string& path, Position position,
                                      rules::RuleSource& rule) {
  rule.action = Action::block;  // the default of a new rule
  if (path == "bypass.rules" && section.value("action") == nullptr)
    problems_.warning(position, fmt::format("bypass rule \"{}\" has no action, so it blocks; write action = \"allow\", or "
                                            "\"block\" if that is meant",
                                            rule.name));
  section.choice<Action>("action", {{"allow", Action::peek}, {"block", Action::block}, {"redirect", Action::redirect}},
                         rule.action);
  const std::string* to = section.string("to");
  if (to != nullptr && rule.action != Action::redirect) {
    problems_.error(section.value("to")->position, fmt::format("{}.to is only for action = \"redirect\"", path));
  } else if (to == nullptr && rule.action == Action::redirect && section.value("to") == nullptr) {
    problems_.error(
        position,
        fmt::format("{} redirects, but has no `to`: write the URL, as in to = \"https://intranet.example/\"", path));
  } else if (to != nullptr) {
    // The macros of S31, and what no header can hold.
    if (const auto problem = redirect_problem(*to))
      problems_.error(section.value("to")->position, fmt::format("{}.to {}", path, *problem));
    rule.redirect_to = *to;
  }
}

void RulesReader::read_threats(Section& section, rules::ThreatActions& threats) {
  for (size_t i = 0; i < rules::threat_count; ++i) {
    const auto threat = static_cast<rules::Threat>(i);
    rules::ThreatAction action = threats.of(threat);
    const bool is_link = std::find(rules::link_threats.begin(), rules::link_threats.end(), threat) != rules::link_threats.end();
    if (const Value* value = section.value(rules::to_string(threat)); value != nullptr && !is_link && !unscanned_at_)
      unscanned_at_ = value->position;
    section.choice<rules::ThreatAction>(rules::to_string(threat),
                                        {{"block", rules::ThreatAction::block}, {"skip", rules::ThreatAction::skip}},
                                        action);
    threats.set(threat, action);
  }
}

bool RulesReader::read_rule(const Table& table, const std::string& path, Position position,
                            rules::TableKind kind, rules::RuleSource& rule) {
  const size_t errors_before = problems_.errors();
  Section section(table, path, position, problems_);
  rule.position = position;
  read_name(section, path, rule);
  if (const Table* when = section.table("when"))
    rule.when = read_conditions(*when, path + ".when", section.value("when")->position, kind);
  read_excepts(section, path, kind, rule);
  switch (kind) {
    case rules::TableKind::tls:
      read_action(section, path, position, rule);
      break;
    case rules::TableKind::bypass:
    case rules::TableKind::access:
      read_traffic_action(section, path, position, rule);
      break;
    case rules::TableKind::protection:
      read_threats(section, rule.threats);  // all block, where it says nothing else
      break;
  }
  section.finish();
  return problems_.errors() == errors_before;
}

void RulesReader::read_rules(Section& section, rules::TableKind kind) {
  const Array* array = section.array("rules");
  if (array == nullptr) return;
  std::map<std::string, Position> names;
  const std::string path = section.full("rules");
  for (size_t i = 0; i < array->values.size(); ++i) {
    const Value& value = array->values[i];
    const auto* table = std::get_if<Table>(&value.is);
    if (table == nullptr) {
      problems_.error(value.position, fmt::format("{} must be a list of tables, written [[{}]], not of {}",
                                                  path, path, value.type()));
      continue;
    }
    rules::RuleSource rule;
    rule.name = fmt::format("{} rule {}", rules::to_string(kind), i + 1);
    const bool good = read_rule(*table, path, value.position, kind, rule);
    if (const auto [known, is_new] = names.try_emplace(rule.name, value.position); !is_new)
      problems_.error(
          value.position,
          fmt::format("{}: another rule is called \"{}\", in line {}; the log could not tell them apart",
                      path, rule.name, known->second.line));
    if (!good) continue;
    read_[static_cast<size_t>(kind)].push_back({rule.name, rule.action, rule.position, rule.when, rule.excepts});
    switch (kind) {
      case rules::TableKind::bypass: builder_.add_bypass_rule(std::move(rule)); break;
      case rules::TableKind::access: builder_.add_access_rule(std::move(rule)); break;
      case rules::TableKind::protection: builder_.add_protection_rule(std::move(rule)); break;
      case rules::TableKind::tls: builder_.add_tls_rule(std::move(rule)); break;
    }
  }
}

void RulesReader::read_tls(Section& tls) {
  Action action = Action::tunnel_sni;
  const Value* chosen = tls.value("default_action");
  const std::string* text = chosen == nullptr ? nullptr : std::get_if<std::string>(&chosen->is);
  if (text != nullptr && *text == "bump") {
    if (take_bump("tls.default_action", *chosen, "\"tunnel-sni\" and \"terminate\"")) action = Action::bump;
  } else if (text != nullptr && *text == "tunnel") {
    problems_.error(
        chosen->position,
        "tls.default_action must not be \"tunnel\": every connection would pass unseen; write "
        "\"tunnel-sni\", or a rule with action = \"tunnel\" for what may pass so, or decrypt = false");
  } else {
    tls.choice<Action>(
        "default_action",
        {{"tunnel-sni", Action::tunnel_sni}, {"bump", Action::bump}, {"terminate", Action::terminate}},
        action);
  }
  builder_.set_tls_default(action);
  read_rules(tls, rules::TableKind::tls);
}

void RulesReader::read_bypass(Section& bypass) { read_rules(bypass, rules::TableKind::bypass); }

void RulesReader::read_access(Section& access) {
  bool allows = true;
  access.choice<bool>("default", {{"allow", true}, {"block", false}}, allows);
  builder_.set_access_default(allows);
  bool https_page = false;
  access.boolean("https_page", https_page);
  builder_.set_https_page(https_page);
  if (https_page) https_page_at_ = access.value("https_page")->position;
  if (https_page && !first_bump_) first_bump_ = Bump{"access.https_page", access.value("https_page")->position};
  read_rules(access, rules::TableKind::access);
}

void RulesReader::read_protection(Section& protection) {
  rules::ThreatActions threats;
  threats.set(rules::Threat::encrypted, rules::ThreatAction::skip);
  threats.set(rules::Threat::macro, rules::ThreatAction::skip);
  if (const Table* table = protection.table("default")) {
    protection_at_ = protection.value("default")->position;
    Section section(*table, protection.full("default"), *protection_at_, problems_);
    read_threats(section, threats);
    section.finish();
  }
  builder_.set_protection_default(threats);
  read_rules(protection, rules::TableKind::protection);
  if (const auto& all = rules(rules::TableKind::protection); !all.empty() && !protection_at_)
    protection_at_ = all.front().position;
}

}  // namespace sluice::config
