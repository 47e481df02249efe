#include "worker/intermediate_fetcher.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/fetch_limits.h"
#include "io/socket.h"
#include "tls/origin_verdict.h"
#include "worker/resolve.h"

namespace sluice::worker {
namespace {

int64_t monotonic_ms() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

/// Waits until `fd` is ready, or it is time to stop. False: it is too late, or stopped.
bool wait_for(int fd, short events, int wake_fd, int64_t until_ms) {
  for (;;) {
    const int64_t left_ms = until_ms - monotonic_ms();
    if (left_ms <= 0) return false;
    std::array<pollfd, 2> wait = {{{fd, events, 0}, {wake_fd, POLLIN, 0}}};
    const int ready = ::poll(wait.data(), wait.size(), static_cast<int>(left_ms));
    if (ready < 0 && errno != EINTR) return false;
    if (ready <= 0) continue;
    if (wait[1].revents != 0) return false;
    if (wait[0].revents != 0) return true;
  }
}

class Connection {
 public:
  Connection(int wake_fd, int64_t until_ms) : wake_fd_(wake_fd), until_ms_(until_ms) {}
  ~Connection() {
    if (fd_ >= 0) ::close(fd_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  bool open(const Endpoint& endpoint, uint32_t mark) {
    io::OriginSocket options;
    options.v6 = !endpoint.address.is_v4();
    options.mark = mark;
    fd_ = io::make_origin_socket(options);
    if (fd_ < 0 || ::fcntl(fd_, F_SETFL, O_NONBLOCK) != 0) return false;
    const io::SocketAddress to = io::to_socket_address(endpoint);
    if (::connect(fd_, to.get(), to.length) == 0) return true;
    const int64_t until_ms = std::min(until_ms_, monotonic_ms() + limits::fetch_connect_timeout_ms);
    if (errno != EINPROGRESS || !wait_for(fd_, POLLOUT, wake_fd_, until_ms)) return false;
    int failure = 0;
    socklen_t length = sizeof failure;
    return ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &failure, &length) == 0 && failure == 0;
  }

  bool send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t sent = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent > 0)
        text.remove_prefix(static_cast<size_t>(sent));
      else if (errno != EAGAIN || !wait_for(fd_, POLLOUT, wake_fd_, until_ms_))
        return false;
    }
    return true;
  }

  /// How many bytes came; 0 at the end; negative: none will.
  ssize_t receive(std::span<uint8_t> into) {
    for (;;) {
      if (!wait_for(fd_, POLLIN, wake_fd_, until_ms_)) return -1;
      const ssize_t received = ::recv(fd_, into.data(), into.size(), 0);
      if (received >= 0 || errno != EAGAIN) return received;
    }
  }

 private:
  int fd_ = -1;
  int wake_fd_;
  int64_t until_ms_;
};

std::optional<std::vector<uint8_t>> read_reply(Connection& connection) {
  FetchReply reply;
  std::vector<uint8_t> buffer(16 * 1024);
  // Interim answers and chunk headers are bounded in the reader, bytes of the body in FetchReply, all by the
  // time.
  for (;;) {
    const ssize_t received = connection.receive(buffer);
    if (received < 0) return std::nullopt;
    const auto state =
        received == 0 ? reply.finish() : reply.take(std::span(buffer).first(static_cast<size_t>(received)));
    if (state == FetchReply::State::refused) return std::nullopt;
    if (state == FetchReply::State::complete)
      return std::vector<uint8_t>(reply.body().begin(), reply.body().end());
  }
}

enum class Lead : uint8_t { trusted, on, nowhere };

/// Where a chain leads with what has been fetched: judged just as the workers will.
Lead lead_of(const tls::Trust& trust, const FetchedChain& chain) {
  std::vector<tls::ByteView> ders;
  for (const auto& certificate : chain) ders.emplace_back(certificate->der);
  tls::SentChain sent;
  sent.certificates = ders;
  tls::ChainMemory memory;
  const auto verdict =
      tls::judge_chain(trust, sent, tls::RequestedName(std::string_view()), ::time(nullptr), memory);
  if (memory.intermediates() > 0) return Lead::trusted;
  const auto& waiting = verdict.missing_issuer_of;
  return waiting != nullptr && waiting->fingerprint == chain.back()->fingerprint ? Lead::on : Lead::nowhere;
}

}  // namespace

IntermediateFetcher::IntermediateFetcher(Deliver deliver, const Log& log)
    : deliver_(std::move(deliver)), log_(log), wake_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

IntermediateFetcher::~IntermediateFetcher() {
  stop();
  if (wake_fd_ >= 0) ::close(wake_fd_);
}

void IntermediateFetcher::begin() {
  if (thread_.joinable()) return;
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "fetcher");
    run();
  });
}

void IntermediateFetcher::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    queue_.clear();
  }
  const uint64_t one = 1;
  (void)!::write(wake_fd_, &one, sizeof one);
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void IntermediateFetcher::ask(Wanted wanted) {
  const std::lock_guard lock(mutex_);
  if (stopping_ || wake_fd_ < 0) return;
  if (queue_.size() >= limits::fetch_queue_max) {
    failures_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  queue_.push_back(std::move(wanted));
  changed_.notify_one();
}

void IntermediateFetcher::run() {
  for (;;) {
    Wanted wanted;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
      if (stopping_) return;
      wanted = std::move(queue_.front());
      queue_.pop_front();
    }
    fetch(wanted);
  }
}

/// From the certificate whose issuer is missing up to a trusted root.
void IntermediateFetcher::fetch(const Wanted& wanted) {
  FetchedChain chain = {wanted.child};
  // One that named nothing to ask is no failure of a fetch.
  if (!issuer_url(*wanted.child)) return;
  for (size_t hop = 0; hop < limits::fetch_hops_max; ++hop) {
    switch (fetch_issuer(wanted, chain)) {
      case Attempt::leads_on:
        break;
      case Attempt::leads_nowhere:
        failures_.fetch_add(1, std::memory_order_relaxed);
        return;
      case Attempt::not_again:
        return;
    }
    const Lead lead = lead_of(*wanted.material->trust, chain);
    if (lead == Lead::trusted) {
      const size_t count = chain.size() - 1;
      deliver_(std::make_shared<const FetchedChain>(std::move(chain)));
      fetched_.fetch_add(count, std::memory_order_relaxed);
      return;
    }
    if (lead == Lead::nowhere) break;
  }
  failures_.fetch_add(1, std::memory_order_relaxed);
  complain(*wanted.child, "", "what was fetched leads to no trusted root");
}

/// Appends the issuer of the chain's last.
IntermediateFetcher::Attempt IntermediateFetcher::fetch_issuer(const Wanted& wanted, FetchedChain& chain) {
  const tls::Certificate& child = *chain.back();
  const auto url = issuer_url(child);
  if (!url) return Attempt::leads_nowhere;
  const std::string where = "http://" + url->host + ":" + std::to_string(url->port) + url->target;
  const std::string on_behalf = "for " + tls::hex_text(child.fingerprint);
  const int64_t now_s = monotonic_ms() / 1000;
  if (tried_.has(where, now_s)) return Attempt::not_again;
  switch (tried_.note(on_behalf, now_s)) {
    case Tried::Noted::fresh:
      break;
    case Tried::Noted::before:
      return Attempt::not_again;
    case Tried::Noted::full:
      complain(child, where, "too much has been fetched within an hour");
      return Attempt::leads_nowhere;
  }
  const auto body = get(*url, *wanted.config);
  if (body) {
    auto certificates = certificates_of(*body);
    for (tls::Certificate& certificate : certificates) {
      if (!has_issued(certificate, child)) continue;
      (void)tried_.note(where, now_s);
      chain.push_back(std::make_shared<const tls::Certificate>(std::move(certificate)));
      return Attempt::leads_on;
    }
    // Of a CA, but not of this child: the child lies, and must not keep others from what is there.
    if (std::ranges::any_of(certificates, &tls::Certificate::is_ca)) {
      complain(child, where, "what is there did not sign it");
      return Attempt::leads_nowhere;
    }
  }
  (void)tried_.note(where, now_s);
  complain(child, where,
           body ? "what is there is no certificate of a CA"
                : "no answer that can be used, or an address that is refused");
  return Attempt::leads_nowhere;
}

std::optional<std::vector<uint8_t>> IntermediateFetcher::get(const FetchUrl& url,
                                                             const config::Config& config) {
  const int64_t until_ms = monotonic_ms() + limits::fetch_timeout_ms;
  std::vector<IpAddress> addresses;
  if (const auto literal = IpAddress::parse(url.host))
    addresses.push_back(*literal);
  else
    addresses = resolve(url.host, config.gateway.own_mark, wake_fd_, limits::fetch_timeout_ms);
  std::erase_if(addresses, [&](const IpAddress& address) {
    return !may_fetch_from({address, url.port}, config.tls.fetch_intermediates_from);
  });
  if (addresses.size() > limits::fetch_addresses_max) addresses.resize(limits::fetch_addresses_max);
  for (const IpAddress& address : addresses) {
    Connection connection(wake_fd_, until_ms);
    if (!connection.open({address, url.port}, config.gateway.own_mark) || !connection.send(url.request()))
      continue;
    return read_reply(connection);
  }
  return std::nullopt;
}

/// Once a minute at the most: anybody can make these.
void IntermediateFetcher::complain(const tls::Certificate& child, const std::string& where, const char* why) {
  const int64_t now_s = monotonic_ms() / 1000;
  if (complained_s_ != 0 && now_s - complained_s_ < 60) return;
  complained_s_ = now_s;
  log_.warning("cannot fetch the issuer of \"{}\"{}{}: {}", tls::name_text(child.subject),
               where.empty() ? "" : " from ", where, why);
}

}  // namespace sluice::worker
