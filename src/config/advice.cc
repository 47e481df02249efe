#include "config/advice.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/file_type.h"
#include "config/units.h"
#include "rules/coverage.h"
#include "rules/url_pattern.h"

namespace sluice::config {
namespace {

using rules::GroupId;
using rules::HostPattern;
using rules::RowCondition;
using rules::Schedule;
using rules::Slot;

// Every pair of rules is compared: bounded, so that a generated file with very many rules still loads at
// once. What lies behind is not warned of, and that is said once.
constexpr size_t rules_compared_max = 1000;

const RowCondition* condition_on(const ReadRule& rule, Slot slot) {
  for (const RowCondition& condition : rule.when)
    if (condition.shown.slot == slot) return &condition;
  return nullptr;
}

bool is_hello_slot(Slot slot) { return (rules::bit_of(slot) & rules::hello_slots) != 0; }

// As it was accepted before; nullopt for a regular expression.
std::optional<rules::UrlPattern> url_of(const std::string& text) {
  std::string error;
  return rules::UrlPattern::parse(text, error);
}

// Whether a predicate holds for every value of a condition; false for lists from files, which nobody has kept.
template <class Predicate>
bool all_written(const RowCondition& condition, const RulesReader& rules, Predicate&& predicate) {
  return std::all_of(condition.groups.begin(), condition.groups.end(), [&](GroupId group) {
    const auto& texts = rules.written(group);
    return !texts.empty() && std::all_of(texts.begin(), texts.end(), predicate);
  });
}

// What only requests and responses have: no CONNECT can meet the condition.
bool is_of_message(const RowCondition& condition, const RulesReader& rules) {
  const Slot slot = condition.shown.slot;
  if ((rules::bit_of(slot) & rules::content_slots) != 0) return true;
  if (slot == Slot::url)
    return all_written(condition, rules, [](const std::string& text) {
      const auto url = url_of(text);
      return !url || url->path != rules::UrlPattern::Path::none;
    });
  if (slot == Slot::method) return all_written(condition, rules, [](const std::string& text) { return text != "CONNECT"; });
  return slot == Slot::direction && all_written(condition, rules, [](const std::string& text) { return text == "response"; });
}
const RowCondition* message_condition(const ReadRule& rule, const RulesReader& rules) {
  for (const RowCondition& condition : rule.when)
    if (is_of_message(condition, rules)) return &condition;
  return nullptr;
}
bool is_only_connect(const RowCondition& condition, const RulesReader& rules) {
  return condition.shown.slot == Slot::method &&
         all_written(condition, rules, [](const std::string& text) { return text == "CONNECT"; });
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
    return covers(wide, narrow, [](const RowCondition&) { return false; });
  }

  /// Whether `wide` is about CONNECT alone, and matches the CONNECT of all that `narrow` is about.
  bool covers_connect(const ReadRule& wide, const ReadRule& narrow) const {
    const RowCondition* method = condition_on(wide, Slot::method);
    return method != nullptr && is_only_connect(*method, rules_) &&
           covers(wide, narrow, [&](const RowCondition& condition) { return &condition == method; });
  }

 private:
  /// `holds`: whether a condition of `wide` is known to hold.
  template <class Holds>
  bool covers(const ReadRule& wide, const ReadRule& narrow, Holds&& holds) const {
    if (!wide.excepts.empty()) return false;
    return std::all_of(wide.when.begin(), wide.when.end(), [&](const RowCondition& condition) {
      if (holds(condition)) return true;
      const RowCondition* other = condition_on(narrow, condition.shown.slot);
      if (other != nullptr) return covers(condition, *other);
      // A URL pattern lies at its host.
      const RowCondition* url = condition_on(narrow, Slot::url);
      return condition.shown.slot == Slot::host && url != nullptr &&
             all_written(*url, rules_, [&](const std::string& text) { return covers_host_of(condition, text); });
    });
  }

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
      case Slot::file_type:
        return covers_type(wide, text);
      case Slot::alpn:
      case Slot::tls_version:
      case Slot::method:
      case Slot::user_agent:
      case Slot::url:
      case Slot::file_name:
      case Slot::size:
      case Slot::direction:
      case Slot::md5:
      case Slot::sha256:
        return any_written(wide, [&](const std::string& pattern) { return pattern == text; });
    }
    return false;
  }

  bool covers_host_of(const RowCondition& hosts, const std::string& text) const {
    const auto url = url_of(text);
    if (!url || url->any_host) return false;
    if (url->address) return coverage_.networks(Slot::host, hosts.groups, {*url->address, 128});
    return coverage_.hosts(hosts.groups, url->host);
  }

  bool covers_type(const RowCondition& wide, const std::string& text) const {
    FileTypeSet all;
    for (const GroupId group : wide.groups)
      for (const std::string& name : rules_.written(group)) add_type(all, name);
    FileTypeSet one;
    add_type(one, text);
    return all.covers(one);
  }
  static void add_type(FileTypeSet& set, const std::string& name) {
    if (const auto type = file_type_named(name)) return set.add(*type);
    if (const auto file_class = file_class_named(name)) set.add(*file_class);
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
    const Slot slot = condition.shown.slot;
    if (is_hello_slot(slot)) return &condition;
    if (slot == Slot::host &&
        !all_written(condition, rules, [](const std::string& text) { return Cidr::parse(text).has_value(); }))
      return &condition;
    if (slot == Slot::url && !is_of_message(condition, rules) && !all_written(condition, rules, [](const std::string& text) {
          const auto url = url_of(text);
          return url && url->address;
        }))
      return &condition;
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

bool is_under(std::string_view name, std::string_view above) {
  return name.size() > above.size() && name.ends_with(above) && name[name.size() - above.size() - 1] == '.';
}

bool hosts_meet(const std::string& a, const std::string& b) {
  if (Cidr::parse(a) || Cidr::parse(b)) return true;  // a name may have that address
  std::string error;
  const auto first = HostPattern::parse(a, error);
  const auto second = HostPattern::parse(b, error);
  if (!first || !second) return true;
  using Kind = HostPattern::Kind;
  if (first->name == second->name)
    return first->kind == second->kind || first->kind == Kind::both || second->kind == Kind::both;
  return (first->kind != Kind::exact && is_under(second->name, first->name)) ||
         (second->kind != Kind::exact && is_under(first->name, second->name));
}

bool host_meets_url(const std::string& host, const std::string& text) {
  const auto url = url_of(text);
  if (!url || url->any_host || url->address) return true;
  return hosts_meet(host, url->host.to_string());
}

// Whether some connection could meet both rules; "yes" when it cannot be told.
bool may_meet(const ReadRule& a, const ReadRule& b, const RulesReader& rules) {
  for (const Slot slot : {Slot::client, Slot::destination, Slot::port, Slot::host}) {
    auto values_meet = slot == Slot::port ? ports_meet : slot == Slot::host ? hosts_meet : networks_meet;
    const RowCondition* first = condition_on(a, slot);
    const RowCondition* second = condition_on(b, slot);
    if (slot == Slot::host && second == nullptr && (second = condition_on(b, Slot::url)) != nullptr) values_meet = host_meets_url;
    if (first == nullptr || second == nullptr) continue;
    bool meet = false;
    for (const GroupId one : first->groups) {
      for (const GroupId other : second->groups) {
        const auto& texts = rules.written(one);
        const auto& others = rules.written(other);
        meet = meet || texts.empty() || others.empty();  // a list file
        for (const std::string& text : texts)
          for (const std::string& other_text : others)
            meet = meet || values_meet(text, other_text);
      }
    }
    if (!meet) return false;
  }
  return true;
}

// Whether there is a listener for configured clients.
bool knows_users(const Config& config) { return !config.explicit_proxy.listen.empty(); }

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

void advise_of_tunnels(const Config& config, std::span<const ReadRule> table, const RulesReader& rules,
                       Problems& problems) {
  const auto tunnels = config.tls.decrypt ? blind_tunnels(rules) : std::vector<const ReadRule*>{};
  for (const ReadRule& rule : table) {
    const RowCondition* waiting = waits_for_hello(rule, rules);
    if (waiting == nullptr) continue;
    const bool of_hello = is_hello_slot(waiting->shown.slot);
    if (!config.tls.decrypt && (of_hello || config.gateway.http_ports.empty())) {
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

// --- what needs the traffic inside (S28)

bool is_tunnel(rules::Action action) { return action == rules::Action::tunnel || action == rules::Action::tunnel_sni; }

/// What becomes of all TLS connections that a rule is about, as far as it can be told: `rule` is null for the default; bump when
/// some of them may be decrypted.
struct Fate {
  rules::Action action = rules::Action::bump;
  const ReadRule* rule = nullptr;
};
Fate fate_of(const Config& config, const ReadRule& rule, const Comparison& comparison, const RulesReader& rules) {
  if (!config.tls.decrypt) return {rules::Action::tunnel, nullptr};
  const auto& all = rules.tls_rules();
  for (const ReadRule& tls : std::span(all).first(std::min(all.size(), rules_compared_max))) {
    if (comparison.covers(tls, rule)) return {tls.action, &tls};
    if (tls.action == rules::Action::bump && may_meet(tls, rule, rules)) return {};
  }
  if (all.size() > rules_compared_max) return {};  // one of the others may bump
  return {config.policy->tls_default(), nullptr};
}

bool bumps(const Config& config, const RulesReader& rules) {
  return config.tls.decrypt &&
         (config.policy->tls_default() == rules::Action::bump ||
          std::any_of(rules.tls_rules().begin(), rules.tls_rules().end(),
                      [](const ReadRule& rule) { return rule.action == rules::Action::bump; }));
}

std::string tunnelled_by(const Config& config, const Fate& fate) {
  if (fate.rule != nullptr)
    return fmt::format("the TLS rule \"{}\" in line {} tunnels these connections", fate.rule->name,
                       fate.rule->position.line);
  if (!config.tls.decrypt) return "tls.decrypt = false tunnels all connections";
  return fmt::format("tls.default_action = \"{}\" tunnels these connections", rules::to_string(fate.action));
}

/// Whether requests in clear come here: redirected, or of clients that are configured for a proxy.
bool reads_plain_http(const Config& config) { return !config.gateway.http_ports.empty() || knows_users(config); }

// A TLS rule is only asked of the CONNECT that stands for a connection.
void advise_of_tls_rules(const Config& config, const RulesReader& rules, Problems& problems) {
  if (!config.tls.decrypt) return;  // none of them is applied, and that is said
  for (const ReadRule& rule : rules.tls_rules()) {
    const auto never = [&](const RowCondition& condition, std::string_view why) {
      problems.warning(condition.shown.position, fmt::format("rule \"{}\" can never match: {}", rule.name, why));
    };
    const RowCondition* user = condition_on(rule, Slot::user);
    const RowCondition* agent = condition_on(rule, Slot::user_agent);
    if (const RowCondition* inside = message_condition(rule, rules)) {
      const bool is_url = inside->shown.slot == Slot::url;
      never(*inside, fmt::format("TLS rules are asked of the CONNECT that stands for a connection, {}; what is inside is for "
                                 "[[access.rules]]",
                                 is_url ? "and a CONNECT has a host and no path" : "which has no other method"));
    } else if (user != nullptr && !knows_users(config)) {
      never(*user, "only clients that are configured for a proxy have a user, and there is no [explicit] listener");
    } else if (agent != nullptr && !knows_users(config)) {
      never(*agent, "a transparent CONNECT has no user agent, and there is no [explicit] listener");
    }
  }
}

bool words_meet(std::string_view a, std::string_view b) {
  const bool a_begins = a.ends_with('*');
  const bool b_begins = b.ends_with('*');
  if (a_begins) a.remove_suffix(1);
  if (b_begins) b.remove_suffix(1);
  return a_begins && a.size() <= b.size() ? b.starts_with(a) : b_begins && b.size() <= a.size() ? a.starts_with(b) : a == b;
}

// Interfaces that nothing is redirected from.
void advise_of_interfaces(const Config& config, std::span<const ReadRule> table, const RulesReader& rules, Problems& problems) {
  const auto& lan = config.gateway.lan_interfaces;
  // Without `lan` the kernel is set up by hand, and others than the LAN's clients come from anywhere.
  if (lan.empty() || config.gateway.own_traffic || knows_users(config)) return;
  for (const ReadRule& rule : table) {
    const RowCondition* client = condition_on(rule, Slot::client);
    if (client == nullptr) continue;
    for (const GroupId group : client->groups)
      for (const std::string& text : rules.written(group))
        if (!Cidr::parse(text) && std::none_of(lan.begin(), lan.end(), [&](const std::string& name) { return words_meet(name, text); }))
          problems.warning(client->shown.position, fmt::format("rule \"{}\": no interface of gateway.lan is called \"{}\", so no "
                                                               "client comes from there",
                                                               rule.name, text));
  }
}

// Conditions that contradict each other or that nothing here can meet. `fate`: of the rule's TLS connections.
bool advise_of_void(const Config& config, const ReadRule& rule, const Fate& fate, const RulesReader& rules, Problems& problems) {
  const RowCondition* inside = message_condition(rule, rules);
  const auto never = [&](const RowCondition& condition, std::string_view why) {
    problems.warning(condition.shown.position, fmt::format("rule \"{}\" can never match: {}", rule.name, why));
    return true;
  };
  if (const RowCondition* user = condition_on(rule, Slot::user); user != nullptr && !knows_users(config))
    return never(*user, "only clients that are configured for a proxy have a user, and there is no [explicit] listener");
  const RowCondition* method = condition_on(rule, Slot::method);
  const bool only_connect = method != nullptr && is_only_connect(*method, rules);
  if (const RowCondition* agent = condition_on(rule, Slot::user_agent);
      agent != nullptr && only_connect && !knows_users(config))
    return never(*agent, "a transparent CONNECT has no user agent");
  if (const RowCondition* agent = condition_on(rule, Slot::user_agent);
      agent != nullptr && !reads_plain_http(config) && !bumps(config, rules) && !rules.https_page_at())
    return never(*agent, "user_agent needs the requests inside, and none are read: nothing is bumped, and gateway.http_ports is empty");
  if (inside == nullptr) return false;
  const char* const slot = rules::to_string(inside->shown.slot);
  if (only_connect) return never(*inside, fmt::format("a CONNECT has no {}", slot));
  for (const RowCondition& condition : rule.when)
    if (is_hello_slot(condition.shown.slot))
      return never(condition, fmt::format("{} is known of connections, {} of the requests inside: no event has both",
                                          rules::to_string(condition.shown.slot), slot));
  if (reads_plain_http(config)) return false;
  if (!bumps(config, rules))
    return never(*inside, fmt::format("{} needs the requests inside, and none are read: nothing is bumped, and "
                                      "gateway.http_ports is empty",
                                      slot));
  if (fate.rule == nullptr && is_tunnel(fate.action))
    return never(*inside, fmt::format("{} needs the requests inside, and none are read: {}, and gateway.http_ports is empty", slot,
                                      tunnelled_by(config, fate)));
  return false;
}

/// Whether the rule is about requests in clear alone, by its ports or its URLs.
bool is_of_plain_http(const Config& config, const ReadRule& rule, const RulesReader& rules) {
  const auto is_plain_port = [&](uint32_t port) {
    const auto has = [&](const std::vector<uint16_t>& ports) { return std::find(ports.begin(), ports.end(), port) != ports.end(); };
    return (port == 80 || has(config.gateway.http_ports)) && !has(config.gateway.tls_ports);
  };
  const auto are_plain_ports = [&](const std::string& text) {
    const auto [first, last] = port_range(text);
    uint32_t port = first;  // wider than a port, so that the last one has a next
    while (port <= last && is_plain_port(port)) ++port;
    return port > last;
  };
  const auto is_plain_url = [](const std::string& text) {
    const auto url = url_of(text);
    return url && url->scheme == rules::UrlPattern::Scheme::http;
  };
  const RowCondition* port = condition_on(rule, Slot::port);
  const RowCondition* url = condition_on(rule, Slot::url);
  return (port != nullptr && all_written(*port, rules, are_plain_ports)) ||
         (url != nullptr && all_written(*url, rules, is_plain_url));
}

/// Why the rule does not see the CONNECT of the connections that it blocks; empty when it does.
std::string leaves_connect_out(const ReadRule& rule, rules::TableKind kind, const Comparison& comparison, const RulesReader& rules) {
  const bool excepted = std::any_of(rule.excepts.begin(), rule.excepts.end(), [&](const auto& except) {
    return except.size() == 1 && except.front().shown.slot == Slot::method && !is_of_message(except.front(), rules);
  });
  if (excepted) return fmt::format("rule \"{}\" leaves CONNECT out", rule.name);
  if (kind != rules::TableKind::access) return "";
  const auto& bypass = rules.rules(rules::TableKind::bypass);
  for (const ReadRule& earlier : std::span(bypass).first(std::min(bypass.size(), rules_compared_max))) {
    if (message_condition(earlier, rules) != nullptr) continue;  // it never sees a CONNECT
    if (earlier.action != rules::Action::peek && may_meet(earlier, rule, rules)) return "";  // it may block them
    if (earlier.action == rules::Action::peek && comparison.covers_connect(earlier, rule))
      return fmt::format("rule \"{}\" is not asked of CONNECT, which the bypass rule \"{}\" in line {} lets pass", rule.name,
                         earlier.name, earlier.position.line);
  }
  return "";
}

// S28: what a rule forbids inside, and a tunnel carries unseen.
void advise_of_messages(const Config& config, rules::TableKind kind, const Comparison& comparison, const RulesReader& rules,
                        Problems& problems) {
  const std::span<const ReadRule> table(rules.rules(kind));
  for (const ReadRule& rule : table.first(std::min(table.size(), rules_compared_max))) {
    const Fate fate = fate_of(config, rule, comparison, rules);
    if (advise_of_void(config, rule, fate, rules, problems)) continue;
    if (rule.action == rules::Action::peek || !is_tunnel(fate.action)) continue;
    if (const RowCondition* inside = message_condition(rule, rules)) {
      // Where nothing is bumped at all, whoever names http_ports knows what such rules are about.
      if ((fate.rule != nullptr || bumps(config, rules)) && !is_of_plain_http(config, rule, rules))
        problems.warning(inside->shown.position,
                         fmt::format("rule \"{}\" does not apply over HTTPS: {}, so {} is never known there", rule.name,
                                     tunnelled_by(config, fate), rules::to_string(inside->shown.slot)));
      continue;
    }
    if (const std::string why = leaves_connect_out(rule, kind, comparison, rules); !why.empty())
      problems.warning(rule.position, fmt::format("{}, and {}: what it blocks can be reached over HTTPS; bump them, or let the rule "
                                                  "apply to CONNECT too",
                                                  why, tunnelled_by(config, fate)));
  }
}

// One warning for all tables.
void advise_of_incompleteness(const RulesReader& rules, Problems& problems) {
  for (const auto kind :
       {rules::TableKind::bypass, rules::TableKind::access, rules::TableKind::protection, rules::TableKind::tls}) {
    const auto& table = rules.rules(kind);
    if (table.size() <= rules_compared_max) continue;
    return problems.warning(table[rules_compared_max].position,
                            fmt::format("there are {} {} rules: those from here on are not compared with others, so rules that can "
                                        "never match or that a tunnel makes void may go unnoticed",
                                        table.size(), rules::to_string(kind)));
  }
}

// RFC 9110, RFC 5789, WebDAV and its kin. Others are allowed, but rarely meant.
void advise_of_methods(std::span<const ReadRule> table, const RulesReader& rules, Problems& problems) {
  constexpr std::array<std::string_view, 40> registered = {
      "ACL",     "BASELINE-CONTROL", "BIND",      "CHECKIN",  "CHECKOUT",   "CONNECT",    "COPY",
      "DELETE",  "GET",              "HEAD",      "LABEL",    "LINK",       "LOCK",       "MERGE",
      "MKACTIVITY", "MKCALENDAR",    "MKCOL",     "MKREDIRECTREF", "MKWORKSPACE", "MOVE", "OPTIONS",
      "ORDERPATCH", "PATCH",         "POST",      "PROPFIND", "PROPPATCH",  "PUT",        "QUERY",
      "REBIND",  "REPORT",           "SEARCH",    "TRACE",    "UNBIND",     "UNCHECKOUT", "UNLINK",
      "UNLOCK",  "UPDATE",           "UPDATEREDIRECTREF", "VERSION-CONTROL", "PURGE"};
  for (const ReadRule& rule : table) {
    const RowCondition* condition = condition_on(rule, Slot::method);
    if (condition == nullptr) continue;
    for (const GroupId group : condition->groups) {
      for (const std::string& text : rules.written(group)) {
        if (std::find(registered.begin(), registered.end(), text) != registered.end()) continue;
        const std::string_view near = nearest(text, registered);
        problems.warning(condition->shown.position,
                         near.empty() ? fmt::format("rule \"{}\": {} is not a registered method", rule.name, text)
                                      : fmt::format("rule \"{}\": {} is not a registered method; did you mean {}?", rule.name,
                                                    text, near));
      }
    }
  }
}

void advise_once(const Config& config, const RulesReader& rules, Problems& problems) {
  if (!config.tls.decrypt && !rules.tls_rules().empty())
    problems.warning(rules.tls_rules().front().position,
                     "tls.decrypt = false: the TLS rules are not applied, every handshake is relayed without "
                     "intervention");
  if (!config.tls.decrypt && rules.https_page_at())
    problems.warning(*rules.https_page_at(),
                     "access.https_page has no effect with tls.decrypt = false: a page inside HTTPS is shown by decrypting");
  if (rules.unscanned_at())
    problems.warning(*rules.unscanned_at(),
                     "protection: this version finds links alone ([links]); malware, encrypted and macro are read, and nothing "
                     "finds them yet");
  else if (rules.protection_at() && !config.policy->has_links())
    problems.warning(*rules.protection_at(),
                     "protection: this version finds links alone, and [links] names none: nothing will be found");
}

bool is_unconditional(const rules::Rule& rule, const rules::Policy& policy) {
  return rule.excepts_count == 0 && policy.conditions_of(rule.row).empty();
}
// The rule that ends the reading of a table for everything, and those above it; all, when there is none.
std::span<const rules::Rule> up_to_unconditional(std::span<const rules::Rule> table, const rules::Policy& policy) {
  const auto last =
      std::find_if(table.begin(), table.end(), [&](const rules::Rule& rule) { return is_unconditional(rule, policy); });
  return last == table.end() ? table : table.first(static_cast<size_t>(last - table.begin()) + 1);
}

// Link lists that nothing is asked of, or that can only log.
void advise_of_links(const Config& config, const RulesReader& rules, Problems& problems) {
  const rules::Policy& policy = *config.policy;
  const bool reads_requests = reads_plain_http(config) || bumps(config, rules);
  for (const rules::Threat threat : rules::link_threats) {
    const ReadLinks& links = rules.links(threat);
    if (!links.position || links.hosts + links.paths == 0) continue;
    const std::string name = fmt::format("links.{}", rules::to_string(threat));
    const auto warn = [&](std::string text) { problems.warning(*links.position, name + std::move(text)); };
    const auto bypass = up_to_unconditional(policy.bypass_rules(), policy);
    if (!bypass.empty() && is_unconditional(bypass.back(), policy) &&
        std::all_of(bypass.begin(), bypass.end(), [](const rules::Rule& rule) { return rule.action == rules::Action::peek; })) {
      warn(fmt::format(" is never consulted: the bypass rule \"{}\" in line {} lets everything pass unscanned", bypass.back().name,
                       bypass.back().position.line));
      continue;
    }
    const auto table = up_to_unconditional(policy.protection_rules(), policy);
    const bool uses_default = table.empty() || !is_unconditional(table.back(), policy);
    const bool skips = std::all_of(table.begin(), table.end(), [&](const rules::Rule& rule) {
      return rule.threats.of(threat) == rules::ThreatAction::skip;
    });
    if (skips && (!uses_default || policy.protection_default().of(threat) == rules::ThreatAction::skip))
      warn(" blocks nothing: the protection rules and [protection.default] say skip, so what it has is only logged");
    if (links.hosts > 0 && !policy.decrypt() && !reads_requests)
      warn(": only its addresses can match: tls.decrypt = false relays every handshake unread, so no names are seen");
    if (links.paths > 0 && !reads_requests)
      warn(fmt::format(": {} of its entries have a path and can never match: paths need the requests inside, and none are read; "
                       "nothing is bumped, and gateway.http_ports is empty",
                       links.paths));
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
                   const auto range = port_range(text);
                   return std::any_of(ports.begin(), ports.end(), [&](uint16_t port) {
                     return range.first <= port && port <= range.second;
                   });
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
  const Gateway& gateway = config.gateway;
  std::vector<uint16_t> all_ports(gateway.tls_ports);
  all_ports.insert(all_ports.end(), gateway.http_ports.begin(), gateway.http_ports.end());
  advise_once(config, rules, problems);
  advise_of_links(config, rules, problems);
  advise_of_tls_rules(config, rules, problems);
  for (const auto kind :
       {rules::TableKind::bypass, rules::TableKind::access, rules::TableKind::protection, rules::TableKind::tls}) {
    const std::span<const ReadRule> table(rules.rules(kind));
    advise_of_shadows(table, comparison, problems);
    advise_of_contradictions(table, rules, problems);
    advise_of_methods(table, rules, problems);
    const bool is_tls = kind == rules::TableKind::tls;
    // An explicit client may ask for any port.
    if (config.explicit_proxy.listen.empty()) {
      const bool tls_only = is_tls || gateway.http_ports.empty();
      advise_of_ports(is_tls ? gateway.tls_ports : all_ports, tls_only ? "gateway.tls_ports" : "gateway.tls_ports or http_ports",
                      table, rules, problems);
    }
    advise_of_interfaces(config, table, rules, problems);
    if (is_tls) continue;
    advise_of_tunnels(config, table, rules, problems);
    advise_of_messages(config, kind, comparison, rules, problems);
  }
  advise_of_incompleteness(rules, problems);
}

}  // namespace sluice::config
