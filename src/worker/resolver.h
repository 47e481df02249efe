// Resolver: the addresses of the names that clients of the explicit proxy ask for, through c-ares: /etc/hosts, then the
// servers and search domains of /etc/resolv.conf. One per process, with a thread of its own, so that no worker ever waits.
//
// Names that several sessions wait for are asked once; answers are remembered as long as they say (limits::resolver_…). Any
// thread may ask(); begin() and stop() belong to the main thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/ip.h"
#include "base/log.h"

namespace sluice::worker {

class Resolver {
 public:
  /// Who asked: a worker's session.
  struct Asker {
    uint32_t worker = 0;
    uint64_t session = 0;
  };
  /// Called in the resolver's thread. In the order of RFC 6724 section 6, at most limits::dial_addresses_max; none: there is
  /// no such name, or no server answered.
  using Deliver = std::function<void(const Asker& asker, const std::vector<IpAddress>& addresses)>;

  Resolver(Deliver deliver, const Log& log);
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  /// Starts the thread, unless it runs. `mark`: SO_MARK of its sockets.
  void begin(uint32_t mark);
  /// Nothing is delivered afterwards.
  void stop();

  /// Never waits. False: limits::resolver_waiting_max wait already, or it is not running.
  [[nodiscard]] bool ask(const Asker& asker, std::string host);

 private:
  class Loop;
  struct Wanted {
    Asker asker;
    std::string host;
  };

  Deliver deliver_;
  const Log& log_;
  int wake_fd_ = -1;
  std::thread thread_;
  std::atomic<size_t> waiting_{0};

  std::mutex mutex_;  // guards what follows; held for an instant
  std::vector<Wanted> queue_;
  bool running_ = false;
  bool stopping_ = false;
};

}  // namespace sluice::worker
