// Random: the only source of chance in the simulation, so that a seed replays a run on every machine and
// compiler (std:: distributions differ between libraries). SplitMix64, public domain (Sebastiano Vigna).
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>

namespace sluice::sim {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  /// 0 … count - 1. The bias towards small values is far below what a test can see.
  size_t below(size_t count) { return static_cast<size_t>(next() % count); }
  size_t between(size_t least, size_t most) { return least + below(most - least + 1); }
  bool chance(double probability) { return static_cast<double>(next() >> 11) * 0x1p-53 < probability; }
  template <class T>
  T pick(std::initializer_list<T> values) {
    return values.begin()[below(values.size())];
  }

 private:
  uint64_t state_;
};

}  // namespace sluice::sim
