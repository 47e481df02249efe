#include "cli/explain_many.h"

#include <fmt/format.h>

#include <charconv>
#include <ctime>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/lower_case.h"
#include "base/utf8.h"
#include "cli/text.h"
#include "rules/url_table.h"

namespace sluice::cli {
namespace {

using nlohmann::json;

std::string_view or_dash(std::string_view text) { return text.empty() ? "-" : text; }

/// "2026-11-21 18:00:00.123", local time like the schedules.
std::string shown_time(int64_t time_us) {
  const auto seconds = static_cast<std::time_t>(time_us / 1'000'000);
  std::tm time{};
  localtime_r(&seconds, &time);
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:03}", time.tm_year + 1900, time.tm_mon + 1,
                     time.tm_mday, time.tm_hour, time.tm_min, time.tm_sec, time_us / 1000 % 1000);
}

/// Whether the gateway saw bytes that are no ClientHello, or none at all.
FirstBytes first_bytes_without_hello(std::string_view action, std::string_view close,
                                     std::string_view detail) {
  if (action == "allow") return PlainHttp{};  // of a connection it is said of nothing else
  if (close == "non_http") return NotHttp{};
  if (close == "hello_timeout") return Silence{};
  if (close == "request_refused" || close == "response_refused") return Unseen{};  // the detail is HTTP's
  constexpr std::pair<std::string_view, hello::Malformed> rows[] = {
#define SLUICE_MALFORMED(name, text) {#name, hello::Malformed::name},
#include "hello/malformed.def"
#undef SLUICE_MALFORMED
  };
  for (const auto& [name, reason] : rows)
    if (name == detail) return reason;
  return Unseen{};
}

/// What an explicit client asked for. A line without an action is of one that was not judged; requests in
/// clear end in "allow".
Asked asked_of(std::string host, std::string user, bool has_hello, std::string_view action) {
  return {std::move(host), std::move(user), has_hello || (!action.empty() && action != "allow")};
}

}  // namespace

std::optional<int64_t> parse_log_time(std::string_view text) {
  constexpr std::string_view shape = "0000-00-00T00:00:00.000000Z";
  if (text.size() != shape.size()) return std::nullopt;
  for (size_t i = 0; i < shape.size(); ++i) {
    const bool is_digit = text[i] >= '0' && text[i] <= '9';
    if (shape[i] == '0' ? !is_digit : text[i] != shape[i]) return std::nullopt;
  }
  const auto number = [&](size_t at, size_t digits) {
    int value = 0;
    std::from_chars(text.data() + at, text.data() + at + digits, value);
    return value;
  };
  std::tm time{};
  time.tm_year = number(0, 4) - 1900;
  time.tm_mon = number(5, 2) - 1;
  time.tm_mday = number(8, 2);
  time.tm_hour = number(11, 2);
  time.tm_min = number(14, 2);
  time.tm_sec = number(17, 2);
  return int64_t{timegm(&time)} * 1'000'000 + number(20, 6);
}

std::optional<uint16_t> parse_tls_version(std::string_view text) {
  if (text == "1.3") return uint16_t{0x0304};
  if (text == "1.2") return uint16_t{0x0303};
  if (text == "1.1") return uint16_t{0x0302};
  if (text == "1.0") return uint16_t{0x0301};
  return std::nullopt;
}

std::optional<Seen> read_log_line(std::string_view line, std::string& error) {
  const auto failed = [&](const char* why) {
    error = why;
    return std::nullopt;
  };
  const json parsed = json::parse(line, nullptr, false);
  if (!parsed.is_object()) return failed("not a JSON object: only access logs in JSON can be read");
  const auto text = [&](const char* key) {
    const auto found = parsed.find(key);
    return found != parsed.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  if (text("type") == "request") return failed("");
  if (text("type") != "connection") return failed("not a line of a connection (\"type\":\"connection\")");
  const auto client = Endpoint::parse(text("client"));
  const auto destination = Endpoint::parse(text("destination"));
  const auto time_us = parse_log_time(text("time"));
  if (!client || !destination || !time_us)
    return failed("\"client\", \"destination\" or \"time\" is missing or wrong");

  Seen seen;
  seen.time_us = *time_us;
  if (const auto id = parsed.find("id"); id != parsed.end() && id->is_number_unsigned()) seen.id = id->get<uint64_t>();
  seen.connection.client = *client;
  seen.connection.destination = *destination;
  seen.connection.interface = text("interface");
  seen.connection.now = local_time(*time_us);
  seen.connection.ja4 = text("ja4");
  const auto ech = parsed.find("ech");
  const bool has_hello =
      ech != parsed.end() && ech->is_boolean();  // the key is there whenever a hello was read
  if (text("mode") == "explicit")
    seen.connection.asked = asked_of(lower_case(text("host")), text("user"), has_hello, text("action"));
  if (!has_hello) {
    seen.connection.first_bytes = first_bytes_without_hello(text("action"), text("close"), text("detail"));
    if (std::holds_alternative<Unseen>(seen.connection.first_bytes) ||
        std::holds_alternative<NotHttp>(seen.connection.first_bytes))
      seen.note = "no ClientHello in the log";
    return seen;
  }
  hello::ClientHello hello;
  hello.has_ech = ech->get<bool>();
  hello.sni = text("sni");
  hello.has_sni = !hello.sni.empty();
  hello.alpn = split_list(text("alpn"));
  if (const auto version = parse_tls_version(text("tls_version"))) hello.versions.assign(1, *version);
  seen.connection.first_bytes = std::move(hello);
  return seen;
}

std::string what_log_is(std::string_view first_line) {
  if (const char* const compression = compression_of(first_line))
    return fmt::format("compressed with {}: unpack it first, --log - reads from standard input", compression);
  if (first_line.starts_with("CEF:")) return "in CEF: only access logs in JSON (log.format = \"json\") can be read";
  if (first_line.starts_with("time=")) return "key=value: only access logs in JSON (log.format = \"json\") can be read";
  // "Nov 21 18:00:00 host sluice[77]: {…", "-- Boot 1234… --", or journalctl -o json
  const size_t end = first_line.find("]: ");
  const size_t digits = end == std::string_view::npos ? end : first_line.find_last_not_of("0123456789", end - 1);
  const bool is_syslog = !first_line.starts_with('{') && digits != std::string_view::npos && digits + 1 < end &&
                         first_line[digits] == '[';
  const bool is_json = first_line.starts_with('{') && first_line.find("\"__REALTIME_TIMESTAMP\"") != std::string_view::npos;
  if (is_syslog || is_json || first_line.starts_with("-- "))
    return "in journalctl's own format: journalctl -u sluice -o cat prints the lines as they were written";
  return "";
}

void join(LoggedRequest& logged, const Connection& connection) {
  Request& request = logged.request;
  if (request.interface.empty()) request.interface = connection.interface;
  request.user_is_hidden = false;
  if (connection.asked) request.user = connection.asked->user;
  // A client of the proxy may ask for one host after the other on the same connection, whose line names the
  // last.
  rules::UrlParts url;
  const bool is_there = !connection.asked || request.url.starts_with("https://") ||
                        (rules::UrlParts::split(request.url, url) && url.host == connection.asked->host &&
                         url.port == connection.destination.port);
  if (!is_there || (connection.asked && connection.destination.address.is_unspecified())) return;
  request.destination = connection.destination;
  request.destination_is_hidden = false;
}

Report::Side Report::side_of(std::shared_ptr<const config::Config> config) {
  rules::Judge judge(config->policy);
  return {std::move(config), std::move(judge)};
}

Report::Report(std::shared_ptr<const config::Config> config, std::shared_ptr<const config::Config> against,
               Print print)
    : now_(side_of(std::move(config))), print_(std::move(print)) {
  if (against) against_ = side_of(std::move(against));
}

Report::Answer Report::answer_of(Side& side, const Connection& connection) {
  const Verdict verdict = verdict_of(side.judge, *side.config, connection);
  return {shown_action(verdict), verdict.not_redirected.empty() ? verdict.by : verdict.not_redirected};
}

Report::Answer Report::answer_of(Side& side, const Request& request, const Connection* connection) {
  // A request in clear to the proxy has no connection of its own.
  if (connection != nullptr && !(connection->asked && request.url.starts_with("http://"))) {
    const Verdict around = verdict_of(side.judge, *side.config, *connection);
    if (!around.not_redirected.empty()) return {shown_action(around), around.not_redirected};
    switch (requests_of(*side.config, *connection, around)) {
      case Requests::paged:
        return {"block", around.by};
      case Requests::unread:
        return {around.action == rules::Action::bump ? "unread" : shown_action(around), around.by};
      case Requests::read:
      case Requests::untold:
        break;
    }
  }
  const RequestVerdict verdict = verdict_of(side.judge, request);
  return {verdict.action, verdict.by};
}

void Report::add(const Seen& seen) {
  ++connections_;
  auto [action, by] = answer_of(now_, seen.connection);
  ++by_action_[action];
  if (against_) {
    const Answer other = answer_of(*against_, seen.connection);
    const bool is_told = action != "?" && other.action != "?";
    if (!is_told) ++untold_connections_;
    if (!is_told || other.action == action) return;
    ++changes_;
    action += "->" + other.action;
    by = fmt::format("{} -> {}", or_dash(by), or_dash(other.by));
  }
  const auto* const hello = std::get_if<hello::ClientHello>(&seen.connection.first_bytes);
  const std::string sni = hello != nullptr ? printable(hello->sni) : "";
  std::string line = fmt::format("{} {} {} {} {} {}", shown_time(seen.time_us),
                                 seen.connection.client.to_string(), seen.connection.destination.to_string(),
                                 action, or_dash(sni), or_dash(printable(fingerprint_of(seen.connection))));
  if (!by.empty()) line += ' ' + printable(by);
  if (!seen.note.empty()) line += " (" + printable(seen.note) + ")";
  print_(line);
}

void Report::add(const LoggedRequest& logged, const Connection* connection) {
  ++requests_;
  auto [action, by] = answer_of(now_, logged.request, connection);
  ++by_action_[action];
  if (against_) {
    const Answer other = answer_of(*against_, logged.request, connection);
    const bool is_told = other.action != "?" && action != "?";
    if (!is_told) ++untold_requests_;
    if (!is_told || other.action == action) return;
    ++changes_;
    action += "->" + other.action;
    by = fmt::format("{} -> {}", or_dash(by), or_dash(other.by));
  }
  std::string line = fmt::format("{} {} {} {} {}", shown_time(logged.time_us), logged.request.client.to_string(),
                                 printable(logged.request.method), printable(logged.request.url), action);
  if (!by.empty()) line += ' ' + printable(by);
  print_(line);
}

std::string Report::summary() const {
  std::string all = counted(connections_, "connection");
  if (requests_ > 0) all += " and " + counted(requests_, "request");
  if (against_) {
    std::string untold;
    if (untold_connections_ > 0) untold = counted(untold_connections_, "connection");
    if (untold_requests_ > 0)
      untold += (untold.empty() ? "" : " and ") + counted(untold_requests_, "request");
    return fmt::format("{} of {} would change", changes_, all) +
           (untold.empty() ? "" : fmt::format(" (of {} it cannot be told)", untold));
  }
  std::string text = all;
  const char* separator = ": ";
  for (const auto& [action, count] : by_action_) {
    text += fmt::format("{}{} {}", separator, count, action == "?" ? "undecided" : action);
    separator = ", ";
  }
  return text;
}

}  // namespace sluice::cli
