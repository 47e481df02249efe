#include "config/past.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>

#include "rules/policy.h"
#include "rules/schedule.h"

namespace sluice::config {
namespace {

// The last day of all schedules in `schedule = ["…", "…"]`, as a condition is kept for people; nullopt when it is not all there: a
// list file, or more than is kept.
std::optional<int> last_day(std::string_view text) {
  if (text.find_first_of("@\\") != std::string_view::npos || text.ends_with("…")) return std::nullopt;
  std::optional<int> last;
  for (size_t open = text.find('"'); open != std::string_view::npos; open = text.find('"', open)) {
    const size_t close = text.find('"', open + 1);
    if (close == std::string_view::npos) return std::nullopt;
    std::string error;
    const auto schedule = rules::Schedule::parse(text.substr(open + 1, close - open - 1), error);
    if (!schedule) return std::nullopt;
    last = std::max(last.value_or(0), schedule->until);
    open = close + 1;
  }
  return last;
}

}  // namespace

void advise_of_past(const Config& config, int today, std::vector<Problem>& problems) {
  const rules::Policy& policy = *config.policy;
  for (const auto table : {policy.bypass_rules(), policy.access_rules(), policy.protection_rules(), policy.tls_rules()})
    for (const rules::Rule& rule : table)
      for (const rules::Condition& condition : policy.conditions_of(rule.row)) {
        const auto last = condition.slot == rules::Slot::schedule ? last_day(condition.text) : std::nullopt;
        if (last && *last < today)
          problems.push_back({Severity::warning, config.file, condition.position.line, condition.position.column,
                              fmt::format("rule \"{}\" matches no more: its schedule ended on {:04}-{:02}-{:02}", rule.name,
                                          *last / 10000, *last / 100 % 100, *last % 100)});
      }
}

}  // namespace sluice::config
