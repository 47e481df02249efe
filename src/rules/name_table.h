// NameTable: name -> set of groups, for many millions of names, built once and never changed.
//
// Groups of up to eight names. Each group has a byte of fingerprint per name, apart from the names, in an
// array that is small enough to stay near the CPU (1.6 MB for a million names): a miss looks at nothing else.
// The names lie in a bucket of three cache lines, whose place follows from the hash too, so that it can be
// fetched at the same time: a hit waits for one cache miss, not for a chain of them. It is compared with the
// stored name, so the answer is exact. Immutable after build(), shared by all threads.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "base/huge_pages.h"
#include "rules/name_hash.h"
#include "rules/set_pool.h"
#include "rules/uint128.h"

namespace sluice::rules {

class NameTable {
 public:
  static constexpr size_t name_bytes_max = 255;  // the length is kept in one byte

  NameTable() = default;

  /// The set stored for `name`, whose hash is `hash`; the empty set when there is none.
  [[nodiscard]] SetId find(uint64_t hash, std::string_view name) const { return find(place_of(hash), name); }

  /// The same in steps, for several names at once: where a hash leads to, …
  struct Place {
    size_t group;
    uint64_t wanted;  // the fingerprint, eight times
  };
  [[nodiscard]] Place place_of(uint64_t hash) const { return {group_of(hash), repeat(fingerprint_of(hash))}; }
  /// … to be fetched by the CPU: the fingerprints, and, for a hit, the names …
  // always_inline: a function that only prefetches has no effect that GCC can see; it drops calls of one.
  [[gnu::always_inline]] void prefetch(const Place& place) const {
    __builtin_prefetch(&fingerprints_[place.group]);
  }
  [[gnu::always_inline]] void prefetch_names(const Place& place) const {
    const char* const bytes = buckets_[place.group].data();
    __builtin_prefetch(bytes);
    __builtin_prefetch(bytes + 64);
  }
  /// The rest of them: one hit in seven needs it.
  [[gnu::always_inline]] void prefetch_last_names(const Place& place) const {
    __builtin_prefetch(buckets_[place.group].data() + 128);
  }
  /// … false: the fingerprints alone say that find() would find nothing …
  [[nodiscard]] bool may_have(const Place& place) const {
    const uint64_t fingerprints = fingerprints_[place.group];
    // Two words of which one has a high bit set or not: no branch.
    return (zero_bytes(fingerprints ^ place.wanted) | (zero_bytes(fingerprints) == 0)) != 0;
  }
  /// … and looked up. `name` is compared by name == std::string_view.
  template <class Name>
  [[nodiscard]] SetId find(const Place& place, const Name& name) const {
    for (size_t group = place.group;; group = next(group)) {
      const uint64_t fingerprints = fingerprints_[group];
      for (uint64_t hits = zero_bytes(fingerprints ^ place.wanted); hits != 0; hits &= hits - 1) {
        const char* entry = entry_at(buckets_[group], first_byte(hits));
        if (name == name_of(entry)) return set_of(entry);
      }
      if (zero_bytes(fingerprints) != 0) return set_empty;
    }
  }

  [[nodiscard]] bool empty() const { return count_ == 0; }
  [[nodiscard]] size_t size() const { return count_; }  // different names
  [[nodiscard]] size_t memory_bytes() const;

 private:
  friend class NameTableBuilder;

  // A byte for each of eight entries says where it begins; then the entries: set id (4 bytes), length (1
  // byte), name. Eight names of 17 bytes, the average of real lists, take 8 + 8 × (5 + 17) = 184 of 192
  // bytes. A long name lies in long_names_: length 0, then its offset there (4 bytes) and length (1 byte).
  struct alignas(64) Bucket : std::array<char, 192> {};
  static constexpr size_t directory_bytes = 8;
  static constexpr size_t head_bytes = 5;
  static constexpr size_t long_bytes = head_bytes + 5;
  static constexpr size_t inline_bytes_max = 64;

  [[nodiscard]] static size_t entry_bytes(std::string_view name) {
    return name.size() <= inline_bytes_max ? head_bytes + name.size() : long_bytes;
  }
  [[nodiscard]] static size_t entry_bytes(const char* entry) {
    const auto length = static_cast<uint8_t>(entry[4]);
    return length == 0 ? long_bytes : head_bytes + length;
  }
  [[nodiscard]] static const char* entry_at(const Bucket& bucket, size_t index) {
    return bucket.data() + static_cast<uint8_t>(bucket[index]);
  }
  [[nodiscard]] std::string_view name_of(const char* entry) const {
    if (const auto length = static_cast<uint8_t>(entry[4]); length != 0) return {entry + head_bytes, length};
    uint32_t offset;
    std::memcpy(&offset, entry + head_bytes, sizeof offset);
    return {long_names_.data() + offset, static_cast<uint8_t>(entry[head_bytes + 4])};
  }
  [[nodiscard]] static SetId set_of(const char* entry) {
    SetId set;
    std::memcpy(&set, entry, sizeof set);
    return set;
  }

  /// Adds `element` to the set of `name`; false when no group has room.
  [[nodiscard]] bool insert(uint64_t hash, std::string_view name, uint32_t element, SetPool& sets);
  void write(char* entry, std::string_view name, SetId set);

  [[nodiscard]] size_t next(size_t group) const { return group + 1 == fingerprints_.size() ? 0 : group + 1; }
  [[nodiscard]] size_t group_of(uint64_t hash) const {
    return static_cast<size_t>((static_cast<uint128>(hash) * fingerprints_.size()) >> 64);
  }
  // 0 marks a free place, `closed` one that has no room left in the bucket.
  static constexpr uint8_t closed = 1;
  static uint8_t fingerprint_of(uint64_t hash) {
    const auto low = static_cast<uint8_t>(hash);
    return low <= closed ? static_cast<uint8_t>(low + 0x80) : low;
  }
  static uint64_t repeat(uint8_t byte) { return 0x0101010101010101u * byte; }
  static size_t first_byte(uint64_t high_bits) { return static_cast<size_t>(__builtin_ctzll(high_bits)) / 8; }
  // The high bit of every byte that is zero (exact for each byte: no borrow runs between them).
  static uint64_t zero_bytes(uint64_t word) {
    constexpr uint64_t low_bits = 0x7f7f7f7f7f7f7f7fu;
    return ~(((word & low_bits) + low_bits) | word | low_bits);
  }

  // Byte i of fingerprints_[g] belongs to entry i of buckets_[g]. A group that is not closed ends every
  // search; there is one always.
  std::vector<uint64_t, HugePageAllocator<uint64_t>> fingerprints_ = {0};
  std::vector<Bucket, HugePageAllocator<Bucket>> buckets_ = decltype(buckets_)(1);
  std::vector<char> long_names_;
  size_t count_ = 0;
};

/// Collects names and builds the table. The order of add() does not matter.
class NameTableBuilder {
 public:
  /// Room for `count` more names of `bytes` altogether, so that big lists do not double their buffers on the
  /// way.
  void reserve(size_t count, size_t bytes);
  /// `name` is 1 to 255 bytes; `element` is added to its set. False when the table is full (4 GiB of names).
  [[nodiscard]] bool add(std::string_view name, uint32_t element);
  [[nodiscard]] size_t size() const { return entries_.size(); }

  /// Consumes what was added.
  [[nodiscard]] NameTable build(const NameHash& hash, SetPool& sets);

 private:
  struct Entry {
    uint32_t name;
    uint32_t element;
  };
  [[nodiscard]] bool fill(NameTable& table, const NameHash& hash, SetPool& sets) const;
  [[nodiscard]] std::string_view name_at(uint32_t offset) const {
    return {names_.data() + offset + 1, static_cast<uint8_t>(names_[offset])};
  }

  std::vector<char> names_;  // length byte, then the name
  std::vector<Entry> entries_;
  size_t bucket_bytes_ = 0;  // what they take in buckets, at most
};

}  // namespace sluice::rules
