// A keyed hash of names that is read from the right, label by label, so that one pass over "a.b.example.com"
// yields the hashes of "com", "example.com", "b.example.com" and the whole.
//
// Polynomial over the Mersenne prime 2^61 - 1 at a secret point: two different names of up to n words collide
// with probability at most n / 2^61, whoever chose them, as long as they do not know the seed. A word is
// seven bytes.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "rules/uint128.h"

namespace sluice::rules {

class NameHash {
 public:
  /// Names must lie in memory with this many readable bytes before them: words are loaded whole.
  static constexpr size_t padding_bytes = 8;

  explicit NameHash(uint64_t seed)
      : point_(scramble(seed ^ 0x9e3779b97f4a7c15u) % (prime - 1) + 1), start_(scramble(seed) % prime) {}

  class State {
   public:
    /// Appends the label that ends where the last one began.
    void label(std::string_view text) {
      const char* end = text.data() + text.size();
      size_t left = text.size();
      do {
        const size_t count = left < 7 ? left : 7;
        left -= count;
        uint64_t word = count == 0 ? 0 : load(end) >> (8 * (8 - count));
        word |= uint64_t{count} << 56;
        if (left == 0) word |= uint64_t{1} << 59;  // the label ends here: keeps the encoding injective
        value_ = times(reduce(value_ + word), point_);
        end -= count;
      } while (left > 0);
    }
    [[nodiscard]] uint64_t finish() const { return scramble(value_); }

   private:
    friend class NameHash;
    State(uint64_t value, uint64_t point) : value_(value), point_(point) {}
    uint64_t value_;
    uint64_t point_;
  };

  [[nodiscard]] State begin() const { return {start_, point_}; }

  /// The hash of `name` taken as labels separated by dots, as a walk over a longer name would find it.
  [[nodiscard]] uint64_t of_host(std::string_view name) const {
    State state = begin();
    size_t end = name.size();
    for (;;) {
      const size_t dot = end == 0 ? std::string_view::npos : name.rfind('.', end - 1);
      const size_t first = dot == std::string_view::npos ? 0 : dot + 1;
      state.label(name.substr(first, end - first));
      if (first == 0) return state.finish();
      end = dot;
    }
  }

  /// The hash of `text` taken as one label, whatever it contains.
  [[nodiscard]] uint64_t of_text(std::string_view text) const {
    State state = begin();
    state.label(text);
    return state.finish();
  }

 private:
  static constexpr uint64_t prime = (uint64_t{1} << 61) - 1;

  // The eight bytes before `end`, the last one in the highest place.
  static uint64_t load(const char* end) {
    uint64_t word;
    std::memcpy(&word, end - 8, 8);
    if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
    return word;
  }
  static uint64_t reduce(uint64_t value) {
    value = (value & prime) + (value >> 61);
    return value >= prime ? value - prime : value;
  }
  static uint64_t times(uint64_t a, uint64_t b) {
    const auto product = static_cast<uint128>(a) * b;
    return reduce((static_cast<uint64_t>(product) & prime) + static_cast<uint64_t>(product >> 61));
  }
  // A bijection that spreads every bit over all others (the finaliser of MurmurHash3, public domain).
  static uint64_t scramble(uint64_t x) {
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdu;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53u;
    x ^= x >> 33;
    return x;
  }

  uint64_t point_;
  uint64_t start_;
};

}  // namespace sluice::rules
