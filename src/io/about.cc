#include "io/about.h"

#include <fmt/format.h>
#include <liburing.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include "io/ring.h"

namespace sluice::io {
namespace {

utsname kernel() {
  utsname system{};
  uname(&system);
  return system;
}

}  // namespace

std::string liburing_version() {
  return fmt::format("{}.{}", io_uring_major_version(), io_uring_minor_version());
}

std::string kernel_version() {
  const utsname system = kernel();
  return fmt::format("{} {}", system.sysname, system.release);
}

/// A ring as a worker opens it.
std::string io_uring_state() {
  io_uring ring{};
  const int result = io_uring_queue_init(8, &ring, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
  if (result == 0) {
    io_uring_queue_exit(&ring);
    return "usable";
  }
  return fmt::format("not usable: {}", explain_ring_error(-result));
}

std::string transparent_state() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return fmt::format("not usable: {}", std::strerror(errno));
  const int on = 1;
  const bool is_set = setsockopt(fd, SOL_IP, IP_TRANSPARENT, &on, sizeof on) == 0;
  const int error = errno;
  close(fd);
  if (is_set) return "usable";
  return error == EPERM ? "not allowed here: needs CAP_NET_RAW or CAP_NET_ADMIN"
                        : fmt::format("not usable: {}", std::strerror(error));
}

}  // namespace sluice::io
