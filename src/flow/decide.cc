// Step decide: the rules' verdict becomes a road. Runs at the connect event and, after peek, at the hello event.

#include <string_view>

#include "flow/session.h"
#include "rules/policy.h"

namespace sluice::flow {
namespace {

using record::CloseReason;
using rules::Action;
using rules::Known;

Next take_road(Session& session, Step step) {
  session.step = step;
  return Next::go;
}

/// At the connect event the client cannot have an alert: it has not begun TLS.
Farewell farewell_after_hello(const Session& session) {
  return session.ruling->config->tls.terminate_with == config::TerminateWith::alert ? Farewell::alert : Farewell::reset;
}

/// What the log keeps of the hello; the parsed lists go.
void keep_for_log(Session& session) {
  const hello::ClientHello& hello = *session.hello;
  auto seen = std::make_unique<Seen>();
  seen->names = hello.sni;
  seen->sni_bytes = static_cast<uint16_t>(hello.sni.size());
  for (size_t i = 0; i < hello.alpn.size(); ++i) {
    if (i > 0) seen->names += ',';
    seen->names += hello.alpn[i];
  }
  seen->names.shrink_to_fit();
  seen->version_max = hello.version_max();
  seen->ech = hello.has_ech;
  session.seen = std::move(seen);
}

rules::Facts connect_facts(Session& session) {
  rules::Facts facts;
  facts.now = session.world->local;
  facts.client = session.about.client.address;
  facts.interface = session.world->interfaces.name(session.about.interface_index);
  facts.destination = session.about.destination;
  return facts;
}

Next at_connect(Session& session) {
  // Redirected connections keep their original destination, and the listener's port is never one of tls_ports: this one
  // came straight to us, and dialling its destination would be dialling ourselves.
  if (session.about.destination.port == session.world->listener_port)
    return close(session, CloseReason::loop, Farewell::reset);
  session.decision = session.ruling->judge.connect(connect_facts(session));
  switch (session.decision.action) {
    case Action::tunnel: return take_road(session, Step::connect);
    case Action::block: return close(session, CloseReason::rule_block, Farewell::reset);
    case Action::redirect: return close(session, CloseReason::rule_redirect, Farewell::reset);
    case Action::peek:
    case Action::tunnel_sni:
    case Action::bump:
    case Action::terminate: return take_road(session, Step::peek);
  }
  return close(session, CloseReason::gateway_error, Farewell::reset, "no verdict");
}

/// S4: with a well-formed ClientHello.
Next at_hello(Session& session) {
  rules::Facts facts = connect_facts(session);
  const hello::ClientHello& hello = *session.hello;
  facts.host_known = facts.hello_known = Known::yes;
  facts.host = hello.sni;
  facts.sni_present = hello.has_sni;
  facts.ech_present = hello.has_ech;
  facts.alpn = hello.alpn;
  facts.tls_versions = hello.versions;
  keep_for_log(session);
  session.seen->ja4 = hello::ja4(hello, session.world->sha256);
  facts.ja4 = {session.seen->ja4.data(), session.seen->ja4.size()};
  session.decision = session.ruling->judge.hello(facts);
  const bool has_sni = hello.has_sni;
  session.hello.reset();

  switch (session.decision.action) {
    case Action::tunnel: return take_road(session, Step::connect);
    case Action::tunnel_sni:
      if (!has_sni && session.ruling->config->tls.require_sni)
        return close(session, CloseReason::sni_missing, farewell_after_hello(session));
      return take_road(session, Step::connect);
    case Action::terminate: return close(session, CloseReason::rule_terminate, farewell_after_hello(session));
    case Action::block: return close(session, CloseReason::rule_block, farewell_after_hello(session));
    case Action::redirect: return close(session, CloseReason::rule_redirect, farewell_after_hello(session));
    case Action::bump:
    case Action::peek: break;
  }
  return close(session, CloseReason::gateway_error, Farewell::reset, "no verdict");
}

/// S8: the bytes are not a ClientHello, or none came. The rules see a connection whose hello can never be known.
Next without_hello(Session& session) {
  World& world = *session.world;
  rules::Facts facts = connect_facts(session);
  facts.host_known = facts.hello_known = Known::never;
  session.decision = session.ruling->judge.hello(facts);

  const auto* reason = std::get_if<hello::Malformed>(&session.malformed);
  const bool too_large = reason != nullptr && (*reason == hello::Malformed::too_large ||
                                               *reason == hello::Malformed::too_large_on_wire);
  const bool not_tls = session.silent || (reason != nullptr && !hello::is_tls_like(*reason));
  if (not_tls)
    ++world.counters.hello_not_tls;
  else if (too_large)
    ++world.counters.hello_too_large;
  else
    ++world.counters.hello_malformed;
  const char* detail = reason != nullptr ? hello::name_of(*reason) : "";
  const bool non_tls_may_pass = session.ruling->config->tls.non_tls == config::NonTls::tunnel;

  switch (session.decision.action) {
    case Action::tunnel: return take_road(session, Step::connect);
    case Action::terminate:
      // A rule that says terminate means every byte; a default only says what is to be done with what no rule names, and
      // for bytes that are not TLS, that is tls.non_tls (S8).
      if (session.decision.tls_rule != rules::rule_default || !not_tls || !non_tls_may_pass)
        return close(session, CloseReason::rule_terminate, Farewell::reset, detail);
      break;
    case Action::block: return close(session, CloseReason::rule_block, Farewell::reset, detail);
    case Action::redirect: return close(session, CloseReason::rule_redirect, Farewell::reset, detail);
    case Action::peek:
    case Action::tunnel_sni:
    case Action::bump: break;
  }
  if (not_tls && non_tls_may_pass) {
    session.decision.action = Action::tunnel;
    return take_road(session, Step::connect);
  }
  if (session.silent || session.hello_incomplete) return close(session, CloseReason::hello_timeout, Farewell::reset);
  if (not_tls) return close(session, CloseReason::non_tls, Farewell::reset, detail);
  if (too_large) return close(session, CloseReason::hello_too_large, Farewell::reset, detail);
  return close(session, CloseReason::hello_malformed, Farewell::reset, detail);
}

}  // namespace

Next decide(Session& session, const Answer* /*answer*/) {
  if (!session.peeked) return at_connect(session);
  if (session.hello) return at_hello(session);
  return without_hello(session);
}

}  // namespace sluice::flow
