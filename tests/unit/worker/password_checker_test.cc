#include "worker/password_checker.h"

#include <crypt.h>
#include <doctest/doctest.h>

#include <condition_variable>
#include <map>

#include "base/limits.h"

namespace {

using namespace sluice::worker;

std::string hash_of(const char* password, const char* setting) {
  crypt_data memory{};
  return crypt_r(password, setting, &memory);
}

/// Collects answers, from the checker's thread.
struct Answers {
  std::mutex mutex;
  std::condition_variable changed;
  std::map<uint64_t, bool> by_session;

  PasswordChecker::Deliver deliver() {
    return [this](const PasswordChecker::Asker& asker, bool is_right) {
      const std::lock_guard lock(mutex);
      by_session[asker.session] = is_right;
      changed.notify_all();
    };
  }
  [[nodiscard]] bool of(uint64_t session) {
    std::unique_lock lock(mutex);
    REQUIRE(changed.wait_for(lock, std::chrono::seconds(30), [&] { return by_session.contains(session); }));
    return by_session[session];
  }
};

}  // namespace

TEST_CASE("a password fits its own hash and no other") {
  for (const char* setting : {"$2b$04$abcdefghijklmnopqrstuu", "$5$rounds=1000$salt", "$6$rounds=1000$salt"}) {
    const std::string hash = hash_of("wonder", setting);
    CHECK(has_hash("wonder", hash));
    CHECK_FALSE(has_hash("Wonder", hash));
    CHECK_FALSE(has_hash("", hash));
    CHECK_FALSE(has_hash(std::string("wonder\0x", 8), hash));  // crypt(3) would stop at the zero
  }
  CHECK_FALSE(has_hash("wonder", "wonder"));
  CHECK_FALSE(has_hash("wonder", ""));
  CHECK_FALSE(has_hash("x", "$6$sluicesluice$nobody"));
}

TEST_CASE("answers come to who asked; what was right once is right again, and only with the same hash") {
  Answers answers;
  PasswordChecker checker(answers.deliver());
  const std::string hash = hash_of("wonder", "$2b$04$abcdefghijklmnopqrstuu");
  const std::string other = hash_of("builder", "$2b$04$abcdefghijklmnopqrstuu");
  CHECK_FALSE(checker.ask({0, 1}, "wonder", hash));  // it does not run
  checker.begin();
  REQUIRE(checker.ask({0, 1}, "wonder", hash));
  REQUIRE(checker.ask({0, 2}, "builder", hash));
  CHECK(answers.of(1));
  CHECK_FALSE(answers.of(2));
  REQUIRE(checker.ask({0, 3}, "wonder", hash));
  REQUIRE(checker.ask({0, 4}, "wonder", other));
  CHECK(answers.of(3));
  CHECK_FALSE(answers.of(4));
  checker.stop();
  CHECK_FALSE(checker.ask({0, 5}, "wonder", hash));
}

TEST_CASE("more than may wait are refused") {
  Answers answers;
  PasswordChecker checker(answers.deliver());
  checker.begin();
  const std::string slow = hash_of("wonder", "$2b$10$abcdefghijklmnopqrstuu");  // some 50 ms each
  size_t taken = 0;
  while (taken <= 2 * sluice::limits::passwords_waiting_max && checker.ask({0, taken}, "wrong", slow)) ++taken;
  CHECK(taken >= sluice::limits::passwords_waiting_max);
  CHECK(taken <= sluice::limits::passwords_waiting_max + 2);  // one or two have been begun meanwhile
}
