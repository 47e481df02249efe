// Interface names by index, remembered for a second, so that a renamed or re-created interface is soon seen as what it is.
// One per worker.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::io {

class InterfaceNames {
 public:
  /// "" when there is no such interface. The view holds until the next call.
  [[nodiscard]] std::string_view name(uint32_t index, uint64_t now_us);

 private:
  struct Entry {
    uint32_t index = 0;
    uint64_t read_us = 0;
    std::string name;
  };
  std::vector<Entry> entries_;  // a router has a handful
};

}  // namespace sluice::io
