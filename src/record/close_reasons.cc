#include "base/check.h"
#include "record/connection_record.h"

namespace sluice::record {
namespace {

struct Row {
  const char* name;
  Side side;
  const char* text;
};

constexpr Row rows[] = {
#define SLUICE_CLOSE(name, side, text) {#name, Side::side, text},
#include "record/close_reasons.def"
#undef SLUICE_CLOSE
};
static_assert(std::size(rows) == close_reason_count);

const Row& row_of(CloseReason reason) {
  const auto index = static_cast<size_t>(reason);
  SLUICE_CHECK(index < std::size(rows));
  return rows[index];
}

}  // namespace

const char* to_string(CloseReason reason) { return row_of(reason).name; }
Side side_of(CloseReason reason) { return row_of(reason).side; }
const char* text_of(CloseReason reason) { return row_of(reason).text; }

}  // namespace sluice::record
