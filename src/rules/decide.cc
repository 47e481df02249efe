#include "rules/decide.h"

#include "rules/policy.h"

namespace sluice::rules {
namespace {

// `allow` of an access rule is kept as Action::peek: go on.
Action access_action(const Policy& policy, RuleIndex rule) {
  if (rule == rule_default) return policy.access_default_allows() ? Action::peek : Action::block;
  return policy.access_rules()[static_cast<size_t>(rule)].action;
}

Action tls_action(const Policy& policy, RuleIndex rule) {
  if (rule == rule_default) return policy.tls_default();
  return policy.tls_rules()[static_cast<size_t>(rule)].action;
}

// Access rules once nothing more will become known; where they allow, `tls` is what remains to be done.
Decision settle(const Policy& policy, const Evaluator& evaluator, Action tls, RuleIndex tls_rule) {
  const RuleIndex access_rule = evaluator.first_access(true).rule;
  const Action access = access_action(policy, access_rule);
  if (access != Action::peek) return {.action = access, .tls_rule = tls_rule, .access_rule = access_rule};
  return {.action = tls, .tls_rule = tls_rule, .access_rule = access_rule};
}

}  // namespace

Decision decide_connect(const Policy& policy, Evaluator& evaluator, const Facts& facts) {
  evaluator.evaluate(facts);

  const Evaluator::Match access = evaluator.first_access(false);
  if (!access.unknown) {
    const Action action = access_action(policy, access.rule);
    if (action != Action::peek) return {.action = action, .access_rule = access.rule};
  }

  // Where no ClientHello will be read, access rules that wait for one are read again without it: S1, S3.
  if (!policy.decrypt()) return settle(policy, evaluator, Action::tunnel, rule_none);
  const Evaluator::Match tls = evaluator.first_tls(false);
  if (!tls.unknown && tls_action(policy, tls.rule) == Action::tunnel)
    return settle(policy, evaluator, Action::tunnel, tls.rule);
  return {};
}

Decision decide_access(const Policy& policy, Evaluator& evaluator, const Facts& facts, bool last) {
  evaluator.evaluate(facts);
  if (last) return settle(policy, evaluator, Action::peek, rule_none);
  const Evaluator::Match access = evaluator.first_access(false);
  if (access.unknown) return {};
  const Action action = access_action(policy, access.rule);
  return {.action = action, .access_rule = action == Action::peek ? rule_none : access.rule};
}

Decision decide_hello(const Policy& policy, Evaluator& evaluator, const Facts& facts) {
  evaluator.evaluate(facts);
  if (!policy.decrypt()) return settle(policy, evaluator, Action::tunnel, rule_none);
  const RuleIndex tls = evaluator.first_tls(true).rule;
  return settle(policy, evaluator, tls_action(policy, tls), tls);
}

}  // namespace sluice::rules
