#include "io/socket.h"

#include <netinet/tcp.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#ifndef IPV6_TRANSPARENT
#define IPV6_TRANSPARENT 75
#endif

namespace sluice::io {
namespace {

constexpr int backlog_connections = 4096;  // clamped by net.core.somaxconn

bool set_option(int fd, int level, int name, int value) {
  return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

int closed_with_errno(int fd) {
  const int error = errno;
  ::close(fd);
  return -error;
}

/// A TCP socket remembers the interface of its SYN; it is told as the packet info of a stream (ip(7), IP_PKTOPTIONS).
uint32_t incoming_interface(int fd, bool v6) {
  alignas(cmsghdr) char control[256];
  socklen_t length = sizeof control;
  const int level = v6 ? IPPROTO_IPV6 : IPPROTO_IP;
  const int name = v6 ? IPV6_2292PKTOPTIONS : IP_PKTOPTIONS;
  if (getsockopt(fd, level, name, control, &length) != 0) return 0;
  msghdr message{};
  message.msg_control = control;
  message.msg_controllen = length;
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_PKTINFO) {
      in_pktinfo info;
      std::memcpy(&info, CMSG_DATA(part), sizeof info);
      return static_cast<uint32_t>(info.ipi_ifindex);
    }
    if (part->cmsg_level == IPPROTO_IPV6 && (part->cmsg_type == IPV6_PKTINFO || part->cmsg_type == IPV6_2292PKTINFO)) {
      in6_pktinfo info;
      std::memcpy(&info, CMSG_DATA(part), sizeof info);
      return info.ipi6_ifindex;
    }
  }
  return 0;
}

}  // namespace

SocketAddress to_socket_address(const Endpoint& endpoint) {
  SocketAddress result;
  if (endpoint.address.is_v4()) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(endpoint.port);
    std::memcpy(&v4.sin_addr, endpoint.address.bytes.data() + 12, 4);
    std::memcpy(&result.storage, &v4, sizeof v4);
    result.length = sizeof v4;
  } else {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(endpoint.port);
    std::memcpy(&v6.sin6_addr, endpoint.address.bytes.data(), 16);
    std::memcpy(&result.storage, &v6, sizeof v6);
    result.length = sizeof v6;
  }
  return result;
}

Endpoint to_endpoint(const SocketAddress& address) {
  Endpoint result;
  if (address.storage.ss_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, &address.storage, sizeof v4);
    result.address = IpAddress::v4(ntohl(v4.sin_addr.s_addr));
    result.port = ntohs(v4.sin_port);
  } else if (address.storage.ss_family == AF_INET6) {
    sockaddr_in6 v6;
    std::memcpy(&v6, &address.storage, sizeof v6);
    std::memcpy(result.address.bytes.data(), &v6.sin6_addr, 16);
    result.port = ntohs(v6.sin6_port);
  }
  return result;
}

/// TCP_KEEPIDLE and TCP_KEEPINTVL take seconds. Six probes, a sixth of the idle time apart: a dead peer is noticed after
/// twice `keepalive_ms`.
bool keep_alive(int fd, uint32_t keepalive_ms) {
  if (keepalive_ms == 0) return true;
  const int idle_s = static_cast<int>((keepalive_ms + 999) / 1000);
  const int interval_s = idle_s >= 6 ? idle_s / 6 : 1;
  return set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1) && set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle_s) &&
         set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, interval_s) && set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 6);
}

int make_listener(const ListenerOptions& options) {
  const int fd = ::socket(options.v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  const bool transparent = options.v6 ? set_option(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, 1)
                                      : set_option(fd, IPPROTO_IP, IP_TRANSPARENT, 1);
  const bool family = options.v6 ? set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) &&
                                       set_option(fd, IPPROTO_IPV6, IPV6_2292PKTINFO, 1)
                                 : set_option(fd, IPPROTO_IP, IP_PKTINFO, 1);
  if (!transparent || !family || !set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) ||
      !set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1) || !set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1) ||
      !keep_alive(fd, options.keepalive_ms))
    return closed_with_errno(fd);
  Endpoint any{options.v6 ? IpAddress{} : IpAddress::v4(0u), options.port};
  const SocketAddress address = to_socket_address(any);
  if (::bind(fd, address.get(), address.length) != 0 || ::listen(fd, backlog_connections) != 0)
    return closed_with_errno(fd);
  // Inherited by what is accepted: the ClientHello is acknowledged with the answer to it, as a segment less, or after 40 ms.
  // Set behind listen(2), which forgets it. Only an economy, so a refusal does not matter.
  (void)set_option(fd, IPPROTO_TCP, TCP_QUICKACK, 0);
  return fd;
}

int make_explicit_listener(const Endpoint& endpoint, uint32_t keepalive_ms) {
  const bool v6 = !endpoint.address.is_v4();
  const int fd = ::socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  const bool family = v6 ? set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) && set_option(fd, IPPROTO_IPV6, IPV6_2292PKTINFO, 1)
                         : set_option(fd, IPPROTO_IP, IP_PKTINFO, 1);
  if (!family || !set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) || !set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1) ||
      !set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1) || !keep_alive(fd, keepalive_ms))
    return closed_with_errno(fd);
  const SocketAddress address = to_socket_address(endpoint);
  if (::bind(fd, address.get(), address.length) != 0 || ::listen(fd, backlog_connections) != 0)
    return closed_with_errno(fd);
  return fd;
}

// The route says it: a packet to an address of this host would come from that same address. Nothing is sent.
bool is_own_address(const IpAddress& address) {
  // No route, or no such family: nobody will get there. Any other failure (descriptors, memory, ports) says nothing, and what guards
  // by this must not be opened by want of them.
  const auto leads_nowhere = [](int sys_errno) {
    return sys_errno == ENETUNREACH || sys_errno == EHOSTUNREACH || sys_errno == EADDRNOTAVAIL || sys_errno == EAFNOSUPPORT ||
           sys_errno == EINVAL || sys_errno == EACCES || sys_errno == EPERM;
  };
  const int fd = ::socket(address.is_v4() ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return !leads_nowhere(errno);
  const SocketAddress to = to_socket_address({address, 9});
  SocketAddress from;
  from.length = sizeof(sockaddr_storage);
  bool own = true;
  if (::connect(fd, to.get(), to.length) != 0)
    own = !leads_nowhere(errno);
  else if (::getsockname(fd, from.get(), &from.length) == 0)
    own = to_endpoint(from).address == address;
  ::close(fd);
  return own;
}

int make_origin_socket(const OriginSocket& options) {
  const int fd = ::socket(options.v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  if (!set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1) ||
      (options.speaks_first && !set_option(fd, IPPROTO_TCP, TCP_QUICKACK, 0)) ||
      (options.mark != 0 && !set_option(fd, SOL_SOCKET, SO_MARK, static_cast<int>(options.mark))))
    return closed_with_errno(fd);
  if (options.source != nullptr) {
    const bool transparent = options.v6 ? set_option(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, 1)
                                        : set_option(fd, IPPROTO_IP, IP_TRANSPARENT, 1);
    // The port is chosen at connect, so that 64k connections to *each* origin are possible (FACTS: HAProxy does so).
    const SocketAddress source = to_socket_address({*options.source, 0});
    if (!transparent || !set_option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1) ||
        ::bind(fd, source.get(), source.length) != 0)
      return closed_with_errno(fd);
  }
  return fd;
}

int describe_accepted(int fd, bool want_interface, Accepted& accepted) {
  SocketAddress client;
  SocketAddress destination;
  client.length = destination.length = sizeof(sockaddr_storage);
  if (::getpeername(fd, client.get(), &client.length) != 0) return -errno;
  if (::getsockname(fd, destination.get(), &destination.length) != 0) return -errno;
  accepted.client = to_endpoint(client);
  accepted.destination = to_endpoint(destination);
  accepted.interface_index = want_interface ? incoming_interface(fd, destination.storage.ss_family == AF_INET6) : 0;
  return 0;
}

}  // namespace sluice::io
