#include "flow/refusal.h"

namespace sluice::flow {

record::CloseReason refusal_of(const rules::Decision& decision) {
  using record::CloseReason;
  if (decision.threat_blocks) return CloseReason::threat_block;
  return decision.action == rules::Action::redirect ? CloseReason::rule_redirect : CloseReason::rule_block;
}

void count_threat(record::Counters& counters, rules::Threat threat) {
  switch (threat) {
    case rules::Threat::phishing:
      ++counters.links_phishing;
      break;
    case rules::Threat::malicious_link:
      ++counters.links_malicious;
      break;
    case rules::Threat::malware:
    case rules::Threat::encrypted:
    case rules::Threat::macro:
      break;  // no module finds these yet
  }
}

}  // namespace sluice::flow
