// NameTable: name -> set of groups, for up to hundreds of millions of names, built once and never changed.
//
// One byte of fingerprint per place, in groups of eight, apart from the places themselves: a miss touches one
// cache line of an array that is small enough to stay near the CPU (1.4 MB for a million names). A hit is
// compared with the stored name, so the answer is exact. Immutable after build(), shared by all threads.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "rules/name_hash.h"
#include "rules/set_pool.h"
#include "rules/uint128.h"

namespace sluice::rules {

class NameTable {
 public:
  static constexpr size_t name_bytes_max = 255;  // the length is kept in one byte

  NameTable() = default;

  /// The set stored for `name`, whose hash is `hash`; the empty set when there is none.
  [[nodiscard]] SetId find(uint64_t hash, std::string_view name) const {
    const uint64_t wanted = repeat(fingerprint_of(hash));
    for (size_t group = group_of(hash);; group = group + 1 == fingerprints_.size() ? 0 : group + 1) {
      const uint64_t fingerprints = fingerprints_[group];
      for (uint64_t hits = zero_bytes(fingerprints ^ wanted); hits != 0; hits &= hits - 1) {
        const Place& place = places_[group].of[static_cast<size_t>(__builtin_ctzll(hits)) / 8];
        if (name_at(place.name) == name) return place.set;
      }
      if (zero_bytes(fingerprints) != 0) return set_empty;
    }
  }
  /// Asks the CPU to fetch what find(hash, …) will look at first.
  void prefetch(uint64_t hash) const {
    const size_t group = group_of(hash);
    __builtin_prefetch(&fingerprints_[group]);
    __builtin_prefetch(
        &places_[group]);  // needed only for a hit, but then it would be the second miss in a row
  }

  [[nodiscard]] bool empty() const { return count_ == 0; }
  [[nodiscard]] size_t size() const { return count_; }  // different names
  [[nodiscard]] size_t memory_bytes() const;

 private:
  friend class NameTableBuilder;
  struct Place {
    uint32_t name = 0;  // offset of the length byte in names_
    SetId set = set_empty;
  };
  struct alignas(64) Group {  // one cache line
    std::array<Place, 8> of;
  };

  [[nodiscard]] std::string_view name_at(uint32_t offset) const {
    return {names_.data() + offset + 1, static_cast<uint8_t>(names_[offset])};
  }
  [[nodiscard]] size_t group_of(uint64_t hash) const {
    return static_cast<size_t>((static_cast<uint128>(hash) * fingerprints_.size()) >> 64);
  }
  // 0 marks an empty place.
  static uint8_t fingerprint_of(uint64_t hash) {
    const auto low = static_cast<uint8_t>(hash);
    return low == 0 ? 0xff : low;
  }
  static uint64_t repeat(uint8_t byte) { return 0x0101010101010101u * byte; }
  // The high bit of every byte that is zero (exact for each byte: no borrow runs between them).
  static uint64_t zero_bytes(uint64_t word) {
    constexpr uint64_t low_bits = 0x7f7f7f7f7f7f7f7fu;
    return ~(((word & low_bits) + low_bits) | word | low_bits);
  }

  // Byte i of fingerprints_[g] belongs to places_[g].of[i]. At most three quarters are in use, so every
  // search ends.
  std::vector<uint64_t> fingerprints_ = {0};
  std::vector<Group> places_ = std::vector<Group>(1);
  std::vector<char> names_;  // length byte, then the name; NameHash::padding_bytes in front
  size_t count_ = 0;
};

/// Collects names and builds the table. The order of add() does not matter.
class NameTableBuilder {
 public:
  NameTableBuilder() : names_(NameHash::padding_bytes) {}

  /// Room for `count` more names of `bytes` altogether, so that big lists do not double their buffers on the
  /// way.
  void reserve(size_t count, size_t bytes);
  /// `name` is 1 to 255 bytes; `element` is added to its set. False when the table is full (4 GiB of names).
  [[nodiscard]] bool add(std::string_view name, uint32_t element);
  [[nodiscard]] size_t size() const { return entries_.size(); }

  enum class Hashing : uint8_t { host, text };
  /// Consumes what was added.
  [[nodiscard]] NameTable build(const NameHash& hash, Hashing hashing, SetPool& sets);

 private:
  struct Entry {
    uint32_t name;
    uint32_t element;
  };
  std::vector<char> names_;
  std::vector<Entry> entries_;
};

}  // namespace sluice::rules
