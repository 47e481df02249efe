// LogWriter: the thread that writes the access log, so that no worker ever waits for a sink.
//
// Owns the sink's descriptor. Any thread may call wake() and reopen(); the constructor and stop() belong to the main
// thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/log.h"
#include "worker/log_queue.h"

namespace sluice::worker {

class LogWriter {
 public:
  /// `to`: "stdout", "journald", or a path. Fails with a sentence for people in `error`. `journal_socket`: where journald
  /// takes datagrams of its native protocol (systemd.journal-fields(7) has the fields).
  [[nodiscard]] static std::unique_ptr<LogWriter> open(const std::string& to, size_t queues, const Log& log,
                                                       std::string& error,
                                                       std::string journal_socket = "/run/systemd/journal/socket");
  ~LogWriter();

  [[nodiscard]] LogQueue& queue(size_t index) { return *queues_[index]; }
  /// A queue was handed over.
  void wake();
  /// Opens the sink anew (SIGHUP: a rotated file). The old one stays when that fails. Never waits for a slow sink.
  [[nodiscard]] bool reopen(const std::string& to, std::string& error);
  /// Writes what is there, for two seconds at most, and ends the thread. The workers have ended before.
  void stop();
  /// Lines that the sink refused (disk full, reader gone).
  [[nodiscard]] uint64_t lines_lost() const { return lines_lost_.load(std::memory_order_relaxed); }

 private:
  struct Sink {
    enum class Kind : uint8_t { file, stream, journal };
    Kind kind = Kind::file;
    int fd = -1;
    bool owned = true;
  };
  LogWriter(size_t queues, const Log& log, std::string journal_socket);
  [[nodiscard]] bool open_sink(const std::string& to, Sink& sink, std::string& error) const;
  static void close_sink(Sink& sink);
  void run();
  void take_fresh_sink();
  void write_all(std::string_view text);
  void write_journal(std::string_view text);
  /// 0 or an errno; EAGAIN: journald takes nothing, and it is time to give up.
  [[nodiscard]] int send_to_journal(std::string_view datagram);
  [[nodiscard]] bool reconnect_journal();
  [[nodiscard]] bool wait_writable();
  void lose(std::string_view text, int sys_errno);

  std::vector<std::unique_ptr<LogQueue>> queues_;
  std::thread thread_;
  int wake_fd_ = -1;
  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> give_up_us_{UINT64_MAX};
  std::atomic<uint64_t> lines_lost_{0};
  int last_errno_ = 0;  // of the outage that was announced; 0 once a line is written again
  const std::string journal_socket_;
  Log log_;
  Sink sink_;                      // the writer's
  std::atomic<bool> has_fresh_{false};
  std::mutex fresh_mutex_;         // between the writer and reopen(), for an instant; no worker ever takes it
  Sink fresh_;                     // takes the place of sink_ before the next piece
};

}  // namespace sluice::worker
