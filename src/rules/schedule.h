// Schedules: "Mon-Fri 08:00-18:00", "22:00-06:00", "Sat,Sun", "until 2026-12-31", or several of these parts
// together.
//
// Pure: the time is an argument. The text is parsed once, at load.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "rules/facts.h"

namespace sluice::rules {

struct Schedule {
  uint8_t weekdays = 0x7f;  // bit 0 = Monday … bit 6 = Sunday
  int from_minute = 0;      // of the day, inclusive
  int to_minute =
      24 * 60;         // exclusive; from > to runs over midnight and belongs to the day on which it began
  int until = no_end;  // yyyymmdd, inclusive
  static constexpr int no_end = 99991231;

  [[nodiscard]] bool contains(const LocalTime& now) const;

  /// On failure `error` says what is wrong and what is allowed.
  [[nodiscard]] static std::optional<Schedule> parse(std::string_view text, std::string& error);
  bool operator==(const Schedule&) const = default;
};

}  // namespace sluice::rules
