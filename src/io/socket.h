// Sockets: the listeners that TPROXY delivers to, the sockets towards origins, and what an accepted one is about.
// Stateless; callable from any thread.
#pragma once

#include <cstdint>

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/ip.h"
#include "io/kernel.h"

namespace sluice::io {

/// An address in the form that system calls take.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;

  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  [[nodiscard]] sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};
[[nodiscard]] SocketAddress to_socket_address(const Endpoint& endpoint);
[[nodiscard]] Endpoint to_endpoint(const SocketAddress& address);

struct ListenerOptions {
  bool v6 = false;
  uint16_t port = 0;
  uint32_t keepalive_ms = 0;
};

/// A listening TPROXY socket (IP_TRANSPARENT, SO_REUSEPORT) on the wildcard address. Accepted sockets inherit
/// TCP_NODELAY and the keepalive settings. Returns the descriptor, or -errno (EPERM: CAP_NET_RAW is missing).
[[nodiscard]] int make_listener(const ListenerOptions& options);

/// A listening socket of the explicit proxy (SO_REUSEPORT) on one address; `endpoint` may be a wildcard. Otherwise as
/// make_listener(). Errors: EADDRINUSE, EADDRNOTAVAIL (not an address of this host), EACCES (a port below 1024).
[[nodiscard]] int make_explicit_listener(const Endpoint& endpoint, uint32_t keepalive_ms);

/// Whether packets to it stay on this host. When that cannot be found out (at the limit of descriptors, say): true.
[[nodiscard]] bool is_own_address(const IpAddress& address);

/// See Kernel::keep_alive. False, with errno set, if the system refuses.
bool keep_alive(int fd, uint32_t keepalive_ms);
/// See Kernel::origin_socket.
[[nodiscard]] int make_origin_socket(const OriginSocket& options);

/// Client and original destination (getpeername, getsockname) and, if wanted, the interface that the SYN came in by.
/// 0 or -errno.
[[nodiscard]] int describe_accepted(int fd, bool want_interface, Accepted& accepted);

}  // namespace sluice::io
