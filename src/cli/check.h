// `sluice check`: is rules.toml right, and what does it come to?
#pragma once

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"

namespace sluice::cli {

struct CheckOptions {
  std::string config_file;
  bool kernel_values = false;  // for kernel-setup: `key=value` lines instead of the summary
};

/// Problems go to standard error, the summary or the values to standard output. Returns an exit code.
[[nodiscard]] int check(const CheckOptions& options);

/// Prints every problem to standard error; null when one of them is an error.
[[nodiscard]] std::shared_ptr<const config::Config> load_or_complain(const std::string& config_file);

/// "ok: 3 TLS rules (else tunnel-sni), 1 access rule (else allow), 1,204 host patterns, 1 warning"
[[nodiscard]] std::string summary_of(const config::Config& config, size_t warnings);

/// A warning for each file in the directory lists/ beside the configuration that nothing names (S28); "example-…" is passed over.
[[nodiscard]] std::vector<config::Problem> unused_lists(const config::Config& config);

/// A warning when log.to is a file that cannot be made, as far as can be seen from here: whoever runs this may see more than the daemon.
[[nodiscard]] std::optional<config::Problem> log_problem(const config::Config& config);

/// One `key=value` per line, the lists separated by spaces, 0 or 1 for booleans. Values consist of letters,
/// digits and
/// "_.+=~@%:/*-", so that a shell script can read them; nullopt with `error` set if one does not.
[[nodiscard]] std::optional<std::string> kernel_values(const config::Config& config, std::string& error);

}  // namespace sluice::cli
