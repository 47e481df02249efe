// What a refusal by the rules, or a threat, is called in the log and in the counters. Pure.
#pragma once

#include "record/connection_record.h"
#include "record/counters.h"
#include "rules/judge.h"

namespace sluice::flow {

/// Why a connection ends that a decision to block or redirect refuses.
[[nodiscard]] record::CloseReason refusal_of(const rules::Decision& decision);

void count_threat(record::Counters& counters, rules::Threat threat);

}  // namespace sluice::flow
