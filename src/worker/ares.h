// What both users of c-ares need of it: resolve() and Resolver. Stateless; any thread.
#pragma once

#include <ares.h>

#include <optional>

#include "base/ip.h"

namespace sluice::worker {

/// One address of an answer; nothing when it is of no family that there is room for.
[[nodiscard]] std::optional<IpAddress> address_of(const ares_addrinfo_node& node);

/// For ares_set_socket_configure_callback(): SO_MARK from the uint32_t that `mark` points to; 0: none.
int mark_socket(ares_socket_t fd, int type, void* mark);

}  // namespace sluice::worker
