// HostTable: a host name -> the groups of patterns that it matches, over all patterns of all rules at once
// (S20).
//
// Cost: one hash pass over the name and one probe per label, with the probes' cache misses overlapping;
// independent of how many patterns there are. Immutable after build, shared by all threads.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "rules/host_pattern.h"
#include "rules/name_table.h"

namespace sluice::rules {

class HostTable {
 public:
  HostTable() : hash_(0) {}
  HostTable(NameTable names, const NameHash& hash) : names_(std::move(names)), hash_(hash) {}

  /// A table element: a group, and which names under the pattern's apex it matches.
  [[nodiscard]] static constexpr uint32_t element(uint32_t group, HostPattern::Kind kind) {
    switch (kind) {
      case HostPattern::Kind::exact:
        return group << 2 | matches_apex;
      case HostPattern::Kind::below:
        return group << 2 | matches_below;
      case HostPattern::Kind::both:
        return group << 2 | matches_apex | matches_below;
    }
    return 0;
  }
  static constexpr uint32_t groups_max = (1u << 30) - 1;

  /// Calls sink(group) for every group with a pattern that matches `host`; a group may come more than once.
  /// Letter case and one trailing dot do not matter. Of a name longer than any DNS name only the last 254
  /// bytes are read, so patterns for the domain above it still match.
  template <class Sink>
  void find(std::string_view host, const SetPool& sets, Sink&& sink) const {
    if (names_.empty() || host.empty()) return;
    if (host.back() == '.') host.remove_suffix(1);
    if (host.empty()) return;
    const bool cut = host.size() > HostHashes::host_bytes_max;
    if (cut) host = host.substr(host.size() - HostHashes::host_bytes_max);

    const HostHashes name(hash_, host);
    struct Probe {
      NameTable::Place place;
      size_t start;
    };
    std::array<Probe, HostHashes::host_bytes_max + 1> probes;
    size_t count = 0;
    name.each([&](size_t start, uint64_t hash) {
      if (start == 0 && cut) return;  // a part of a label: no pattern can begin here
      probes[count] = {names_.place_of(hash), start};
      names_.prefetch(probes[count].place);
      // Not for the last label: "com" is hardly ever in a list, and the CPU can fetch only so many lines at a
      // time.
      if (count > 0) names_.prefetch_names(probes[count].place);
      ++count;
    });
    // Without a branch for each: what fingerprints say is random, and the CPU would guess wrong and wait for
    // them.
    size_t left = 0;
    for (size_t i = 0; i < count; ++i) {
      const Probe probe = probes[i];
      probes[left] = probe;
      left += names_.may_have(probe.place) ? size_t{1} : size_t{0};
    }
    count = left;
    for (size_t i = 0; i < count; ++i) names_.prefetch_last_names(probes[i].place);
    for (size_t i = 0; i < count; ++i) {
      const SetId set = names_.find(probes[i].place, name.from(probes[i].start));
      if (set == set_empty) continue;
      const uint32_t wanted = probes[i].start == 0 ? matches_apex : matches_below;
      for (const uint32_t element : sets.of(set))
        if ((element & wanted) != 0) sink(element >> 2);
    }
  }

  [[nodiscard]] size_t size() const { return names_.size(); }
  [[nodiscard]] size_t memory_bytes() const { return names_.memory_bytes(); }

 private:
  static constexpr uint32_t matches_apex = 1;
  static constexpr uint32_t matches_below = 2;

  NameTable names_;
  NameHash hash_;
};

}  // namespace sluice::rules
