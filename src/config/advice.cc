#include "config/advice.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "rules/coverage.h"

namespace sluice::config {
namespace {

using rules::GroupId;
using rules::HostPattern;
using rules::RowCondition;
using rules::Schedule;
using rules::Slot;

const RowCondition* condition_on(const ReadRule& rule, Slot slot) {
  for (const RowCondition& condition : rule.when)
    if (condition.shown.slot == slot) return &condition;
  return nullptr;
}

bool is_hello_slot(Slot slot) {
  return slot == Slot::sni || slot == Slot::ech || slot == Slot::alpn || slot == Slot::tls_version ||
         slot == Slot::ja4;
}

// "8000-8100" as it was accepted before.
std::pair<uint16_t, uint16_t> port_range(std::string_view text) {
  const auto number = [](std::string_view part) {
    uint16_t value = 0;
    std::from_chars(part.data(), part.data() + part.size(), value);
    return value;
  };
  const size_t dash = text.find('-');
  const uint16_t first = number(text.substr(0, dash));
  return {first, dash == std::string_view::npos ? first : number(text.substr(dash + 1))};
}

bool covers(const Schedule& wide, const Schedule& narrow) {
  const bool days = (narrow.weekdays & ~wide.weekdays) == 0;
  const bool whole_day = wide.from_minute == 0 && wide.to_minute == 24 * 60;
  const bool same_hours = wide.from_minute == narrow.from_minute && wide.to_minute == narrow.to_minute;
  const bool within = wide.from_minute < wide.to_minute && narrow.from_minute < narrow.to_minute &&
                      wide.from_minute <= narrow.from_minute && narrow.to_minute <= wide.to_minute;
  const bool over_midnight = narrow.from_minute > narrow.to_minute;
  return days && narrow.until <= wide.until &&
         (same_hours || within || (whole_day && (!over_midnight || wide.weekdays == 0x7f)));
}

// Whether everything that the condition `narrow` lets through, `wide` lets through as well. "No" when it
// cannot be told.
class Comparison {
 public:
  Comparison(const rules::Policy& policy, const RulesReader& rules) : coverage_(policy), rules_(rules) {}

  bool covers(const ReadRule& wide, const ReadRule& narrow) const {
    if (!wide.excepts.empty()) return false;
    return std::all_of(wide.when.begin(), wide.when.end(), [&](const RowCondition& condition) {
      const RowCondition* other = condition_on(narrow, condition.shown.slot);
      return other != nullptr && covers(condition, *other);
    });
  }

 private:
  bool covers(const RowCondition& wide, const RowCondition& narrow) const {
    return std::all_of(narrow.groups.begin(), narrow.groups.end(), [&](GroupId group) {
      if (std::find(wide.groups.begin(), wide.groups.end(), group) != wide.groups.end()) return true;
      const auto& texts = rules_.written(group);
      return !texts.empty() && std::all_of(texts.begin(), texts.end(),
                                           [&](const std::string& text) { return covers_text(wide, text); });
    });
  }

  bool covers_text(const RowCondition& wide, const std::string& text) const {
    const Slot slot = wide.shown.slot;
    switch (slot) {
      case Slot::client:
      case Slot::destination:
      case Slot::host:
        if (const auto network = Cidr::parse(text)) return coverage_.networks(slot, wide.groups, *network);
        if (slot == Slot::host) {
          std::string error;
          const auto pattern = HostPattern::parse(text, error);
          return pattern && coverage_.hosts(wide.groups, *pattern);
        }
        return any_written(wide, [&](const std::string& pattern) { return covers_word(pattern, text); });
      case Slot::port: {
        const auto [first, last] = port_range(text);
        return coverage_.ports(wide.groups, first, last);
      }
      case Slot::schedule:
        return any_written(wide, [&](const std::string& pattern) {
          std::string error;
          const auto a = Schedule::parse(pattern, error);
          const auto b = Schedule::parse(text, error);
          return a && b && config::covers(*a, *b);
        });
      case Slot::sni:
      case Slot::ech:
        return any_written(wide, [&](const std::string& pattern) {
          const auto present = [](const std::string& word) { return word == "present" || word == "true"; };
          return present(pattern) == present(text);
        });
      case Slot::ja4:
      case Slot::user:
      case Slot::mime:
        return any_written(wide, [&](const std::string& pattern) { return covers_word(pattern, text); });
      case Slot::alpn:
      case Slot::tls_version:
      case Slot::method:
      case Slot::user_agent:
      case Slot::url:
      case Slot::file_name:
      case Slot::file_type:
      case Slot::size:
      case Slot::direction:
      case Slot::md5:
      case Slot::sha256:
        return any_written(wide, [&](const std::string& pattern) { return pattern == text; });
    }
    return false;
  }

  // "eth*" covers "eth1" and "eth1*".
  static bool covers_word(std::string_view pattern, std::string_view text) {
    if (!pattern.ends_with('*')) return pattern == text;
    pattern.remove_suffix(1);
    return text.starts_with(pattern);
  }
  template <class Covers>
  bool any_written(const RowCondition& condition, Covers&& covers) const {
    return std::any_of(condition.groups.begin(), condition.groups.end(), [&](GroupId group) {
      const auto& texts = rules_.written(group);
      return std::any_of(texts.begin(), texts.end(), covers);
    });
  }

  rules::Coverage coverage_;
  const RulesReader& rules_;
};

void advise_of_shadows(std::span<const ReadRule> table, const Comparison& comparison, Problems& problems) {
  // Every pair: bounded, so that a generated file with very many rules still loads at once.
  constexpr size_t rules_compared_max = 1000;
  for (size_t i = 1; i < std::min(table.size(), rules_compared_max); ++i) {
    const auto shadow =
        std::find_if(table.begin(), table.begin() + static_cast<std::ptrdiff_t>(i),
                     [&](const ReadRule& earlier) { return comparison.covers(earlier, table[i]); });
    if (shadow != table.begin() + static_cast<std::ptrdiff_t>(i))
      problems.warning(table[i].position, fmt::format("rule \"{}\" can never match: rule \"{}\" in line {} "
                                                      "is read first and matches everything that it matches",
                                                      table[i].name, shadow->name, shadow->position.line));
  }
}

// The first condition of the rule that waits for the ClientHello; null when the connect event can decide it.
const RowCondition* waits_for_hello(const ReadRule& rule, const RulesReader& rules) {
  for (const RowCondition& condition : rule.when) {
    if (is_hello_slot(condition.shown.slot)) return &condition;
    if (condition.shown.slot != Slot::host) continue;
    const bool only_addresses =
        std::all_of(condition.groups.begin(), condition.groups.end(), [&](GroupId group) {
          const auto& texts = rules.written(group);
          return !texts.empty() && std::all_of(texts.begin(), texts.end(), [](const std::string& text) {
            return Cidr::parse(text).has_value();
          });
        });
    if (!only_addresses) return &condition;
  }
  return nullptr;
}

bool networks_meet(const std::string& a, const std::string& b) {
  const auto first = Cidr::parse(a);
  const auto second = Cidr::parse(b);
  if (!first || !second) return true;  // an interface: who knows
  return first->contains(second->network) || second->contains(first->network);
}

bool ports_meet(const std::string& a, const std::string& b) {
  const auto [a_first, a_last] = port_range(a);
  const auto [b_first, b_last] = port_range(b);
  return a_first <= b_last && b_first <= a_last;
}

// Whether some connection could meet both rules; "yes" when it cannot be told.
bool may_meet(const ReadRule& a, const ReadRule& b, const RulesReader& rules) {
  for (const Slot slot : {Slot::client, Slot::destination, Slot::port}) {
    const RowCondition* first = condition_on(a, slot);
    const RowCondition* second = condition_on(b, slot);
    if (first == nullptr || second == nullptr) continue;
    bool meet = false;
    for (const GroupId one : first->groups) {
      for (const GroupId other : second->groups) {
        const auto& texts = rules.written(one);
        const auto& others = rules.written(other);
        meet = meet || texts.empty() || others.empty();  // a list file
        for (const std::string& text : texts)
          for (const std::string& other_text : others)
            meet = meet || (slot == Slot::port ? ports_meet : networks_meet)(text, other_text);
      }
    }
    if (!meet) return false;
  }
  return true;
}

// The TLS rules that can decide a plain tunnel before the ClientHello is read.
std::vector<const ReadRule*> blind_tunnels(const RulesReader& rules) {
  std::vector<const ReadRule*> tunnels;
  for (const ReadRule& rule : rules.tls_rules()) {
    const bool waits = waits_for_hello(rule, rules) != nullptr;
    if (rule.action == rules::Action::tunnel && !waits) tunnels.push_back(&rule);
    const bool waits_always =
        waits && std::all_of(rule.when.begin(), rule.when.end(), [](const RowCondition& condition) {
          return is_hello_slot(condition.shown.slot) || condition.shown.slot == Slot::host ||
                 condition.shown.slot == Slot::method;
        });
    if (waits_always) break;  // nothing below is decided without a hello
  }
  return tunnels;
}

void advise_of_tunnels(const Config& config, const RulesReader& rules, Problems& problems) {
  if (!config.tls.decrypt && !rules.tls_rules().empty())
    problems.warning(rules.tls_rules().front().position,
                     "tls.decrypt = false: the TLS rules are not applied, every handshake is relayed without "
                     "intervention");
  const auto tunnels = config.tls.decrypt ? blind_tunnels(rules) : std::vector<const ReadRule*>{};
  for (const ReadRule& rule : rules.access_rules()) {
    const RowCondition* waiting = waits_for_hello(rule, rules);
    if (waiting == nullptr) continue;
    if (!config.tls.decrypt) {
      problems.warning(waiting->shown.position,
                       fmt::format("rule \"{}\" can never match: with tls.decrypt = false no ClientHello is "
                                   "read, so {} is never known",
                                   rule.name, rules::to_string(waiting->shown.slot)));
      continue;
    }
    const auto tunnel = std::find_if(tunnels.begin(), tunnels.end(),
                                     [&](const ReadRule* t) { return may_meet(*t, rule, rules); });
    if (tunnel != tunnels.end())
      problems.warning(
          waiting->shown.position,
          fmt::format("rule \"{}\" does not apply to connections that the TLS rule \"{}\" in line {} "
                      "tunnels: their ClientHello "
                      "is not read, so {} is never known; action = \"tunnel-sni\" there would read it",
                      rule.name, (*tunnel)->name, (*tunnel)->position.line,
                      rules::to_string(waiting->shown.slot)));
  }
}

/// `ports`: those whose connections this table sees; `where` they are listed.
void advise_of_ports(std::span<const uint16_t> ports, const char* where, std::span<const ReadRule> table,
                     const RulesReader& rules, Problems& problems) {
  for (const ReadRule& rule : table) {
    const RowCondition* condition = condition_on(rule, Slot::port);
    if (condition == nullptr) continue;
    const bool reachable =
        std::any_of(condition->groups.begin(), condition->groups.end(), [&](GroupId group) {
          const auto& texts = rules.written(group);
          return texts.empty() || std::any_of(texts.begin(), texts.end(), [&](const std::string& text) {
                   const auto [first, last] = port_range(text);
                   return std::any_of(ports.begin(), ports.end(),
                                      [&](uint16_t port) { return first <= port && port <= last; });
                 });
        });
    if (!reachable)
      problems.warning(condition->shown.position,
                       fmt::format("rule \"{}\" can never match: none of its ports is in {}, so no such "
                                   "connection comes here",
                                   rule.name, where));
  }
}

void advise_of_contradictions(std::span<const ReadRule> table, const RulesReader& rules, Problems& problems) {
  for (const ReadRule& rule : table) {
    const RowCondition* sni = condition_on(rule, Slot::sni);
    const RowCondition* host = condition_on(rule, Slot::host);
    if (sni == nullptr || host == nullptr || sni->groups.size() != 1) continue;
    const auto& words = rules.written(sni->groups.front());
    const bool absent = std::all_of(words.begin(), words.end(), [](const std::string& word) {
      return word == "absent" || word == "false";
    });
    const ReadRule host_alone{.name = {}, .position = {}, .when = {*host}};
    if (absent && !words.empty() && waits_for_hello(host_alone, rules) != nullptr)
      problems.warning(
          sni->shown.position,
          fmt::format("rule \"{}\": without SNI there is no host name, so its names never match", rule.name));
  }
}

}  // namespace

void advise(const Config& config, const RulesReader& rules, Problems& problems) {
  const Comparison comparison(*config.policy, rules);
  for (const auto kind :
       {rules::TableKind::bypass, rules::TableKind::access, rules::TableKind::protection, rules::TableKind::tls}) {
    const std::span<const ReadRule> table(rules.rules(kind));
    advise_of_shadows(table, comparison, problems);
    advise_of_contradictions(table, rules, problems);
  }
  const Gateway& gateway = config.gateway;
  advise_of_ports(gateway.tls_ports, "gateway.tls_ports", rules.tls_rules(), rules, problems);
  std::vector<uint16_t> all_ports(gateway.tls_ports);
  all_ports.insert(all_ports.end(), gateway.http_ports.begin(), gateway.http_ports.end());
  advise_of_ports(all_ports,
                  gateway.http_ports.empty() ? "gateway.tls_ports" : "gateway.tls_ports or http_ports",
                  rules.access_rules(), rules, problems);
  advise_of_tunnels(config, rules, problems);
}

}  // namespace sluice::config
