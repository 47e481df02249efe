// The counters of one worker: plain numbers without locks.
//
// A Counters belongs to the worker's thread, which is the only one that writes it. Another thread may read it
// only after it has joined that thread, or a copy that the worker made. Sums over workers are made with +=.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "record/connection_record.h"

namespace sluice::record {

struct Counters {
#define SLUICE_COUNTER(name, unit, text) uint64_t name = 0;
#include "record/counters.def"
#undef SLUICE_COUNTER
  std::array<uint64_t, close_reason_count> closed{};  // by CloseReason

  void count_close(CloseReason reason) { ++closed[static_cast<size_t>(reason)]; }
  Counters& operator+=(const Counters& other);
  bool operator==(const Counters&) const = default;
};

/// Calls `visit(name, unit, text, value)` for every counter, in the order of the tables. For a close reason
/// the name is "closed_<reason>". The views live only for the call.
template <class Visit>
void for_each(const Counters& counters, Visit&& visit) {
#define SLUICE_COUNTER(name, unit, text) \
  visit(std::string_view(#name), std::string_view(#unit), std::string_view(text), counters.name);
#include "record/counters.def"
#undef SLUICE_COUNTER
#define SLUICE_CLOSE(name, side, text)                                                              \
  visit(std::string_view("closed_" #name), std::string_view("connections"), std::string_view(text), \
        counters.closed[static_cast<size_t>(CloseReason::name)]);
#include "record/close_reasons.def"
#undef SLUICE_CLOSE
}

}  // namespace sluice::record
