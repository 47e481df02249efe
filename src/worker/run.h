// `sluice run`: the daemon in the foreground. Main thread: loads rules.toml, starts the workers and the log writer, then
// waits for signals. SIGHUP reloads (a bad file keeps the old rules), SIGTERM or SIGINT drains, a second one stops,
// SIGUSR1 prints the counters.
#pragma once

#include <string>

#include "base/log.h"

namespace sluice::worker {

/// The exit code: 0 after a clean stop, 1 when it could not start.
[[nodiscard]] int run(const std::string& config_file, const Log& log);

}  // namespace sluice::worker
