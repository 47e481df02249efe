// LogQueue: how a worker hands its log lines to the log writer without ever waiting for it.
//
// Two chunks of text change places through two atomic pointers: the worker fills one while the writer writes the other.
// When the writer is slow, the worker's chunk grows up to log_queue_bytes_max; past that, lines are dropped and counted.
// One worker, one writer; no locks.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>

namespace sluice::worker {

class LogQueue {
 public:
  LogQueue();
  LogQueue(const LogQueue&) = delete;
  LogQueue& operator=(const LogQueue&) = delete;
  ~LogQueue();

  // --- the worker ---
  /// False: dropped. `lines` end in "\n".
  [[nodiscard]] bool append(std::string_view line);
  [[nodiscard]] bool pending() const { return !filling_->empty(); }
  [[nodiscard]] size_t pending_bytes() const { return filling_->size(); }
  /// True: the writer has something new to fetch. False: it has not fetched the last chunk yet; try later.
  [[nodiscard]] bool hand_over();

  // --- the writer ---
  /// nullptr: nothing there. Give it back with done().
  [[nodiscard]] std::string* fetch() { return full_.exchange(nullptr, std::memory_order_acquire); }
  void done(std::string* chunk);

 private:
  std::unique_ptr<std::string> filling_;
  std::atomic<std::string*> full_{nullptr};
  std::atomic<std::string*> spare_{nullptr};
};

}  // namespace sluice::worker
