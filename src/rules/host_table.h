// HostTable: a host name -> the groups of patterns that it matches, over all patterns of all rules at once
// (S20).
//
// Cost: one hash pass over the name and one probe per label, with the probes' cache misses overlapping;
// independent of how many patterns there are. Immutable after build, shared by all threads.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
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
    const bool cut = host.size() > host_bytes;
    if (cut) host = host.substr(host.size() - host_bytes);

    std::array<char, NameHash::padding_bytes + host_bytes> copy;
    std::memset(copy.data(), 0, NameHash::padding_bytes);
    char* const name = copy.data() + NameHash::padding_bytes;
    for (size_t i = 0; i < host.size(); ++i) name[i] = to_lower(host[i]);

    constexpr size_t batch = 8;  // labels; nearly every name has fewer
    std::array<uint64_t, batch> hashes;
    std::array<uint32_t, batch> starts;
    NameHash::State state = hash_.begin();
    size_t end = host.size();
    for (bool more = true; more;) {
      size_t count = 0;
      while (more && count < batch) {
        size_t start = end;
        while (start > 0 && name[start - 1] != '.') --start;
        if (start == 0 && cut) {
          more = false;  // a part of a label: no pattern can begin here
          break;
        }
        state.label({name + start, end - start});
        hashes[count] = state.finish();
        starts[count] = static_cast<uint32_t>(start);
        names_.prefetch(hashes[count]);
        ++count;
        more = start > 0;
        end = start - 1;
      }
      // Not for the last label: "com" is hardly ever in a list, and the CPU can fetch only so many lines at a
      // time.
      for (size_t i = count > 1 ? 1 : 0; i < count; ++i) names_.prefetch_names(hashes[i]);
      for (size_t i = 0; i < count; ++i) {
        const SetId set = names_.find(hashes[i], {name + starts[i], host.size() - starts[i]});
        if (set == set_empty) continue;
        const uint32_t wanted = starts[i] == 0 ? matches_apex : matches_below;
        for (const uint32_t element : sets.of(set))
          if ((element & wanted) != 0) sink(element >> 2);
      }
    }
  }

  [[nodiscard]] size_t size() const { return names_.size(); }
  [[nodiscard]] size_t memory_bytes() const { return names_.memory_bytes(); }

 private:
  static constexpr uint32_t matches_apex = 1;
  static constexpr uint32_t matches_below = 2;
  static constexpr size_t host_bytes = 254;  // one more than a name can have, so that "longer" is seen
  static char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

  NameTable names_;
  NameHash hash_;
};

}  // namespace sluice::rules
