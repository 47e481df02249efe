// What a configuration holds that is over: apart from load(), which knows no clock.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"

namespace sluice::config {

/// Warns of rules whose schedules have all ended before `today` (yyyymmdd, local time).
void advise_of_past(const Config& config, int today, std::vector<Problem>& problems);

}  // namespace sluice::config
