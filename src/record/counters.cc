#include "record/counters.h"

namespace sluice::record {

Counters& Counters::operator+=(const Counters& other) {
#define SLUICE_COUNTER(name, unit, text) name += other.name;
#include "record/counters.def"
#undef SLUICE_COUNTER
  for (size_t i = 0; i < closed.size(); ++i) closed[i] += other.closed[i];
  return *this;
}

}  // namespace sluice::record
