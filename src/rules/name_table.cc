#include "rules/name_table.h"

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "base/give_back.h"

namespace sluice::rules {

size_t NameTable::memory_bytes() const {
  return fingerprints_.capacity() * sizeof(uint64_t) + buckets_.capacity() * sizeof(Bucket) +
         long_names_.capacity();
}

void NameTable::write(char* entry, std::string_view name, SetId set) {
  std::memcpy(entry, &set, sizeof set);
  if (name.size() <= inline_bytes_max) {
    entry[4] = static_cast<char>(name.size());
    std::memcpy(entry + head_bytes, name.data(), name.size());
    return;
  }
  if (long_names_.empty()) long_names_.resize(8);  // which may be read in front of a name
  const auto offset =
      static_cast<uint32_t>(long_names_.size());  // fewer bytes than the builder's names, which fit
  entry[4] = 0;
  std::memcpy(entry + head_bytes, &offset, sizeof offset);
  entry[head_bytes + 4] = static_cast<char>(name.size());
  long_names_.insert(long_names_.end(), name.begin(), name.end());
}

bool NameTable::insert(uint64_t hash, std::string_view name, uint32_t element, SetPool& sets) {
  const uint8_t fingerprint = fingerprint_of(hash);
  size_t group = group_of(hash);
  for (size_t tried = 0; tried < fingerprints_.size(); ++tried, group = next(group)) {
    uint64_t& fingerprints = fingerprints_[group];
    Bucket& bucket = buckets_[group];
    for (uint64_t hits = zero_bytes(fingerprints ^ repeat(fingerprint)); hits != 0; hits &= hits - 1) {
      char* const entry = bucket.data() + (entry_at(bucket, first_byte(hits)) - bucket.data());
      if (name_of(entry) != name) continue;
      const SetId set = sets.with(set_of(entry), element);
      std::memcpy(entry, &set, sizeof set);
      return true;
    }
    const uint64_t free = zero_bytes(fingerprints);
    if (free == 0) continue;
    const size_t index = first_byte(free);
    const char* const last = index == 0 ? nullptr : entry_at(bucket, index - 1);
    const size_t used =
        index == 0 ? directory_bytes : static_cast<size_t>(last - bucket.data()) + entry_bytes(last);
    if (used + entry_bytes(name) <= sizeof(Bucket)) {
      bucket[index] = static_cast<char>(used);
      write(bucket.data() + used, name, sets.with(set_empty, element));
      fingerprints |= uint64_t{fingerprint} << (8 * index);
      ++count_;
      return true;
    }
    fingerprints |= (free >> 7) * closed;  // so that a search goes on to the next group
  }
  return false;
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
  bucket_bytes_ += NameTable::entry_bytes(name);
  return true;
}

NameTable NameTableBuilder::build(const NameHash& hash, SetPool& sets) {
  // Five of eight places, and six tenths of the bytes, in use: then 965 of 1,000 names lie in their own
  // group, which is the one that is fetched ahead, and 846 of them in its first two lines. One group more, so
  // that one is never closed. Names of unlucky lengths can need more room: then again, with more.
  size_t groups =
      std::max(entries_.size() / 5,
               bucket_bytes_ * 10 / 6 / (sizeof(NameTable::Bucket) - NameTable::directory_bytes)) +
      2;
  for (;; groups += groups / 4 + 1) {
    NameTable table;
    table.fingerprints_.assign(groups, 0);
    table.buckets_.assign(groups, {});
    if (!fill(table, hash, sets)) continue;
    table.long_names_.shrink_to_fit();
    give_back(entries_);
    give_back(names_);
    return table;
  }
}

bool NameTableBuilder::fill(NameTable& table, const NameHash& hash, SetPool& sets) const {
  // In batches, so that the cache misses of one batch overlap.
  constexpr size_t batch = 16;
  std::array<uint64_t, batch> hashes{};
  for (size_t first = 0; first < entries_.size(); first += batch) {
    const size_t count = std::min(batch, entries_.size() - first);
    for (size_t i = 0; i < count; ++i) {
      const std::string_view name = name_at(entries_[first + i].name);
      hashes[i] = hash.of(name);
      table.prefetch(table.place_of(hashes[i]));
      table.prefetch_names(table.place_of(hashes[i]));
    }
    for (size_t i = 0; i < count; ++i)
      if (!table.insert(hashes[i], name_at(entries_[first + i].name), entries_[first + i].element, sets))
        return false;
  }
  // A search for what is not there must meet a free place.
  return std::any_of(table.fingerprints_.begin(), table.fingerprints_.end(),
                     [](uint64_t fingerprints) { return NameTable::zero_bytes(fingerprints) != 0; });
}

}  // namespace sluice::rules
