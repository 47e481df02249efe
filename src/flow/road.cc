#include "flow/road.h"

#include "base/check.h"
#include "flow/refusal.h"
#include "http/headers.h"

namespace sluice::flow {
namespace {

using record::CloseReason;
using rules::Action;

/// S8: bytes that are no ClientHello, when no rule has settled them.
Road without_hello(const config::Tls& tls, const rules::Decision& decision, FirstBytes first_bytes) {
  const bool not_tls = first_bytes == FirstBytes::not_tls || first_bytes == FirstBytes::silence;
  if (not_tls && tls.non_tls == config::NonTls::tunnel) return {Action::tunnel, std::nullopt, true};
  if (decision.action == Action::terminate) return {Action::terminate, CloseReason::rule_terminate, false};
  switch (first_bytes) {
    case FirstBytes::silence:
    case FirstBytes::unfinished: return {decision.action, CloseReason::hello_timeout, true};
    case FirstBytes::not_tls: return {decision.action, CloseReason::non_tls, true};
    case FirstBytes::malformed: return {decision.action, CloseReason::hello_malformed, true};
    case FirstBytes::too_large: return {decision.action, CloseReason::hello_too_large, true};
    case FirstBytes::hello_with_sni:
    case FirstBytes::hello_without_sni: break;
  }
  SLUICE_CHECK(false);
}

/// Which of two verdicts lets through less.
int strictness(Action action) {
  switch (action) {
    case Action::peek: return 0;
    case Action::tunnel: return 1;
    case Action::tunnel_sni: return 2;
    case Action::bump: return 3;
    case Action::redirect: return 4;
    case Action::terminate: return 5;
    case Action::block: return 6;
  }
  return 6;
}

}  // namespace

Road road_at_hello(const config::Tls& tls, const rules::Decision& decision, FirstBytes first_bytes) {
  const bool has_hello = first_bytes == FirstBytes::hello_with_sni || first_bytes == FirstBytes::hello_without_sni;
  switch (decision.action) {
    case Action::tunnel: return {Action::tunnel, std::nullopt, false};
    case Action::block:
    case Action::redirect: return {decision.action, refusal_of(decision), false};
    case Action::terminate:
      if (has_hello || decision.tls_rule != rules::rule_default)
        return {Action::terminate, CloseReason::rule_terminate, false};
      return without_hello(tls, decision, first_bytes);
    case Action::tunnel_sni:
    case Action::bump:
      if (!has_hello) return without_hello(tls, decision, first_bytes);
      if (first_bytes == FirstBytes::hello_without_sni && tls.require_sni)
        return {decision.action, CloseReason::sni_missing, true};
      return {decision.action, std::nullopt, false};
    case Action::peek: break;
  }
  SLUICE_CHECK(false);  // Judge::hello never answers peek
}

rules::Decision judge_hello(rules::Judge& judge, rules::Facts facts, std::string_view asked_host) {
  const rules::Decision by_sni = judge.hello(facts);
  if (asked_host.empty() || http::same_name(facts.host, asked_host)) return by_sni;
  const bool has_sni = !facts.host.empty();
  facts.host = asked_host;
  const rules::Decision by_asked = judge.hello(facts);
  rules::Decision decision = !has_sni || strictness(by_asked.action) > strictness(by_sni.action) ? by_asked : by_sni;
  if (!decision.threat && has_sni) decision.threat = by_sni.threat ? by_sni.threat : by_asked.threat;
  return decision;
}

}  // namespace sluice::flow
