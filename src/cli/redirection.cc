#include "cli/redirection.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace sluice::cli {
namespace {

const Cidr* network_of(const std::vector<Cidr>& networks, const IpAddress& address) {
  const auto found = std::find_if(networks.begin(), networks.end(),
                                  [&](const Cidr& network) { return network.contains(address); });
  return found == networks.end() ? nullptr : &*found;
}

}  // namespace

bool is_redirected_port(const config::Gateway& gateway, uint16_t port) {
  const auto has = [&](const std::vector<uint16_t>& ports) {
    return std::find(ports.begin(), ports.end(), port) != ports.end();
  };
  return has(gateway.tls_ports) || has(gateway.http_ports);
}

std::string why_not_redirected(const config::Gateway& gateway, const IpAddress& client,
                               const Endpoint& destination) {
  if (!gateway.ipv6 && !client.is_v4()) return "gateway.ipv6 is false";
  if (!is_redirected_port(gateway, destination.port))
    return fmt::format("port {} is in neither gateway.tls_ports nor gateway.http_ports", destination.port);
  if (const Cidr* const network = network_of(gateway.exempt_clients, client))
    return fmt::format("the client is in gateway.exempt_clients ({})", network->to_string());
  if (destination.address.is_unspecified()) return "";
  if (const Cidr* const network = network_of(gateway.exempt_destinations, destination.address))
    return fmt::format("the destination is in gateway.exempt_destinations ({})", network->to_string());
  return "";
}

}  // namespace sluice::cli
