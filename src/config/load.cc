#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>

#include "config/advice.h"
#include "config/bump_reader.h"
#include "config/config.h"
#include "config/explicit_reader.h"
#include "config/page_reader.h"
#include "config/rules_reader.h"
#include "config/section.h"
#include "config/syntax_hint.h"
#include "config/toml.h"
#include "rules/address_error.h"

namespace sluice::config {
namespace {

constexpr size_t ports_max = 64;  // listed in the nftables rules; nobody has more

constexpr std::array<NotYet, 3> later_tls = {
    {{"roots", "the keys are system_roots = true and extra_roots = [\"FILE\"]"},
     {"crl", "the key is crl_files = [\"FILE\"]"},
     {"ocsp", "a stapled OCSP response is always checked; this version asks no OCSP servers"}}};
constexpr std::array<NotYet, 2> later_tables = {
    {{"antivirus", "this version does not scan content yet"}, {"icap", "this version does not scan content yet"}}};

// An element that is no number.
std::string remedy_for_port(const Value& element) {
  const auto* text = std::get_if<std::string>(&element.is);
  if (text == nullptr) return "";
  return text->find_first_not_of("0123456789") == std::string::npos
             ? fmt::format("; write {}, without quotes", *text)
             : std::string("; ranges and names are not possible here: write each port, as in [443, 8443]");
}

std::vector<uint16_t> read_ports(Section& section, std::string_view key, const Gateway& gateway) {
  std::vector<uint16_t> ports;
  const Array* array = section.array(key);
  if (array == nullptr) return ports;
  const std::string name = section.full(key);
  for (const Value& element : array->values) {
    const auto* number = std::get_if<int64_t>(&element.is);
    if (number == nullptr) {
      section.problems().error(element.position, fmt::format("{} must be a list of numbers, not of {}{}", name, element.type(),
                                                             remedy_for_port(element)));
    } else if (*number < 1 || *number > 65535) {
      section.problems().error(element.position,
                               fmt::format("{}: a port is from 1 to 65535, not {}", name, *number));
    } else if (std::find(ports.begin(), ports.end(), *number) != ports.end()) {
      section.problems().error(element.position, fmt::format("{} names {} twice", name, *number));
    } else if (*number == gateway.tproxy_port) {
      section.problems().error(
          element.position,
          fmt::format("{} must not contain gateway.tproxy_port ({}), where the gateway itself listens", name,
                      *number));
    } else {
      ports.push_back(static_cast<uint16_t>(*number));
    }
  }
  if (ports.size() > ports_max)
    section.problems().error(
        section.value(key)->position,
        fmt::format("{} has {} ports, at most {} are allowed", name, ports.size(), ports_max));
  return ports;
}

void read_tls_ports(Section& section, Gateway& gateway) {
  const Value* value = section.value("tls_ports");
  if (value == nullptr) return;
  gateway.tls_ports = read_ports(section, "tls_ports", gateway);
  const auto* array = std::get_if<Array>(&value->is);
  if (array != nullptr && array->values.empty())
    section.problems().error(
        value->position, "gateway.tls_ports is empty: nothing would be redirected; the usual value is [443]");
}

void read_http_ports(Section& section, Gateway& gateway, bool may_bump) {
  gateway.http_ports = read_ports(section, "http_ports", gateway);
  if (gateway.http_ports.empty()) return;
  const auto at = section.value("http_ports")->position;
  if (!may_bump)
    section.problems().error(
        at, "gateway.http_ports: this version does not read HTTP yet; write [], or leave it out");
  for (const uint16_t port : gateway.http_ports)
    if (std::find(gateway.tls_ports.begin(), gateway.tls_ports.end(), port) != gateway.tls_ports.end())
      section.problems().error(
          at, fmt::format("gateway.http_ports and gateway.tls_ports both name {}: a port is one or the other",
                          port));
}

void read_interfaces(Section& section, Gateway& gateway) {
  const Array* array = section.array("lan");
  if (array == nullptr) return;
  for (const Value& element : array->values) {
    const auto* name = std::get_if<std::string>(&element.is);
    if (name == nullptr) {
      section.problems().error(
          element.position,
          fmt::format("gateway.lan must be a list of interface names, not of {}", element.type()));
    } else if (!is_interface_name(*name)) {
      const bool is_address = rules::looks_like_address(*name);
      section.problems().error(
          element.position,
          fmt::format("gateway.lan: '{}' is {}not the name of an interface; allowed are names of 1 to 15 characters as "
                      "`ip link` shows them, and a beginning with a * (\"wg*\")",
                      *name, is_address ? "meant as an address, " : ""));
    } else if (*name == "lo") {
      section.problems().error(element.position,
                               "gateway.lan: 'lo' carries no LAN traffic; for the router's own connections "
                               "write own_traffic = true");
    } else if (std::find(gateway.lan_interfaces.begin(), gateway.lan_interfaces.end(), *name) !=
               gateway.lan_interfaces.end()) {
      section.problems().error(element.position, fmt::format("gateway.lan names '{}' twice", *name));
    } else {
      gateway.lan_interfaces.push_back(*name);
    }
  }
}

void read_marks(Section& section, Gateway& gateway) {
  constexpr int64_t mark_most = 0xffffffff;
  section.integer("mark", 1, mark_most, gateway.mark);
  section.integer("own_mark", 1, mark_most, gateway.own_mark);
  section.integer("mark_mask", 1, mark_most, gateway.mark_mask);
  const auto at = [&](const char* key) {
    const Value* value = section.value(key);
    return value == nullptr ? section.position() : value->position;
  };
  for (const auto& [key, mark] : {std::pair{"mark", gateway.mark}, std::pair{"own_mark", gateway.own_mark}})
    if ((mark & ~gateway.mark_mask) != 0)
      section.problems().error(
          at(key), fmt::format("gateway.{} (0x{:x}) has bits outside gateway.mark_mask (0x{:x})", key, mark,
                               gateway.mark_mask));
  if (std::popcount(gateway.mark_mask) < 2)
    section.problems().error(
        at("mark_mask"),
        "gateway.mark_mask has too few bits: two different marks and a third value must fit");
  if (gateway.mark == gateway.own_mark)
    section.problems().error(at("own_mark"),
                             fmt::format("gateway.own_mark must differ from gateway.mark (0x{:x}): the "
                                         "gateway would redirect its own connections",
                                         gateway.mark));
}

void read_gateway(Section& section, RulesReader& lists, bool may_bump, Gateway& gateway) {
  section.integer("tproxy_port", 1, 65535, gateway.tproxy_port);
  read_tls_ports(section, gateway);
  read_http_ports(section, gateway, may_bump);
  section.integer("workers", 0, 1024, gateway.workers);
  section.choice<ClientSource>("client_source",
                               {{"gateway", ClientSource::gateway}, {"client", ClientSource::client}},
                               gateway.client_source);
  read_interfaces(section, gateway);
  section.boolean("own_traffic", gateway.own_traffic);
  section.boolean("ipv6", gateway.ipv6);
  section.choice<Quic>("quic", {{"reject", Quic::reject}, {"pass", Quic::pass}}, gateway.quic);
  section.choice<WhenDown>("when_down", {{"open", WhenDown::open}, {"closed", WhenDown::closed}},
                           gateway.when_down);
  gateway.exempt_clients = lists.networks(section, "exempt_clients");
  gateway.exempt_destinations = lists.networks(section, "exempt_destinations");
  read_marks(section, gateway);
  section.integer("route_table", 1, 0x7fffffff, gateway.route_table);
  if (gateway.route_table >= 253 && gateway.route_table <= 255)
    section.problems().error(
        section.value("route_table")->position,
        "gateway.route_table must not be 253, 254 or 255: those are the kernel's own tables");
  section.integer("rule_priority", 2, 32765, gateway.rule_priority);
  section.finish();
}

void read_tls(Section& section, RulesReader& rules, rules::PolicyBuilder& builder, Tls& tls) {
  section.boolean("decrypt", tls.decrypt);
  builder.set_decrypt(tls.decrypt);
  section.choice<TerminateWith>("terminate_with",
                                {{"reset", TerminateWith::reset}, {"alert", TerminateWith::alert}},
                                tls.terminate_with);
  section.choice<NonTls>("non_tls", {{"terminate", NonTls::terminate}, {"tunnel", NonTls::tunnel}},
                         tls.non_tls);
  section.boolean("require_sni", tls.require_sni);
  rules.read_tls(section);
  read_bump(section, rules, tls);
  section.finish(later_tls);
}

void read_limits(Section& section, Limits& limits) {
  constexpr uint64_t second = 1000;
  constexpr uint64_t minute = 60 * second;
  constexpr uint64_t hour = 60 * minute;
  constexpr uint64_t day = 24 * hour;
  section.duration("hello_timeout", 100, 5 * minute, limits.hello_timeout_ms);
  section.duration("connect_timeout", 100, 5 * minute, limits.connect_timeout_ms);
  section.duration("idle_timeout", second, 7 * day, limits.idle_timeout_ms);
  section.duration("half_closed_timeout", second, 7 * day, limits.half_closed_timeout_ms);
  section.duration("drain_timeout", 0, day, limits.drain_timeout_ms);
  section.duration("keepalive", 0, 9 * hour, limits.keepalive_ms);  // the kernel takes at most 32767 s
  if (limits.keepalive_ms % second != 0)
    section.problems().error(section.value("keepalive")->position,
                             "limits.keepalive must be whole seconds: the kernel counts so; \"0s\" is off");
  section.integer("connections", 0, 50'000'000, limits.connections_max);
  section.size("relay_memory", 1u << 20, uint64_t{1} << 40, limits.relay_memory_max);
  section.finish();
}

void read_log(Section& section, Log& log) {
  section.choice<LogFormat>(
      "format", {{"json", LogFormat::json}, {"cef", LogFormat::cef}, {"kv", LogFormat::key_value}},
      log.format);
  if (const std::string* to = section.string("to")) {
    if (*to == "stdout" || *to == "journald" || to->starts_with('/'))
      log.to = *to;
    else
      section.problems().error(
          section.value("to")->position,
          fmt::format("log.to must be \"stdout\", \"journald\" or the absolute path of a file, not \"{}\"",
                      *to));
  }
  section.finish();
}

void read_document(const Table& document, const ReadFile& read_file, RulesReader& rules,
                   rules::PolicyBuilder& builder, Problems& problems, bool may_bump, Config& config) {
  const Table empty;
  Section root(document, "", {1, 1}, problems);
  const auto section = [&](const char* name) {
    const Table* table = root.table(name);
    const Value* value = root.value(name);
    return Section(table == nullptr ? empty : *table, name,
                   value == nullptr ? rules::Position{1, 1} : value->position, problems);
  };
  Section gateway = section("gateway");
  read_gateway(gateway, rules, may_bump, config.gateway);
  Section tls = section("tls");
  read_tls(tls, rules, builder, config.tls);
  Section explicit_proxy = section("explicit");
  read_explicit(explicit_proxy, rules, read_file, config.gateway, config.explicit_proxy);
  Section http = section("http");
  read_http(http, config.http);
  Section page = section("page");
  read_page(page, rules, read_file, config.page);
  Section bypass = section("bypass");
  rules.read_bypass(bypass);
  bypass.finish();
  Section access = section("access");
  rules.read_access(access);
  access.finish();
  Section protection = section("protection");
  rules.read_protection(protection);
  protection.finish();
  Section links = section("links");
  rules.read_links(links);
  links.finish();
  require_ca(rules, config.tls, problems);  // access.https_page wants one, too
  Section limits = section("limits");
  read_limits(limits, config.limits);
  Section log = section("log");
  read_log(log, config.log);
  root.finish(later_tables);
}

}  // namespace

Loaded load(const std::string& file, const ReadFile& read_file, uint64_t hash_seed, bool may_bump) {
  Problems problems(file);
  std::string reason;
  const auto text = read_file(file, reason);
  if (!text) {
    problems.error({}, fmt::format("cannot read the configuration: {}", reason));
    return {nullptr, problems.take()};
  }
  SyntaxError syntax;
  const auto document = parse_toml(*text, syntax);
  if (!document) {
    problems.error(syntax.position, fmt::format("not TOML: {}{}", syntax.message, syntax_hint(*text, syntax.position, syntax.message)));
    return {nullptr, problems.take()};
  }
  auto config = std::make_shared<Config>();
  config->file = file;
  rules::PolicyBuilder builder(hash_seed);
  RulesReader rules(file, read_file, builder, problems, may_bump);
  read_document(*document, read_file, rules, builder, problems, may_bump, *config);
  if (problems.errors() > 0) return {nullptr, problems.take()};
  config->policy = builder.build();
  config->list_files = rules.list_files();
  advise(*config, rules, problems);
  return {std::move(config), problems.take()};
}

}  // namespace sluice::config
