// PasswordChecker: whether a password fits its crypt(3) hash. Hashes are slow on purpose (5 to 50 ms each), so it has a thread
// of its own; what was right is remembered for limits::password_known_s, as browsers send the password with every request.
//
// One per process. Any thread may ask(); begin() and stop() belong to the main thread.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>

namespace sluice::worker {

class PasswordChecker {
 public:
  struct Asker {
    uint32_t worker = 0;
    uint64_t session = 0;
  };
  /// Called in the checker's thread.
  using Deliver = std::function<void(const Asker& asker, bool is_right)>;

  explicit PasswordChecker(Deliver deliver);
  ~PasswordChecker() { stop(); }
  PasswordChecker(const PasswordChecker&) = delete;
  PasswordChecker& operator=(const PasswordChecker&) = delete;

  /// Starts the thread, unless it runs.
  void begin();
  /// Nothing is delivered afterwards.
  void stop();

  /// Never waits. False: limits::passwords_waiting_max wait already, or it is not running.
  [[nodiscard]] bool ask(const Asker& asker, std::string password, std::string hash);

 private:
  using Digest = std::array<uint8_t, 32>;
  struct Wanted {
    Asker asker;
    std::string password;
    std::string hash;
    Digest digest{};
  };

  void run();
  [[nodiscard]] bool is_right(const Wanted& wanted);
  [[nodiscard]] Digest digest_of(const Wanted& wanted) const;
  [[nodiscard]] bool is_known(const Digest& digest) const;  // with the mutex held

  Deliver deliver_;
  std::thread thread_;
  std::mutex mutex_;  // guards what follows; held for an instant
  std::condition_variable changed_;
  std::deque<Wanted> queue_;
  bool running_ = false;
  std::map<Digest, int64_t> known_;  // what was right, until when; only a digest, under a key of this process

  std::array<uint8_t, 32> key_{};  // never changes
};

/// Whether `password` has the hash; in constant time for hashes of one length. Any thread.
[[nodiscard]] bool has_hash(const std::string& password, const std::string& hash);

}  // namespace sluice::worker
