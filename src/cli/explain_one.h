// `sluice explain` for one connection: event by event, rule by rule.
#pragma once

#include <string>

#include "cli/verdict.h"
#include "config/config.h"

namespace sluice::cli {

/// Some lines of text, ending in what becomes of the connection.
[[nodiscard]] std::string explain_one(const config::Config& config, const Connection& connection);

}  // namespace sluice::cli
