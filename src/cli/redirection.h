// Whether the kernel hands a connection to the daemon at all: what kernel-setup makes of [gateway]. Pure.
//
// Not known here, and taken for given: that it comes in on an interface of gateway.lan, that its destination
// is not the router itself, and what `sluice-kernel-setup exempt` has been told at run time.
#pragma once

#include <string>

#include "base/ip.h"
#include "config/config.h"

namespace sluice::cli {

/// Why a connection is forwarded as it is, with no rule asked: "gateway.ipv6 is false". Empty: it is
/// redirected. A destination with the unspecified address is one of which only the port is known.
[[nodiscard]] std::string why_not_redirected(const config::Gateway& gateway, const IpAddress& client,
                                             const Endpoint& destination);

/// Whether gateway.tls_ports or gateway.http_ports has it.
[[nodiscard]] bool is_redirected_port(const config::Gateway& gateway, uint16_t port);

}  // namespace sluice::cli
