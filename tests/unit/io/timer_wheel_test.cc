#include "io/timer_wheel.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <vector>

using sluice::io::Timer;
using sluice::io::TimerWheel;

namespace {
struct Probe {
  Timer timer;
  uint64_t due_us = 0;
  uint64_t fired_us = 0;
  uint64_t* now_us = nullptr;
};
void fire(void* owner) {
  auto& probe = *static_cast<Probe*>(owner);
  probe.fired_us = *probe.now_us;
}
}  // namespace

TEST_CASE("a timer is never early and at most a tick late, on every level, however time jumps") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 20; ++round) {
    uint64_t now = 1'000'000'000 + random() % 100'000'000'000;
    TimerWheel wheel(now);
    std::vector<Probe> probes(500);
    for (Probe& probe : probes) {
      probe.now_us = &now;
      probe.timer.on_expiry = fire;
      probe.timer.owner = &probe;
      const uint64_t spans[] = {100'000, 2'000'000, 100'000'000, 5'000'000'000, 400'000'000'000};
      probe.due_us = now + random() % spans[random() % 5];
      wheel.start(probe.timer, probe.due_us);
    }
    uint64_t guard = 0;
    bool early = false;  // a REQUIRE at each of the million steps would be most of the test
    for (uint64_t next = wheel.next_us(); next != UINT64_MAX && guard < 1'000'000; next = wheel.next_us(), ++guard) {
      early = early || next + TimerWheel::tick_us <= now;
      now = std::max(now, next);
      wheel.advance(now);
    }
    CHECK(!early);
    for (const Probe& probe : probes) {
      CHECK(!probe.timer.running());
      CHECK(probe.fired_us >= probe.due_us);
      CHECK(probe.fired_us <= probe.due_us + 2 * TimerWheel::tick_us);
    }
  }
}

TEST_CASE("a stopped timer does not fire, a restarted one fires once at its new time") {
  uint64_t now = 5'000'000;
  TimerWheel wheel(now);
  Probe stopped;
  Probe restarted;
  stopped.now_us = restarted.now_us = &now;
  for (Probe* probe : {&stopped, &restarted}) {
    probe->timer.on_expiry = fire;
    probe->timer.owner = probe;
    wheel.start(probe->timer, now + 100'000);
  }
  TimerWheel::stop(stopped.timer);
  wheel.start(restarted.timer, now + 9'000'000);
  now += 1'000'000;
  wheel.advance(now);
  CHECK(stopped.fired_us == 0);
  CHECK(restarted.fired_us == 0);
  now += 8'100'000;
  wheel.advance(now);
  CHECK(stopped.fired_us == 0);
  CHECK(restarted.fired_us == now);
  CHECK(wheel.next_us() == UINT64_MAX);
}

TEST_CASE("a handler may start its own timer again and stop its neighbour") {
  struct Pair {
    TimerWheel* wheel;
    Timer first, second;
    int fired = 0;
  };
  TimerWheel wheel(0);
  Pair pair;
  pair.wheel = &wheel;
  pair.first.owner = pair.second.owner = &pair;
  pair.first.on_expiry = [](void* owner) {
    auto& self = *static_cast<Pair*>(owner);
    ++self.fired;
    TimerWheel::stop(self.second);
    if (self.fired < 3) self.wheel->start(self.first, 0);
  };
  pair.second.on_expiry = [](void* owner) { static_cast<Pair*>(owner)->fired += 100; };
  wheel.start(pair.first, 1);
  wheel.start(pair.second, 1);
  wheel.advance(10 * TimerWheel::tick_us);
  CHECK(pair.fired == 3);
}
