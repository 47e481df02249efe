// From which rules match to what is done: shared by Judge and explain(), so that they cannot differ.
//
// Each evaluates `facts` with the evaluator, whose answers about single rules and conditions stay valid
// afterwards.
#pragma once

#include "rules/evaluator.h"
#include "rules/judge.h"

namespace sluice::rules {

[[nodiscard]] Decision decide_connect(const Policy& policy, Evaluator& evaluator, const Facts& facts);
/// Plain HTTP and requests inside a bumped connection: access rules only. `last`: nothing more will become known.
/// block, redirect, or peek for "not forbidden".
[[nodiscard]] Decision decide_access(const Policy& policy, Evaluator& evaluator, const Facts& facts, bool last);
[[nodiscard]] Decision decide_hello(const Policy& policy, Evaluator& evaluator, const Facts& facts);

}  // namespace sluice::rules
