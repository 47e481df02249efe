#include "tls/random.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <set>
#include <thread>
#include <vector>

using sluice::tls::random_bytes;

namespace {
using Block = std::array<uint8_t, 16>;
Block block() {
  Block out{};
  REQUIRE(random_bytes(out));
  return out;
}
}  // namespace

TEST_CASE("blocks of every size are filled, and none comes twice") {
  for (const size_t size : std::initializer_list<size_t>{0, 1, 16, 1023, 1024, 1025, 5000, 100'000}) {
    std::vector<uint8_t> out(size);
    CHECK(random_bytes(out));
    if (size >= 16) CHECK(std::any_of(out.begin(), out.end(), [](uint8_t byte) { return byte != 0; }));
  }
  std::set<Block> seen;
  for (int i = 0; i < 5000; ++i) CHECK(seen.insert(block()).second);
  std::vector<Block> elsewhere(1000);
  std::thread other([&] {
    for (auto& out : elsewhere) static_cast<void>(random_bytes(out));
  });
  other.join();
  for (const auto& out : elsewhere) CHECK(seen.insert(out).second);
}

TEST_CASE("bits are about half ones") {
  std::vector<uint8_t> out(100'000);
  REQUIRE(random_bytes(out));
  size_t ones = 0;
  for (const uint8_t byte : out) ones += static_cast<size_t>(__builtin_popcount(byte));
  // 800,000 bits: a standard deviation is 447.
  CHECK(ones > 400'000 - 10 * 447);
  CHECK(ones < 400'000 + 10 * 447);
}

TEST_CASE("a child of fork() does not repeat its parent's numbers") {
  static_cast<void>(block());  // the pool is filled now
  std::array<int, 2> ends{};
  REQUIRE(pipe(ends.data()) == 0);
  const pid_t child = fork();
  if (child == 0) {
    Block out{};
    const bool filled = random_bytes(out);
    const auto written = write(ends[1], out.data(), out.size());
    _exit(filled && written == static_cast<ssize_t>(out.size()) ? 0 : 1);
  }
  REQUIRE(child > 0);
  Block of_child{};
  CHECK(read(ends[0], of_child.data(), of_child.size()) == static_cast<ssize_t>(of_child.size()));
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  close(ends[0]);
  close(ends[1]);
  CHECK(of_child != Block{});
  for (int i = 0; i < 1000; ++i) CHECK(block() != of_child);
}
