#include "worker/worker.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <condition_variable>
#include <list>
#include <map>
#include <optional>

#include "base/limits.h"
#include "flow/lookups.h"
#include "flow/session.h"
#include "io/interface_names.h"
#include "io/ring.h"
#include "io/socket.h"
#include "record/format.h"
#include "rules/policy.h"
#include "tls/digest.h"
#include "worker/listener.h"
#include "worker/session_pool.h"

namespace sluice::worker {
namespace {

// Log lines wait so long for company before the writer is woken, unless they are many.
constexpr uint64_t log_delay_us = 20'000;
constexpr size_t log_batch_bytes = 64 * 1024;

// `detail` of a connection that was refused, beside "connections".
constexpr const char* limit_is_descriptors = "descriptors";

record::Format to_record_format(config::LogFormat format) {
  switch (format) {
    case config::LogFormat::json: return record::Format::json;
    case config::LogFormat::cef: return record::Format::cef;
    case config::LogFormat::key_value: return record::Format::key_value;
  }
  return record::Format::json;
}

std::string describe_listener_error(uint16_t port, bool v6, int sys_errno) {
  const std::string where = std::string(v6 ? "[::]" : "0.0.0.0") + ":" + std::to_string(port);
  switch (sys_errno) {
    case EPERM:
      return "cannot make the transparent listener " + where +
             ": CAP_NET_RAW is missing; run as root, or give it with AmbientCapabilities=CAP_NET_RAW or setpriv";
    case EADDRINUSE:
      return "cannot listen on " + where + ": the port is in use (another sluice?); stop that, or change gateway.tproxy_port";
    case EACCES:
      return "cannot listen on " + where + ": ports below 1024 need CAP_NET_BIND_SERVICE; change gateway.tproxy_port";
    case EAFNOSUPPORT:
      return "cannot listen on " + where + ": this kernel has no IPv6; set gateway.ipv6 = false";
    default: return "cannot listen on " + where + ": " + std::strerror(sys_errno);
  }
}

std::string describe_explicit_listener_error(const Endpoint& endpoint, int sys_errno) {
  const std::string where = "cannot listen on " + endpoint.to_string() + " (explicit.listen): ";
  switch (sys_errno) {
    case EADDRINUSE: return where + "the port is in use (another proxy, or another sluice?); stop that, or choose another";
    case EADDRNOTAVAIL: return where + "this host has no such address (yet?); write one of `ip address`, or \"0.0.0.0\"";
    case EACCES: return where + "ports below 1024 need CAP_NET_BIND_SERVICE; choose a higher one";
    default: return where + std::strerror(sys_errno);
  }
}

}  // namespace

/// Lives on the stack of the worker's thread.
class Worker::Thread final : flow::RecordSink, flow::Interfaces, flow::Lookups {
 public:
  Thread(Worker& worker, std::unique_ptr<io::Ring> ring)
      : worker_(worker),
        ring_(std::move(ring)),
        timers_(ring_->now_us()),
        pool_(0),  // use_config() below
        log_queue_(worker.options_.log_writer->queue(worker.options_.index)),
        world_{*ring_, timers_, *this, *this, counters_, tls::sha256} {
    world_.next_id = worker.options_.index + 1;
    world_.id_step = worker.options_.count;
    world_.listener_port = worker.options_.config->gateway.tproxy_port;
    world_.owner = this;
    world_.lookups = this;
    world_.via = worker.options_.via;
    world_.host_name = worker.options_.host_name;
    world_.on_session_end = [](flow::World& world, flow::Session& session) {
      auto& self = *static_cast<Thread*>(world.owner);
      self.pool_.give(session);
      if (self.rulings_.size() > 1) self.drop_unused_rulings();
    };
    world_.on_missing_issuer = [](flow::World& world, const flow::Ruling& ruling, const tls::OriginVerdict& verdict) {
      auto& self = *static_cast<Thread*>(world.owner);
      self.worker_.options_.fetcher->ask({verdict.missing_issuer_of, ruling.material, ruling.config});
    };
    use_config(worker.options_.config, worker.options_.material, worker.options_.bump);
    wake_ = {on_wake, this, false};
    read_wall_clock();
  }

  [[nodiscard]] bool listen(std::string& error);
  void run();
  [[nodiscard]] Report report() const { return {counters_, pool_.open()}; }

 private:
  enum class State : uint8_t { serving, draining, stopping };

  void write(const record::ConnectionRecord& record) override { log_line(record); }
  void write(const record::RequestRecord& record) override { log_line(record); }
  template <class Record>
  void log_line(const Record& record);
  [[nodiscard]] std::string_view name(uint32_t index) override { return interface_names_.name(index, ring_->now_us()); }

  [[nodiscard]] bool resolve(flow::Session& session, const std::string& host, uint16_t port) override;
  [[nodiscard]] bool check_password(flow::Session& session, std::string_view password, const std::string& hash) override;
  void forget(flow::Session& session) override { waiting_.erase(session.id); }
  void on_looked_up(const Message& message);

  static void on_wake(void* owner, int32_t result, uint32_t flags);
  enum class Door : uint8_t { transparent, explicit_proxy };
  void admit(int client_fd, Door door);
  void refuse(int client_fd, Door door, record::CloseReason reason, const char* detail);
  [[nodiscard]] const char* limit_name() const;
  void add_listener(int fd, Door door);
  void say_overload();
  void use_config(std::shared_ptr<const config::Config> config, std::shared_ptr<const tls::Material> material,
                  flow::BumpShared* bump);
  void drop_unused_rulings();
  void learn(const FetchedChain& chain);
  void take_messages();
  void drain();
  void end_all(record::CloseReason reason);
  void read_wall_clock();
  void hand_over_log();
  void gather(unsigned answered);
  [[nodiscard]] uint64_t wait_until_us() const;
  [[nodiscard]] bool finished() const;

  Worker& worker_;
  std::unique_ptr<io::Ring> ring_;
  io::TimerWheel timers_;
  io::InterfaceNames interface_names_;
  record::Counters counters_;
  std::unique_ptr<flow::Bumper> bumper_;  // outlives every session
  SessionPool pool_;
  LogQueue& log_queue_;
  flow::World world_;
  std::list<flow::Ruling> rulings_;  // the last one is current
  std::list<Listener> listeners_;
  struct Waiting {
    flow::Session* session;
    uint16_t port;  // of the addresses that it waits for
  };
  std::map<uint64_t, Waiting> waiting_;  // by the session's id
  io::Op wake_;
  std::array<char, record::line_bytes_max> line_{};
  uint64_t log_handed_over_us_ = 0;
  uint64_t streamed_before_ = 0;
  unsigned answered_mean_16ths_ = 0;  // completions per round, over the last eight or so
  uint64_t overload_said_us_ = 0;
  int64_t wall_minute_ = -1;
  State state_ = State::serving;
  uint64_t drain_until_us_ = UINT64_MAX;
};

bool Worker::Thread::listen(std::string& error) {
  const config::Config& config = *worker_.options_.config;
  for (const bool v6 : {false, true}) {
    if (v6 && !config.gateway.ipv6) continue;
    const int fd = io::make_listener({v6, config.gateway.tproxy_port, config.limits.keepalive_ms});
    if (fd < 0) {
      error = describe_listener_error(config.gateway.tproxy_port, v6, -fd);
      return false;
    }
    add_listener(fd, Door::transparent);
  }
  for (const Endpoint& endpoint : config.explicit_proxy.listen) {
    const int fd = io::make_explicit_listener(endpoint, config.limits.keepalive_ms);
    if (fd < 0) {
      error = describe_explicit_listener_error(endpoint, -fd);
      return false;
    }
    add_listener(fd, Door::explicit_proxy);
  }
  return true;
}

void Worker::Thread::add_listener(int fd, Door door) {
  listeners_.emplace_back(
      *ring_, timers_, counters_, fd, [this, door](int client_fd) { admit(client_fd, door); },
      [this, door](int client_fd) { refuse(client_fd, door, record::CloseReason::overload, limit_is_descriptors); });
  listeners_.back().begin();
}

void Worker::Thread::run() {
  ring_->poll(wake_, worker_.wake_fd_, POLLIN);
  while (!finished()) {
    ring_->wait(wait_until_us());
    read_wall_clock();  // before the handlers: schedules and records ask what time it is now, not before the wait
    const unsigned answered = ring_->dispatch();
    timers_.advance(ring_->now_us());
    if (state_ == State::draining && ring_->now_us() >= drain_until_us_) end_all(record::CloseReason::drain_timeout);
    hand_over_log();
    gather(answered);
  }
  // The last thing in flight is the wake-up; the ring goes with this thread, and cancels it.
}

/// A wake-up for every few packets costs more than the packets: while several directions stream, or while rounds have
/// had company anyway, wait for more. One connection that waits for its answer each time never has company.
void Worker::Thread::gather(unsigned answered) {
  answered_mean_16ths_ = answered_mean_16ths_ - answered_mean_16ths_ / 8 + answered * 2;
  const uint64_t streamed = world_.streamed_wakeups - streamed_before_;
  streamed_before_ = world_.streamed_wakeups;
  if (streamed >= limits::gather_streams_min) return ring_->gather(limits::gather_us, limits::gather_completions);
  const bool busy = answered_mean_16ths_ >= 16 * limits::gather_busy_min;
  ring_->gather(busy ? limits::gather_busy_us : 0, limits::gather_busy_completions);
}

/// Sessions of a stopped worker are joined before it ends; listeners have closed.
bool Worker::Thread::finished() const {
  return state_ != State::serving && pool_.open() == 0 &&
         std::all_of(listeners_.begin(), listeners_.end(), [](const Listener& listener) { return listener.closed(); });
}

uint64_t Worker::Thread::wait_until_us() const {
  uint64_t until_us = std::min(timers_.next_us(), drain_until_us_);
  if (log_queue_.pending()) until_us = std::min(until_us, log_handed_over_us_ + log_delay_us);
  return until_us;
}

void Worker::Thread::read_wall_clock() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  world_.wall_us = static_cast<int64_t>(now.tv_sec) * 1'000'000 + now.tv_nsec / 1000;
  const int64_t minute = now.tv_sec / 60;
  if (minute == wall_minute_) return;
  wall_minute_ = minute;
  tm local{};
  localtime_r(&now.tv_sec, &local);
  // tm_wday counts from Sunday = 0; ISO 8601 from Monday = 1 to Sunday = 7.
  world_.local = {local.tm_year + 1900, local.tm_mon + 1, local.tm_mday, local.tm_wday == 0 ? 7 : local.tm_wday,
                  local.tm_hour * 60 + local.tm_min};
}

void Worker::Thread::admit(int client_fd, Door door) {
  // Accepted before the kernel let go of the listener, and after end_all(): nobody else would end it.
  if (state_ == State::stopping) return refuse(client_fd, door, record::CloseReason::stopped, "");
  flow::Ruling& ruling = rulings_.back();
  flow::Session* session = pool_.take();
  if (session == nullptr) {
    refuse(client_fd, door, record::CloseReason::overload, limit_name());
    return say_overload();
  }
  io::Accepted about;
  if (ring_->describe(client_fd, ruling.judge.policy().needs_interface(), about) != 0) {
    // The client was gone before we looked (ENOTCONN): nothing to log but the count.
    ++counters_.accept_errors;
    ring_->close_with_reset(client_fd);
    pool_.give(*session);
    return;
  }
  if (door == Door::transparent) return flow::begin(world_, ruling, *session, client_fd, about);
  ++counters_.explicit_connections;
  flow::begin_explicit(world_, ruling, *session, client_fd, about);
}

/// Ends a connection that gets no session. It is counted and logged as every other (S35), with what the socket alone tells.
void Worker::Thread::refuse(int client_fd, Door door, record::CloseReason reason, const char* detail) {
  if (reason == record::CloseReason::overload) ++counters_.session_limit_hits;
  if (door == Door::explicit_proxy) ++counters_.explicit_connections;
  io::Accepted about;
  const bool known = ring_->describe(client_fd, rulings_.back().judge.policy().needs_interface(), about) == 0;
  ring_->close_with_reset(client_fd);
  if (!known) {
    ++counters_.accept_errors;  // it was gone before
    return;
  }
  record::ConnectionRecord record;
  record.time_us = world_.wall_us;
  record.id = world_.next_id;
  world_.next_id += world_.id_step;
  record.mode = door == Door::transparent ? "transparent" : "explicit";
  record.client = about.client;
  record.destination = about.destination;
  record.interface = name(about.interface_index);
  record.close = reason;
  record.detail = detail;
  ++counters_.connections_finished;
  ++counters_.action_none;
  counters_.count_close(reason);
  write(record);
}

/// Which limit pool_.max() comes from.
const char* Worker::Thread::limit_name() const {
  return pool_.max() < worker_.options_.sessions_max ? "connections" : limit_is_descriptors;
}

bool Worker::Thread::resolve(flow::Session& session, const std::string& host, uint16_t port) {
  if (!worker_.options_.resolver->ask({worker_.options_.index, session.id}, host)) return false;
  waiting_[session.id] = {&session, port};
  return true;
}

bool Worker::Thread::check_password(flow::Session& session, std::string_view password, const std::string& hash) {
  if (!worker_.options_.passwords->ask({worker_.options_.index, session.id}, std::string(password), hash)) return false;
  waiting_[session.id] = {&session, 0};
  return true;
}

void Worker::Thread::on_looked_up(const Message& message) {
  const auto found = waiting_.find(message.session);
  if (found == waiting_.end()) return;  // it did not wait so long
  const Waiting waiting = found->second;
  waiting_.erase(found);
  flow::Asked& asked = *waiting.session->asked;
  asked.password_is_right = message.is_right;
  asked.addresses.clear();
  for (const IpAddress& address : message.addresses) asked.addresses.push_back({address, waiting.port});
  flow::resume(*waiting.session, {flow::Answer::From::looked_up, 0, 0, nullptr});
}

/// Once a minute at the most: a full table is no reason to fill the journal as well.
void Worker::Thread::say_overload() {
  const uint64_t now_us = ring_->now_us();
  if (overload_said_us_ != 0 && now_us - overload_said_us_ < 60'000'000) return;
  overload_said_us_ = now_us;
  worker_.options_.log->warning("worker {}: all {} connections are taken; new ones are refused (limits.connections, "
                                "LimitNOFILE=)", worker_.options_.index, pool_.max());
}

template <class Record>
void Worker::Thread::log_line(const Record& record) {
  const size_t length = record::format(record, to_record_format(rulings_.back().config->log.format), line_);
  if (log_queue_.append({line_.data(), length}))
    ++counters_.log_lines;
  else
    ++counters_.log_drops;
}

void Worker::Thread::hand_over_log() {
  if (!log_queue_.pending()) return;
  const uint64_t now_us = ring_->now_us();
  if (log_queue_.pending_bytes() < log_batch_bytes && now_us < log_handed_over_us_ + log_delay_us) return;
  log_handed_over_us_ = now_us;  // also when the writer is behind: it is asked again after the delay
  if (log_queue_.hand_over()) worker_.options_.log_writer->wake();
}

void Worker::Thread::use_config(std::shared_ptr<const config::Config> config, std::shared_ptr<const tls::Material> material,
                                flow::BumpShared* bump) {
  if (material != nullptr && bumper_ == nullptr) {
    auto made = flow::Bumper::create(*bump);
    if (made)
      bumper_ = std::move(*made);
    else
      worker_.options_.log->error("worker {}: cannot set up TLS; connections that are to be bumped are closed", worker_.options_.index);
    world_.bumper = bumper_.get();
  }
  world_.relay_memory_max_bytes = config->limits.relay_memory_max / worker_.options_.count;
  pool_.set_max(sessions_allowed(config->limits, worker_.options_.count, worker_.options_.sessions_max));
  rulings_.emplace_back(std::move(config), std::move(material));
  world_.ruling = &rulings_.back();
  drop_unused_rulings();
}

void Worker::Thread::drop_unused_rulings() {
  for (auto at = rulings_.begin(); std::next(at) != rulings_.end();)
    at = at->sessions == 0 ? rulings_.erase(at) : std::next(at);
}

/// Bad verdicts that lacked one of these are forgotten, so that the next connection is judged with it.
void Worker::Thread::learn(const FetchedChain& chain) {
  const auto& material = rulings_.back().material;
  if (bumper_ == nullptr || material == nullptr) return;
  (void)bumper_->verdicts.learn(*material->trust, chain, world_.wall_us / 1'000'000);
}

void Worker::Thread::on_wake(void* owner, int32_t /*result*/, uint32_t /*flags*/) {
  auto& self = *static_cast<Thread*>(owner);
  uint64_t count = 0;
  (void)!::read(self.worker_.wake_fd_, &count, sizeof count);
  self.take_messages();
  self.ring_->poll(self.wake_, self.worker_.wake_fd_, POLLIN);
}

void Worker::Thread::take_messages() {
  std::vector<Message> messages;
  {
    const std::lock_guard lock(worker_.mutex_);
    messages.swap(worker_.mailbox_);
  }
  for (Message& message : messages) switch (message.kind) {
      case Message::Kind::use_config: use_config(std::move(message.config), std::move(message.material), message.bump); break;
      case Message::Kind::learn: learn(*message.fetched); break;
      case Message::Kind::looked_up: on_looked_up(message); break;
      case Message::Kind::drain: drain(); break;
      case Message::Kind::stop:
        drain();
        state_ = State::stopping;
        end_all(record::CloseReason::stopped);
        break;
      case Message::Kind::report: {
        const Report made = report();
        {
          const std::lock_guard lock(worker_.mutex_);
          worker_.report_ = made;
        }
        worker_.reports_made_.fetch_add(1, std::memory_order_release);
        worker_.options_.notify();
        break;
      }
    }
}

void Worker::Thread::drain() {
  if (state_ != State::serving) return;
  state_ = State::draining;
  drain_until_us_ = ring_->now_us() + rulings_.back().config->limits.drain_timeout_ms * 1000ull;
  for (Listener& listener : listeners_) listener.close();
}

void Worker::Thread::end_all(record::CloseReason reason) {
  state_ = State::stopping;
  drain_until_us_ = UINT64_MAX;
  pool_.for_each([&](flow::Session& session) { flow::end(session, reason); });
}

// --- the main thread's side ------------------------------------------------------------------------------------------

uint32_t sessions_allowed(const config::Limits& limits, uint32_t workers, uint32_t descriptors_allow) {
  if (limits.connections_max == 0) return descriptors_allow;
  // Rounded up; workers is at least 1, and connections_max far below 2^32.
  return std::min((limits.connections_max + workers - 1) / workers, descriptors_allow);
}

Worker::Worker(Options options) : options_(std::move(options)) {}

Worker::~Worker() {
  join();
  if (wake_fd_ >= 0) ::close(wake_fd_);
}

bool Worker::start(std::string& error) {
  wake_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_fd_ < 0) {
    error = std::string("cannot make an eventfd: ") + std::strerror(errno);
    return false;
  }
  struct Started {
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<bool> ok;
    std::string error;
  };
  auto started = std::make_shared<Started>();
  thread_ = std::thread([this, started] {
    // What `top -H` shows.
    pthread_setname_np(pthread_self(), ("worker-" + std::to_string(options_.index)).c_str());
    std::string failure;
    const auto answer = [&](bool ok) {
      const std::lock_guard lock(started->mutex);
      started->ok = ok;
      started->error = failure;
      started->changed.notify_one();
    };
    auto ring = io::Ring::create({options_.pipes_max});
    if (!ring) {
      failure = std::string("cannot start worker: ") + io::explain_ring_error(ring.error().sys_errno) + " (" +
                flow::errno_name(ring.error().sys_errno) + ")";
      answer(false);
    } else {
      Thread thread(*this, std::move(*ring));
      const bool ok = thread.listen(failure);
      answer(ok);
      if (ok) thread.run();
      const std::lock_guard lock(mutex_);
      report_ = thread.report();
    }
    ended_.store(true, std::memory_order_release);
    options_.notify();
  });
  std::unique_lock lock(started->mutex);
  started->changed.wait(lock, [&] { return started->ok.has_value(); });
  error = started->error;
  return *started->ok;
}

void Worker::post(Message message) {
  {
    const std::lock_guard lock(mutex_);
    mailbox_.push_back(std::move(message));
  }
  const uint64_t one = 1;
  (void)!::write(wake_fd_, &one, sizeof one);
}

void Worker::join() {
  if (thread_.joinable()) thread_.join();
}

Worker::Report Worker::last_report() {
  const std::lock_guard lock(mutex_);
  return report_;
}

}  // namespace sluice::worker
