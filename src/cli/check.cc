#include "cli/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <set>
#include <system_error>

#include "base/utf8.h"
#include "cli/command_line.h"
#include "cli/text.h"
#include "control/load_config.h"
#include "rules/judge.h"
#include "rules/policy.h"

namespace sluice::cli {
namespace {

void print_problems(const config::Loaded& loaded) {
  for (const config::Problem& problem : loaded.problems)
    fmt::print(stderr, "{}\n", printable(problem.to_string()));
}

bool is_shell_safe(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
         std::string_view("_.+=~@%:/*-").find(c) != std::string_view::npos;
}

template <class Values, class ToText>
std::string spaced(const Values& values, ToText to_text) {
  std::string joined;
  for (const auto& value : values) {
    if (!joined.empty()) joined += ' ';
    joined += to_text(value);
  }
  return joined;
}

const char* name_of(config::Quic quic) {
  switch (quic) {
    case config::Quic::reject:
      return "reject";
    case config::Quic::pass:
      return "pass";
  }
  return "?";
}
const char* name_of(config::WhenDown when_down) {
  switch (when_down) {
    case config::WhenDown::open:
      return "open";
    case config::WhenDown::closed:
      return "closed";
  }
  return "?";
}
const char* name_of(config::ClientSource source) {
  switch (source) {
    case config::ClientSource::gateway:
      return "gateway";
    case config::ClientSource::client:
      return "client";
  }
  return "?";
}

}  // namespace

std::shared_ptr<const config::Config> load_or_complain(const std::string& config_file) {
  const config::Loaded loaded = control::load_from_disk(config_file);
  print_problems(loaded);
  return loaded.config;
}

std::string summary_of(const config::Config& config, size_t warnings) {
  const rules::Policy& policy = *config.policy;
  std::string text = "ok: ";
  if (policy.decrypt())
    text += fmt::format("{} (else {})", counted(policy.tls_rules().size(), "TLS rule"),
                        to_string(policy.tls_default()));
  else
    text += "tls.decrypt = false, so TLS rules do not apply";
  if (!policy.bypass_rules().empty()) text += fmt::format(", {}", counted(policy.bypass_rules().size(), "bypass rule"));
  text += fmt::format(", {} (else {})", counted(policy.access_rules().size(), "access rule"),
                      policy.access_default_allows() ? "allow" : "block");
  if (!policy.protection_rules().empty())
    text += fmt::format(", {}", counted(policy.protection_rules().size(), "protection rule"));
  if (const size_t links = policy.link_entries(rules::Threat::phishing); links > 0)
    text += fmt::format(", {}", counted(links, "phishing link"));
  if (const size_t links = policy.link_entries(rules::Threat::malicious_link); links > 0)
    text += fmt::format(", {}", counted(links, "malicious link"));
  text += fmt::format(", {}", counted(policy.host_patterns(), "host pattern"));
  if (warnings > 0) text += fmt::format(", {}", counted(warnings, "warning"));
  return text;
}

std::vector<config::Problem> unused_lists(const config::Config& config) {
  namespace fs = std::filesystem;
  std::error_code error;
  // One list may be named in several ways: relative, absolute, through a link.
  const auto identity_of = [](const fs::path& file) {
    std::error_code unknown;
    const fs::path identity = fs::weakly_canonical(fs::absolute(file, unknown), unknown);
    return unknown ? file.lexically_normal() : identity;
  };
  std::set<fs::path> used;
  for (const std::string& file : config.list_files) used.insert(identity_of(file));
  std::vector<config::Problem> problems;
  const fs::path directory = (fs::path(config.file).parent_path() / "lists").lexically_normal();
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error)) {
    const fs::path file = (directory / entry->path().filename()).lexically_normal();
    const std::string name = file.filename().string();
    std::error_code ignored;
    if (!entry->is_regular_file(ignored) || name.starts_with('.') || name.starts_with("example-") || used.contains(identity_of(file)))
      continue;
    problems.push_back({config::Severity::warning, file.string(), 0, 0, "no rule uses this list"});
  }
  std::sort(problems.begin(), problems.end(),
            [](const config::Problem& a, const config::Problem& b) { return a.file < b.file; });
  return problems;
}

std::optional<config::Problem> log_problem(const config::Config& config) {
  namespace fs = std::filesystem;
  const std::string& to = config.log.to;
  if (!to.starts_with('/')) return std::nullopt;
  const auto warning = [&](const std::string& what) {
    return config::Problem{config::Severity::warning, config.file, 0, 0, fmt::format("log.to = \"{}\": {}", to, what)};
  };
  std::error_code ignored;
  if (fs::is_directory(to, ignored)) return warning("this is a directory, and the daemon will not start; name a file in it");
  const fs::path directory = fs::path(to).parent_path();
  if (directory == "/var/log/sluice") return std::nullopt;  // systemd makes it, with the service
  if (fs::status(directory, ignored).type() == fs::file_type::not_found)
    return warning(fmt::format("there is no directory {}, and the daemon will not start without it", directory.string()));
  return std::nullopt;
}

std::optional<std::string> kernel_values(const config::Config& config, std::string& error) {
  const config::Gateway& gateway = config.gateway;
  const auto cidr_text = [](const Cidr& cidr) { return cidr.to_string(); };
  for (const std::string& name : gateway.lan_interfaces) {
    if (!name.empty() && std::all_of(name.begin(), name.end(), is_shell_safe)) continue;
    error = fmt::format("gateway.lan: '{}' cannot be the name of an interface", printable(name));
    return std::nullopt;
  }
  std::string text;
  const auto add = [&](std::string_view key, const auto& value) {
    text += fmt::format("{}={}\n", key, value);
  };
  add("tproxy_port", gateway.tproxy_port);
  const auto port_text = [](uint16_t port) { return std::to_string(port); };
  add("tls_ports", spaced(gateway.tls_ports, port_text));
  add("http_ports", spaced(gateway.http_ports, port_text));
  add("lan", spaced(gateway.lan_interfaces, [](const std::string& name) { return name; }));
  add("own_traffic", gateway.own_traffic ? 1 : 0);
  add("ipv6", gateway.ipv6 ? 1 : 0);
  add("quic", name_of(gateway.quic));
  add("when_down", name_of(gateway.when_down));
  add("client_source", name_of(gateway.client_source));
  add("exempt_clients", spaced(gateway.exempt_clients, cidr_text));
  add("exempt_destinations", spaced(gateway.exempt_destinations, cidr_text));
  add("mark", fmt::format("{:#x}", gateway.mark));
  add("own_mark", fmt::format("{:#x}", gateway.own_mark));
  add("mark_mask", fmt::format("{:#x}", gateway.mark_mask));
  add("route_table", gateway.route_table);
  add("rule_priority", gateway.rule_priority);
  return text;
}

int check(const CheckOptions& options) {
  const config::Loaded loaded = control::load_from_disk(options.config_file);
  print_problems(loaded);
  if (!loaded.config) return exit_problem;
  if (options.kernel_values) {
    std::string error;
    const auto values = kernel_values(*loaded.config, error);
    if (!values) {
      fmt::print(stderr, "{}: error: {}\n", options.config_file, error);
      return exit_problem;
    }
    fmt::print("{}", *values);
    return exit_ok;
  }
  auto on_disk = unused_lists(*loaded.config);
  if (auto problem = log_problem(*loaded.config)) on_disk.insert(on_disk.begin(), *std::move(problem));
  for (const config::Problem& problem : on_disk) fmt::print(stderr, "{}\n", printable(problem.to_string()));
  const size_t warnings = loaded.problems.size() + on_disk.size();  // with a config there are no errors among them
  fmt::print("{}\n", summary_of(*loaded.config, warnings));
  return exit_ok;
}

}  // namespace sluice::cli
