#include "worker/password_checker.h"

#include <crypt.h>
#include <pthread.h>
#include <sys/random.h>
#include <time.h>

#include <cstring>
#include <memory>
#include <vector>

#include "base/check.h"
#include "base/limits.h"
#include "tls/digest.h"

namespace sluice::worker {
namespace {

int64_t monotonic_s() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec;
}

}  // namespace

bool has_hash(const std::string& password, const std::string& hash) {
  // 32 KiB: too much for a stack.
  const auto memory = std::make_unique<crypt_data>();
  const char* const made = crypt_r(password.c_str(), hash.c_str(), memory.get());
  if (made == nullptr || made[0] == '*' || password.find('\0') != std::string::npos) return false;
  const size_t length = std::strlen(made);
  if (length != hash.size()) return false;
  unsigned different = 0;
  for (size_t i = 0; i < length; ++i) different |= static_cast<unsigned>(made[i] ^ hash[i]);
  return different == 0;
}

PasswordChecker::PasswordChecker(Deliver deliver) : deliver_(std::move(deliver)) {
  SLUICE_CHECK(getrandom(key_.data(), key_.size(), 0) == static_cast<ssize_t>(key_.size()));
}

void PasswordChecker::begin() {
  if (thread_.joinable()) return;
  running_ = true;
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "passwords");
    run();
  });
}

void PasswordChecker::stop() {
  {
    const std::lock_guard lock(mutex_);
    running_ = false;
    queue_.clear();
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

bool PasswordChecker::ask(const Asker& asker, std::string password, std::string hash) {
  Wanted wanted{asker, std::move(password), std::move(hash), {}};
  wanted.digest = digest_of(wanted);
  const std::lock_guard lock(mutex_);
  if (!running_ || queue_.size() >= limits::passwords_waiting_max) return false;
  // Who has shown his password before need not wait behind those who guess.
  if (is_known(wanted.digest))
    queue_.push_front(std::move(wanted));
  else
    queue_.push_back(std::move(wanted));
  changed_.notify_one();
  return true;
}

bool PasswordChecker::is_known(const Digest& digest) const {
  const auto known = known_.find(digest);
  return known != known_.end() && known->second > monotonic_s();
}

PasswordChecker::Digest PasswordChecker::digest_of(const Wanted& wanted) const {
  std::vector<uint8_t> text(key_.begin(), key_.end());
  text.insert(text.end(), wanted.hash.begin(), wanted.hash.end());
  text.push_back(0);  // no hash has a zero byte
  text.insert(text.end(), wanted.password.begin(), wanted.password.end());
  Digest digest{};
  tls::sha256(text, digest);
  return digest;
}

bool PasswordChecker::is_right(const Wanted& wanted) {
  {
    const std::lock_guard lock(mutex_);
    if (is_known(wanted.digest)) return true;
  }
  if (!has_hash(wanted.password, wanted.hash)) return false;
  const std::lock_guard lock(mutex_);
  if (known_.size() >= limits::passwords_known_max) known_.clear();
  known_[wanted.digest] = monotonic_s() + limits::password_known_s;
  return true;
}

void PasswordChecker::run() {
  for (;;) {
    Wanted wanted;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return !running_ || !queue_.empty(); });
      if (!running_) return;
      wanted = std::move(queue_.front());
      queue_.pop_front();
    }
    deliver_(wanted.asker, is_right(wanted));
  }
}

}  // namespace sluice::worker
