// Step resolve: where is the host that a client which is configured for a proxy has asked for? Before a CONNECT is decided (a
// rule may name an address); of a request in clear, once it may pass.

#include <algorithm>

#include "base/embedded_v4.h"
#include "flow/lookups.h"
#include "flow/session.h"

namespace sluice::flow {
namespace {

using record::CloseReason;

/// Nothing that is the gateway's own, or next to it by accident: what its firewall keeps from its clients must not be within
/// reach through it.
bool may_dial(Session& session, const IpAddress& address) {
  for (const auto& v4 : {behind_nat64(address), in_compatible_form(address)})
    if (v4 && !may_dial(session, *v4)) return false;
  if (address.is_unspecified() || address.is_multicast()) return false;
  if (session.ruling->config->explicit_proxy.local_destinations) return true;
  return !address.is_loopback() && !address.is_link_local() && !session.world->kernel.is_own(address);
}

Next refuse(Session& session, uint16_t status, std::string_view sentence, CloseReason reason) {
  if (session.parked != nullptr) return exchange_without_origin(session, status, sentence, reason);
  return answer_in_words(session, status, sentence, reason);
}

Next go_on_with(Session& session, std::vector<Endpoint> addresses) {
  Asked& asked = *session.asked;
  io::TimerWheel::stop(session.timer);
  asked.addresses = std::move(addresses);
  asked.is_resolved = true;
  session.about.destination = asked.addresses.empty() ? Endpoint{IpAddress{}, asked.port} : asked.addresses.front();
  session.step = asked.is_connect ? Step::decide : Step::connect;
  if (!asked.is_connect && asked.addresses.empty()) return refuse(session, 502, "There is no such host.", CloseReason::origin_unresolved);
  return Next::go;
}

Next on_addresses(Session& session) {
  std::vector<Endpoint> addresses = session.asked->addresses;
  const bool has_some = !addresses.empty();
  std::erase_if(addresses, [&](const Endpoint& endpoint) { return !may_dial(session, endpoint.address); });
  if (has_some && addresses.empty())
    return refuse(session, 403, "This proxy does not connect to the gateway itself.", CloseReason::local_destination);
  return go_on_with(session, std::move(addresses));
}

Next enter(Session& session) {
  World& world = *session.world;
  Asked& asked = *session.asked;
  if (const auto address = IpAddress::parse(asked.host)) {
    asked.addresses = {{*address, asked.port}};
    return on_addresses(session);
  }
  if (!world.lookups->resolve(session, asked.host, asked.port))
    return refuse(session, 503, "Too many names are being looked up. Try again later.", CloseReason::overload);
  world.timers.start(session.timer, world.kernel.now_us() + hello_timeout_us(session));
  return Next::wait;
}

}  // namespace

Next resolve(Session& session, const Answer* answer) {
  if (answer == nullptr) return enter(session);
  switch (answer->from) {
    case Answer::From::looked_up: return on_addresses(session);
    case Answer::From::timer:
      session.world->lookups->forget(session);
      return go_on_with(session, {});
    case Answer::From::up:
    case Answer::From::down:
    case Answer::From::dial:
    case Answer::From::client_writable:
    case Answer::From::origin_writable: break;
  }
  return close(session, CloseReason::gateway_error, Farewell::reset);
}

}  // namespace sluice::flow
