#include "cli/explain.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <utility>

#include "base/canonical_url.h"
#include "base/host_name.h"
#include "base/limits.h"
#include "base/lower_case.h"
#include "base/utf8.h"
#include "cli/capture.h"
#include "cli/check.h"
#include "cli/command_line.h"
#include "cli/explain_many.h"
#include "cli/explain_one.h"
#include "cli/explain_request.h"
#include "cli/redirection.h"
#include "cli/text.h"
#include "cli/verdict.h"
#include "config/units.h"

namespace sluice::cli {
namespace {

int complain(int code, std::string_view message) {
  fmt::print(stderr, "sluice explain: {}\n", printable(message));
  return code;
}

constexpr size_t log_requests_waiting_max = 1'000'000;  // some 500 MB; a log has as many open at once hardly ever

void print_line(std::string_view line) { fmt::print("{}\n", line); }

/// `--to`; nullopt with `error` set.
std::optional<Endpoint> described_destination(const ExplainOptions& options, const IpAddress& client, std::string& error) {
  const auto destination = Endpoint::parse(options.destination);
  if (!destination)
    error = fmt::format("--to '{}' is not an address and a port: 192.0.2.1:443 or [2001:db8::1]:443", options.destination);
  else if (destination->port == 0)
    error = fmt::format("--to '{}': there is no port 0", options.destination);
  else if (client.is_v4() != destination->address.is_v4())
    error = "--client and --to are of different families: one connection has only one";
  else
    return destination;
  return std::nullopt;
}

/// The name as the rules see it. The daemon closes a connection with another one (`sni_bad_character` and the like).
bool read_sni(const std::string& text, std::string& name, std::string& error) {
  if (text.find(':') != std::string::npos && IpAddress::parse(text)) {  // some clients do it
    name = lower_case(text);
    return true;
  }
  std::string why;
  if (normalize_host(text, name, why)) return true;
  error = fmt::format("--sni: {}; the gateway closes a connection with such a ClientHello", why);
  return false;
}

/// The ClientHello, from the options; nullopt with `error` set when one of them makes no sense.
std::optional<hello::ClientHello> described_hello(const ExplainOptions& options, std::string& error) {
  hello::ClientHello hello;
  hello.has_ech = options.ech;
  hello.alpn = split_list(options.alpn);
  for (const std::string& text : split_list(options.tls_versions)) {
    const auto version = parse_tls_version(text);
    if (!version) {
      error = fmt::format("--tls-version '{}': versions are 1.0, 1.1, 1.2 and 1.3", text);
      return std::nullopt;
    }
    hello.versions.push_back(*version);
  }
  std::sort(hello.versions.rbegin(), hello.versions.rend());
  if (!options.sni) return hello;
  if (!read_sni(*options.sni, hello.sni, error)) return std::nullopt;
  hello.has_sni = true;
  return hello;
}

/// The client's side of a connection, from the options. nullopt with `error` set when one of them makes no
/// sense.
std::optional<Connection> described(const ExplainOptions& options, std::string& error) {
  const auto failed = [&](std::string message) {
    error = std::move(message);
    return std::nullopt;
  };
  Connection connection;
  const auto client = IpAddress::parse(options.client);
  if (!client) return failed(fmt::format("--client '{}' is not an address", options.client));
  const auto destination = described_destination(options, *client, error);
  if (!destination) return std::nullopt;
  connection.client = {*client, 0};
  connection.destination = *destination;
  connection.interface = options.interface;
  connection.ja4 = options.ja4;
  if (options.no_tls) {
    connection.first_bytes = hello::Malformed::not_tls;
    return connection;
  }
  auto hello = described_hello(options, error);
  if (!hello) return std::nullopt;
  connection.first_bytes = *std::move(hello);
  return connection;
}

template <size_t N>
bool read_hash(std::string_view text, std::optional<std::array<uint8_t, N>>& hash) {
  if (text.empty()) return true;
  std::array<uint8_t, N> bytes{};
  if (text.size() != 2 * N) return false;
  for (size_t i = 0; i < N; ++i) {
    const auto [end, failure] = std::from_chars(text.data() + 2 * i, text.data() + 2 * i + 2, bytes[i], 16);
    if (failure != std::errc{} || end != text.data() + 2 * i + 2) return false;
  }
  hash = bytes;
  return true;
}

/// A request and its response, from the options; nullopt with `error` set when one of them makes no sense.
std::optional<Request> described_request(const ExplainOptions& options, std::string& error) {
  const auto failed = [&](std::string message) {
    error = std::move(message);
    return std::nullopt;
  };
  Request request;
  const auto client = IpAddress::parse(options.client);
  if (!client) return failed(fmt::format("--client '{}' is not an address", options.client));
  request.client = *client;
  if (!options.destination.empty()) {
    request.destination = described_destination(options, *client, error);
    if (!request.destination) return std::nullopt;
  }
  std::string why;
  const auto url = canonical_url(options.url, why);
  if (!url) return failed(fmt::format("--url '{}': {}", options.url, why));
  request.url = *url;
  const bool has_hello = options.sni || options.ech || !options.ja4.empty() || !options.alpn.empty();
  if (has_hello && url->starts_with("http://"))
    return failed("--sni, --alpn, --ja4 and --ech describe a ClientHello: they go with https:// alone");
  auto hello = described_hello(options, error);
  if (!hello) return std::nullopt;
  request.hello = *std::move(hello);
  request.ja4 = options.ja4;
  request.interface = options.interface;
  request.method = options.method;
  request.user = options.user;
  request.user_agent = options.user_agent;
  request.is_upload = options.is_upload;
  request.mime = lower_case(options.mime);
  request.file_name = options.file_name;
  if (!options.size.empty()) {
    request.size = config::parse_size_bytes(options.size);
    if (!request.size)
      return failed(fmt::format("--size '{}' is not a size, as in \"512 B\" or \"10 MiB\"", options.size));
  }
  if (!options.file_type.empty()) {
    request.types = parse_file_types(options.file_type, why);
    if (!request.types) return failed("--file-type: " + why);
  }
  if (!read_hash(options.md5, request.md5)) return failed("--md5: 32 hexadecimal digits are wanted");
  if (!read_hash(options.sha256, request.sha256)) return failed("--sha256: 64 hexadecimal digits are wanted");
  return request;
}

/// Where plain HTTP is expected, a client that is not said to speak TLS speaks that.
Connection expected_by(const config::Config& config, const ExplainOptions& options, Connection connection) {
  const bool is_tls = options.sni || options.ech || !options.ja4.empty() || !options.alpn.empty();
  if (is_http_port(config, connection.destination) && !is_tls) connection.first_bytes = PlainHttp{};
  return connection;
}

int64_t now_us() {
  const auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::microseconds>(since_1970).count();
}

/// Everything that a capture can tell, and why not more.
Seen seen_of(const Beginning& beginning, const std::string& interface,
             const std::optional<rules::LocalTime>& at) {
  Seen seen;
  seen.time_us = beginning.time_us;
  seen.connection.client = beginning.client;
  seen.connection.destination = beginning.destination;
  seen.connection.interface = interface;
  seen.connection.now = at ? *at : local_time(beginning.time_us);
  if (const auto* const hello = std::get_if<hello::ClientHello>(&beginning.first_bytes)) {
    seen.connection.first_bytes = *hello;
  } else if (const auto* const malformed = std::get_if<hello::Malformed>(&beginning.first_bytes)) {
    seen.connection.first_bytes = *malformed;
    if (beginning.is_http) seen.connection.first_bytes = PlainHttp{};
    seen.note = hello::is_tls_like(*malformed) ? "malformed ClientHello" : "not TLS";
  } else {
    seen.note = text_of(std::get<Incomplete>(beginning.first_bytes));
  }
  return seen;
}

/// `against` may be null.
int explain_capture(const ExplainOptions& options, Report& report, const config::Config& config,
                    const config::Config* against, const std::optional<rules::LocalTime>& at) {
  const auto is_wanted = [&](const Endpoint& destination) {
    return options.all_ports || is_redirected_port(config.gateway, destination.port) ||
           (against != nullptr && is_redirected_port(against->gateway, destination.port));
  };
  CaptureSummary summary;
  std::string error;
  const bool is_whole = read_capture(
      options.pcap_file, is_wanted,
      [&](const Beginning& beginning) { report.add(seen_of(beginning, options.interface, at)); }, summary,
      error);
  if (summary.packets > 0 || is_whole) {
    std::string rest;
    if (summary.begun_before > 0)
      rest += fmt::format("; {} begun before the capture", counted(summary.begun_before, "connection"));
    if (summary.fragments > 0) rest += fmt::format("; {} skipped", counted(summary.fragments, "IP fragment"));
    if (summary.malformed > 0)
      rest += fmt::format("; {} skipped", counted(summary.malformed, "malformed packet"));
    fmt::print(stderr, "{} in {}{}\n", report.summary(), counted(summary.packets, "packet"), rest);
  }
  return is_whole ? int{exit_ok} : complain(exit_problem, options.pcap_file + ": " + error);
}

int explain_log(const ExplainOptions& options, Report& report, const std::optional<rules::LocalTime>& at) {
  std::ifstream file;
  if (options.log_file != "-") file.open(options.log_file);
  std::istream& log = options.log_file == "-" ? std::cin : file;
  if (!log) return complain(exit_problem, options.log_file + ": cannot be opened");
  int code = exit_ok;
  size_t number = 0;
  // Requests wait for the line of their connection, which comes later and has the destination and the user.
  std::map<uint64_t, std::vector<LoggedRequest>> waiting;
  size_t waiting_count = 0;
  bool is_ours = false;  // some line of it
  std::string line;
  while (std::getline(log, line)) {
    ++number;
    if (line.empty()) continue;
    std::string error;
    auto seen = read_log_line(line, error);
    std::optional<LoggedRequest> logged;
    if (!seen && error.empty()) {
      logged = read_request_line(line, error);
      if (!logged && error.empty()) continue;
    }
    is_ours = is_ours || seen || logged;
    if (logged) {
      if (at) logged->request.now = *at;
      if (!options.interface.empty()) logged->request.interface = options.interface;
      if (waiting_count < log_requests_waiting_max) {
        ++waiting_count;
        waiting[logged->connection].push_back(std::move(*logged));
      } else {
        report.add(*logged);  // without what its connection would tell
      }
      continue;
    }
    if (!seen) {
      if (!is_ours)
        if (const std::string what = what_log_is(line); !what.empty())
          return complain(exit_problem, fmt::format("{}: {}", options.log_file, what));
      code = complain(exit_problem, fmt::format("{}:{}: {}", options.log_file, number, error));
      continue;
    }
    if (at) seen->connection.now = *at;
    if (!options.interface.empty()) seen->connection.interface = options.interface;
    if (const auto found = waiting.find(seen->id); found != waiting.end()) {
      for (LoggedRequest& request : found->second) {
        join(request, seen->connection);
        report.add(request, &seen->connection);
      }
      waiting_count -= found->second.size();
      waiting.erase(found);
    }
    report.add(*seen);
  }
  for (const auto& [id, requests] : waiting)  // their connections were open when the log ended
    for (const LoggedRequest& request : requests) report.add(request);
  if (log.bad()) code = complain(exit_problem, options.log_file + ": cannot be read to its end");
  fmt::print(stderr, "{}\n", report.summary());
  return code;
}

}  // namespace

int explain(const ExplainOptions& options) {
  std::optional<rules::LocalTime> at;
  if (!options.at.empty()) {
    at = parse_local_time(options.at);
    if (!at)
      return complain(exit_usage, fmt::format("--at '{}' is not a time: 'YYYY-MM-DD HH:MM'", options.at));
  }
  const bool is_many = !options.pcap_file.empty() || !options.log_file.empty();
  std::optional<Connection> one;
  std::optional<Request> request;
  if (!is_many && !options.url.empty()) {
    std::string error;
    request = described_request(options, error);
    if (!request) return complain(exit_usage, error);
    request->now = at ? *at : local_time(now_us());
  } else if (!is_many) {
    if (options.client.empty())
      return complain(exit_usage, "say what to explain: --client and --to, --pcap, or --log");
    if (options.destination.empty()) return complain(exit_usage, "--client needs --to, or --url for a request");
    std::string error;
    one = described(options, error);
    if (!one) return complain(exit_usage, error);
    one->now = at ? *at : local_time(now_us());
  }

  const auto config = load_or_complain(options.config_file);
  if (!config) return exit_problem;
  std::shared_ptr<const config::Config> against;
  if (!options.against_file.empty()) {
    against = load_or_complain(options.against_file);
    if (!against) return exit_problem;
  }
  if (request) {
    fmt::print("{}", explain_request(*config, *request));
    if (against)
      fmt::print("\nagainst {}:\n{}", printable(options.against_file), explain_request(*against, *request));
    return exit_ok;
  }
  if (one) {
    fmt::print("{}", explain_one(*config, expected_by(*config, options, *one)));
    if (against)
      fmt::print("\nagainst {}:\n{}", printable(options.against_file), explain_one(*against, expected_by(*against, options, *one)));
    return exit_ok;
  }
  Report report(config, against, print_line);
  return options.pcap_file.empty() ? explain_log(options, report, at)
                                   : explain_capture(options, report, *config, against.get(), at);
}

}  // namespace sluice::cli
