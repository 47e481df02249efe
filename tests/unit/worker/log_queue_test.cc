#include "worker/log_queue.h"

#include <doctest/doctest.h>

#include <string>
#include <thread>

#include "base/limits.h"

using sluice::worker::LogQueue;

TEST_CASE("lines come out whole and in order, a chunk at a time") {
  LogQueue queue;
  CHECK(queue.fetch() == nullptr);
  CHECK_FALSE(queue.pending());
  CHECK_FALSE(queue.hand_over());  // nothing to hand over
  REQUIRE(queue.append("one\n"));
  REQUIRE(queue.append("two\n"));
  CHECK(queue.pending());
  CHECK(queue.pending_bytes() == 8);
  CHECK(queue.fetch() == nullptr);  // not handed over yet
  REQUIRE(queue.hand_over());
  CHECK_FALSE(queue.pending());
  std::string* chunk = queue.fetch();
  REQUIRE(chunk != nullptr);
  CHECK(*chunk == "one\ntwo\n");
  CHECK(queue.fetch() == nullptr);
  queue.done(chunk);
}

TEST_CASE(
    "a writer that is behind: the worker keeps filling, and hands over when the last chunk has been "
    "fetched") {
  LogQueue queue;
  REQUIRE(queue.append("one\n"));
  REQUIRE(queue.hand_over());
  REQUIRE(queue.append("two\n"));
  CHECK_FALSE(queue.hand_over());
  REQUIRE(queue.append("three\n"));
  CHECK(queue.pending_bytes() == 10);
  std::string* first = queue.fetch();
  REQUIRE(first != nullptr);
  CHECK(*first == "one\n");
  REQUIRE(queue.hand_over());  // while the writer still writes the first
  REQUIRE(queue.append("four\n"));
  queue.done(first);
  std::string* second = queue.fetch();
  REQUIRE(second != nullptr);
  CHECK(*second == "two\nthree\n");
  queue.done(second);
  REQUIRE(queue.hand_over());
  std::string* third = queue.fetch();
  REQUIRE(third != nullptr);
  CHECK(*third == "four\n");
  queue.done(third);
}

TEST_CASE("at the limit a line is taken, one byte past it dropped, and room comes back with a hand-over") {
  LogQueue queue;
  const std::string half(sluice::limits::log_queue_bytes_max / 2, 'x');
  REQUIRE(queue.append(half));
  CHECK_FALSE(queue.append(half + "y"));
  REQUIRE(queue.append(half));
  CHECK(queue.pending_bytes() == sluice::limits::log_queue_bytes_max);
  CHECK_FALSE(queue.append("z"));
  REQUIRE(queue.hand_over());
  REQUIRE(queue.append("z"));
  std::string* chunk = queue.fetch();
  REQUIRE(chunk != nullptr);
  CHECK(chunk->size() == sluice::limits::log_queue_bytes_max);
  queue.done(chunk);
}

TEST_CASE("a queue may go with chunks everywhere") {
  LogQueue queue;
  REQUIRE(queue.append("one\n"));
  REQUIRE(queue.hand_over());
  std::string* chunk = queue.fetch();
  queue.done(chunk);  // the spare
  REQUIRE(queue.append("two\n"));
  REQUIRE(queue.hand_over());  // full, and not fetched
  REQUIRE(queue.append("three\n"));
}

TEST_CASE("a worker and a writer at once: every line that was taken arrives, once, in order") {
  constexpr int lines = 100'000;
  LogQueue queue;
  std::string written;
  std::thread writer([&] {
    const std::string last = std::to_string(lines - 1) + "\n";
    while (!written.ends_with("\n" + last))
      if (std::string* chunk = queue.fetch(); chunk != nullptr) {
        written += *chunk;
        queue.done(chunk);
      } else {
        std::this_thread::yield();
      }
  });
  std::string expected;
  for (int i = 0; i < lines; ++i) {
    const std::string line = std::to_string(i) + "\n";
    while (!queue.append(line)) {  // the test wants them all
      (void)queue.hand_over();
      std::this_thread::yield();
    }
    expected += line;
    if (i % 7 == 0) (void)queue.hand_over();
  }
  while (queue.pending()) {
    (void)queue.hand_over();
    std::this_thread::yield();
  }
  writer.join();
  CHECK(written == expected);
}
