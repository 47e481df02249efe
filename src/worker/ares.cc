#include "worker/ares.h"

#include <netdb.h>
#include <sys/socket.h>

#include <cstring>

#include "io/socket.h"

namespace sluice::worker {

std::optional<IpAddress> address_of(const ares_addrinfo_node& node) {
  if (node.ai_addrlen > static_cast<ares_socklen_t>(sizeof(sockaddr_storage))) return std::nullopt;
  io::SocketAddress address;
  std::memcpy(address.get(), node.ai_addr, node.ai_addrlen);
  address.length = static_cast<socklen_t>(node.ai_addrlen);
  return io::to_endpoint(address).address;
}

int mark_socket(ares_socket_t fd, int /*type*/, void* mark) {
  const uint32_t value = *static_cast<const uint32_t*>(mark);
  return value == 0 || ::setsockopt(fd, SOL_SOCKET, SO_MARK, &value, sizeof value) == 0 ? 0 : -1;
}

}  // namespace sluice::worker
