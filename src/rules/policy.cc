#include "rules/policy.h"

namespace sluice::rules {

const char* to_string(Slot slot) {
  switch (slot) {
    case Slot::client:
      return "client";
    case Slot::destination:
      return "destination";
    case Slot::port:
      return "port";
    case Slot::host:
      return "host";
    case Slot::sni:
      return "sni";
    case Slot::ech:
      return "ech";
    case Slot::alpn:
      return "alpn";
    case Slot::tls_version:
      return "tls_version";
    case Slot::ja4:
      return "ja4";
    case Slot::schedule:
      return "schedule";
    case Slot::method:
      return "method";
    case Slot::user:
      return "user";
    case Slot::user_agent:
      return "user_agent";
    case Slot::url:
      return "url";
    case Slot::mime:
      return "mime";
    case Slot::file_name:
      return "file_name";
    case Slot::file_type:
      return "file_type";
    case Slot::size:
      return "size";
    case Slot::direction:
      return "direction";
    case Slot::md5:
      return "md5";
    case Slot::sha256:
      return "sha256";
  }
  return "?";
}

const char* to_string(TableKind table) {
  switch (table) {
    case TableKind::bypass:
      return "bypass";
    case TableKind::access:
      return "access";
    case TableKind::protection:
      return "protection";
    case TableKind::tls:
      return "tls";
  }
  return "?";
}

const char* to_string(Action action) {
  switch (action) {
    case Action::peek:
      return "peek";
    case Action::tunnel:
      return "tunnel";
    case Action::tunnel_sni:
      return "tunnel-sni";
    case Action::bump:
      return "bump";
    case Action::terminate:
      return "terminate";
    case Action::block:
      return "block";
    case Action::redirect:
      return "redirect";
  }
  return "?";
}

const char* to_string(Event event) {
  switch (event) {
    case Event::connect:
      return "connect";
    case Event::hello:
      return "hello";
    case Event::request:
      return "request";
    case Event::response:
      return "response";
  }
  return "?";
}

const char* to_string(Threat threat) {
  switch (threat) {
    case Threat::malware:
      return "malware";
    case Threat::phishing:
      return "phishing";
    case Threat::malicious_link:
      return "malicious_link";
    case Threat::encrypted:
      return "encrypted";
    case Threat::macro:
      return "macro";
  }
  return "?";
}

const Rule* Policy::refusing_rule(const Decision& decision) const {
  if (decision.action != Action::block && decision.action != Action::redirect) return nullptr;
  const auto rule_of = [](const std::vector<Rule>& rules, RuleIndex index) {
    return index >= 0 && static_cast<size_t>(index) < rules.size() ? &rules[static_cast<size_t>(index)] : nullptr;
  };
  if (decision.threat_blocks) return rule_of(protection_.rules, decision.protection_rule);
  // A bypass rule that refuses ends the reading; the access stage is not reached.
  if (const Rule* rule = rule_of(bypass_.rules, decision.bypass_rule)) return rule;
  return rule_of(access_.rules, decision.access_rule);
}

const Condition* Policy::link_lists(Threat threat) const {
  const uint32_t row = links_[static_cast<size_t>(threat)].row;
  return row == no_row ? nullptr : conditions_of(row).data();
}

size_t Policy::memory_bytes() const {
  return hosts_.memory_bytes() + urls_.memory_bytes() + interfaces_.exact.memory_bytes() + alpn_.exact.memory_bytes() +
         ja4_.exact.memory_bytes() + ja4_.prefixes.memory_bytes();
}

}  // namespace sluice::rules
