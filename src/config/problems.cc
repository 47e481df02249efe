#include "config/problems.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

namespace sluice::config {

std::string Problem::to_string() const {
  const char* kind = severity == Severity::error ? "error" : "warning";
  if (line == 0) return fmt::format("{}: {}: {}", file, kind, message);
  return fmt::format("{}:{}:{}: {}: {}", file, line, column, kind, message);
}

std::vector<Problem> Problems::take() {
  std::stable_sort(problems_.begin(), problems_.end(), [&](const Problem& a, const Problem& b) {
    const bool a_list = a.file != file_;
    const bool b_list = b.file != file_;
    if (a_list || b_list) return a_list < b_list;  // lists behind, in the order in which they were read
    return std::tie(a.line, a.column) < std::tie(b.line, b.column);
  });
  return std::move(problems_);
}

}  // namespace sluice::config
