#include "worker/resolver.h"

#include <ares.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "base/limits.h"
#include "worker/ares.h"

namespace sluice::worker {
namespace {

// A channel reads resolv.conf and hosts once, so an idle one that is older than this is made anew.
constexpr int64_t channel_s = 10;

int64_t monotonic_s() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec;
}

}  // namespace

/// Lives on the stack of the resolver's thread.
class Resolver::Loop {
 public:
  Loop(Resolver& resolver, uint32_t mark) : resolver_(resolver), mark_(mark) {}
  ~Loop() { close_channel(); }
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  void run();

 private:
  struct Known {
    std::vector<IpAddress> addresses;
    int64_t until_s = 0;
  };
  struct Query {
    Loop* loop;
    std::string host;
    std::vector<Asker> askers;
  };

  [[nodiscard]] bool open_channel();
  void close_channel();
  void take(const Wanted& wanted);
  void answer(const Asker& asker, const std::vector<IpAddress>& addresses);
  static void on_answer(void* owner, int status, int timeouts, ares_addrinfo* found);
  void remember(const std::string& host, std::vector<IpAddress> addresses, int64_t ttl_s);

  Resolver& resolver_;
  uint32_t mark_;
  ares_channel channel_ = nullptr;
  int64_t opened_s_ = 0;
  bool is_ending_ = false;
  std::map<ares_socket_t, short> sockets_;
  std::map<std::string, std::unique_ptr<Query>> queries_;
  std::map<std::string, Known> known_;
};

bool Resolver::Loop::open_channel() {
  if (channel_ != nullptr && queries_.empty() && monotonic_s() - opened_s_ >= channel_s) close_channel();
  if (channel_ != nullptr) return true;
  ares_options options{};
  options.sock_state_cb = [](void* owner, ares_socket_t fd, int readable, int writable) {
    auto& sockets = static_cast<Loop*>(owner)->sockets_;
    if (readable == 0 && writable == 0)
      sockets.erase(fd);
    else
      sockets[fd] = static_cast<short>((readable != 0 ? POLLIN : 0) | (writable != 0 ? POLLOUT : 0));
  };
  options.sock_state_cb_data = this;
  options.timeout = static_cast<int>(limits::resolver_timeout_ms);
  options.tries = 2;
  if (ares_init_options(&channel_, &options, ARES_OPT_SOCK_STATE_CB | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES) != ARES_SUCCESS) {
    channel_ = nullptr;
    return false;
  }
  ares_set_socket_configure_callback(channel_, mark_socket, &mark_);
  opened_s_ = monotonic_s();
  return true;
}

void Resolver::Loop::close_channel() {
  if (channel_ == nullptr) return;
  ares_destroy(channel_);  // answers what is open, with nothing
  channel_ = nullptr;
}

void Resolver::Loop::answer(const Asker& asker, const std::vector<IpAddress>& addresses) {
  resolver_.waiting_.fetch_sub(1, std::memory_order_relaxed);
  if (!is_ending_) resolver_.deliver_(asker, addresses);
}

void Resolver::Loop::remember(const std::string& host, std::vector<IpAddress> addresses, int64_t ttl_s) {
  const int64_t now_s = monotonic_s();
  if (known_.size() >= limits::resolver_names_max) std::erase_if(known_, [&](const auto& entry) { return entry.second.until_s <= now_s; });
  if (known_.size() >= limits::resolver_names_max) known_.clear();
  known_[host] = {std::move(addresses), now_s + ttl_s};
}

void Resolver::Loop::take(const Wanted& wanted) {
  if (const auto known = known_.find(wanted.host); known != known_.end() && known->second.until_s > monotonic_s())
    return answer(wanted.asker, known->second.addresses);
  if (const auto query = queries_.find(wanted.host); query != queries_.end()) {
    query->second->askers.push_back(wanted.asker);
    return;
  }
  if (!open_channel()) return answer(wanted.asker, {});
  auto& query = queries_[wanted.host] = std::make_unique<Query>(Query{this, wanted.host, {wanted.asker}});
  ares_addrinfo_hints hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  ares_getaddrinfo(channel_, wanted.host.c_str(), nullptr, &hints, on_answer, query.get());  // may answer inside
}

void Resolver::Loop::on_answer(void* owner, int status, int /*timeouts*/, ares_addrinfo* found) {
  Query& query = *static_cast<Query*>(owner);
  Loop& self = *query.loop;
  std::vector<IpAddress> addresses;
  int64_t ttl_s = limits::resolver_nothing_s;
  if (status == ARES_SUCCESS && found != nullptr) {
    int64_t shortest_s = limits::resolver_ttl_max_s;
    for (const ares_addrinfo_node* node = found->nodes; node != nullptr; node = node->ai_next) {
      const auto address = address_of(*node);
      if (!address) continue;
      if (addresses.size() < limits::dial_addresses_max) addresses.push_back(*address);
      shortest_s = std::min<int64_t>(shortest_s, node->ai_ttl);
    }
    if (!addresses.empty()) ttl_s = std::max<int64_t>(shortest_s, limits::resolver_ttl_min_s);
  }
  if (found != nullptr) ares_freeaddrinfo(found);
  const auto at = self.queries_.find(query.host);
  const std::unique_ptr<Query> mine = std::move(at->second);
  self.queries_.erase(at);
  for (const Asker& asker : mine->askers) self.answer(asker, addresses);
  // A server that does not answer may do so at the next try.
  if (status == ARES_SUCCESS || status == ARES_ENOTFOUND || status == ARES_ENODATA)
    self.remember(mine->host, std::move(addresses), ttl_s);
}

void Resolver::Loop::run() {
  for (;;) {
    std::vector<pollfd> wait = {{resolver_.wake_fd_, POLLIN, 0}};
    for (const auto& [fd, events] : sockets_) wait.push_back({fd, events, 0});
    int timeout_ms = -1;
    if (channel_ != nullptr) {
      timeval step{};
      if (ares_timeout(channel_, nullptr, &step) != nullptr) timeout_ms = static_cast<int>(step.tv_sec * 1000 + (step.tv_usec + 999) / 1000);
    }
    const int ready = ::poll(wait.data(), wait.size(), timeout_ms);
    if (ready < 0) continue;
    if ((wait[0].revents & POLLIN) != 0) {
      uint64_t count = 0;
      (void)!::read(resolver_.wake_fd_, &count, sizeof count);
    }
    std::vector<Wanted> wanted;
    {
      const std::lock_guard lock(resolver_.mutex_);
      if (resolver_.stopping_) break;
      wanted.swap(resolver_.queue_);
    }
    for (const Wanted& one : wanted) take(one);
    if (channel_ == nullptr) continue;
    ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);  // its timers
    for (size_t i = 1; i < wait.size(); ++i) {
      const bool can_read = (wait[i].revents & ~POLLOUT) != 0;
      const bool can_write = (wait[i].revents & POLLOUT) != 0;
      if (can_read || can_write)
        ares_process_fd(channel_, can_read ? wait[i].fd : ARES_SOCKET_BAD, can_write ? wait[i].fd : ARES_SOCKET_BAD);
    }
  }
  is_ending_ = true;
}

Resolver::Resolver(Deliver deliver, const Log& log)
    : deliver_(std::move(deliver)), log_(log), wake_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Resolver::~Resolver() {
  stop();
  if (wake_fd_ >= 0) ::close(wake_fd_);
}

void Resolver::begin(uint32_t mark) {
  if (thread_.joinable()) return;
  if (wake_fd_ < 0) return log_.error("cannot make an eventfd: no names will be looked up for the explicit proxy");
  {
    const std::lock_guard lock(mutex_);
    running_ = true;
  }
  thread_ = std::thread([this, mark] {
    pthread_setname_np(pthread_self(), "resolver");
    Loop(*this, mark).run();
  });
}

void Resolver::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    running_ = false;
  }
  const uint64_t one = 1;
  (void)!::write(wake_fd_, &one, sizeof one);
  if (thread_.joinable()) thread_.join();
}

bool Resolver::ask(const Asker& asker, std::string host) {
  if (waiting_.fetch_add(1, std::memory_order_relaxed) >= limits::resolver_waiting_max) {
    waiting_.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  {
    const std::lock_guard lock(mutex_);
    if (!running_) {
      waiting_.fetch_sub(1, std::memory_order_relaxed);
      return false;
    }
    queue_.push_back({asker, std::move(host)});
  }
  const uint64_t one = 1;
  (void)!::write(wake_fd_, &one, sizeof one);
  return true;
}

}  // namespace sluice::worker
