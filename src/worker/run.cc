#include "worker/run.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "base/check.h"
#include "base/limits.h"
#include "control/load_config.h"
#include "io/pipe_pool.h"
#include "io/socket.h"
#include "tls/digest.h"
#include "worker/worker.h"

namespace sluice::worker {
namespace {

/// sd_notify(3): a datagram to $NOTIFY_SOCKET. Quietly nothing when there is none.
void notify_systemd(const std::string& state) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr || (path[0] != '/' && path[0] != '@')) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const size_t length = std::strlen(path);
  if (length >= sizeof address.sun_path) return;
  std::memcpy(address.sun_path, path, length);
  if (path[0] == '@') address.sun_path[0] = '\0';
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  (void)::sendto(fd, state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address),
                 static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length));
  ::close(fd);
}

/// Raises the soft limit to the hard one and returns it.
uint64_t raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);
  (void)getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

struct Shares {
  uint32_t sessions_max = 0;
  uint32_t pipes_max = 0;
};

/// What one worker may have, so that all together stay within the descriptor limit: two descriptors per session, two per
/// pipe, and a reserve. At most a quarter of the descriptors are for pipes. sessions_max 0: there are too few.
Shares share_descriptors(uint64_t descriptors, uint32_t workers) {
  const uint64_t mine = descriptors / workers;
  Shares shares;
  const uint64_t pipes = std::min<uint64_t>(mine / 8, io::pipes_allowed() / workers);
  shares.pipes_max = static_cast<uint32_t>(std::clamp<uint64_t>(pipes, 1, limits::pipes_per_worker_max));
  const uint64_t taken = limits::descriptors_reserved_per_worker + 2ull * shares.pipes_max;
  const uint64_t sessions = mine > taken ? (mine - taken) / 2 : 0;
  if (sessions < limits::sessions_per_worker_min) return shares;
  shares.sessions_max = static_cast<uint32_t>(std::min<uint64_t>(sessions, 1u << 24));
  return shares;
}

uint32_t usable_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return static_cast<uint32_t>(std::max(1, CPU_COUNT(&set)));
}

/// SO_REUSEPORT would let two daemons share a port without a word, each with half of the connections.
bool port_is_free(uint16_t port, const Log& log) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return true;  // the workers will say what is wrong
  const int on = 1;
  (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const io::SocketAddress any = io::to_socket_address({IpAddress::v4(0u), port});
  const bool in_use = ::bind(fd, any.get(), any.length) != 0 && errno == EADDRINUSE;
  ::close(fd);
  if (in_use)
    log.error("port {} is in use, perhaps by another sluice: stop that, or change gateway.tproxy_port", port);
  return !in_use;
}

/// Empty when the kernel does not tell.
std::string host_name() {
  char name[256] = {};
  return gethostname(name, sizeof name - 1) == 0 ? name : "";
}

/// A name that no other gateway has, so that a loop through several is noticed.
std::string make_via() {
  uint64_t chance = 0;
  SLUICE_CHECK(getrandom(&chance, sizeof chance, 0) == static_cast<ssize_t>(sizeof chance));
  char text[32];
  std::snprintf(text, sizeof text, "sluice-%016llx", static_cast<unsigned long long>(chance));
  return text;
}

class Daemon {
 public:
  Daemon(std::string config_file, const Log& log)
      : config_file_(std::move(config_file)), log_(log), fetcher_([this](const auto& chain) {
          Message message = Message::of(Message::Kind::learn);
          message.fetched = chain;
          post_all(message);
        }, log),
        resolver_([this](const Resolver::Asker& asker, const std::vector<IpAddress>& addresses) {
          Message message = Message::of(Message::Kind::looked_up);
          message.session = asker.session;
          message.addresses = addresses;
          workers_[asker.worker]->post(std::move(message));
        }, log),
        passwords_([this](const PasswordChecker::Asker& asker, bool is_right) {
          Message message = Message::of(Message::Kind::looked_up);
          message.session = asker.session;
          message.is_right = is_right;
          workers_[asker.worker]->post(std::move(message));
        }) {}

  int run() {
    if (!load() || !start()) return 1;
    serve();
    for (auto& worker : workers_) worker->join();
    stop_helpers();
    log_writer_->stop();
    log_counters();
    log_.info("stopped");
    return 0;
  }

  ~Daemon() {
    stop_helpers();
    for (auto& worker : workers_) worker->post(Message::of(Message::Kind::stop));
    workers_.clear();  // joins
    for (const int fd : {signal_fd_, event_fd_})
      if (fd >= 0) ::close(fd);
  }
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

 private:
  control::Loaded read_config() {
    control::Loaded loaded = control::load_from_disk(config_file_, material_.get());
    for (const config::Problem& problem : loaded.problems) std::fprintf(stderr, "%s\n", problem.to_string().c_str());
    return loaded;
  }

  bool load() {
    control::Loaded loaded = read_config();
    config_ = std::move(loaded.config);
    material_ = std::move(loaded.material);
    return config_ != nullptr;
  }

  void make_bump_shared();
  /// They post to the workers.
  void stop_helpers() {
    fetcher_.stop();
    resolver_.stop();
    passwords_.stop();
  }

  bool start();
  void serve();
  void on_signal(int signal);
  void reload();
  [[nodiscard]] uint64_t room() const;
  void warn_of_too_few_descriptors() const;
  void stop_or_drain();
  void post_all(const Message& message) {
    for (auto& worker : workers_) worker->post(message);
  }
  void log_counters();

  std::string config_file_;
  const Log& log_;
  std::shared_ptr<const config::Config> config_;
  std::shared_ptr<const tls::Material> material_;
  std::unique_ptr<flow::BumpShared> bump_;  // outlives the workers; null until something may be bumped
  std::unique_ptr<LogWriter> log_writer_;
  std::vector<std::unique_ptr<Worker>> workers_;
  uint32_t sessions_by_descriptors_ = 0;  // per worker
  IntermediateFetcher fetcher_;
  Resolver resolver_;
  PasswordChecker passwords_;
  int signal_fd_ = -1;
  int event_fd_ = -1;
  bool draining_ = false;
};

/// S17: one leaf key per process start, and one secret for the clients' tickets.
void Daemon::make_bump_shared() {
  if (bump_ != nullptr || material_ == nullptr) return;
  std::array<uint8_t, 32> ticket_seed{};
  uint64_t hash_seed = 0;
  SLUICE_CHECK(getrandom(ticket_seed.data(), ticket_seed.size(), 0) == static_cast<ssize_t>(ticket_seed.size()));
  SLUICE_CHECK(getrandom(&hash_seed, sizeof hash_seed, 0) == static_cast<ssize_t>(sizeof hash_seed));
  const auto kind = config_->tls.leaf_key == config::LeafKeyKind::rsa ? tls::LeafKeyKind::rsa_2048 : tls::LeafKeyKind::p256;
  bump_ = std::make_unique<flow::BumpShared>(tls::LeafKey::generate(kind), tls::TicketKeys(ticket_seed, ::time(nullptr)), hash_seed);
}

bool Daemon::start() {
  // Before any thread exists, so that all inherit it: signals come by the descriptor, to this thread.
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGHUP, SIGTERM, SIGINT, SIGUSR1}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  signal_fd_ = signalfd(-1, &signals, SFD_CLOEXEC);
  event_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (signal_fd_ < 0 || event_fd_ < 0) {
    log_.error("cannot make a signalfd or an eventfd: {}", std::strerror(errno));
    return false;
  }
  if (!port_is_free(config_->gateway.tproxy_port, log_)) return false;
  // wolfCrypt chooses the CPU's instructions at its first use, which must not be two at once.
  std::array<uint8_t, 32> digest{};
  tls::sha256({}, digest);
  if (!tls::start_tls_library()) {
    log_.error("cannot set up wolfSSL");
    return false;
  }
  make_bump_shared();

  const uint32_t count = config_->gateway.workers != 0 ? config_->gateway.workers : usable_cpus();
  std::string error;
  log_writer_ = LogWriter::open(config_->log.to, count, log_, error);
  if (!log_writer_) {
    log_.error("{}", error);
    return false;
  }
  const uint64_t descriptors = raise_descriptor_limit();
  const Shares shares = share_descriptors(descriptors, count);
  if (shares.sessions_max == 0) {
    log_.error("the limit of {} file descriptors leaves no room for connections with {} worker{}: raise it (LimitNOFILE= in "
               "sluice.service, or ulimit -n), or set gateway.workers lower",
               descriptors, count, count == 1 ? "" : "s");
    return false;
  }
  sessions_by_descriptors_ = shares.sessions_max;
  const std::string via = make_via();
  workers_.reserve(count);  // the helpers' threads look workers up while later ones start
  for (uint32_t i = 0; i < count; ++i) {
    Worker::Options options;
    options.index = i;
    options.count = count;
    options.sessions_max = shares.sessions_max;
    options.pipes_max = shares.pipes_max;
    options.config = config_;
    options.material = material_;
    options.bump = bump_.get();
    options.log_writer = log_writer_.get();
    options.fetcher = &fetcher_;
    options.resolver = &resolver_;
    options.passwords = &passwords_;
    options.via = via;
    options.host_name = host_name();
    options.log = &log_;
    options.notify = [fd = event_fd_] {
      const uint64_t one = 1;
      (void)!::write(fd, &one, sizeof one);
    };
    workers_.push_back(std::make_unique<Worker>(std::move(options)));
    if (!workers_.back()->start(error)) {
      log_.error("{}", error);
      workers_.pop_back();
      return false;
    }
  }
  if (config_->tls.fetch_intermediates) fetcher_.begin();
  if (!config_->explicit_proxy.listen.empty()) {
    resolver_.begin(config_->gateway.own_mark);
    passwords_.begin();
  }
  log_.info("listening on port {} with {} worker{}, room for {} connections; rules from {}", config_->gateway.tproxy_port,
            count, count == 1 ? "" : "s", room(), config_file_);
  warn_of_too_few_descriptors();
  notify_systemd("READY=1\nSTATUS=serving");
  return true;
}

/// For how many connections at the same time, over all workers.
uint64_t Daemon::room() const {
  const auto count = static_cast<uint32_t>(workers_.size());
  return uint64_t{sessions_allowed(config_->limits, count, sessions_by_descriptors_)} * count;
}

void Daemon::warn_of_too_few_descriptors() const {
  if (config_->limits.connections_max > room())
    log_.warning("limits.connections = {}, but the file descriptors are enough for {} only: raise LimitNOFILE= (or ulimit -n) "
                 "and restart", config_->limits.connections_max, room());
}

void Daemon::serve() {
  const auto all_ended = [&] { return std::all_of(workers_.begin(), workers_.end(), [](auto& worker) { return worker->ended(); }); };
  while (!all_ended()) {
    pollfd wait[2] = {{signal_fd_, POLLIN, 0}, {event_fd_, POLLIN, 0}};
    if (::poll(wait, 2, -1) < 0) continue;
    if ((wait[1].revents & POLLIN) != 0) {
      uint64_t count = 0;
      (void)!::read(event_fd_, &count, sizeof count);
    }
    signalfd_siginfo info{};
    if ((wait[0].revents & POLLIN) != 0 && ::read(signal_fd_, &info, sizeof info) == sizeof info)
      on_signal(static_cast<int>(info.ssi_signo));
  }
}

void Daemon::on_signal(int signal) {
  switch (signal) {
    case SIGHUP: return reload();
    case SIGUSR1: return log_counters();
    default: return stop_or_drain();
  }
}

void Daemon::stop_or_drain() {
  if (draining_) {
    log_.info("told to stop again: closing all connections now");
    return post_all(Message::of(Message::Kind::stop));
  }
  draining_ = true;
  notify_systemd("STOPPING=1\nSTATUS=draining");
  log_.info("told to stop: no new connections; waiting up to {} s for the open ones (a second signal stops at once)",
            config_->limits.drain_timeout_ms / 1000);
  post_all(Message::of(Message::Kind::drain));
}

void Daemon::reload() {
  if (draining_) return log_.warning("reload: ignored, because the daemon is stopping");
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  notify_systemd("RELOADING=1\nMONOTONIC_USEC=" +
                 std::to_string(static_cast<uint64_t>(now.tv_sec) * 1'000'000 + static_cast<uint64_t>(now.tv_nsec) / 1000));
  control::Loaded loaded = read_config();
  const auto fresh = loaded.config;
  // Also with the old rules: the signal may be logrotate's, which has moved the log away.
  const std::string& log_to = fresh ? fresh->log.to : config_->log.to;
  std::string error;
  if (!log_writer_->reopen(log_to, error)) log_.error("reload: {}; the old log stays open", error);
  if (!fresh) {
    log_.error("reload: {} has errors (above); the rules that were running stay", config_file_);
    return notify_systemd("READY=1\nSTATUS=serving; the last reload failed, old rules stay");
  }
  const config::Gateway& before = config_->gateway;
  const config::Gateway& after = fresh->gateway;
  if (before.tproxy_port != after.tproxy_port || before.workers != after.workers || before.ipv6 != after.ipv6)
    log_.warning("reload: gateway.tproxy_port, workers and ipv6 take effect at the next start");
  if (config_->limits.keepalive_ms != fresh->limits.keepalive_ms)
    log_.warning("reload: limits.keepalive takes effect for origins now, for clients at the next start");
  if (bump_ != nullptr && config_->tls.leaf_key != fresh->tls.leaf_key)
    log_.warning("reload: tls.leaf_key takes effect at the next start");
  if (config_->explicit_proxy.listen != fresh->explicit_proxy.listen)
    log_.warning("reload: explicit.listen takes effect at the next start");
  const uint64_t room_before = room();
  config_ = fresh;
  material_ = std::move(loaded.material);
  make_bump_shared();
  if (config_->tls.fetch_intermediates) fetcher_.begin();
  post_all({Message::Kind::use_config, fresh, material_, bump_.get()});
  log_.info("reloaded {}", config_file_);
  if (room() != room_before) log_.info("room for {} connections now; open ones stay", room());
  warn_of_too_few_descriptors();
  notify_systemd("READY=1\nSTATUS=serving");
}

/// One line of name=value, zeros left out.
void Daemon::log_counters() {
  std::vector<uint64_t> made;
  for (auto& worker : workers_) {
    made.push_back(worker->reports_made());
    if (!worker->ended()) worker->post(Message::of(Message::Kind::report));
  }
  record::Counters total;
  uint64_t open = 0;
  for (size_t i = 0; i < workers_.size(); ++i) {
    // A worker answers within one round; the limit is for one that is stuck, and then its last report is told.
    for (int tries = 0; tries < 20 && !workers_[i]->ended() && workers_[i]->reports_made() == made[i]; ++tries) {
      pollfd wait{event_fd_, POLLIN, 0};
      uint64_t count = 0;
      if (::poll(&wait, 1, 50) > 0) (void)!::read(event_fd_, &count, sizeof count);
    }
    const Worker::Report report = workers_[i]->last_report();
    total += report.counters;
    open += report.sessions_open;
  }
  total.intermediates_fetched = fetcher_.fetched();
  total.intermediate_fetch_failures = fetcher_.failures();
  total.log_lines_lost = log_writer_->lines_lost();
  std::string line = "counters: connections_open=" + std::to_string(open);
  record::for_each(total, [&](std::string_view name, std::string_view, std::string_view, uint64_t value) {
    if (value != 0) line.append(" ").append(name).append("=").append(std::to_string(value));
  });
  log_.info("{}", line);
}

}  // namespace

int run(const std::string& config_file, const Log& log) { return Daemon(config_file, log).run(); }

}  // namespace sluice::worker
