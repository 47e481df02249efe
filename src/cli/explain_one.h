// `sluice explain` for one connection: event by event, rule by rule.
#pragma once

#include <string>

#include "cli/verdict.h"
#include "config/config.h"
#include "rules/explain.h"

namespace sluice::cli {

/// Some lines of text, ending in what becomes of the connection.
[[nodiscard]] std::string explain_one(const config::Config& config, const Connection& connection);

/// The last lines: `note: …` where there is something to know about it, and `=> …`.
[[nodiscard]] std::string shown_result(const config::Config& config, const Connection& connection,
                                       const Verdict& verdict);

/// The stages of one event, a line for each rule that was read. Tables without rules are left out, but for the access rules'.
[[nodiscard]] std::string shown_stages(const rules::Explanation& explanation);

}  // namespace sluice::cli
