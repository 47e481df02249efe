// SetPool: interned sets of small integers. Tables store a set's id instead of the set, so a million names
// that belong to the same list share one set.
//
// Built once, immutable afterwards and shared by all threads. Id 0 is the empty set.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <span>
#include <unordered_map>
#include <vector>

namespace sluice::rules {

using SetId = uint32_t;
inline constexpr SetId set_empty = 0;

class SetPool {
 public:
  /// The id of `set` with `element` added. The elements of a set ascend.
  [[nodiscard]] SetId with(SetId set, uint32_t element) {
    if (set == set_empty && element < singles_max) return single(element);
    const uint64_t step = (uint64_t{set} << 32) | element;
    if (auto known = steps_.find(step); known != steps_.end()) return known->second;
    std::vector<uint32_t> elements(of(set).begin(), of(set).end());
    const auto place = std::lower_bound(elements.begin(), elements.end(), element);
    if (place != elements.end() && *place == element) return set;
    elements.insert(place, element);
    const SetId id = intern(std::move(elements));
    steps_.emplace(step, id);
    return id;
  }

  [[nodiscard]] std::span<const uint32_t> of(SetId set) const {
    return std::span(elements_).subspan(starts_[set], starts_[set + 1] - starts_[set]);
  }

  /// Forgets what only building needs.
  void seal() {
    steps_.clear();
    ids_.clear();
    std::vector<SetId>().swap(singles_);
  }

 private:
  SetId intern(std::vector<uint32_t> elements) {
    auto [place, added] = ids_.try_emplace(elements, static_cast<SetId>(starts_.size() - 1));
    if (added) {
      elements_.insert(elements_.end(), elements.begin(), elements.end());
      starts_.push_back(static_cast<uint32_t>(elements_.size()));
    }
    return place->second;
  }

  // A million hosts with pages of their own make a million sets of one element, which need no search.
  SetId single(uint32_t element) {
    if (element >= singles_.size()) singles_.resize(element + 1, set_empty);
    SetId& id = singles_[element];
    if (id == set_empty) {
      id = static_cast<SetId>(starts_.size() - 1);
      elements_.push_back(element);
      starts_.push_back(static_cast<uint32_t>(elements_.size()));
    }
    return id;
  }

  static constexpr uint32_t singles_max = 1u << 24;  // while building, 64 MiB at most
  std::vector<uint32_t> elements_;
  std::vector<uint32_t> starts_ = {0, 0};  // set i is elements_[starts_[i] .. starts_[i + 1])
  std::vector<SetId> singles_;                   // by element below singles_max; set_empty: not yet
  std::map<std::vector<uint32_t>, SetId> ids_ = {{{}, set_empty}};
  std::unordered_map<uint64_t, SetId> steps_;
};

}  // namespace sluice::rules
