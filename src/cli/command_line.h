// The command line: what the commands and options are called, their help, and what runs. main.cc calls this
// and nothing else.
#pragma once

#include <functional>
#include <string>

namespace sluice::cli {

/// Exit codes of every command.
enum ExitCode : int {
  exit_ok = 0,
  exit_problem = 1,  // the configuration, a file or the system is not as it must be
  exit_usage = 2,    // the command line is wrong
};

/// `sluice run`: the daemon; returns its exit code.
using RunDaemon = std::function<int(const std::string& config_file)>;

/// Parses, runs the command and returns the exit code of the process. Without `run_daemon` there is no
/// command `run`.
[[nodiscard]] int run_command_line(int argc, const char* const* argv, const RunDaemon& run_daemon);

}  // namespace sluice::cli
