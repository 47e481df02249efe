#include "cli/explain_one.h"

#include <fmt/format.h>

#include "base/utf8.h"
#include "rules/explain.h"

namespace sluice::cli {
namespace {

using rules::RuleReason;

const char* shown(RuleReason::Outcome outcome) {
  switch (outcome) {
    case RuleReason::Outcome::matched:
      return "MATCH";
    case RuleReason::Outcome::not_matched:
      return "no";
    case RuleReason::Outcome::deferred:
      return "not yet";
  }
  return "?";
}

/// One line per rule: `  no       tls rule "Banks" (line 12, tunnel-sni): why`.
std::string shown_table(const char* table, const rules::TableReasons& reasons) {
  if (!reasons.read) return fmt::format("  {} rules: not read: {}\n", table, printable(reasons.why_not_read));
  std::string text;
  for (const RuleReason& rule : reasons.rules) {
    const bool is_default = rule.rule == rules::rule_default;
    const std::string name = is_default ? fmt::format("{} default", table)
                                        : fmt::format("{} rule \"{}\"", table, printable(rule.name));
    const std::string where = rule.line != 0 ? fmt::format("line {}, ", rule.line) : "";
    text += fmt::format("  {:<8} {} ({}{})", shown(rule.outcome), name, where, rule.action);
    if (!rule.reason.empty()) text += ": " + printable(rule.reason);
    text += '\n';
  }
  return text;
}

/// A table without rules says nothing.
bool is_empty(const rules::TableReasons& reasons) {
  return reasons.read && reasons.rules.size() == 1 && reasons.rules.front().rule == rules::rule_default;
}

std::string shown_event(const rules::Explanation& explanation, const char* title) {
  return fmt::format("{}\n", title) + shown_stages(explanation) + shown_table("tls", explanation.tls);
}

std::string hello_title(const Connection& connection, std::string_view ja4) {
  const auto* const hello = std::get_if<hello::ClientHello>(&connection.first_bytes);
  if (hello == nullptr) return "hello event: the client does not speak TLS";
  std::string title = "hello event: ";
  title += hello->has_sni ? "SNI " + printable(hello->sni) : "no SNI";
  for (const std::string& protocol : hello->alpn)
    title += (&protocol == &hello->alpn.front() ? ", ALPN " : ",") + printable(protocol);
  if (hello->has_ech) title += ", ECH";
  if (!ja4.empty()) title += ", JA4 " + printable(ja4);
  return title;
}

/// A port of gateway.http_ports, to which no TLS rule applies.
std::string shown_http(const config::Config& config, const Connection& connection, const Verdict& verdict,
                       const std::string& title) {
  const rules::Explanation explanation =
      rules::explain_http_connect(*config.policy, connect_facts(connection));
  std::string text = title + "\n" + shown_stages(explanation) + shown_table("tls", explanation.tls);
  if (verdict.at_connect.action == rules::Action::peek)
    text += verdict.passes_http ? "  -> its requests are read\n" : "  -> the client does not speak HTTP\n";
  return text;
}

/// What it means for the two sides.
std::string shown_effect(const config::Config& config, const Connection& connection, const Verdict& verdict) {
  const Requests requests = requests_of(config, connection, verdict);
  if (requests == Requests::paged)
    return is_http_port(config, connection.destination)
               ? "its requests get the block page (access.https_page), nothing is sent to the origin"
               : "decrypted for the block page alone (access.https_page), nothing is sent to the origin";
  if (verdict.closes) return "closed, nothing is sent to the origin";
  if (verdict.action != rules::Action::bump) return "passed through, nothing inside is scanned";
  return requests == Requests::read ? "decrypted, and each request inside is judged for itself (--url)"
                                    : "decrypted, and what is inside is passed on unread (inspect = false)";
}

}  // namespace

std::string shown_stages(const rules::Explanation& explanation) {
  std::string text;
  if (!is_empty(explanation.bypass)) text += shown_table("bypass", explanation.bypass);
  text += shown_table("access", explanation.access);
  if (explanation.protection.read && !is_empty(explanation.protection))
    text += shown_table("protection", explanation.protection);
  for (const rules::LinkReason& link : explanation.links)
    text += fmt::format("  {:<8} links.{}{}: {}\n", shown(link.outcome), rules::to_string(link.threat),
                        link.action.empty() ? "" : fmt::format(" ({})", link.action), printable(link.reason));
  return text;
}

std::string shown_result(const config::Config& config, const Connection& connection, const Verdict& verdict) {
  if (!verdict.not_redirected.empty())
    return fmt::format(
        "note: {}, so the kernel does not redirect it; the above is what would be if it did\n"
        "=> not redirected: forwarded as it is, it never reaches the daemon\n",
        verdict.not_redirected);
  if (verdict.passes_http) return fmt::format("=> allow by {} (--url)\n", printable(verdict.by));
  if (shown_action(verdict) == "?") return "=> cannot be told\n";
  return fmt::format("=> {} by {}: {}\n", rules::to_string(verdict.action), printable(verdict.by),
                     shown_effect(config, connection, verdict));
}

std::string explain_one(const config::Config& config, const Connection& connection) {
  const std::string where = connection.interface.empty() ? "" : " on " + printable(connection.interface);
  const std::string title = fmt::format("connect event: {}{} to {}", connection.client.address.to_string(),
                                        where, connection.destination.to_string());
  const rules::Policy& policy = *config.policy;
  rules::Judge judge(config.policy);
  const Verdict verdict = verdict_of(judge, config, connection);
  if (is_http_port(config, connection.destination))
    return shown_http(config, connection, verdict, title) + shown_result(config, connection, verdict);
  std::string text =
      shown_event(rules::explain(policy, connect_facts(connection), rules::Event::connect), title.c_str());

  if (verdict.at_connect.action == rules::Action::peek) {
    text += "  -> the ClientHello is read\n";
    const std::string ja4 = fingerprint_of(connection);
    text += shown_event(rules::explain(policy, hello_facts(connection, ja4), rules::Event::hello),
                        hello_title(connection, ja4).c_str());
  }
  return text + shown_result(config, connection, verdict);
}

}  // namespace sluice::cli
