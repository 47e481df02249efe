#include "cli/command_line.h"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cstdio>

#include "base/utf8.h"
#include "cli/check.h"
#include "cli/version.h"

namespace sluice::cli {
namespace {

constexpr char default_config_file[] = "/etc/sluice/rules.toml";

constexpr char check_footer[] = R"(
Every error and warning is one line, FILE:LINE:COLUMN: what is wrong and what is allowed. Exit code 1 when there is an
error; warnings alone leave it at 0. Nothing is changed, neither in the kernel nor in a running daemon.

Examples:
  sluice check
  sluice check -c ./rules.toml
  sluice check --kernel-values | grep ^lan=)";

void add_config_option(CLI::App& command, std::string& file) {
  command.add_option("-c,--config", file, "The configuration")->type_name("FILE")->capture_default_str();
}

void define_check(CLI::App& command, CheckOptions& options) {
  add_config_option(command, options.config_file);
  command.add_flag("--kernel-values", options.kernel_values,
                   "Print what kernel-setup needs, as key=value lines that a shell can read");
  command.footer(check_footer);
}

/// What reached the reader counts: a full disk or a closed pipe makes a command fail.
int with_output_flushed(int code) {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return code;
  fmt::print(stderr, "sluice: cannot write to standard output\n");
  return code == exit_ok ? exit_problem : code;
}

/// --help and --version leave through here too: CLI11 throws for them.
int leave(const CLI::App& app, const CLI::ParseError& error) {
  if (error.get_exit_code() == 0) return with_output_flushed(app.exit(error));
  std::string command = "sluice";
  for (const CLI::App* chosen : app.get_subcommands()) command += " " + chosen->get_name();
  fmt::print(stderr, "{}: {}\nTry '{} --help'.\n", command, error.what(), command);
  return exit_usage;
}

}  // namespace

int run_command_line(int argc, const char* const* argv, const RunDaemon& run_daemon) {
  CLI::App app("Sluice, a transparent TLS gateway.", "sluice");
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string("sluice ") + SLUICE_VERSION);
  app.footer("\nsluice COMMAND --help tells more of each.");

  std::string run_config = default_config_file;
  CLI::App* run_command = nullptr;
  if (run_daemon) {
    run_command = app.add_subcommand("run", "The daemon, in the foreground");
    add_config_option(*run_command, run_config);
    run_command->footer(
        "\nSIGHUP reads the configuration again (if it has an error, the old one stays in force). SIGTERM "
        "takes no new\n"
        "connections and waits for the open ones, at most limits.drain_timeout; a second SIGTERM stops at "
        "once.");
  }
  CheckOptions check_options;
  check_options.config_file = default_config_file;
  CLI::App* const check_command = app.add_subcommand("check", "Find every error in the configuration");
  define_check(*check_command, check_options);
  CLI::App* const version_command =
      app.add_subcommand("version", "Versions, accelerations, and what the kernel allows");

  // CLI11 would say that a command is required, and not which word it did not know.
  const auto is_meant = [&](const CLI::App* command) { return command->get_name() == argv[1]; };
  if (argc > 1 && argv[1][0] != '-' && app.get_subcommands(is_meant).empty()) {
    fmt::print(stderr, "sluice: there is no command '{}'\nTry 'sluice --help'.\n", printable(argv[1]));
    return exit_usage;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return leave(app, error);
  }
  if (run_command != nullptr && *run_command) return run_daemon(run_config);
  if (*check_command) return with_output_flushed(check(check_options));
  if (*version_command) fmt::print("{}", version_text());
  return with_output_flushed(exit_ok);
}

}  // namespace sluice::cli
