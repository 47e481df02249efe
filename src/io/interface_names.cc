#include "io/interface_names.h"

#include <net/if.h>

#include <algorithm>

namespace sluice::io {
namespace {
constexpr uint64_t remembered_us = 1'000'000;
constexpr size_t entries_max = 256;
}  // namespace

std::string_view InterfaceNames::name(uint32_t index, uint64_t now_us) {
  if (index == 0) return {};
  auto found = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) { return entry.index == index; });
  if (found != entries_.end() && now_us - found->read_us < remembered_us) return found->name;
  if (found == entries_.end()) {
    if (entries_.size() >= entries_max) entries_.clear();
    entries_.push_back({index, 0, {}});
    found = entries_.end() - 1;
  }
  char text[IF_NAMESIZE] = "";
  found->name = if_indextoname(index, text) != nullptr ? text : "";
  found->read_us = now_us;
  return found->name;
}

}  // namespace sluice::io
