#include "rules/decide.h"

#include "rules/policy.h"

namespace sluice::rules {
namespace {

// `allow` of a bypass or access rule is kept as Action::peek: go on.
Action access_action(const Policy& policy, RuleIndex rule) {
  if (rule == rule_default) return policy.access_default_allows() ? Action::peek : Action::block;
  return policy.access_rules()[static_cast<size_t>(rule)].action;
}

Action tls_action(const Policy& policy, RuleIndex rule) {
  if (rule == rule_default) return policy.tls_default();
  return policy.tls_rules()[static_cast<size_t>(rule)].action;
}

Decision undecided(const Policy& policy, Needs needs) {
  Decision decision;
  decision.pending = true;
  decision.needs = needs;
  decision.threats = policy.protection_default();
  return decision;
}

const ThreatActions& threats_of(const Policy& policy, RuleIndex rule) {
  return rule == rule_default ? policy.protection_default()
                              : policy.protection_rules()[static_cast<size_t>(rule)].threats;
}

// What the link lists say of a CONNECT or a request (S24, S32), and what is done about it: undecided while a list may have a name or
// an address that is not known yet.
Decision read_links(const Policy& policy, const Evaluator& evaluator, bool settled, Decision decision) {
  Evaluator::Unknowns unknowns;
  const Evaluator::Match match = evaluator.first_certain(TableKind::protection, settled, unknowns);
  const ThreatActions& certain = threats_of(policy, match.rule);
  bool pending = false;
  for (const Threat threat : link_threats) {
    const Truth listed = evaluator.listed(threat);
    if (decision.threat_blocks || listed == Truth::no || (settled && listed == Truth::unknown)) continue;
    const auto i = static_cast<size_t>(threat);
    const bool blocks = certain.of(threat) == ThreatAction::block;
    if (listed == Truth::unknown) {
      // Of a request only the address can be unknown.
      pending = pending || blocks || unknowns.may_block[i];
      unknowns.needs |= needs_destination;
      continue;
    }
    // Rules that cannot be decided yet do not matter when they say the same.
    if (blocks ? unknowns.may_skip[i] : unknowns.may_block[i]) {
      pending = true;
    } else if (blocks) {
      decision.action = Action::block;
      decision.threat = threat;
      decision.threat_blocks = true;
      decision.protection_rule = match.rule;
      decision.threats = certain;
    } else if (!decision.threat) {
      decision.threat = threat;
    }
  }
  return pending && !decision.threat_blocks ? undecided(policy, unknowns.needs) : decision;
}

// The last stage, of what nothing forbids. Rules over what is not known yet keep a message waiting only when there is a threat.
Decision read_protection(const Policy& policy, const Evaluator& evaluator, bool settled, Decision decision) {
  const Evaluator::Match match = evaluator.first(TableKind::protection, settled);
  if (!match.unknown) {
    decision.protection_rule = match.rule;
    decision.threats = threats_of(policy, match.rule);
  }
  // A response has no link of its own: that of its request has been judged.
  const bool has_link = policy.has_links() && evaluator.event() != Event::response;
  return has_link ? read_links(policy, evaluator, settled, decision) : decision;
}

enum class Early : uint8_t {
  no,
  // What cannot be decided may only block, and so does what follows: then nothing more has to be known.
  block,
};

// Bypass, access, protection (S22): pending when a rule cannot be decided that the answer hangs on.
Decision read_stages(const Policy& policy, const Evaluator& evaluator, bool settled, Early early) {
  Decision decision;
  decision.threats = policy.protection_default();
  Evaluator::Unknowns unknowns;
  const auto read = [&](TableKind table) {
    if (early == Early::block) return evaluator.first_certain(table, settled, unknowns);
    const Evaluator::Match match = evaluator.first(table, settled);
    unknowns.any = match.unknown;
    unknowns.only_block = false;
    return match;
  };
  const auto hangs_on = [&](Action action) {
    return unknowns.any && !(unknowns.only_block && action == Action::block);
  };
  const Evaluator::Match bypass = read(TableKind::bypass);
  if (bypass.rule != rule_default) {
    const Action action = policy.bypass_rules()[static_cast<size_t>(bypass.rule)].action;
    if (hangs_on(action)) return undecided(policy, unknowns.needs);
    decision.action = action;
    decision.bypass_rule = bypass.rule;
    decision.scan = action != Action::peek;
    return decision;
  }
  if (hangs_on(Action::block)) return undecided(policy, unknowns.needs);  // whatever the access rules say

  const Evaluator::Match access = read(TableKind::access);
  decision.action = access_action(policy, access.rule);
  if (hangs_on(decision.action)) return undecided(policy, unknowns.needs);
  decision.access_rule = access.rule;
  return decision.action == Action::peek ? read_protection(policy, evaluator, settled, decision) : decision;
}

bool refuses(const Decision& decision) { return decision.action != Action::peek; }

// The stages of a CONNECT once nothing more will become known; where they allow, `tls` is what remains to be
// done.
Decision settle(const Policy& policy, const Evaluator& evaluator, Action tls, RuleIndex tls_rule) {
  Decision decision = read_stages(policy, evaluator, true, Early::no);
  decision.tls_rule = tls_rule;
  if (!refuses(decision)) decision.action = tls;
  return decision;
}

}  // namespace

Decision decide_connect(const Policy& policy, Evaluator& evaluator, const Facts& facts) {
  evaluator.evaluate(facts, Event::connect);

  const Decision stages = read_stages(policy, evaluator, false, Early::no);
  if (!stages.pending && refuses(stages)) return stages;

  // Where no ClientHello will be read, rules that wait for one are read again without it: S1, S3.
  if (!policy.decrypt()) return settle(policy, evaluator, Action::tunnel, rule_none);
  const Evaluator::Match tls = evaluator.first(TableKind::tls, false);
  if (!tls.unknown && tls_action(policy, tls.rule) == Action::tunnel)
    return settle(policy, evaluator, Action::tunnel, tls.rule);
  return {};
}

Decision decide_http_connect(const Policy& policy, Evaluator& evaluator, const Facts& facts, bool last) {
  evaluator.evaluate(facts, Event::connect);
  Decision decision = read_stages(policy, evaluator, last, Early::no);
  if (last || refuses(decision)) return decision;
  return {};  // the requests are judged one by one
}

Decision decide_hello(const Policy& policy, Evaluator& evaluator, const Facts& facts) {
  evaluator.evaluate(facts, Event::hello);
  if (!policy.decrypt()) return settle(policy, evaluator, Action::tunnel, rule_none);
  const RuleIndex tls = evaluator.first(TableKind::tls, true).rule;
  return settle(policy, evaluator, tls_action(policy, tls), tls);
}

Decision decide_message(const Policy& policy, Evaluator& evaluator, const Facts& facts, Event event,
                        bool last) {
  evaluator.evaluate(facts, event);
  return read_stages(policy, evaluator, last, Early::block);
}

bool is_reread(const Policy& policy, const Evaluator& evaluator, const Decision& decision) {
  if (decision.action == Action::tunnel) return true;
  return refuses(decision) && read_stages(policy, evaluator, false, Early::no).pending;
}

}  // namespace sluice::rules
