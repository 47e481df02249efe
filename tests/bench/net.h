// Small helpers around sockets and time for both roles of the load generator.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace bench {

[[noreturn]] inline void fail(const char* what) {
  std::fprintf(stderr, "bench_load: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

inline double now_s() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

/// "ADDRESS:PORT", IPv4 only, as the lab is.
inline sockaddr_in parse_address(const std::string& text) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos ||
      inet_pton(AF_INET, text.substr(0, colon).c_str(), &address.sin_addr) != 1) {
    errno = EINVAL;
    fail(("address " + text).c_str());
  }
  address.sin_port = htons(static_cast<uint16_t>(std::strtoul(text.c_str() + colon + 1, nullptr, 10)));
  return address;
}

inline void set_option(int fd, int level, int name, int value) {
  if (setsockopt(fd, level, name, &value, sizeof value) != 0) fail("setsockopt");
}

/// The origin's addresses: `first` and the ones after it. Several, so that ports in TIME_WAIT never run out.
struct Targets {
  sockaddr_in first{};
  uint32_t count = 1;

  [[nodiscard]] sockaddr_in at(uint32_t index) const {
    sockaddr_in address = first;
    address.sin_addr.s_addr = htonl(ntohl(first.sin_addr.s_addr) + index % count);
    return address;
  }
};

inline std::string name_of(const Targets& targets, uint32_t index) {
  return "o" + std::to_string(index % targets.count) + ".bench.example";
}

inline bool would_block(ssize_t result) { return result < 0 && (errno == EAGAIN || errno == EWOULDBLOCK); }

}  // namespace bench
