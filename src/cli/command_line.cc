#include "cli/command_line.h"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cstdio>
#include <string_view>
#include <vector>

#include "base/utf8.h"
#include "cli/ca.h"
#include "cli/check.h"
#include "cli/explain.h"
#include "cli/version.h"
#include "config/units.h"

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

constexpr char explain_footer[] = R"(
For one connection, says what each event decides, which rule did it, and why each earlier rule did not match. What is
not given is absent: without --sni the ClientHello names no server.

With --url, the same for a request and its response: what is not given of the response is not known, and rules that hang on
it are shown as undecided.

With --pcap, one line for each TLS connection in a capture (pcap or pcapng, - for standard input). With --log, one line
for each connection and request in an access log of Sluice's own in JSON (from the journal: journalctl -u sluice -o cat); what
the log does not tell (file types, hashes, user agents) leaves a request undecided. With --against FILE2 as well, only what the rules of FILE2 would treat differently.

Examples:
  sluice explain --client 10.0.0.7 --to 198.51.100.1:443 --sni www.example.com
  sluice explain -c new.toml --client 2001:db8::7 --to '[2001:db8::1]:443' --sni x.example --alpn h2,http/1.1
  sluice explain --client 10.0.0.7 --to 198.51.100.1:443 --no-tls
  sluice explain --client 10.0.0.7 --to 198.51.100.1:443 --sni x.example --at '2026-11-21 09:00'
  sluice explain --client 10.0.0.7 --url https://www.example.com/setup.exe --mime application/x-msdownload --file-type pe
  sluice explain --pcap lan.pcapng --interface eth1
  sluice explain --log /var/log/sluice/access.log --against new.toml)";

void add_config_option(CLI::App& command, std::string& file) {
  command.add_option("-c,--config", file, "The configuration")->type_name("FILE")->capture_default_str();
}

void define_check(CLI::App& command, CheckOptions& options) {
  add_config_option(command, options.config_file);
  command.add_flag("--kernel-values", options.kernel_values,
                   "Print what kernel-setup needs, as key=value lines that a shell can read");
  command.footer(check_footer);
}

void define_explain(CLI::App& command, ExplainOptions& options) {
  add_config_option(command, options.config_file);
  const std::string one = "One connection";
  CLI::Option* const client =
      command.add_option("--client", options.client, "Who connects")->type_name("ADDR")->group(one);
  CLI::Option* const to =
      command.add_option("--to", options.destination, "Where to: 192.0.2.1:443 or [2001:db8::1]:443")
          ->type_name("ADDR:PORT")
          ->group(one);
  to->needs(client);
  CLI::Option* const sni = command.add_option("--sni", options.sni, "The server name in the ClientHello")
                               ->type_name("NAME")
                               ->group(one);
  CLI::Option* const alpn =
      command.add_option("--alpn", options.alpn, "Protocols that the client offers, comma-separated")
          ->type_name("LIST")
          ->group(one);
  CLI::Option* const version = command
                                   .add_option("--tls-version", options.tls_versions,
                                               "TLS versions that the client offers, comma-separated")
                                   ->type_name("LIST")
                                   ->capture_default_str()
                                   ->group(one);
  CLI::Option* const ja4 = command.add_option("--ja4", options.ja4, "The fingerprint of the ClientHello")
                               ->type_name("JA4")
                               ->group(one);
  CLI::Option* const ech =
      command.add_flag("--ech", options.ech, "The ClientHello has the ECH extension")->group(one);
  CLI::Option* const no_tls =
      command.add_flag("--no-tls", options.no_tls, "The client does not speak TLS, or says nothing")
          ->group(one);
  for (CLI::Option* of_hello : {sni, alpn, version, ja4, ech}) no_tls->excludes(of_hello);
  command.add_option("--interface", options.interface, "The LAN interface on which it comes in")
      ->type_name("IF");
  command
      .add_option("--at", options.at,
                  "Local time for schedules: 'YYYY-MM-DD HH:MM' (default: now; for --pcap and --log, when it "
                  "happened)")
      ->type_name("TIME");

  const std::string request = "A request, and its response";
  CLI::Option* const url = command.add_option("--url", options.url, "What is asked for: https://www.example.com/x")
                               ->type_name("URL")
                               ->group(request)
                               ->needs(client);
  const auto of_request = [&](CLI::Option* option, const char* type) {
    option->type_name(type)->group(request)->needs(url);
  };
  of_request(command.add_option("--method", options.method, "Its method (default: GET)"), "M");
  of_request(command.add_option("--user-agent", options.user_agent, "Its User-Agent"), "UA");
  of_request(command.add_option("--user", options.user, "The proxy user"), "NAME");
  of_request(command.add_option("--mime", options.mime, "The Content-Type of the response"), "TYPE");
  of_request(command.add_option("--size", options.size, "Its size: '10 MiB'"), "SIZE");
  of_request(command.add_option("--file-name", options.file_name, "Its file name in Content-Disposition (that of the URL counts as well)"), "NAME");
  of_request(command.add_option("--file-type", options.file_type, "What its content is: types of docs/file-types.md, comma-separated"), "LIST");
  of_request(command.add_option("--md5", options.md5, "Its MD5"), "HEX");
  of_request(command.add_option("--sha256", options.sha256, "Its SHA-256"), "HEX");
  command.add_flag("--upload", options.is_upload, "All this is of the request's own body")->group(request)->needs(url);
  url->excludes(no_tls);

  const std::string many = "Many connections";
  CLI::Option* const pcap =
      command.add_option("--pcap", options.pcap_file, "A packet capture")->type_name("FILE")->group(many);
  CLI::Option* const all_ports = command
                                     .add_flag("--all-ports", options.all_ports,
                                               "Of the capture, all TCP ports, not only those that are redirected")
                                     ->group(many);
  CLI::Option* const log =
      command.add_option("--log", options.log_file, "An access log in JSON, - for standard input")
          ->type_name("FILE")
          ->group(many);
  CLI::Option* const against = command
                                   .add_option("--against", options.against_file,
                                               "Another configuration: show only what it would change (of one connection: both)")
                                   ->type_name("FILE2")
                                   ->group(many);
  all_ports->needs(pcap);
  pcap->excludes(client)->excludes(log);
  url->excludes(pcap)->excludes(log);
  log->excludes(client);
  (void)against;
  command.footer(explain_footer);
}

constexpr char ca_footer[] = R"(
Examples:
  sluice ca init
  sluice ca init --name 'Example Ltd gateway CA' --only-for example.com --only-for 192.0.2.0/24
  sluice ca show
  sluice ca export --format der --out sluice-ca.cer
  sluice ca export --for windows)";

struct CaOptions {
  CaInitOptions init;
  CaShowOptions show;
  CaExportOptions out;
};

struct CaCommands {
  CLI::App* init;
  CLI::App* show;
  CLI::App* out;
};

void add_file_option(CLI::App& command, const char* name, std::string& file, const char* what) {
  command.add_option(name, file, what)->type_name("FILE")->capture_default_str();
}

CaCommands define_ca(CLI::App& command, CaOptions& options) {
  command.require_subcommand(1);
  command.footer(ca_footer);
  CLI::App* const init =
      command.add_subcommand("init", "Make a CA: a P-256 key and a self-signed certificate");
  add_file_option(*init, "--cert", options.init.certificate_file, "Where its certificate goes");
  add_file_option(*init, "--key", options.init.key_file, "Where its private key goes, with mode 0600");
  init->add_option("--name", options.init.name, "Its common name (default: Sluice CA of this host)")
      ->type_name("TEXT")
      ->check(
          [](const std::string& text) { return text.empty() || text.size() > 64 ? "1 to 64 bytes" : ""; });
  init->add_option("--organization", options.init.organization, "Its organization")
      ->type_name("TEXT")
      ->check(
          [](const std::string& text) { return text.empty() || text.size() > 64 ? "1 to 64 bytes" : ""; });
  init->add_option("--days", options.init.days, "How long it is valid")
      ->type_name("DAYS")
      ->capture_default_str()
      ->check(CLI::Range(1, 36500));
  init->add_option("--only-for", options.init.only_for,
                   "A domain, address or network that it may sign for; may be given several times (default: "
                   "everything)")
      ->type_name("NAME")
      ->expected(1)
      ->take_all();
  init->add_option("--owner", options.init.owner,
                   "Who owns the key's file (default: user sluice, if there is one and this runs as root)")
      ->type_name("USER");
  init->footer("\nNeither file is ever overwritten.");
  CLI::App* const show =
      command.add_subcommand("show", "Say whose it is, until when, and whether it can be used");
  add_file_option(*show, "--cert", options.show.certificate_file, "Its certificate");
  add_file_option(*show, "--key", options.show.key_file, "Its private key");
  CLI::App* const out = command.add_subcommand("export", "The certificate for clients, or how to install it");
  add_file_option(*out, "--cert", options.out.certificate_file, "Its certificate");
  CLI::Option* const format = out->add_option("--format", options.out.format, "pem or der")
                                  ->type_name("FORMAT")
                                  ->capture_default_str()
                                  ->check(CLI::IsMember({"pem", "der"}));
  CLI::Option* const file =
      out->add_option("--out", options.out.out_file, "A new file instead of standard output")
          ->type_name("FILE");
  std::string names;
  for (const std::string& platform : ca_platforms()) names += platform + ", ";
  out->add_option("--for", options.out.platform, "Instructions instead: " + names + "all")
      ->type_name("PLATFORM")
      ->excludes(format)
      ->excludes(file);
  return {init, show, out};
}

/// What reached the reader counts: a full disk or a closed pipe makes a command fail.
int with_output_flushed(int code) {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return code;
  fmt::print(stderr, "sluice: cannot write to standard output\n");
  return code == exit_ok ? exit_problem : code;
}

using Words = std::vector<std::string_view>;

/// An option with one dash too few: CLI11 takes "-sni" for -s, -n and -i, and "-config" for -c onfig.
std::string missing_dash(const CLI::App& command, const Words& words) {
  for (const std::string_view word : words) {
    if (word.size() < 3 || word[0] != '-' || word[1] == '-') continue;
    const std::string meant = "-" + std::string(word.substr(0, word.find('=')));
    if (command.get_option_no_throw(meant) != nullptr)
      return fmt::format("there is no option {}; did you mean {}?", printable(meant.substr(1)), meant);
  }
  return "";
}

std::string unknown_option(const CLI::App& command, const std::string& word) {
  std::vector<std::string> names;
  for (const CLI::Option* const option : command.get_options())
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  const std::vector<std::string_view> views(names.begin(), names.end());
  const std::string_view near = config::nearest(word, views);
  return fmt::format("there is no option {}{}", printable(word), near.empty() ? "" : fmt::format("; did you mean {}?", near));
}

/// What is left over when all options are read: a word that is meant to be a file, most often.
std::string left_over(const CLI::App& app, const CLI::App& command, const Words& words) {
  if (!words.empty() && words[0].starts_with('-') && &command != &app)
    return fmt::format("options come behind the command: sluice {} {} …", command.get_name(), printable(words[0]));
  const std::vector<std::string> words_left = command.remaining();
  for (const std::string& word : words_left)
    if (word.starts_with('-') && word != "-") return unknown_option(command, word);
  for (const std::string& word : words_left) {
    std::string text = fmt::format("'{}' is not expected here", printable(word));
    if (command.get_option_no_throw("--pcap") != nullptr)
      return text + "; a configuration is given with -c FILE, a capture with --pcap FILE, a log with --log FILE";
    if (command.get_option_no_throw("--config") != nullptr) return text + "; a configuration is given with -c FILE";
    return text;
  }
  return "";
}

/// --help and --version leave through here too: CLI11 throws for them.
int leave(const CLI::App& app, const CLI::ParseError& error, const Words& words) {
  if (error.get_exit_code() == 0) return with_output_flushed(app.exit(error));
  std::string name = "sluice";
  const CLI::App* command = &app;
  while (!command->get_subcommands().empty()) {
    command = command->get_subcommands().front();
    name += " " + command->get_name();
  }
  std::string what = missing_dash(*command, words);
  if (what.empty() && error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ExtrasError)) what = left_over(app, *command, words);
  if (what.empty()) what = error.what();
  fmt::print(stderr, "{}: {}\nTry '{} --help'.\n", name, what, name);
  return exit_usage;
}

/// What somebody may have meant who knows the commands of other daemons, or mistyped one of ours.
std::string meant_by(std::string_view word, const CLI::App& app) {
  if (word == "reload") return "; to have the daemon read its configuration again: systemctl reload sluice, or SIGHUP";
  for (const std::string_view of_systemd : {"start", "stop", "restart", "status", "enable", "disable"})
    if (word == of_systemd) return fmt::format("; if you mean the daemon: systemctl {} sluice", word);
  std::vector<std::string_view> names;
  for (const CLI::App* const command : app.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(command->get_name());
  const std::string_view near = config::nearest(word, names);
  return near.empty() ? "" : fmt::format("; did you mean '{}'?", near);
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
        "once.\n"
        "SIGUSR1 writes the counters to standard error.");
  }
  CheckOptions check_options;
  check_options.config_file = default_config_file;
  CLI::App* const check_command = app.add_subcommand("check", "Find every error in the configuration");
  define_check(*check_command, check_options);
  ExplainOptions explain_options;
  explain_options.config_file = default_config_file;
  CLI::App* const explain_command = app.add_subcommand("explain", "Which rule decides, and why");
  define_explain(*explain_command, explain_options);
  CaOptions ca_options;
  CLI::App* const ca_command = app.add_subcommand("ca", "The CA: make it, show it, give it to clients");
  const CaCommands ca = define_ca(*ca_command, ca_options);
  CLI::App* const version_command =
      app.add_subcommand("version", "Versions, accelerations, and what the kernel allows");

  // CLI11 would say that a command is required, and not which word it did not know.
  const auto is_meant = [&](const CLI::App* command) { return command->get_name() == argv[1]; };
  if (argc > 1 && argv[1][0] != '-' && app.get_subcommands(is_meant).empty()) {
    fmt::print(stderr, "sluice: there is no command '{}'{}\nTry 'sluice --help'.\n", printable(argv[1]),
               meant_by(argv[1], app));
    return exit_usage;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return leave(app, error, Words(argv + 1, argv + argc));
  }
  if (run_command != nullptr && *run_command) return run_daemon(run_config);
  if (*check_command) return with_output_flushed(check(check_options));
  if (*explain_command) return with_output_flushed(explain(explain_options));
  if (*ca.init) return with_output_flushed(ca_init(ca_options.init));
  if (*ca.show) return with_output_flushed(ca_show(ca_options.show));
  if (*ca.out) return with_output_flushed(ca_export(ca_options.out));
  if (*version_command) fmt::print("{}", version_text());
  return with_output_flushed(exit_ok);
}

}  // namespace sluice::cli
