// Subcommands only: see cli/command_line.h.
#include "base/log.h"
#include "cli/command_line.h"
#include "worker/run.h"

int main(int argc, char** argv) {
  const sluice::Log log = sluice::Log::to_stderr();
  return sluice::cli::run_command_line(
      argc, argv, [&](const std::string& config_file) { return sluice::worker::run(config_file, log); });
}
