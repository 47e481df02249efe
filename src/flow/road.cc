#include "flow/road.h"

#include "base/check.h"
#include "flow/refusal.h"

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

}  // namespace sluice::flow
