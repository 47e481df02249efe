// A keyed hash of names that is read from the right, so that one pass over "a.b.example.com" yields the
// hashes of "com", "example.com", "b.example.com" and the whole.
//
// Polynomial over the Mersenne prime 2^61 - 1 at a secret point: two different names of up to n words collide
// with probability at most n / 2^60, whoever chose them, as long as they do not know the seed. A word is
// seven bytes; the last one, with fewer or none, ends the name.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>

#include "rules/uint128.h"

namespace sluice::rules {

class NameHash {
 public:
  explicit NameHash(uint64_t seed)
      : point_(scramble(seed ^ 0x9e3779b97f4a7c15u) % points + 1), start_(scramble(seed) % prime) {}

  [[nodiscard]] uint64_t of(std::string_view name) const {
    uint64_t value = start_;
    size_t end = name.size();
    for (; end >= word_bytes; end -= word_bytes) value = with_word(value, word(name, end));
    return with_end(value, end == 0 ? 0 : word(name, end), end);
  }

 private:
  friend class HostHashes;
  static constexpr size_t word_bytes = 7;
  static constexpr uint64_t prime = (uint64_t{1} << 61) - 1;
  static constexpr uint64_t points = (uint64_t{1} << 60) - 1;  // half of what there are: see times()

  // The seven bytes before `end`, or all when there are fewer, as a number whose lowest byte is the last one.
  // `end` is not 0.
  static uint64_t word(std::string_view name, size_t end) {
    constexpr uint64_t seven_bytes = (uint64_t{1} << 56) - 1;
    if (end >= 8) return load(name.data() + end - 8) & seven_bytes;
    if (name.size() >= 8) return load(name.data()) >> (8 * (8 - end));
    std::array<char, 8> whole{};  // a load of eight bytes would leave the name
    std::memcpy(whole.data(), name.data(), end);
    return load(whole.data()) >> (8 * (8 - end));
  }
  static uint64_t load(const char* bytes) {
    uint64_t number;
    std::memcpy(&number, bytes, 8);
    if constexpr (std::endian::native == std::endian::little) number = __builtin_bswap64(number);
    return number;
  }

  // Values are at most 2^62 + 2^59; only with_end() reduces them fully.
  [[nodiscard]] uint64_t with_word(uint64_t value, uint64_t word) const {
    return times(value, word | uint64_t{word_bytes} << 56);
  }
  // Ends with the last `count` bytes of `word`, 0 to 6.
  [[nodiscard]] uint64_t with_end(uint64_t value, uint64_t word, size_t count) const {
    word &= (uint64_t{1} << (8 * count)) - 1;
    value = times(value, word | uint64_t{count} << 56);
    value = (value & prime) + (value >> 61);
    return scramble(value >= prime ? value - prime : value);
  }
  // (value + word) × point, and 2^61 is 1: the upper part of the product is at most (2^62 + 2^59 + 2^59) / 2,
  // the lower one less than 2^61, so their sum is a value again.
  [[nodiscard]] uint64_t times(uint64_t value, uint64_t word) const {
    const uint128 product = static_cast<uint128>(value + word) * point_;
    return (static_cast<uint64_t>(product) & prime) + static_cast<uint64_t>(product >> 61);
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

/// A host name in lower case, with the hash of what follows each of its dots and of the whole.
///
/// Without branches that depend on the letters: a name that comes for the first time would miss most of them.
class HostHashes {
  struct Word {
    uint64_t before;  // the value without it
    uint64_t word;
  };

 public:
  static constexpr size_t host_bytes_max = 254;  // one more than a name can have

  /// `host` has 1 to host_bytes_max bytes.
  HostHashes(const NameHash& hash, std::string_view host) : hash_(hash), bytes_(host.size()) {
    uint64_t value = hash.start_;
    uint64_t dots = 0;
    size_t count = 0;
    for (size_t end = host.size();; ++count) {
      const uint64_t word = lower(NameHash::word(host, end));
      words_[count] = {value, word};
      dots |= dots_of(word) << (word_bytes * (count % words_per_mask));
      if (end <= word_bytes) break;
      if (count % words_per_mask == words_per_mask - 1)
        dots_[count / words_per_mask] = std::exchange(dots, 0);
      value = hash.with_word(value, word);
      end -= word_bytes;
    }
    if (bytes_ % word_bytes == 0)
      words_[count + 1] = {hash.with_word(words_[count].before, words_[count].word), 0};
    dots_[count / words_per_mask] = dots;
    if (bytes_ % mask_bits == 0) dots_[bytes_ / mask_bits] = 0;
  }

  /// Calls sink(start, hash) for the place after each dot, from the right, then for the whole name.
  template <class Sink>
  void each(Sink&& sink) const {
    for (size_t mask = 0; mask <= bytes_ / mask_bits; ++mask) {
      uint64_t dots = dots_[mask];
      if (mask == bytes_ / mask_bits) dots |= uint64_t{1} << (bytes_ % mask_bits);  // as if one were in front
      for (; dots != 0; dots &= dots - 1) {
        const size_t count =
            mask * mask_bits + static_cast<size_t>(std::countr_zero(dots));  // bytes behind it
        const Word& at = words_[count / word_bytes];
        sink(bytes_ - count, hash_.with_end(at.before, at.word, count % word_bytes));
      }
    }
  }

  /// The name from `start` to its end, to be compared with one in lower case.
  class Part {
   public:
    /// Eight bytes in front of `other` are read, too, and do not count.
    [[nodiscard]] bool operator==(std::string_view other) const {
      if (other.size() != bytes_) return false;
      const char* end = other.data() + other.size();
      uint64_t difference = 0;
      const Word* word = words_;
      size_t left = bytes_;
      for (; left >= word_bytes; left -= word_bytes, end -= word_bytes)
        difference |= (NameHash::load(end - 8) ^ (word++)->word) & first(word_bytes);
      return (difference | ((NameHash::load(end - 8) ^ word->word) & first(left))) == 0;
    }

   private:
    friend class HostHashes;
    Part(const Word* words, size_t bytes) : words_(words), bytes_(bytes) {}
    /// A mask of so many bytes, at most seven.
    static uint64_t first(size_t count) { return (uint64_t{1} << (8 * count)) - 1; }

    const Word* words_;
    size_t bytes_;
  };
  [[nodiscard]] Part from(size_t start) const { return {words_.data(), bytes_ - start}; }

 private:
  static constexpr size_t word_bytes = NameHash::word_bytes;
  static constexpr size_t words_per_mask = 8;
  static constexpr size_t mask_bits = words_per_mask * word_bytes;
  static uint64_t repeat(uint8_t byte) { return 0x0101010101010101u * byte; }
  static uint64_t lower(uint64_t word) {
    const uint64_t low = word & repeat(0x7f);
    const uint64_t from_a = low + repeat(0x80 - 'A');                // high bit: at least 'A'
    const uint64_t past_z = low + repeat(0x7f - 'Z');                // high bit: more than 'Z'
    return word | ((from_a & ~past_z & ~word & repeat(0x80)) >> 2);  // 0x80 >> 2 is 'a' - 'A'
  }
  // Bit i: the byte i from the right is a dot.
  static uint64_t dots_of(uint64_t word) {
    const uint64_t other = word ^ repeat('.');
    const uint64_t zero = ~(((other & repeat(0x7f)) + repeat(0x7f)) | other) & repeat(0x80);
    return ((zero >> 7) * 0x0102040810204080u) >> 56;
  }

  const NameHash& hash_;
  size_t bytes_;
  std::array<Word, host_bytes_max / word_bytes + 2> words_;
  std::array<uint64_t, host_bytes_max / mask_bits + 1> dots_;
};

}  // namespace sluice::rules
