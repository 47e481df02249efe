// Step decide: the rules' verdict becomes a road. Runs at the connect event and, after peek, at the hello event.

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <vector>

#include "flow/refusal.h"
#include "flow/road.h"
#include "flow/session.h"
#include "rules/policy.h"
#include "tls/early_data.h"

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

/// Phones without instructions for AES put ChaCha20 first (RFC 7905 section 1 is about them); all others AES.
bool prefers_chacha20(const hello::ClientHello& hello) {
  constexpr std::array<uint16_t, 4> chacha20 = {0x1303, 0xcca8, 0xcca9, 0xccaa};
  const auto first = std::find_if_not(hello.ciphers.begin(), hello.ciphers.end(), hello::is_grease);
  return first != hello.ciphers.end() && std::find(chacha20.begin(), chacha20.end(), *first) != chacha20.end();
}

/// What the log and bump keep of the hello; the parsed lists go.
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
  seen->one_record = hello.records == 1;
  seen->hello_wire_bytes = static_cast<uint32_t>(hello.wire_bytes);
  constexpr uint16_t x25519mlkem768 = 0x11ec;  // draft-ietf-tls-ecdhe-mlkem
  seen->post_quantum = std::find(hello.key_shares.begin(), hello.key_shares.end(), x25519mlkem768) != hello.key_shares.end();
  seen->prefers_chacha20 = prefers_chacha20(hello);
  constexpr uint16_t early_data = 42;  // RFC 8446 section 4.2.10
  constexpr uint16_t tls13 = 0x0304;
  seen->early_data = hello.version_max() >= tls13 &&
                     std::find(hello.extensions.begin(), hello.extensions.end(), early_data) != hello.extensions.end();
  if (seen->early_data) seen->retry_group = tls::group_to_retry(hello.groups, hello.key_shares);
  session.seen = std::move(seen);
}

bool is_http_port(const Session& session) {
  const auto& ports = session.ruling->config->gateway.http_ports;
  return std::find(ports.begin(), ports.end(), session.about.destination.port) != ports.end();
}

bool forbids(const rules::Decision& decision) {
  return decision.action == Action::block || decision.action == Action::redirect;
}

/// Whether the rules say the same, and for the same reasons: what is done and what the log says of it.
bool is_alike(const rules::Decision& one, const rules::Decision& other) {
  return one.action == other.action && one.tls_rule == other.tls_rule && one.access_rule == other.access_rule &&
         one.bypass_rule == other.bypass_rule && one.protection_rule == other.protection_rule && one.scan == other.scan &&
         one.threats == other.threats && one.threat == other.threat && one.threat_blocks == other.threat_blocks;
}

/// The verdict on a connection whose destination may still be any of several: a rule may name one, and an explicit client's host
/// has as many as its name server likes. The first that is not forbidden counts, and only those stay of which the rules say the
/// same, so that whichever answers has been judged. Each event must ask anew: rules that waited for it say {} before.
template <class Ask>
rules::Decision judge_addresses(Session& session, rules::Facts facts, Ask&& ask) {
  Asked* const asked = session.asked.get();
  if (asked == nullptr || asked->addresses.size() < 2) return ask(facts);
  std::vector<rules::Decision> decisions;
  for (const Endpoint& address : asked->addresses) {
    facts.destination = address;
    decisions.push_back(ask(facts));
  }
  const auto allowed = std::find_if_not(decisions.begin(), decisions.end(), [](const rules::Decision& decision) {
    return forbids(decision) || decision.action == Action::terminate;
  });
  const rules::Decision chosen = allowed != decisions.end() ? *allowed : decisions.front();
  std::vector<Endpoint> alike;
  for (size_t i = 0; i < decisions.size(); ++i)
    if (is_alike(decisions[i], chosen)) alike.push_back(asked->addresses[i]);
  asked->addresses = std::move(alike);
  session.about.destination = asked->addresses.front();
  return chosen;
}

/// S26 (access.https_page): a blocked CONNECT goes on, for the block page alone; of plain HTTP too.
bool has_https_page(const Session& session) {
  return session.decision.action == Action::block && session.ruling->config->policy->https_page();
}

/// S23: no page and no redirect for a CONNECT, real or synthetic.
Next end_forbidden(Session& session) {
  const CloseReason reason = refusal_of(session.decision);
  if (session.asked == nullptr) return close(session, reason, Farewell::reset);
  if (!session.asked->established && session.ruling->config->explicit_proxy.blocked_connect == config::BlockedConnect::status)
    return answer_in_words(session, 403, {}, reason);
  return close(session, reason, session.asked->established ? Farewell::reset : Farewell::in_order);
}

/// Plain HTTP: no TLS rule applies; the access rules are asked now, and again for every request.
Next at_http_connect(Session& session) {
  session.is_http = true;
  session.decision = session.ruling->judge.http_connect(connect_facts(session));
  if (forbids(session.decision) && !has_https_page(session)) return end_forbidden(session);
  return take_road(session, Step::peek);
}

/// S8's sister for plain HTTP: http.non_http.
Next at_http_bytes(Session& session) {
  if (session.speaks_http) return take_road(session, Step::exchange);
  if (forbids(session.decision)) return end_forbidden(session);
  if (session.ruling->config->http.non_http == config::NonHttp::terminate)
    return close(session, CloseReason::non_http, Farewell::reset);
  // Half a request line that nobody has finished may be finished behind our back.
  if (session.hello_incomplete) return close(session, CloseReason::non_http, Farewell::reset, "unfinished");
  rules::Facts facts = connect_facts(session);
  facts.hello_known = Known::never;
  if (session.asked == nullptr) facts.host_known = Known::never;
  session.decision = judge_addresses(session, facts, [&](const rules::Facts& each) { return session.ruling->judge.http_connect(each, true); });
  if (forbids(session.decision)) return end_forbidden(session);
  session.decision.action = Action::tunnel;
  return take_road(session, Step::connect);
}

Next at_explicit_connect(Session& session) {
  Asked& asked = *session.asked;
  session.is_http = is_http_port(session);
  rules::Judge& judge = session.ruling->judge;
  session.decision = judge_addresses(session, connect_facts(session), [&](const rules::Facts& facts) {
    return session.is_http ? judge.http_connect(facts) : judge.connect(facts);
  });
  if (forbids(session.decision)) {
    if (!has_https_page(session)) return end_forbidden(session);
  } else {
    if (asked.addresses.empty()) return answer_in_words(session, 502, "There is no such host.", CloseReason::origin_unresolved);
    if (session.decision.action == Action::tunnel) return take_road(session, Step::connect);  // the 200 comes with the origin
  }
  if (!establish(session)) return close(session, CloseReason::client_reset, Farewell::reset);
  return take_road(session, Step::peek);
}

Next at_connect(Session& session) {
  if (session.asked != nullptr) return at_explicit_connect(session);
  // Redirected connections keep their original destination, and the listener's port is never one of tls_ports: this one
  // came straight to us, and dialling its destination would be dialling ourselves.
  if (session.about.destination.port == session.world->listener_port)
    return close(session, CloseReason::loop, Farewell::reset);
  if (is_http_port(session)) return at_http_connect(session);
  session.decision = session.ruling->judge.connect(connect_facts(session));
  switch (session.decision.action) {
    case Action::tunnel: return take_road(session, Step::connect);
    case Action::block:
    case Action::redirect:
      // What is shown as a page needs the ClientHello first.
      return has_https_page(session) ? take_road(session, Step::peek) : end_forbidden(session);
    case Action::peek:
    case Action::tunnel_sni:
    case Action::bump:
    case Action::terminate: return take_road(session, Step::peek);
  }
  return close(session, CloseReason::gateway_error, Farewell::reset, "no verdict");
}

/// The road that the verdict and [tls] lead to.
Next follow(Session& session, FirstBytes first_bytes, Farewell farewell, const char* detail) {
  const Road road = road_at_hello(session.ruling->config->tls, session.decision, first_bytes);
  session.decision.action = road.action;
  if (road.close) return close(session, *road.close, farewell, detail);
  return take_road(session, Step::connect);
}

FirstBytes first_bytes_of(const Session& session) {
  const auto* reason = std::get_if<hello::Malformed>(&session.malformed);
  if (reason == nullptr) return session.silent ? FirstBytes::silence : FirstBytes::unfinished;
  if (!hello::is_tls_like(*reason)) return FirstBytes::not_tls;
  const bool too_large = *reason == hello::Malformed::too_large || *reason == hello::Malformed::too_large_on_wire;
  return too_large ? FirstBytes::too_large : FirstBytes::malformed;
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
  const std::string_view asked_host = session.asked != nullptr ? std::string_view(session.asked->host) : std::string_view();
  session.decision = judge_addresses(session, facts, [&](const rules::Facts& each) {
    return judge_hello(session.ruling->judge, each, asked_host);
  });
  const FirstBytes first_bytes = hello.has_sni ? FirstBytes::hello_with_sni : FirstBytes::hello_without_sni;
  session.hello.reset();
  if (has_https_page(session)) return take_road(session, Step::bump);
  return follow(session, first_bytes, farewell_after_hello(session), "");
}

/// S8: the bytes are not a ClientHello, or none came. The rules see a connection whose hello can never be known.
Next without_hello(Session& session) {
  World& world = *session.world;
  rules::Facts facts = connect_facts(session);
  facts.hello_known = Known::never;
  if (session.asked == nullptr) facts.host_known = Known::never;
  session.decision = judge_addresses(session, facts, [&](const rules::Facts& each) { return session.ruling->judge.hello(each); });

  const FirstBytes first_bytes = first_bytes_of(session);
  switch (first_bytes) {
    case FirstBytes::not_tls:
    case FirstBytes::silence: ++world.counters.hello_not_tls; break;
    case FirstBytes::too_large: ++world.counters.hello_too_large; break;
    case FirstBytes::malformed:
    case FirstBytes::unfinished:
    case FirstBytes::hello_with_sni:
    case FirstBytes::hello_without_sni: ++world.counters.hello_malformed; break;
  }
  const auto* reason = std::get_if<hello::Malformed>(&session.malformed);
  return follow(session, first_bytes, Farewell::reset, reason != nullptr ? hello::name_of(*reason) : "");
}

}  // namespace

Next refuse_by_name(Session& session) {
  session.is_http = is_http_port(session);
  const rules::Facts facts = connect_facts(session);
  rules::Judge& judge = session.ruling->judge;
  session.decision = session.is_http ? judge.http_connect(facts) : judge.connect(facts);
  return forbids(session.decision) && !has_https_page(session) ? end_forbidden(session) : Next::go;
}

rules::Facts connect_facts(Session& session) {
  rules::Facts facts;
  facts.now = session.world->local;
  facts.client = session.about.client.address;
  facts.interface = session.world->interfaces.name(session.about.interface_index);
  facts.destination = session.about.destination;
  if (const Asked* asked = session.asked.get()) {
    facts.mode = rules::Mode::explicit_proxy;
    if (!asked->is_resolved) facts.destination_known = Known::not_yet;
    facts.host_known = Known::yes;
    facts.host = asked->host;
    facts.user_known = facts.user_agent_known = Known::yes;
    facts.user = asked->user;
    facts.user_agent = asked->user_agent;
  }
  return facts;
}

std::string_view name_from_client(const Session& session) {
  if (session.seen != nullptr && !session.seen->sni().empty()) return session.seen->sni();
  return session.asked != nullptr ? std::string_view(session.asked->host) : std::string_view();
}

Next decide(Session& session, const Answer* /*answer*/) {
  if (!session.peeked) return at_connect(session);
  if (session.is_http) return at_http_bytes(session);
  if (session.hello) return at_hello(session);
  return without_hello(session);
}

}  // namespace sluice::flow
