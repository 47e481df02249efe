#include "rules/name_table.h"

#include <algorithm>
#include <array>
#include <limits>

#include "base/check.h"

namespace sluice::rules {

size_t NameTable::memory_bytes() const {
  return fingerprints_.capacity() * sizeof(uint64_t) + places_.capacity() * sizeof(Group) + names_.capacity();
}

void NameTableBuilder::reserve(size_t count, size_t bytes) {
  // The first list gets what it needs; later ones grow by half at least, so that many lists do not copy again
  // and again.
  const auto grow = [](auto& vector, size_t more) {
    const size_t needed = vector.size() + more;
    if (needed > vector.capacity())
      vector.reserve(std::max(needed, vector.size() < more ? needed : vector.capacity() * 3 / 2));
  };
  grow(entries_, count);
  grow(names_, bytes);
}

bool NameTableBuilder::add(std::string_view name, uint32_t element) {
  SLUICE_CHECK(!name.empty() && name.size() <= NameTable::name_bytes_max);
  if (names_.size() + 1 + name.size() > std::numeric_limits<uint32_t>::max()) return false;
  entries_.push_back({static_cast<uint32_t>(names_.size()), element});
  names_.push_back(static_cast<char>(name.size()));
  names_.insert(names_.end(), name.begin(), name.end());
  return true;
}

NameTable NameTableBuilder::build(const NameHash& hash, Hashing hashing, SetPool& sets) {
  NameTable table;
  table.names_ = std::move(names_);
  const size_t groups = entries_.size() / 6 + 1;  // six of eight places in use
  table.fingerprints_.assign(groups, 0);
  table.places_.assign(groups, {});

  const auto insert = [&](uint64_t hashed, const Entry& entry) {
    const std::string_view name = table.name_at(entry.name);
    const uint8_t fingerprint = NameTable::fingerprint_of(hashed);
    for (size_t group = table.group_of(hashed);; group = group + 1 == groups ? 0 : group + 1) {
      const uint64_t fingerprints = table.fingerprints_[group];
      for (uint64_t hits = NameTable::zero_bytes(fingerprints ^ NameTable::repeat(fingerprint)); hits != 0;
           hits &= hits - 1) {
        auto& place = table.places_[group].of[static_cast<size_t>(__builtin_ctzll(hits)) / 8];
        if (table.name_at(place.name) != name) continue;
        place.set = sets.with(place.set, entry.element);
        return;
      }
      if (const uint64_t free = NameTable::zero_bytes(fingerprints); free != 0) {
        const auto index = static_cast<size_t>(__builtin_ctzll(free)) / 8;
        table.fingerprints_[group] |= uint64_t{fingerprint} << (8 * index);
        table.places_[group].of[index] = {entry.name, sets.with(set_empty, entry.element)};
        ++table.count_;
        return;
      }
    }
  };

  // In batches, so that the cache misses of one batch overlap.
  constexpr size_t batch = 32;
  std::array<uint64_t, batch> hashes{};
  for (size_t first = 0; first < entries_.size(); first += batch) {
    const size_t count = std::min(batch, entries_.size() - first);
    for (size_t i = 0; i < count; ++i) {
      const std::string_view name = table.name_at(entries_[first + i].name);
      hashes[i] = hashing == Hashing::host ? hash.of_host(name) : hash.of_text(name);
      table.prefetch(hashes[i]);
    }
    for (size_t i = 0; i < count; ++i) insert(hashes[i], entries_[first + i]);
  }
  entries_ = {};
  return table;
}

}  // namespace sluice::rules
