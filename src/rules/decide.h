// From which rules match to what is done: shared by Judge and explain(), so that they cannot differ.
//
// Each evaluates `facts` with the evaluator, whose answers about single rules and conditions stay valid
// afterwards.
#pragma once

#include "rules/evaluator.h"
#include "rules/judge.h"

namespace sluice::rules {

[[nodiscard]] Decision decide_connect(const Policy& policy, Evaluator& evaluator, const Facts& facts);
/// The connect event of plain HTTP. `last`: nothing more will become known. block, redirect, or peek for "not
/// forbidden".
[[nodiscard]] Decision decide_http_connect(const Policy& policy, Evaluator& evaluator, const Facts& facts,
                                           bool last);
[[nodiscard]] Decision decide_hello(const Policy& policy, Evaluator& evaluator, const Facts& facts);
/// `event`: request or response.
[[nodiscard]] Decision decide_message(const Policy& policy, Evaluator& evaluator, const Facts& facts,
                                      Event event, bool last);

/// Whether access rules that waited for a hello were read again without one, at a connect event with this
/// decision.
[[nodiscard]] bool is_reread(const Policy& policy, const Evaluator& evaluator, const Decision& decision);

}  // namespace sluice::rules
