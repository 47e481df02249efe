// What is allowed in rules.toml, but probably not meant (S28): rules that can never match, conditions that a tunnel makes
// void, ports that are not redirected. Warnings only.
#pragma once

#include "config/config.h"
#include "config/problems.h"
#include "config/rules_reader.h"

namespace sluice::config {

void advise(const Config& config, const RulesReader& rules, Problems& problems);

}  // namespace sluice::config
