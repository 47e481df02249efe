// Hierarchical timer wheel: start, stop and expiry in O(1), no allocation; a Timer lives inside its owner.
//
// Four levels of 64 slots; one tick is 16 ms: level 0 spans 1 s, level 1 65 s, level 2 70 min, level 3 3 days; later
// deadlines are clamped to the last and looked at again there. Pure: time is an argument. Belongs to one thread.
#pragma once

#include <array>
#include <cstdint>

namespace sluice::io {

struct Timer {
  using Handler = void (*)(void* owner);

  Timer* next = nullptr;
  Timer* previous = nullptr;
  uint64_t deadline_tick = 0;
  Handler on_expiry = nullptr;
  void* owner = nullptr;

  [[nodiscard]] bool running() const { return next != nullptr; }
};

class TimerWheel {
 public:
  static constexpr uint64_t tick_us = 16'000;

  explicit TimerWheel(uint64_t now_us);
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  /// Expires at the first advance() at or after `at_us`, never before; late by one tick at most. Restarts a running one.
  void start(Timer& timer, uint64_t at_us);
  static void stop(Timer& timer);
  /// Runs the handlers of all that are due. Handlers may start and stop any timer.
  void advance(uint64_t now_us);
  /// When advance() has to be called next; UINT64_MAX without timers. May be early (a slot that only moves timers down).
  [[nodiscard]] uint64_t next_us() const;

 private:
  static constexpr unsigned level_bits = 6;
  static constexpr unsigned levels = 4;
  static constexpr uint64_t slots = 1u << level_bits;

  void insert(Timer& timer);
  void step();

  uint64_t tick_;  // the last tick that was processed
  // Each slot is the sentinel of a circular list.
  std::array<std::array<Timer, slots>, levels> wheel_;
};

}  // namespace sluice::io
