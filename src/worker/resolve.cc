#include "worker/resolve.h"

#include <ares.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>
#include <map>
#include <memory>

#include "worker/ares.h"

namespace sluice::worker {
namespace {

struct Answer {
  bool done = false;
  std::vector<IpAddress> addresses;
};

void on_answer(void* owner, int status, int /*timeouts*/, ares_addrinfo* found) {
  auto& answer = *static_cast<Answer*>(owner);
  answer.done = true;
  if (status != ARES_SUCCESS || found == nullptr) return;
  for (const ares_addrinfo_node* node = found->nodes; node != nullptr; node = node->ai_next)
    if (const auto address = address_of(*node)) answer.addresses.push_back(*address);
  ares_freeaddrinfo(found);
}

using Sockets = std::map<ares_socket_t, short>;  // what c-ares waits for

void on_socket_state(void* owner, ares_socket_t fd, int readable, int writable) {
  auto& sockets = *static_cast<Sockets*>(owner);
  if (readable == 0 && writable == 0)
    sockets.erase(fd);
  else
    sockets[fd] = static_cast<short>((readable != 0 ? POLLIN : 0) | (writable != 0 ? POLLOUT : 0));
}

int64_t monotonic_ms() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

/// One turn of c-ares. False: told to stop.
bool turn(ares_channel channel, const Sockets& sockets, int wake_fd, int64_t left_ms) {
  std::vector<pollfd> wait = {{wake_fd, POLLIN, 0}};
  for (const auto& [fd, events] : sockets) wait.push_back({fd, events, 0});
  // c-ares has timers of its own, for the next server; a short wait stands in for asking it when.
  constexpr int64_t step_ms = 100;
  if (::poll(wait.data(), wait.size(), static_cast<int>(std::min(left_ms, step_ms))) < 0) return true;
  if (wait[0].revents != 0) return false;
  ares_process_fd(channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
  for (size_t i = 1; i < wait.size(); ++i) {
    const bool can_read = (wait[i].revents & ~POLLOUT) != 0;
    const bool can_write = (wait[i].revents & POLLOUT) != 0;
    if (can_read || can_write)
      ares_process_fd(channel, can_read ? wait[i].fd : ARES_SOCKET_BAD,
                      can_write ? wait[i].fd : ARES_SOCKET_BAD);
  }
  return true;
}

}  // namespace

std::vector<IpAddress> resolve(const std::string& host, uint32_t mark, int wake_fd, uint32_t timeout_ms) {
  const int64_t until_ms = monotonic_ms() + timeout_ms;
  Answer answer;
  Sockets sockets;
  ares_options options{};
  options.sock_state_cb = on_socket_state;
  options.sock_state_cb_data = &sockets;
  options.timeout = 2'000;  // of one server
  options.tries = 2;
  ares_channel channel = nullptr;
  if (ares_init_options(&channel, &options, ARES_OPT_SOCK_STATE_CB | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES) !=
      ARES_SUCCESS)
    return {};
  ares_set_socket_configure_callback(channel, mark_socket, &mark);
  ares_addrinfo_hints hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  ares_getaddrinfo(channel, host.c_str(), nullptr, &hints, on_answer, &answer);
  while (!answer.done) {
    const int64_t left_ms = until_ms - monotonic_ms();
    if (left_ms <= 0 || !turn(channel, sockets, wake_fd, left_ms)) break;
  }
  ares_destroy(channel);  // answers what is open, with nothing
  return answer.addresses;
}

}  // namespace sluice::worker
