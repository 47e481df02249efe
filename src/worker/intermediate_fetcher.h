// IntermediateFetcher: fetches the certificates of issuers that origins forgot to send, from where their
// certificates say (caIssuers, RFC 5280 section 4.2.2.1). Only with tls.fetch_intermediates; one per process.
//
// A thread of its own, so that no worker ever waits: it resolves, connects,
// reads and checks, one request after the other, each within limits::fetch_timeout_ms. What leads to a
// trusted root is delivered; the rest is counted. Any thread may ask() and read the counts; begin() and
// stop() belong to the main thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/ip.h"
#include "base/log.h"
#include "config/config.h"
#include "tls/certificate.h"
#include "tls/material.h"
#include "worker/fetched_issuer.h"

namespace sluice::worker {

/// The certificate that lacked an issuer, then that, and what is above it as far as it was fetched.
using FetchedChain = std::vector<std::shared_ptr<const tls::Certificate>>;

class IntermediateFetcher {
 public:
  struct Wanted {
    std::shared_ptr<const tls::Certificate> child;  // whose issuer is missing
    std::shared_ptr<const tls::Material> material;
    std::shared_ptr<const config::Config> config;
  };
  /// Called in the fetcher's thread.
  using Deliver = std::function<void(const std::shared_ptr<const FetchedChain>&)>;

  IntermediateFetcher(Deliver deliver, const Log& log);
  ~IntermediateFetcher();
  IntermediateFetcher(const IntermediateFetcher&) = delete;
  IntermediateFetcher& operator=(const IntermediateFetcher&) = delete;

  /// Starts the thread, unless it runs. Nothing is delivered before.
  void begin();
  /// Gives up what is being fetched. Nothing is delivered afterwards.
  void stop();

  /// Never waits for the network. A request too many is counted as a failure.
  void ask(Wanted wanted);
  [[nodiscard]] uint64_t fetched() const { return fetched_.load(std::memory_order_relaxed); }
  [[nodiscard]] uint64_t failures() const { return failures_.load(std::memory_order_relaxed); }

 private:
  enum class Attempt : uint8_t { leads_on, leads_nowhere, not_again };

  void run();
  void fetch(const Wanted& wanted);
  [[nodiscard]] Attempt fetch_issuer(const Wanted& wanted, FetchedChain& chain);
  [[nodiscard]] std::optional<std::vector<uint8_t>> get(const FetchUrl& url, const config::Config& config);
  void complain(const tls::Certificate& child, const std::string& where, const char* why);

  Deliver deliver_;
  const Log& log_;
  int wake_fd_ = -1;  // readable from stop() on, so that no wait in the network lasts longer
  std::thread thread_;
  std::atomic<uint64_t> fetched_{0};
  std::atomic<uint64_t> failures_{0};

  std::mutex mutex_;  // guards what follows; held for an instant
  std::condition_variable changed_;
  std::deque<Wanted> queue_;
  bool stopping_ = false;

  // The fetcher thread's own.
  Tried tried_;  // URLs that were asked, and certificates for which something was
  int64_t complained_s_ = 0;
};

}  // namespace sluice::worker
