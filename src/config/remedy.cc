#include "config/remedy.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/lower_case.h"

namespace sluice::config {
namespace {

template <size_t size>
using Names = std::array<std::string_view, size>;

constexpr Names<17> gateway_keys = {
    "tproxy_port", "tls_ports", "http_ports", "workers",     "client_source",  "lan",
    "own_traffic", "ipv6",      "quic",       "when_down",   "exempt_clients", "exempt_destinations",
    "mark",        "own_mark",  "mark_mask",  "route_table", "rule_priority"};
constexpr Names<18> tls_keys = {"decrypt",
                                "default_action",
                                "terminate_with",
                                "non_tls",
                                "require_sni",
                                "ca_cert",
                                "ca_key",
                                "leaf_key",
                                "system_roots",
                                "extra_roots",
                                "intermediates",
                                "fetch_intermediates",
                                "fetch_intermediates_from",
                                "crl_files",
                                "trusted_origins",
                                "client_cert",
                                "unsupported",
                                "min_version"};
constexpr Names<7> invalid_origin_keys = {"expired",       "not_yet_valid", "self_signed", "untrusted",
                                          "name_mismatch", "revoked",       "weak"};
constexpr Names<5> explicit_keys = {"listen", "users", "realm", "blocked_connect", "local_destinations"};
constexpr Names<2> http_keys = {"non_http", "hold_limit"};
constexpr Names<2> page_keys = {"template", "server"};
constexpr Names<2> access_keys = {"default", "https_page"};
constexpr Names<8> limits_keys = {"hello_timeout", "connect_timeout", "idle_timeout", "half_closed_timeout",
                                  "drain_timeout", "keepalive",       "connections",  "relay_memory"};
constexpr Names<1> log_keys = {"format"};  // `to` is a key of rules as well

struct Home {
  std::string_view table;
  std::span<const std::string_view> keys;
};
// Keys that one table alone has.
constexpr std::array<Home, 9> homes = {{{"gateway", gateway_keys},
                                        {"tls", tls_keys},
                                        {"tls.invalid_origin", invalid_origin_keys},
                                        {"explicit", explicit_keys},
                                        {"http", http_keys},
                                        {"page", page_keys},
                                        {"access", access_keys},
                                        {"limits", limits_keys},
                                        {"log", log_keys}}};

constexpr Names<21> conditions = {"client",     "destination", "port",  "host",      "sni",       "ech",
                                  "alpn",       "tls_version", "ja4",   "schedule",  "method",    "user",
                                  "user_agent", "url",         "mime",  "file_name", "file_type", "size",
                                  "direction",  "md5",         "sha256"};
constexpr Names<6> rule_keys = {"name", "when", "except", "action", "to", "inspect"};
constexpr Names<4> rule_tables = {"bypass", "access", "protection", "tls"};

struct Meant {
  std::string_view table;  // the end of its path
  std::string_view key;
  std::string_view meant;
};
constexpr std::array<Meant, 53> meant_keys = {{
    {"gateway", "interfaces", "lan"},
    {"gateway", "interface", "lan"},
    {"gateway", "lan_interfaces", "lan"},
    {"gateway", "port", "tproxy_port"},
    {"gateway", "listen_port", "tproxy_port"},
    {"gateway", "ports", "tls_ports"},
    {"gateway", "https_ports", "tls_ports"},
    {"gateway", "threads", "workers"},
    {"tls", "default", "default_action"},
    {"tls", "action", "default_action"},
    {"tls", "cert", "ca_cert"},
    {"tls", "certificate", "ca_cert"},
    {"tls", "ca", "ca_cert"},
    {"tls", "key", "ca_key"},
    {"tls", "private_key", "ca_key"},
    {"access", "default_action", "default"},
    {"access", "action", "default"},
    {"explicit", "port", "listen"},
    {"explicit", "address", "listen"},
    {"explicit", "htpasswd", "users"},
    {"explicit", "passwords", "users"},
    {"limits", "max_connections", "connections"},
    {"log", "file", "to"},
    {"log", "path", "to"},
    {"log", "output", "to"},
    {"page", "file", "template"},
    {".rules", "if", "when"},
    {".rules", "match", "when"},
    {".rules", "condition", "when"},
    {".rules", "conditions", "when"},
    {".rules", "unless", "except"},
    {".rules", "exclude", "except"},
    {".rules", "exceptions", "except"},
    {".rules", "description", "name"},
    {".rules", "comment", "name"},
    {".rules", "redirect", "to"},
    {".rules", "location", "to"},
    {".rules", "target", "to"},
    {"conditions", "time", "schedule"},
    {"conditions", "hours", "schedule"},
    {"conditions", "days", "schedule"},
    {"conditions", "interface", "client"},
    {"conditions", "ip", "client"},
    {"conditions", "source", "client"},
    {"conditions", "src", "client"},
    {"conditions", "domain", "host"},
    {"conditions", "hostname", "host"},
    {"conditions", "domains", "host"},
    {"conditions", "dst", "destination"},
    {"conditions", "content_type", "mime"},
    {"conditions", "username", "user"},
    {"conditions", "filename", "file_name"},
    {"conditions", "uri", "url"},
}};

// What other programs call it; the first whose meaning is allowed at the key is suggested.
constexpr std::array<std::pair<std::string_view, std::string_view>, 39> meant_words = {{
    {"deny", "block"},        {"deny", "terminate"},
    {"deny", "reject"},       {"deny", "closed"},
    {"drop", "block"},        {"drop", "terminate"},
    {"drop", "reject"},       {"reject", "block"},
    {"reject", "terminate"},  {"refuse", "block"},
    {"refuse", "terminate"}, {"block", "terminate"},  {"forbid", "block"},
    {"block", "reject"},      {"block", "closed"},
    {"reset", "terminate"},   {"close", "terminate"},
    {"kill", "terminate"},    {"permit", "allow"},
    {"accept", "allow"},      {"pass", "allow"},
    {"pass", "tunnel"},       {"pass", "open"},
    {"pass", "skip"},         {"allow", "pass"},
    {"allow", "open"},        {"allow", "skip"},
    {"ignore", "skip"},       {"decrypt", "bump"},
    {"inspect", "bump"},      {"intercept", "bump"},
    {"mitm", "bump"},         {"splice", "tunnel-sni"},
    {"bypass", "tunnel-sni"}, {"passthrough", "tunnel-sni"},
    {"bypass", "allow"},      {"ecdsa", "ec"},
    {"1.1", "1.2"},           {"syslog", "journald"},
}};

bool has(std::span<const std::string_view> names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool is_of_conditions(std::string_view path) { return path.ends_with(".when") || path.ends_with(".except"); }

std::optional<std::string_view> table_of(std::string_view key) {
  for (const Home& home : homes)
    if (has(home.keys, key)) return home.table;
  return std::nullopt;
}

std::string_view meant_by(std::string_view path, std::string_view key) {
  for (const Meant& meant : meant_keys) {
    const bool is_here = meant.table == "conditions" ? is_of_conditions(path)
                         : meant.table == ".rules"   ? path.ends_with(".rules")
                                                     : path == meant.table;
    if (is_here && key == meant.key) return meant.meant;
  }
  return {};
}

// In "access.rules": what is a key of [access], or a condition.
std::string remedy_in_rule(std::string_view path, std::string_view key) {
  const std::string_view above = path.substr(0, path.find('.'));
  if (path == "protection.rules" && key == "action")
    return "; a protection rule has a key for each class of threats, as in phishing = \"skip\"";
  const std::string_view condition = has(conditions, key) ? key : meant_by(".when", key);
  if (!condition.empty()) return fmt::format("; conditions go into when = {{ {} = … }}", condition);
  const auto table = table_of(key);
  if (table == above) return fmt::format("; it is a key of [{}]: put it above the first [[{}]]", above, path);
  return table ? fmt::format("; it is a key of [{}]", *table) : "";
}

bool is_whole_number(std::string_view text) {
  return !text.empty() && text.size() <= 18 && text.find_first_not_of("0123456789") == std::string_view::npos;
}

std::optional<bool> truth_of(std::string_view word) {
  for (const std::string_view yes : {"yes", "Yes", "on", "On", "true", "True", "TRUE", "1"})
    if (word == yes) return true;
  for (const std::string_view no : {"no", "No", "off", "Off", "false", "False", "FALSE", "0"})
    if (word == no) return false;
  return std::nullopt;
}

std::string remedy_for_array(std::string_view path, std::string_view key, const Value& found) {
  const auto* text = std::get_if<std::string>(&found.is);
  if (text != nullptr && key == "except") return fmt::format("; write except = [ {{ host = \"{}\" }} ]", *text);
  if (key == "rules" && std::get_if<Table>(&found.is) == nullptr) return fmt::format("; rules are written [[{}.rules]]", path);
  if (text != nullptr && key.ends_with("_ports"))
    return is_whole_number(*text) ? fmt::format("; write [{}]", *text)
                                  : "; write numbers, as in [443, 8443]: ranges are not possible here";
  if (text != nullptr && !list_in(*text).empty()) return fmt::format("; write {}", list_in(*text));
  if (text != nullptr || std::get_if<int64_t>(&found.is) != nullptr)
    return fmt::format("; write [{}]", found.to_string());
  if (std::get_if<Table>(&found.is) == nullptr) return "";
  if (key == "rules") return fmt::format("; write [[{}.rules]]", path);
  return key == "except" ? fmt::format("; write except = [ {} ]", found.to_string()) : "";
}

std::string remedy_for_table(std::string_view path, std::string_view key, const Value& found) {
  const bool is_array = std::get_if<Array>(&found.is) != nullptr;
  if (path.empty() && is_array) {
    if (key == "bypass") return "; write [[bypass.rules]]";
    return has(rule_tables, key) ? fmt::format("; write [{0}], and its rules as [[{0}.rules]]", key)
                                 : fmt::format("; write [{}]", key);
  }
  if (key != "when") return "";
  const auto* text = std::get_if<std::string>(&found.is);
  if (text != nullptr) return fmt::format("; write when = {{ host = \"{}\" }}", *text);
  return is_array ? "; write one table, when = { host = [\"a.example\", \"b.example\"] }: what a condition "
                    "lists is any of, and "
                    "other alternatives are rules of their own"
                  : "";
}

}  // namespace

std::string key_remedy(std::string_view path, std::string_view key) {
  if (const std::string_view meant = meant_by(path, key); !meant.empty())
    return fmt::format(": did you mean '{}'?", meant);
  if (is_of_conditions(path))
    return has(rule_keys, key) ? "; it is a key of the rule, outside the braces of conditions" : "";
  if (path.ends_with(".rules")) return remedy_in_rule(path, key);
  if (path.empty() && (key == "rules" || key == "rule"))
    return "; rules are written [[access.rules]], [[tls.rules]], [[bypass.rules]] or [[protection.rules]]";
  if (has(rule_tables, path) && (has(rule_keys, key) || has(conditions, key)))
    return fmt::format("; it belongs into a rule, below [[{}.rules]]", path);
  const auto table = table_of(key);
  return table && *table != path ? fmt::format("; it is a key of [{}]", *table) : "";
}

std::string word_remedy(std::string_view path, std::string_view key, std::string_view word,
                        std::span<const std::string_view> names) {
  const bool is_tls = path.starts_with("tls");
  if (key == "action" || key == "default" || key == "default_action") {
    const bool of_access = word == "allow" || word == "block" || word == "redirect";
    const bool of_tls = word == "bump" || word == "tunnel" || word == "tunnel-sni" || word == "terminate";
    if (is_tls && of_access) return fmt::format("; \"{}\" is an action of [[access.rules]]", word);
    if (!is_tls && of_tls) return fmt::format("; \"{}\" is an action of [[tls.rules]]", word);
  }
  const std::string small = lower_case(word);
  if (small != word && has(names, small)) return fmt::format(": did you mean \"{}\"?", small);
  for (const auto& [other, meant] : meant_words)
    if (small == other && has(names, meant)) return fmt::format(": did you mean \"{}\"?", meant);
  return "";
}

std::string type_remedy(std::string_view path, std::string_view key, Wanted wanted, const Value& found) {
  const auto* text = std::get_if<std::string>(&found.is);
  switch (wanted) {
    case Wanted::boolean: {
      const auto* number = std::get_if<int64_t>(&found.is);
      const auto truth = text != nullptr     ? truth_of(*text)
                         : number != nullptr ? truth_of(fmt::to_string(*number))
                                             : std::nullopt;
      return truth ? fmt::format("; write {}, without quotes", *truth) : "";
    }
    case Wanted::integer:
      return text != nullptr && is_whole_number(*text) ? fmt::format("; write {}, without quotes", *text)
                                                       : "";
    case Wanted::string:
      return quotes_remedy(found);
    case Wanted::array:
      return remedy_for_array(path, key, found);
    case Wanted::table:
      return remedy_for_table(path, key, found);
  }
  return "";
}

std::string list_in(std::string_view text) {
  std::string list;
  if (text.find(',') == std::string_view::npos || text.find('"') != std::string_view::npos) return list;
  while (true) {
    const size_t comma = text.find(',');
    std::string_view part = text.substr(0, comma);
    while (part.starts_with(' ')) part.remove_prefix(1);
    while (part.ends_with(' ')) part.remove_suffix(1);
    if (!part.empty()) list += fmt::format("{}\"{}\"", list.empty() ? "" : ", ", part);
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  return list.empty() ? list : fmt::format("[{}]", list);
}

std::string quotes_remedy(const Value& found) {
  if (std::get_if<int64_t>(&found.is) != nullptr || std::get_if<double>(&found.is) != nullptr)
    return fmt::format("; write \"{}\"", found.to_string());
  const auto* array = std::get_if<Array>(&found.is);
  const bool holds_one = array != nullptr && array->values.size() == 1;
  return holds_one && std::get_if<std::string>(&array->values.front().is) != nullptr
             ? fmt::format("; write {}, without brackets", array->values.front().to_string())
             : "";
}

}  // namespace sluice::config
