#include "cli/explain_request.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <span>

#include "base/canonical_url.h"
#include "base/lower_case.h"
#include "base/utf8.h"
#include "cli/explain_many.h"
#include "cli/explain_one.h"
#include "cli/text.h"
#include "cli/verdict.h"
#include "rules/evaluator.h"
#include "rules/explain.h"
#include "rules/policy.h"
#include "rules/url_table.h"

namespace sluice::cli {
namespace {

using rules::Action;
using rules::Decision;
using rules::Event;
using rules::Known;

/// The last part of a canonical URL's path, percent-decoded.
std::string name_in(std::string_view url) {
  rules::UrlParts parts;
  if (!rules::UrlParts::split(url, parts)) return "";
  std::string_view path = parts.target.substr(0, parts.target.find('?'));
  path.remove_prefix(path.rfind('/') + 1);
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'A' + 10; };  // canonical: upper case
  std::string name;
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '%' && i + 2 < path.size()) {
      name += static_cast<char>(digit(path[i + 1]) << 4 | digit(path[i + 2]));
      i += 2;
    } else {
      name += path[i];
    }
  }
  return name;
}

std::string by_of(const rules::Policy& policy, const Decision& decision) {
  if (decision.threat_blocks)
    return decision.protection_rule < 0
               ? std::string("protection.default")
               : fmt::format("protection rule \"{}\"", policy.protection_rule_name(decision.protection_rule));
  if (decision.bypass_rule != rules::rule_none)
    return fmt::format("bypass rule \"{}\"", policy.bypass_rule_name(decision.bypass_rule));
  if (decision.access_rule == rules::rule_default) return "access.default";
  return fmt::format("access rule \"{}\"", policy.access_rule_name(decision.access_rule));
}

bool refuses(const Decision& decision) {
  return decision.action == Action::block || decision.action == Action::redirect;
}

/// What a line of the log tells of a request's body: `bytes` of it were read.
std::optional<Request::Sent> sent_of(std::string_view method, uint64_t bytes, bool has_response,
                                     uint64_t status) {
  // An origin that refuses an upload answers before it has come to its end, and so does the gateway.
  const bool is_all = has_response && status < 400;
  if (bytes > 0) return Request::Sent{bytes, is_all};
  const bool may_have_body =
      method != "GET" && method != "HEAD" && method != "OPTIONS" && method != "DELETE" && method != "TRACE";
  if (!is_all && may_have_body) return Request::Sent{0, false};
  return std::nullopt;
}

/// Whether a rule would match, or would not, if the body's Content-Type were known: of an upload no log has
/// it.
bool hangs_on_mime(const rules::Policy& policy, const rules::Facts& facts, const Decision& decision) {
  if (!policy.needs_mime()) return false;
  rules::Evaluator evaluator(policy);
  evaluator.evaluate(facts, Event::request);
  const auto may_hold = [&](uint32_t row) {
    bool asks_mime = false;
    for (const rules::Condition& condition : policy.conditions_of(row)) {
      if (condition.slot == rules::Slot::mime)
        asks_mime = true;
      else if (evaluator.condition(row, condition.slot) == rules::Truth::no)
        return false;
    }
    return asks_mime;
  };
  const auto may_change = [&](std::span<const rules::Rule> rules, rules::RuleIndex decided) {
    for (size_t i = 0; i < rules.size(); ++i) {
      const bool is_decider = decided == static_cast<rules::RuleIndex>(i);
      if (!is_decider && rules[i].action != decision.action && may_hold(rules[i].row)) return true;
      for (uint32_t except = 0; is_decider && except < rules[i].excepts_count; ++except)
        if (may_hold(rules[i].excepts_first + except)) return true;
      if (is_decider) return false;
    }
    return false;
  };
  if (may_change(policy.bypass_rules(), decision.bypass_rule)) return true;
  return decision.bypass_rule < 0 && may_change(policy.access_rules(), decision.access_rule);
}

/// What the rules make of the request, once they are asked.
std::string shown_verdict(const rules::Policy& policy, const RequestVerdict& verdict) {
  const rules::Rule* const rule = policy.refusing_rule(verdict.decision);
  if (verdict.action == "?")
    return "=> cannot be told: it hangs on what is not known here; --user-agent, --mime, --size, --file-type, --sha256 say more\n";
  if (verdict.action == "redirect")
    return fmt::format("=> redirect by {}: the client is sent to {}\n", printable(verdict.by),
                       rule != nullptr ? printable(rule->redirect_to) : "");
  if (verdict.action == "block") return fmt::format("=> block by {}: the client gets a page\n", printable(verdict.by));
  return fmt::format("=> allow by {}: passed on{}\n", printable(verdict.by), verdict.decision.scan ? "" : ", unscanned");
}

/// The last lines: the rules' answer, or why they are not asked.
std::string shown_end(const config::Config& config, const Request& request, const RequestVerdict& verdict) {
  const bool is_in_clear = request.url.starts_with("http://");
  // A client of the proxy asks for it in clear: there is no connection of its own.
  if (request.user && is_in_clear) return shown_verdict(*config.policy, verdict);
  const Connection connection = connection_of(request);
  rules::Judge judge(config.policy);
  const Verdict around = verdict_of(judge, config, connection);
  std::string result = shown_result(config, connection, around);
  if (!around.not_redirected.empty()) {
    if (config.explicit_proxy.listen.empty() || !is_in_clear) return result;
    return result + "   (a client that is configured for the proxy has its answer with --user)\n";
  }
  const std::string by = fmt::format("{}: {}", printable(around.by), rules::to_string(around.action));
  switch (requests_of(config, connection, around)) {
    case Requests::read:
      return shown_verdict(*config.policy, verdict);
    case Requests::paged:
      return fmt::format("note: its connection is blocked, and read just to show the page (access.https_page)\n"
                         "=> block by {}: the client gets a page\n",
                         printable(around.by));
    case Requests::unread:
      return fmt::format("note: this request is never seen, because its connection is {} ({})\n",
                         around.closes                                 ? "closed"
                         : around.action == rules::Action::bump ? "decrypted but not read"
                                                                       : "a tunnel",
                         by) +
             result;
    case Requests::untold:
      return "note: whether this request is seen cannot be told: what becomes of its connection hangs on what is not known here\n" +
             shown_verdict(*config.policy, verdict);
  }
  return result;
}

std::string title_of(const Request& request, Event event, const RequestFacts& facts) {
  std::string title = event == Event::request
                          ? fmt::format("request event: {} {} from {}", printable(request.method),
                                        printable(request.url), request.client.to_string())
                          : "response event";
  const char* separator = event == Event::request ? ", with " : ": ";
  const auto add = [&](const std::string& text) {
    title += separator + text;
    separator = ", ";
  };
  if (!facts.facts.mime.empty()) add(printable(facts.facts.mime));
  if (event == Event::response || request.is_upload) {
    const std::string& name = facts.file_name.empty() ? facts.url_name : facts.file_name;
    if (!name.empty()) add("file name " + printable(name));
    if (request.size) add(fmt::format("{} bytes", *request.size));
  }
  return title + "\n";
}

}  // namespace

void facts_of(const Request& request, Event event, RequestFacts& out) {
  rules::Facts& facts = out.facts;
  facts = {};
  facts.event = event;
  facts.now = request.now;
  facts.client = request.client;
  facts.interface = request.interface;
  rules::UrlParts parts;
  (void)rules::UrlParts::split(request.url, parts);
  if (request.destination) {
    facts.destination = *request.destination;
  } else {
    facts.destination_known = request.destination_is_hidden ? Known::not_yet : Known::never;
    facts.destination.port = parts.port;
  }
  facts.host_known = Known::yes;
  facts.host = parts.host;
  facts.hello_known = Known::never;
  facts.method = request.method;
  facts.url = request.url;
  if (request.user) {
    facts.user_known = Known::yes;
    facts.user = *request.user;
  } else if (request.user_is_hidden) {
    facts.user_known = Known::not_yet;
  }
  facts.user_agent_known = request.user_agent ? Known::yes : Known::not_yet;
  if (request.user_agent) facts.user_agent = *request.user_agent;

  // As in the daemon: the URL's name counts at both events, beside the one that the message names itself.
  const bool has_content = request.is_upload == (event == Event::request);
  out.url_name = name_in(request.url);
  out.file_name = has_content && request.file_name ? *request.file_name : std::string();
  facts.file_names[0] = out.file_name.empty() ? out.url_name : out.file_name;
  out.also_file_names.clear();
  if (!out.file_name.empty() && !out.url_name.empty()) out.also_file_names.push_back(out.url_name);
  facts.also_file_names = out.also_file_names;
  rules::Content& content = facts.content;
  if (event == Event::request && !request.is_upload && request.sent) {
    content.size_known = request.sent->is_all ? Known::yes : Known::not_yet;
    content.size = content.size_at_least = request.sent->bytes;
    return;
  }
  if (!has_content) {
    content.size_known = content.type_known = content.hashes_known = Known::yes;
    return;
  }
  facts.mime = request.mime;
  if (request.size) {
    content.size_known = Known::yes;
    content.size = *request.size;
  }
  if (request.types) {
    content.type_known = Known::yes;
    content.types = &*request.types;
  }
  // One hash given: the other one is taken for one that no list has.
  if (request.md5 || request.sha256) {
    content.hashes_known = Known::yes;
    content.has_hashes = true;
    if (request.md5) content.md5 = *request.md5;
    if (request.sha256) content.sha256 = *request.sha256;
  }
}

Connection connection_of(const Request& request) {
  Connection connection;
  connection.client = {request.client, 0};
  connection.interface = request.interface;
  connection.now = request.now;
  rules::UrlParts url;
  (void)rules::UrlParts::split(request.url, url);
  const auto address = IpAddress::parse(url.host);
  connection.destination = request.destination ? *request.destination : Endpoint{address.value_or(IpAddress{}), url.port};
  if (request.user) connection.asked = Asked{std::string(url.host), *request.user, true};
  if (!url.is_https) {
    connection.first_bytes = PlainHttp{};
    return connection;
  }
  hello::ClientHello hello = request.hello;
  if (!hello.has_sni && !address) {
    hello.sni = url.host;
    hello.has_sni = true;
  }
  connection.first_bytes = std::move(hello);
  connection.ja4 = request.ja4;
  return connection;
}

RequestVerdict verdict_of(rules::Judge& judge, const Request& request) {
  RequestVerdict verdict;
  RequestFacts facts;
  bool pending = false;
  for (const Event event : {Event::request, Event::response}) {
    if (event == Event::response && !request.has_response) break;
    facts_of(request, event, facts);
    const Decision decision =
        event == Event::request ? judge.request(facts.facts, false) : judge.response(facts.facts, false);
    verdict.decision = decision;
    verdict.event = event;
    const bool is_sent = event == Event::request && !request.is_upload && request.sent;
    if (is_sent && !decision.pending && hangs_on_mime(judge.policy(), facts.facts, decision)) {
      verdict.action = "?";
      return verdict;
    }
    if (!decision.pending && refuses(decision)) {
      verdict.action = rules::to_string(decision.action);
      verdict.by = by_of(judge.policy(), decision);
      return verdict;
    }
    pending = pending || decision.pending;
  }
  verdict.action = pending ? "?" : "allow";
  if (!pending) verdict.by = by_of(judge.policy(), verdict.decision);
  return verdict;
}

std::string explain_request(const config::Config& config, const Request& request) {
  const rules::Policy& policy = *config.policy;
  rules::Judge judge(config.policy);
  const RequestVerdict verdict = verdict_of(judge, request);
  std::string text;
  for (const Event event : {Event::request, Event::response}) {
    if (event == Event::response && (verdict.event == Event::request || !request.has_response)) break;
    RequestFacts facts;
    facts_of(request, event, facts);
    text += title_of(request, event, facts);
    text += shown_stages(rules::explain(policy, facts.facts, event, false));
  }
  if (request.user && config.explicit_proxy.listen.empty())
    text += "note: --user is of a client of the proxy, and explicit.listen is empty: nobody can ask for this so\n";
  return text + shown_end(config, request, verdict);
}

std::optional<FileTypes> parse_file_types(std::string_view text, std::string& error) {
  FileTypes types;
  for (const std::string& name : split_list(std::string(text))) {
    const auto type = file_type_named(name);
    if (!type) {
      error = file_class_named(name)
                  ? fmt::format("'{}' is a class of file types, and content has one type; docs/file-types.md lists them", name)
                  : fmt::format("'{}' is not a file type; docs/file-types.md lists them", name);
      return std::nullopt;
    }
    types.add(*type);
    types.add(container_of(*type));
  }
  return types;
}

std::optional<LoggedRequest> read_request_line(std::string_view line, std::string& error) {
  const nlohmann::json parsed = nlohmann::json::parse(line, nullptr, false);
  const auto text = [&](const char* key) {
    const auto found = parsed.is_object() ? parsed.find(key) : parsed.end();
    return parsed.is_object() && found != parsed.end() && found->is_string() ? found->get<std::string>()
                                                                             : std::string();
  };
  const auto number = [&](const char* key) -> std::optional<uint64_t> {
    if (!parsed.is_object()) return std::nullopt;
    const auto found = parsed.find(key);
    return found != parsed.end() && found->is_number_unsigned() ? std::optional(found->get<uint64_t>())
                                                                : std::nullopt;
  };
  const auto client = Endpoint::parse(text("client"));
  const auto time_us = parse_log_time(text("time"));
  std::string why;
  const auto url = canonical_url(text("url"), why);
  const std::string method = text("method");
  if (text("url").empty() && method.empty()) {  // what was refused before it could be read
    error.clear();
    return std::nullopt;
  }
  if (!client || !time_us || !url || method.empty()) {
    error = "\"client\", \"time\", \"method\" or \"url\" is missing or wrong";
    return std::nullopt;
  }
  LoggedRequest logged;
  logged.time_us = *time_us;
  logged.connection = number("id").value_or(0);
  Request& request = logged.request;
  request.client = client->address;
  request.now = local_time(*time_us);
  request.method = method;
  request.url = *url;
  // What was refused then has no response of its origin's.
  request.has_response = text("action") == "allow" && number("status").has_value();
  request.mime = lower_case(text("mime"));  // the log has the origin's spelling
  request.size = number("bytes_down");
  request.sent =
      sent_of(method, number("bytes_up").value_or(0), request.has_response, number("status").value_or(0));
  request.destination_is_hidden = request.user_is_hidden = true;
  return logged;
}

}  // namespace sluice::cli
