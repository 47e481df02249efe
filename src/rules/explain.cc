#include "rules/explain.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdint>
#include <span>

#include "rules/decide.h"

namespace sluice::rules {
namespace {

std::string version_name(uint16_t version) {
  switch (version) {
    case 0x0301:
      return "1.0";
    case 0x0302:
      return "1.1";
    case 0x0303:
      return "1.2";
    case 0x0304:
      return "1.3";
    default:
      return fmt::format("0x{:04x}", version);
  }
}

bool is_message(const Facts& facts) { return facts.event == Event::request || facts.event == Event::response; }

Known known_of(const Facts& facts, Slot slot) {
  if ((bit_of(slot) & hello_slots) != 0) return facts.hello_known;
  if ((bit_of(slot) & content_slots) != 0 && !is_message(facts)) return Known::never;
  switch (slot) {
    case Slot::host: return facts.host_known;
    case Slot::destination: return facts.destination_known;
    case Slot::user: return facts.user_known;
    case Slot::user_agent: return facts.user_agent_known;
    case Slot::url: return is_message(facts) ? Known::yes : facts.host_known;
    case Slot::file_type: return facts.content.type_known;
    case Slot::size: return facts.content.size_known;
    case Slot::md5:
    case Slot::sha256: return facts.content.hashes_known;
    case Slot::client:
    case Slot::port:
    case Slot::sni:
    case Slot::ech:
    case Slot::alpn:
    case Slot::tls_version:
    case Slot::ja4:
    case Slot::schedule:
    case Slot::method:
    case Slot::mime:
    case Slot::file_name:
    case Slot::direction: return Known::yes;
  }
  return Known::yes;
}

std::string not_known(const Facts& facts, Slot slot) {
  if (known_of(facts, slot) == Known::never) {
    if ((bit_of(slot) & content_slots) != 0) return fmt::format("a CONNECT has no {}", to_string(slot));
    if (slot == Slot::user || slot == Slot::user_agent)
      return fmt::format("the {} is never known here: no proxy is configured", to_string(slot));
    return fmt::format("the {} is never known here", to_string(slot));
  }
  if (!is_message(facts)) return fmt::format("the {} is not known before the ClientHello", to_string(slot));
  if (slot == Slot::size)
    return facts.content.size_at_least == 0
               ? "the size is not known yet"
               : fmt::format("the size is not known yet, but at least {} bytes", facts.content.size_at_least);
  if (facts.content.unreadable) return fmt::format("the {} cannot be told: the content cannot be decoded", to_string(slot));
  return fmt::format("the {} is not known yet", to_string(slot));
}

std::string hex(std::span<const uint8_t> bytes) {
  std::string text;
  for (const uint8_t byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

std::string content_fact(const Facts& facts, Slot slot) {
  const Content& content = facts.content;
  switch (slot) {
    case Slot::mime:
      return facts.mime.empty() ? "no Content-Type was sent" : fmt::format("the content type is {}", facts.mime);
    case Slot::file_name: {
      std::string names;
      for (const std::string_view name : facts.file_names)
        if (!name.empty()) names += fmt::format("{}{}", names.empty() ? "" : ", ", name);
      for (const std::string& name : facts.also_file_names) names += fmt::format("{}{}", names.empty() ? "" : ", ", name);
      return names.empty() ? "there is no file name" : fmt::format("the file name is {}", names);
    }
    case Slot::file_type: {
      std::string types;
      if (content.types != nullptr)
        content.types->for_each(
            [&](FileType type) { types += fmt::format("{}{}", types.empty() ? "" : ", ", sluice::to_string(type)); });
      return types.empty() ? "there is no body" : fmt::format("the file type is {}", types);
    }
    case Slot::size: return fmt::format("the size is {} bytes", content.size);
    case Slot::md5: return content.has_hashes ? fmt::format("the MD5 is {}", hex(content.md5)) : "there is no body";
    case Slot::sha256: return content.has_hashes ? fmt::format("the SHA-256 is {}", hex(content.sha256)) : "there is no body";
    case Slot::client:
    case Slot::destination:
    case Slot::port:
    case Slot::host:
    case Slot::sni:
    case Slot::ech:
    case Slot::alpn:
    case Slot::tls_version:
    case Slot::ja4:
    case Slot::schedule:
    case Slot::method:
    case Slot::user:
    case Slot::user_agent:
    case Slot::url:
    case Slot::direction: break;
  }
  return {};
}

// "the host is www.example.com": what the condition was held against.
std::string fact(const Facts& facts, Slot slot) {
  if (known_of(facts, slot) != Known::yes) return not_known(facts, slot);
  switch (slot) {
    case Slot::client:
      return facts.interface.empty()
                 ? fmt::format("the client is {}, its interface is not known", facts.client.to_string())
                 : fmt::format("the client is {} on {}", facts.client.to_string(), facts.interface);
    case Slot::destination:
      return fmt::format("the destination is {}", facts.destination.address.to_string());
    case Slot::port:
      return fmt::format("the port is {}", facts.destination.port);
    case Slot::host:
      return facts.host.empty() ? fmt::format("there is no host name, and the destination is {}",
                                              facts.destination.address.to_string())
                                : fmt::format("the host is {}", facts.host);
    case Slot::sni:
      return facts.sni_present ? "the SNI is present" : "the SNI is absent";
    case Slot::ech:
      return facts.ech_present ? "ECH is present" : "ECH is absent";
    case Slot::alpn:
      return facts.alpn.empty() ? "no ALPN is offered"
                                : fmt::format("offered are {}", fmt::join(facts.alpn, ", "));
    case Slot::tls_version: {
      std::vector<std::string> names;
      for (const uint16_t version : facts.tls_versions) names.push_back(version_name(version));
      return fmt::format("offered are {}", fmt::join(names, ", "));
    }
    case Slot::ja4:
      return fmt::format("the fingerprint is {}", facts.ja4);
    case Slot::schedule:
      return fmt::format("it is {:04}-{:02}-{:02} {:02}:{:02}, weekday {}", facts.now.year, facts.now.month,
                         facts.now.day, facts.now.minute / 60, facts.now.minute % 60, facts.now.weekday);
    case Slot::method:
      return fmt::format("the method is {}", facts.method);
    case Slot::user:
      return facts.user.empty() ? "no user is logged in" : fmt::format("the user is {}", facts.user);
    case Slot::user_agent:
      return facts.user_agent.empty() ? "no User-Agent was sent" : fmt::format("the user agent is {}", facts.user_agent);
    case Slot::url:
      if (is_message(facts)) return fmt::format("the URL is {}", facts.url);
      return facts.host.empty() ? "a CONNECT without a host name" : fmt::format("it is a CONNECT to {}, without a path", facts.host);
    case Slot::direction:
      return fmt::format("it is a {}", facts.event == Event::response ? "response" : "request");
    case Slot::mime:
    case Slot::file_name:
    case Slot::file_type:
    case Slot::size:
    case Slot::md5:
    case Slot::sha256:
      return content_fact(facts, slot);
  }
  return {};
}

// Why a rule that did not match did not, or why it could not be decided.
class RuleExplainer {
 public:
  RuleExplainer(const Policy& policy, const Evaluator& evaluator, const Facts& facts, bool settled)
      : policy_(policy), evaluator_(evaluator), facts_(facts), settled_(settled) {}

  void explain(const Rule& rule, RuleReason& reason) const {
    switch (evaluator_.rule(rule, settled_)) {
      case Truth::yes:
        reason.outcome = RuleReason::Outcome::matched;
        matched(rule, reason);
        return;
      case Truth::unknown:
        reason.outcome = RuleReason::Outcome::deferred;
        break;
      case Truth::no:
        reason.outcome = RuleReason::Outcome::not_matched;
        break;
    }
    // A condition that fails says more than one that is unknown; then an except that holds; then what is
    // unknown.
    if (first_condition(rule.row, Truth::no, "does not hold", reason)) return;
    for (uint32_t i = 0; i < rule.excepts_count; ++i) {
      if (evaluator_.row(rule.excepts_first + i) != Truth::yes) continue;
      reason.reason = fmt::format("except entry {} holds: {}", i + 1, conditions(rule.excepts_first + i));
      reason.reason_line = line_of(rule.excepts_first + i);
      return;
    }
    const char* undecided = settled_ ? "does not hold" : "cannot be decided yet";
    if (first_condition(rule.row, Truth::unknown, undecided, reason)) return;
    for (uint32_t i = 0; i < rule.excepts_count; ++i) {
      if (evaluator_.row(rule.excepts_first + i) != Truth::unknown) continue;
      if (first_condition(rule.excepts_first + i, Truth::unknown, undecided, reason))
        reason.reason = fmt::format("except entry {}: {}", i + 1, reason.reason);
      return;
    }
  }

 private:
  bool first_condition(uint32_t row, Truth wanted, std::string_view verb, RuleReason& reason) const {
    for (const Condition& condition : policy_.conditions_of(row)) {
      if (evaluator_.condition(row, condition.slot) != wanted) continue;
      reason.reason = fmt::format("{} (line {}) {}: {}", condition.text, condition.position.line, verb,
                                  fact(facts_, condition.slot));
      reason.reason_line = condition.position.line;
      return true;
    }
    return false;
  }
  void matched(const Rule& rule, RuleReason& reason) const {
    const auto all = policy_.conditions_of(rule.row);
    reason.reason = all.empty() ? "it has no conditions, so it matches always" : conditions(rule.row);
    reason.reason_line = line_of(rule.row);
  }
  std::string conditions(uint32_t row) const {
    std::string text;
    for (const Condition& condition : policy_.conditions_of(row)) {
      if (!text.empty()) text += "; ";
      text += fmt::format("{} (line {}): {}", condition.text, condition.position.line,
                          fact(facts_, condition.slot));
    }
    return text;
  }
  uint32_t line_of(uint32_t row) const {
    const auto all = policy_.conditions_of(row);
    return all.empty() ? 0 : all.front().position.line;
  }

  const Policy& policy_;
  const Evaluator& evaluator_;
  const Facts& facts_;
  bool settled_;
};

/// The word for what a rule does.
std::string action_of(const Rule& rule, TableKind table) {
  if (table == TableKind::protection) {
    std::string skipped;
    for (size_t i = 0; i < threat_count; ++i)
      if (rule.threats.of(static_cast<Threat>(i)) == ThreatAction::skip)
        skipped += fmt::format("{}{}", skipped.empty() ? "skip " : ", ", to_string(static_cast<Threat>(i)));
    return skipped.empty() ? "block every threat" : skipped;
  }
  return table != TableKind::tls && rule.action == Action::peek ? "allow" : to_string(rule.action);
}

/// `decided`: the rule that decided although some above it could not be, because those could only have blocked as well.
void explain_table(std::span<const Rule> rules, const RuleExplainer& explainer, TableKind kind,
                   const std::string& fallback, RuleIndex decided, TableReasons& table) {
  table.read = true;
  for (size_t i = 0; i < rules.size(); ++i) {
    RuleReason& reason = table.rules.emplace_back();
    reason.rule = static_cast<RuleIndex>(i);
    reason.name = rules[i].name;
    reason.action = action_of(rules[i], kind);
    reason.line = rules[i].position.line;
    explainer.explain(rules[i], reason);
    const bool read_on = decided == rule_default || decided > static_cast<RuleIndex>(i);
    if (reason.outcome == RuleReason::Outcome::matched) return;
    if (reason.outcome == RuleReason::Outcome::deferred && !read_on) return;
  }
  RuleReason& reason = table.rules.emplace_back();
  reason.outcome = RuleReason::Outcome::matched;
  reason.rule = rule_default;
  reason.name = "default";
  reason.action = fallback;
  reason.reason = "no rule matched";
}

/// How the reading of a table ended.
enum class End : uint8_t { no_match, allowed, refused, undecided };
End end_of(std::span<const Rule> rules, const TableReasons& table, Action fallback) {
  const RuleReason& last = table.rules.back();
  if (last.outcome == RuleReason::Outcome::deferred) return End::undecided;
  if (last.rule == rule_default && rules.empty() && fallback == Action::peek) return End::no_match;
  const Action action = last.rule == rule_default ? fallback : rules[static_cast<size_t>(last.rule)].action;
  if (action != Action::peek) return End::refused;
  return last.rule == rule_default ? End::no_match : End::allowed;
}

/// What the link lists say, and what the protection rules make of it.
void explain_links(const Policy& policy, const Evaluator& evaluator, const Facts& facts, Explanation& explanation) {
  for (const Threat threat : link_threats) {
    const Condition* const lists = policy.link_lists(threat);
    if (lists == nullptr) continue;
    LinkReason& link = explanation.links.emplace_back();
    link.threat = threat;
    std::string known = fact(facts, is_message(facts) ? Slot::url : Slot::host);
    if (!is_message(facts) && !(facts.host_known == Known::yes && facts.host.empty()))
      known += fmt::format(", and the destination is {}", facts.destination.address.to_string());
    link.reason = fmt::format("{} (line {}): {}", lists->text, lists->position.line, known);
    const Truth truth = evaluator.listed(threat);
    link.outcome = truth == Truth::yes  ? RuleReason::Outcome::matched
                   : truth == Truth::no ? RuleReason::Outcome::not_matched
                                        : RuleReason::Outcome::deferred;
    if (truth != Truth::yes) continue;
    const Decision& decision = explanation.decision;
    if (decision.threat_blocks && decision.threat == threat)
      link.action = "block";
    else if (decision.protection_rule == rule_none)
      link.action = "not decided yet";
    else
      link.action = decision.threats.of(threat) == ThreatAction::block ? "block" : "skip";
  }
}

/// Bypass, access, protection: each is read unless an earlier one ended the reading.
void explain_stages(const Policy& policy, const RuleExplainer& explainer, Explanation& explanation) {
  const Decision& decision = explanation.decision;
  const RuleIndex bypass = decision.access_rule == rule_none ? decision.bypass_rule : rule_default;
  explain_table(policy.bypass_rules(), explainer, TableKind::bypass, "go on to the access rules", bypass,
                explanation.bypass);
  const char* why = nullptr;
  switch (end_of(policy.bypass_rules(), explanation.bypass, Action::peek)) {
    case End::no_match: break;
    case End::allowed: why = "a bypass rule lets it pass"; break;
    case End::refused: why = "a bypass rule refuses it"; break;
    case End::undecided: why = "the bypass rules are not decided yet"; break;
  }
  if (why != nullptr) {
    explanation.access.why_not_read = explanation.protection.why_not_read = why;
    return;
  }
  const Action fallback = policy.access_default_allows() ? Action::peek : Action::block;
  explain_table(policy.access_rules(), explainer, TableKind::access, fallback == Action::peek ? "allow" : "block",
                decision.access_rule, explanation.access);
  switch (end_of(policy.access_rules(), explanation.access, fallback)) {
    case End::no_match:
    case End::allowed: break;
    case End::refused: why = "the access stage refuses it"; break;
    case End::undecided: why = "the access rules are not decided yet"; break;
  }
  if (why != nullptr) {
    explanation.protection.why_not_read = why;
    return;
  }
  explain_table(policy.protection_rules(), explainer, TableKind::protection, "[protection.default]",
                decision.threat_blocks ? decision.protection_rule : rule_none, explanation.protection);
}

}  // namespace

Explanation explain(const Policy& policy, const Facts& known, Event event, bool last) {
  Evaluator evaluator(policy);
  Explanation explanation;
  Facts facts = known;
  facts.event = event;
  bool settled = last;
  switch (event) {
    case Event::connect:
      explanation.decision = decide_connect(policy, evaluator, facts);
      // At the connect event rules are settled only where no ClientHello will be read.
      settled = is_reread(policy, evaluator, explanation.decision);
      break;
    case Event::hello:
      explanation.decision = decide_hello(policy, evaluator, facts);
      settled = true;
      break;
    case Event::request:
    case Event::response:
      explanation.decision = decide_message(policy, evaluator, facts, event, last);
      break;
  }
  explain_stages(policy, RuleExplainer(policy, evaluator, facts, settled), explanation);
  if (explanation.protection.read && event != Event::response) explain_links(policy, evaluator, facts, explanation);

  const Action action = explanation.decision.action;
  const bool refused = action == Action::block || action == Action::redirect;
  if (event == Event::request || event == Event::response) {
    explanation.tls.why_not_read = "they are about connections";
  } else if (refused && event == Event::connect && !settled) {
    explanation.tls.why_not_read = explanation.decision.threat_blocks              ? "a link list has it, and that closes the connection"
                                   : explanation.decision.access_rule == rule_none ? "a bypass rule closes the connection"
                                                                                   : "an access rule closes the connection";
  } else if (!policy.decrypt()) {
    explanation.tls.why_not_read = "tls.decrypt = false: handshakes are relayed without intervention";
  } else {
    explain_table(policy.tls_rules(), RuleExplainer(policy, evaluator, facts, event == Event::hello), TableKind::tls,
                  to_string(policy.tls_default()), rule_none, explanation.tls);
  }
  return explanation;
}

Explanation explain_http_connect(const Policy& policy, const Facts& known) {
  Evaluator evaluator(policy);
  Explanation explanation;
  Facts facts = known;
  facts.event = Event::connect;
  explanation.decision = decide_http_connect(policy, evaluator, facts, false);
  explain_stages(policy, RuleExplainer(policy, evaluator, facts, false), explanation);
  if (explanation.protection.read) explain_links(policy, evaluator, facts, explanation);
  explanation.tls.why_not_read = "this port carries plain HTTP";
  return explanation;
}

}  // namespace sluice::rules
