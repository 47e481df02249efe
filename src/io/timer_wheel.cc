#include "io/timer_wheel.h"

#include <algorithm>

namespace sluice::io {
namespace {

void unlink(Timer& timer) {
  timer.previous->next = timer.next;
  timer.next->previous = timer.previous;
  timer.next = timer.previous = nullptr;
}

void link(Timer& head, Timer& timer) {
  timer.previous = head.previous;
  timer.next = &head;
  head.previous->next = &timer;
  head.previous = &timer;
}

bool empty(const Timer& head) { return head.next == &head; }

}  // namespace

TimerWheel::TimerWheel(uint64_t now_us) : tick_(now_us / tick_us) {
  for (auto& level : wheel_)
    for (Timer& head : level) head.next = head.previous = &head;
}

void TimerWheel::start(Timer& timer, uint64_t at_us) {
  stop(timer);
  // Rounded up, so that it is never early; at least one tick ahead, because the current slot has been processed.
  timer.deadline_tick = std::max((at_us + tick_us - 1) / tick_us, tick_ + 1);
  insert(timer);
}

void TimerWheel::stop(Timer& timer) {
  if (timer.running()) unlink(timer);
}

void TimerWheel::insert(Timer& timer) {
  const uint64_t distance = timer.deadline_tick - tick_;
  unsigned level = 0;
  while (level + 1 < levels && distance >= (1ull << (level_bits * (level + 1)))) ++level;
  const uint64_t furthest = tick_ + (1ull << (level_bits * levels)) - 1;
  const uint64_t at = std::min(timer.deadline_tick, furthest);
  link(wheel_[level][(at >> (level_bits * level)) % slots], timer);
}

void TimerWheel::step() {
  ++tick_;
  // Where a lower level wraps, the slot above it comes due: its timers move down (or expire below).
  for (unsigned level = 1; level < levels && tick_ % (1ull << (level_bits * level)) == 0; ++level) {
    Timer& head = wheel_[level][(tick_ >> (level_bits * level)) % slots];
    Timer moved;
    moved.next = moved.previous = &moved;
    while (!empty(head)) {
      Timer& timer = *head.next;
      unlink(timer);
      link(moved, timer);
    }
    while (!empty(moved)) {
      Timer& timer = *moved.next;
      unlink(timer);
      insert(timer);
    }
  }
  Timer& head = wheel_[0][tick_ % slots];
  while (!empty(head)) {
    Timer& timer = *head.next;
    unlink(timer);
    timer.on_expiry(timer.owner);
  }
}

void TimerWheel::advance(uint64_t now_us) {
  const uint64_t target = now_us / tick_us;
  while (tick_ < target) step();
}

uint64_t TimerWheel::next_us() const {
  for (uint64_t ahead = 1; ahead <= slots; ++ahead) {
    const uint64_t tick = tick_ + ahead;
    if (!empty(wheel_[0][tick % slots])) return tick * tick_us;
    // The next wrap of level 0 may bring timers down from above.
    if (tick % slots == 0)
      for (unsigned level = 1; level < levels; ++level)
        for (const Timer& head : wheel_[level])
          if (!empty(head)) return tick * tick_us;
  }
  return UINT64_MAX;
}

}  // namespace sluice::io
