#include "rules/prefix_table.h"

#include "base/give_back.h"

namespace sluice::rules {
namespace {

using Key6 = PrefixTable::Key6;

struct Open {
  Key6 last;  // the network's last address
  SetId set;  // its groups and those of the networks around it
};

// Networks nest or are disjoint, so that walking them in order needs only a stack of those that are still
// open.
template <class Ranges, class Entries>
void cut_into_ranges(const Entries& entries, unsigned key_bits, Ranges& ranges, SetPool& sets) {
  using Key = typename Ranges::key_type;
  const Key6 top = key_bits == 128 ? ~Key6{0} : (Key6{1} << key_bits) - 1;
  std::vector<Open> open;
  const auto close_before = [&](Key6 start) {
    while (!open.empty() && open.back().last < start) {
      const Key6 last = open.back().last;
      open.pop_back();
      if (last != top) ranges.append(static_cast<Key>(last + 1), open.empty() ? set_empty : open.back().set);
    }
  };
  for (const auto& entry : entries) {
    const Key6 start = PrefixTable::key_of(entry.network.network) & top;
    const unsigned host_bits = 128u - entry.network.prefix_bits;
    const Key6 last = host_bits == 128 ? top : start | ((Key6{1} << host_bits) - 1);
    close_before(start);
    const SetId set = sets.with(open.empty() ? set_empty : open.back().set, entry.group);
    open.push_back({last, set});
    ranges.append(static_cast<Key>(start), set);
  }
  while (!open.empty()) {
    const Key6 last = open.back().last;
    open.pop_back();
    if (last != top) ranges.append(static_cast<Key>(last + 1), open.empty() ? set_empty : open.back().set);
  }
}

}  // namespace

PrefixTable PrefixTableBuilder::build(SetPool& sets) {
  std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) {
    return a.network < b.network;
  });  // by start, the larger network first
  const auto is_v4 = [](const Entry& entry) {
    return entry.network.prefix_bits >= 96 && entry.network.network.is_v4();
  };
  std::vector<Entry> v4;
  std::vector<Entry> v6;
  for (const Entry& entry : entries_) (is_v4(entry) ? v4 : v6).push_back(entry);
  give_back(entries_);
  PrefixTable table;
  cut_into_ranges(v4, 32, table.v4_, sets);
  cut_into_ranges(v6, 128, table.v6_, sets);
  table.v4_.seal();
  table.v6_.seal();
  return table;
}

}  // namespace sluice::rules
