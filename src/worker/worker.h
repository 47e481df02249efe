// Worker: one thread, one ring, one world. It owns its listeners, sessions, pipes and timers; sessions never migrate.
//
// start() and join() belong to the main thread; post() may be called by any thread. Everything else happens in the
// worker's own thread.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/log.h"
#include "config/config.h"
#include "flow/bumper.h"
#include "record/counters.h"
#include "worker/intermediate_fetcher.h"
#include "worker/log_writer.h"
#include "worker/password_checker.h"
#include "worker/resolver.h"

namespace sluice::worker {

struct Message {
  enum class Kind : uint8_t { use_config, drain, stop, report, learn, looked_up };
  Kind kind = Kind::report;
  std::shared_ptr<const config::Config> config{};  // use_config
  std::shared_ptr<const tls::Material> material{};  // use_config: null when nothing may be bumped
  flow::BumpShared* bump = nullptr;               // use_config: not null when `material` is not
  std::shared_ptr<const FetchedChain> fetched{};  // learn
  // looked_up: for one of the worker's sessions, if it still waits.
  uint64_t session = 0;
  std::vector<IpAddress> addresses{};
  bool is_right = false;

  [[nodiscard]] static Message of(Kind kind) {
    Message message;
    message.kind = kind;
    return message;
  }
};

/// One worker's part of limits.connections; `descriptors_allow` when that is 0 or more than so many.
[[nodiscard]] uint32_t sessions_allowed(const config::Limits& limits, uint32_t workers, uint32_t descriptors_allow);

class Worker {
 public:
  struct Options {
    uint32_t index = 0;
    uint32_t count = 1;
    uint32_t sessions_max = 0;  // as many as its descriptors allow; limits.connections may want fewer
    uint32_t pipes_max = 0;
    std::shared_ptr<const config::Config> config;
    std::shared_ptr<const tls::Material> material;
    flow::BumpShared* bump = nullptr;
    LogWriter* log_writer = nullptr;
    IntermediateFetcher* fetcher = nullptr;
    Resolver* resolver = nullptr;
    PasswordChecker* passwords = nullptr;
    std::string via;  // flow::World::via
    std::string host_name;
    const Log* log = nullptr;
    /// Called in the worker's thread: a report is ready, or the thread is about to end.
    std::function<void()> notify;
  };

  struct Report {
    record::Counters counters;
    uint64_t sessions_open = 0;
  };

  explicit Worker(Options options);
  ~Worker();

  /// Starts the thread and waits until it listens. False: `error` is a sentence for people.
  [[nodiscard]] bool start(std::string& error);
  void post(Message message);
  [[nodiscard]] bool ended() const { return ended_.load(std::memory_order_acquire); }
  void join();
  /// The answer to the last `report` message (or the final state, once ended).
  [[nodiscard]] Report last_report();
  [[nodiscard]] uint64_t reports_made() const { return reports_made_.load(std::memory_order_acquire); }

 private:
  class Thread;  // everything that lives in the worker's thread (worker.cc)

  Options options_;
  int wake_fd_ = -1;
  std::thread thread_;
  std::atomic<bool> ended_{false};
  std::mutex mutex_;  // guards what follows; never taken on the data path
  std::vector<Message> mailbox_;
  Report report_;
  std::atomic<uint64_t> reports_made_{0};
};

}  // namespace sluice::worker
