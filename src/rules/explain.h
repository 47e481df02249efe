// Which rule decides, and why each earlier one did not: for `sluice explain`.
//
// Asks the same Evaluator as a Judge. Allocates freely: not for the data path.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rules/judge.h"
#include "rules/policy.h"

namespace sluice::rules {

struct RuleReason {
  enum class Outcome : uint8_t { matched, not_matched, deferred };
  Outcome outcome = Outcome::not_matched;
  RuleIndex rule = rule_none;  // rule_default: the table's default
  std::string name;            // as in the log
  std::string action;          // what the rule does: "tunnel-sni", "allow", "block" …
  uint32_t line = 0;           // of the rule in rules.toml; 0 for a default
  std::string reason;  // "host = \".bank.example\" (line 12) does not hold: the host is www.example.com"
  uint32_t reason_line = 0;  // of the condition that decided; 0: none did
};

struct TableReasons {
  bool read = false;  // false: the table was not reached; `why_not_read` says why
  std::string why_not_read;
  std::vector<RuleReason> rules;  // from the first to the one that ended the reading, the default included
};

/// One class of link lists.
struct LinkReason {
  Threat threat = Threat::phishing;
  RuleReason::Outcome outcome = RuleReason::Outcome::not_matched;
  std::string action;  // of one that matched: "block", "skip"; "not decided yet"
  std::string reason;  // "phishing = [\"@lists/a.txt\"] (line 3): the host is www.example.com"
};

struct Explanation {
  Decision decision;
  std::vector<LinkReason> links;  // those that were looked at; each class that [links] names
  TableReasons bypass;
  TableReasons access;
  TableReasons protection;
  TableReasons tls;  // connect and hello only
};

/// `event` counts, whatever `facts.event` says. `last`: of a request or response, nothing more will become known.
[[nodiscard]] Explanation explain(const Policy& policy, const Facts& facts, Event event, bool last = true);
/// The connect event of plain HTTP, as Judge::http_connect reads it: no TLS rule applies.
[[nodiscard]] Explanation explain_http_connect(const Policy& policy, const Facts& facts);

}  // namespace sluice::rules
