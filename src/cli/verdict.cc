#include "cli/verdict.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <ctime>

#include "cli/redirection.h"
#include "flow/road.h"
#include "rules/evaluator.h"
#include "rules/policy.h"
#include "tls/digest.h"

namespace sluice::cli {
namespace {

using rules::Action;
using rules::Known;

bool ends_it(Action action) {
  switch (action) {
    case Action::terminate:
    case Action::block:
    case Action::redirect:
      return true;
    case Action::peek:
    case Action::tunnel:
    case Action::tunnel_sni:
    case Action::bump:
      return false;
  }
  return false;
}

/// Which rule, or which default, a decision comes from.
std::string by_of(const rules::Policy& policy, const rules::Decision& decision) {
  if (decision.threat_blocks)
    return decision.protection_rule < 0
               ? std::string("protection.default")
               : fmt::format("protection rule \"{}\"", policy.protection_rule_name(decision.protection_rule));
  const bool is_access = decision.action == Action::block || decision.action == Action::redirect;
  if (is_access && decision.bypass_rule != rules::rule_none)
    return fmt::format("bypass rule \"{}\"", policy.bypass_rule_name(decision.bypass_rule));
  const rules::RuleIndex index = is_access ? decision.access_rule : decision.tls_rule;
  if (index == rules::rule_default) return is_access ? "access.default" : "tls.default_action";
  if (index == rules::rule_none) return "tls.decrypt = false";
  return is_access ? fmt::format("access rule \"{}\"", policy.access_rule_name(index))
                   : fmt::format("tls rule \"{}\"", policy.tls_rule_name(index));
}

flow::FirstBytes first_bytes_of(const Connection& connection) {
  if (const auto* const hello = std::get_if<hello::ClientHello>(&connection.first_bytes))
    return hello->has_sni ? flow::FirstBytes::hello_with_sni : flow::FirstBytes::hello_without_sni;
  if (const auto* const malformed = std::get_if<hello::Malformed>(&connection.first_bytes))
    return hello::is_tls_like(*malformed) ? flow::FirstBytes::malformed : flow::FirstBytes::not_tls;
  if (std::holds_alternative<PlainHttp>(connection.first_bytes)) return flow::FirstBytes::not_tls;
  return flow::FirstBytes::silence;
}

/// What decided when it was not a rule: the setting, or the bytes themselves.
std::string by_of(const config::Tls& tls, const Connection& connection, flow::FirstBytes first_bytes) {
  if (first_bytes == flow::FirstBytes::hello_without_sni) return "tls.require_sni";
  const auto* const malformed = std::get_if<hello::Malformed>(&connection.first_bytes);
  if (first_bytes == flow::FirstBytes::malformed)
    return fmt::format("malformed ClientHello: {}", hello::text_of(*malformed));
  if (tls.non_tls == config::NonTls::tunnel) return "tls.non_tls = \"tunnel\"";
  const char* const silence =
      first_bytes == flow::FirstBytes::silence ? "the client says nothing" : "the client speaks HTTP";
  return fmt::format("tls.non_tls = \"terminate\": {}",
                     malformed != nullptr ? hello::text_of(*malformed) : silence);
}

/// Whether what is not known (facts that are not_yet) may change a verdict: an explicit client's User-Agent,
/// the addresses of its host.
bool hangs_on_unknown(const rules::Policy& policy, const rules::Facts& facts, bool reads_tls) {
  using rules::TableKind;
  if (facts.user_agent_known != Known::not_yet && facts.destination_known != Known::not_yet) return false;
  rules::Evaluator evaluator(policy);
  evaluator.evaluate(facts, facts.event);
  rules::Evaluator::Unknowns unknowns;
  const auto hangs = [&](Action action) {
    return unknowns.any && !(unknowns.only_block && action == Action::block);
  };
  const rules::RuleIndex bypass = evaluator.first_certain(TableKind::bypass, false, unknowns).rule;
  if (bypass != rules::rule_default) {
    const Action action = policy.bypass_rules()[static_cast<size_t>(bypass)].action;
    if (hangs(action)) return true;
    if (action != Action::peek) return false;
  } else {
    const rules::RuleIndex access = evaluator.first_certain(TableKind::access, false, unknowns).rule;
    const Action fallback = policy.access_default_allows() ? Action::peek : Action::block;
    const Action action =
        access == rules::rule_default ? fallback : policy.access_rules()[static_cast<size_t>(access)].action;
    if (hangs(action)) return true;
    if (action != Action::peek) return false;
    const bool protection_hangs = evaluator.first(TableKind::protection, false).unknown;
    for (const rules::Threat threat : rules::link_threats) {
      const rules::Truth listed = policy.has_links() ? evaluator.listed(threat) : rules::Truth::no;
      if (listed == rules::Truth::unknown || (listed == rules::Truth::yes && protection_hangs)) return true;
    }
  }
  return reads_tls && policy.decrypt() && evaluator.first(TableKind::tls, false).unknown;
}

/// Whether a decision at the connect event is what the gateway would decide, who knows more of an explicit
/// client.
bool is_certain(const rules::Policy& policy, const Connection& connection, const rules::Decision& decision,
                bool reads_tls) {
  if (!connection.asked) return true;
  rules::Facts facts = connect_facts(connection);
  facts.hello_known = Known::never;  // it was decided without
  // A host has several addresses, and only those that are forbidden are left out.
  if (ends_it(decision.action) && !IpAddress::parse(connection.asked->host))
    facts.destination_known = Known::not_yet;
  return !hangs_on_unknown(policy, facts, reads_tls && !decision.threat_blocks);
}

void settle(Verdict& verdict, const rules::Policy& policy, const rules::Decision& decision) {
  verdict.action = decision.action;
  verdict.closes = ends_it(decision.action);
  verdict.by = by_of(policy, decision);
}

/// Whether the first bytes begin a request; nullopt: cannot be told.
std::optional<bool> speaks_http(const FirstBytes& first_bytes) {
  if (std::holds_alternative<PlainHttp>(first_bytes)) return true;
  if (std::holds_alternative<Unseen>(first_bytes)) return std::nullopt;
  const auto* const malformed = std::get_if<hello::Malformed>(&first_bytes);
  if (malformed != nullptr && !hello::is_tls_like(*malformed)) return std::nullopt;
  return false;
}

void pass_http(Verdict& verdict) {
  verdict.passes_http = true;
  verdict.by = "plain HTTP: each request is judged for itself";
}

/// The hello event. `facts`: of a ClientHello with its SNI as the host.
rules::Decision judge_at_hello(rules::Judge& judge, const Connection& connection, const rules::Facts& facts) {
  if (facts.hello_known != Known::yes) return judge.hello(facts);
  return flow::judge_hello(judge, facts, connection.asked ? std::string_view(connection.asked->host) : "");
}

bool is_certain_at_hello(const rules::Policy& policy, const Connection& connection,
                         const rules::Decision& decision, rules::Facts facts) {
  if (!connection.asked) return true;
  const bool reads_tls = !decision.threat_blocks;
  const bool has_sni = facts.hello_known == Known::yes && !facts.host.empty();
  if (has_sni && hangs_on_unknown(policy, facts, reads_tls)) return false;
  facts.host = connection.asked->host;
  return !hangs_on_unknown(policy, facts, reads_tls);
}

Verdict tls_verdict(rules::Judge& judge, const config::Tls& tls, const Connection& connection) {
  Verdict verdict;
  verdict.at_connect = judge.connect(connect_facts(connection));
  if (verdict.at_connect.action != Action::peek) {
    if (is_certain(judge.policy(), connection, verdict.at_connect, true))
      settle(verdict, judge.policy(), verdict.at_connect);
    return verdict;
  }
  if (std::holds_alternative<Unseen>(connection.first_bytes) ||
      std::holds_alternative<NotHttp>(connection.first_bytes))
    return verdict;

  const std::string ja4 = fingerprint_of(connection);
  const rules::Facts facts = hello_facts(connection, ja4);
  verdict.at_hello = judge_at_hello(judge, connection, facts);
  if (!is_certain_at_hello(judge.policy(), connection, verdict.at_hello, facts)) return verdict;
  const flow::FirstBytes first_bytes = first_bytes_of(connection);
  const flow::Road road = flow::road_at_hello(tls, verdict.at_hello, first_bytes);
  verdict.closes = road.close.has_value();
  verdict.action = verdict.closes && road.by_first_bytes ? Action::terminate : road.action;
  verdict.by =
      road.by_first_bytes ? by_of(tls, connection, first_bytes) : by_of(judge.policy(), verdict.at_hello);
  return verdict;
}

/// A port of gateway.http_ports, to which no TLS rule applies.
Verdict http_verdict(rules::Judge& judge, const config::Config& config, const Connection& connection) {
  Verdict verdict;
  rules::Facts facts = connect_facts(connection);
  verdict.at_connect = judge.http_connect(facts);
  if (!is_certain(judge.policy(), connection, verdict.at_connect, false)) return verdict;
  if (ends_it(verdict.at_connect.action)) {
    settle(verdict, judge.policy(), verdict.at_connect);
    return verdict;
  }
  const std::optional<bool> is_http = speaks_http(connection.first_bytes);
  if (!is_http) return verdict;
  if (*is_http) {
    pass_http(verdict);
  } else if (config.http.non_http == config::NonHttp::terminate) {
    verdict.action = Action::terminate;
    verdict.closes = true;
    verdict.by = "http.non_http = \"terminate\"";
  } else {
    facts.hello_known = Known::never;
    if (!connection.asked) facts.host_known = Known::never;
    verdict.at_hello = judge.http_connect(facts, true);
    if (ends_it(verdict.at_hello.action)) {
      settle(verdict, judge.policy(), verdict.at_hello);
    } else {
      verdict.action = Action::tunnel;
      verdict.by = "http.non_http = \"tunnel\"";
    }
  }
  return verdict;
}

/// What an explicit client asked for may have been a request in clear: then no connect event was judged.
Verdict verdict_in_clear(rules::Judge& judge, const config::Config& config, const Connection& connection) {
  Verdict verdict;
  if (!std::holds_alternative<PlainHttp>(connection.first_bytes)) return verdict;
  if (is_http_port(config, connection.destination)) {
    verdict = http_verdict(judge, config, connection);
    return verdict.passes_http ? verdict : Verdict{};
  }
  pass_http(verdict);
  return verdict;
}

/// Whether a client that is blocked speaks what a page can be shown in (flow/bump, enter_for_page).
bool can_be_paged(const config::Config& config, const Connection& connection) {
  if (!config.policy->https_page()) return false;
  if (is_http_port(config, connection.destination)) return std::holds_alternative<PlainHttp>(connection.first_bytes);
  const auto* const hello = std::get_if<hello::ClientHello>(&connection.first_bytes);
  if (hello == nullptr || hello->version_max() < config.tls.min_version) return false;
  return hello->alpn.empty() || std::find(hello->alpn.begin(), hello->alpn.end(), "http/1.1") != hello->alpn.end();
}

template <class Integer>
bool read_number(std::string_view& text, size_t digits, Integer& value) {
  if (text.size() < digits) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + digits, value);
  if (error != std::errc{} || end != text.data() + digits) return false;
  text.remove_prefix(digits);
  return true;
}

bool skip(std::string_view& text, std::string_view any_of) {
  if (text.empty() || any_of.find(text.front()) == std::string_view::npos) return false;
  text.remove_prefix(1);
  return true;
}

rules::LocalTime from_tm(const std::tm& time) {
  rules::LocalTime local;
  local.year = time.tm_year + 1900;
  local.month = time.tm_mon + 1;
  local.day = time.tm_mday;
  local.weekday = time.tm_wday == 0 ? 7 : time.tm_wday;
  local.minute = time.tm_hour * 60 + time.tm_min;
  return local;
}

}  // namespace

std::string shown_action(const Verdict& verdict) {
  if (!verdict.not_redirected.empty()) return "not-redirected";
  if (verdict.passes_http) return "allow";
  return verdict.action == Action::peek ? "?" : rules::to_string(verdict.action);
}

Requests requests_of(const config::Config& config, const Connection& connection, const Verdict& verdict) {
  if (verdict.passes_http) return Requests::read;
  switch (verdict.action) {
    case Action::peek:
      return Requests::untold;
    case Action::bump:
      return config.policy->inspects(verdict.at_hello.tls_rule) ? Requests::read : Requests::unread;
    case Action::block:
      return can_be_paged(config, connection) ? Requests::paged : Requests::unread;
    case Action::tunnel:
    case Action::tunnel_sni:
    case Action::terminate:
    case Action::redirect:
      return Requests::unread;
  }
  return Requests::untold;
}

bool is_http_port(const config::Config& config, const Endpoint& destination) {
  const auto& ports = config.gateway.http_ports;
  return std::find(ports.begin(), ports.end(), destination.port) != ports.end();
}

rules::Facts connect_facts(const Connection& connection) {
  rules::Facts facts;
  facts.now = connection.now;
  facts.client = connection.client.address;
  facts.interface = connection.interface;
  facts.destination = connection.destination;
  if (connection.asked) {
    facts.mode = rules::Mode::explicit_proxy;
    if (connection.destination.address.is_unspecified()) facts.destination_known = Known::not_yet;
    facts.host_known = facts.user_known = Known::yes;
    facts.host = connection.asked->host;
    facts.user = connection.asked->user;
    facts.user_agent_known = Known::not_yet;
  } else if (connection.destination.address.is_unspecified()) {
    facts.destination_known = Known::never;
  }
  return facts;
}

rules::Facts hello_facts(const Connection& connection, std::string_view ja4) {
  rules::Facts facts = connect_facts(connection);
  facts.event = rules::Event::hello;
  const auto* const hello = std::get_if<hello::ClientHello>(&connection.first_bytes);
  facts.hello_known = hello != nullptr ? Known::yes : Known::never;
  if (hello != nullptr || !connection.asked) facts.host_known = facts.hello_known;
  if (hello == nullptr) return facts;
  facts.host = hello->sni;
  facts.sni_present = hello->has_sni;
  facts.ech_present = hello->has_ech;
  facts.alpn = hello->alpn;
  facts.tls_versions = hello->versions;
  facts.ja4 = ja4;
  return facts;
}

std::string fingerprint_of(const Connection& connection) {
  if (!connection.ja4.empty()) return connection.ja4;
  const auto* const hello = std::get_if<hello::ClientHello>(&connection.first_bytes);
  // A hello that was described on the command line or in a log has no cipher suites: its fingerprint is not
  // known.
  if (hello == nullptr || hello->ciphers.empty()) return "";
  const hello::Ja4 ja4 = hello::ja4(*hello, tls::sha256);
  return {ja4.data(), ja4.size()};
}

Verdict verdict_of(rules::Judge& judge, const config::Config& config, const Connection& connection) {
  if (connection.asked && !connection.asked->is_connect) return verdict_in_clear(judge, config, connection);
  Verdict verdict = is_http_port(config, connection.destination) ? http_verdict(judge, config, connection)
                                                                 : tls_verdict(judge, config.tls, connection);
  if (!connection.asked)
    verdict.not_redirected =
        why_not_redirected(config.gateway, connection.client.address, connection.destination);
  return verdict;
}

rules::LocalTime local_time(int64_t time_us) {
  const auto seconds = static_cast<std::time_t>(time_us / 1'000'000);
  std::tm time{};
  localtime_r(&seconds, &time);
  return from_tm(time);
}

std::optional<rules::LocalTime> parse_local_time(std::string_view text) {
  int year = 0;
  int month = 0;
  int day = 0;
  int hour = 0;
  int minute = 0;
  const bool is_read = read_number(text, 4, year) && skip(text, "-") && read_number(text, 2, month) &&
                       skip(text, "-") && read_number(text, 2, day) && skip(text, " T") &&
                       read_number(text, 2, hour) && skip(text, ":") && read_number(text, 2, minute) &&
                       text.empty();
  if (!is_read || year < 1970 || hour < 0 || hour > 23 || minute < 0 || minute > 59) return std::nullopt;
  std::tm time{};
  time.tm_year = year - 1900;
  time.tm_mon = month - 1;
  time.tm_mday = day;
  time.tm_hour = 12;  // only the weekday is asked for: noon is the same day everywhere
  const std::tm asked = time;
  const std::time_t seconds = timegm(&time);
  if (seconds == -1 || time.tm_mon != asked.tm_mon || time.tm_mday != asked.tm_mday) return std::nullopt;
  rules::LocalTime local = from_tm(time);
  local.minute = hour * 60 + minute;
  return local;
}

}  // namespace sluice::cli
