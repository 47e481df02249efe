#include "rules/explain.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

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

bool comes_with_hello(Slot slot) {
  switch (slot) {
    case Slot::sni:
    case Slot::ech:
    case Slot::alpn:
    case Slot::tls_version:
    case Slot::ja4:
      return true;
    case Slot::client:
    case Slot::destination:
    case Slot::port:
    case Slot::host:
    case Slot::schedule:
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
      return false;
  }
  return false;
}

// "the host is www.example.com": what the condition was held against.
std::string fact(const Facts& facts, Slot slot) {
  const Known known = slot == Slot::host       ? facts.host_known
                      : comes_with_hello(slot) ? facts.hello_known
                                               : Known::yes;
  if (known == Known::not_yet)
    return fmt::format("the {} is not known before the ClientHello", to_string(slot));
  if (known == Known::never) return fmt::format("the {} is never known here", to_string(slot));
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
      return "the method is CONNECT";
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
      return {};  // not read yet
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
      if (condition.slot == Slot::method || evaluator_.condition(row, condition.slot) != wanted) continue;
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

void explain_table(std::span<const Rule> rules, const RuleExplainer& explainer, bool access,
                   const std::string& fallback, TableReasons& table) {
  table.read = true;
  for (size_t i = 0; i < rules.size(); ++i) {
    RuleReason& reason = table.rules.emplace_back();
    reason.rule = static_cast<RuleIndex>(i);
    reason.name = rules[i].name;
    reason.action = access && rules[i].action == Action::peek ? "allow" : to_string(rules[i].action);
    reason.line = rules[i].position.line;
    explainer.explain(rules[i], reason);
    if (reason.outcome != RuleReason::Outcome::not_matched) return;
  }
  RuleReason& reason = table.rules.emplace_back();
  reason.outcome = RuleReason::Outcome::matched;
  reason.rule = rule_default;
  reason.name = "default";
  reason.action = fallback;
  reason.reason = "no rule matched";
}

}  // namespace

Explanation explain(const Policy& policy, const Facts& facts, Event event) {
  Evaluator evaluator(policy);
  Explanation explanation;
  explanation.decision = event == Event::connect ? decide_connect(policy, evaluator, facts)
                                                 : decide_hello(policy, evaluator, facts);
  const Action action = explanation.decision.action;
  const bool refused = action == Action::block || action == Action::redirect;

  // At the connect event access rules are settled only where no ClientHello will be read.
  const bool reread = event == Event::connect &&
                      (action == Action::tunnel || (refused && evaluator.first_access(false).unknown));
  const bool settled = event == Event::hello;
  explain_table(policy.access_rules(), RuleExplainer(policy, evaluator, facts, settled || reread), true,
                policy.access_default_allows() ? "allow" : "block", explanation.access);
  if (refused && event == Event::connect && !reread) {
    explanation.tls.why_not_read = "an access rule closes the connection";
  } else if (!policy.decrypt()) {
    explanation.tls.why_not_read = "tls.decrypt = false: handshakes are relayed without intervention";
  } else {
    explain_table(policy.tls_rules(), RuleExplainer(policy, evaluator, facts, settled), false,
                  to_string(policy.tls_default()), explanation.tls);
  }
  return explanation;
}

}  // namespace sluice::rules
