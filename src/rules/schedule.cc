#include "rules/schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/lower_case.h"

namespace sluice::rules {
namespace {

constexpr std::array<std::string_view, 7> day_names = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
constexpr std::array<std::string_view, 7> day_names_long = {"monday", "tuesday",  "wednesday", "thursday",
                                                            "friday", "saturday", "sunday"};
constexpr std::string_view allowed =
    "allowed are weekdays (\"Mon-Fri\", \"Sat,Sun\"), hours (\"08:00-18:00\", \"22:00-06:00\") and an end "
    "(\"until 2026-12-31\"), in this order, each at most once";

std::optional<int> digits(std::string_view text, size_t count) {
  int value = 0;
  if (text.size() != count) return std::nullopt;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  return value;
}

std::optional<unsigned> day_of(std::string_view text) {
  const std::string name = lower_case(text);
  for (unsigned i = 0; i < 7; ++i)
    if (name == day_names[i] || name == day_names_long[i]) return i;
  return std::nullopt;
}

// "Mon-Fri,Sun"; a range may run over the end of the week ("Sat-Mon").
std::optional<uint8_t> weekdays_of(std::string_view text) {
  unsigned days = 0;
  while (true) {
    const size_t comma = text.find(',');
    const std::string_view part = text.substr(0, comma);
    const size_t dash = part.find('-');
    const auto first = day_of(part.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : day_of(part.substr(dash + 1));
    if (!first || !last) return std::nullopt;
    for (unsigned day = *first;; day = (day + 1) % 7) {
      days |= 1u << day;
      if (day == *last) break;
    }
    if (comma == std::string_view::npos) return static_cast<uint8_t>(days);
    text.remove_prefix(comma + 1);
  }
}

// "HH:MM", up to 24:00.
std::optional<int> minute_of(std::string_view text) {
  if (text.size() != 5 || text[2] != ':') return std::nullopt;
  const auto hour = digits(text.substr(0, 2), 2);
  const auto minute = digits(text.substr(3), 2);
  if (!hour || !minute || *minute > 59 || *hour * 60 + *minute > 24 * 60) return std::nullopt;
  return *hour * 60 + *minute;
}

// "YYYY-MM-DD", a day that exists.
std::optional<int> date_of(std::string_view text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return std::nullopt;
  const auto year = digits(text.substr(0, 4), 4);
  const auto month = digits(text.substr(5, 2), 2);
  const auto day = digits(text.substr(8), 2);
  if (!year || !month || !day || *month < 1 || *month > 12) return std::nullopt;
  const bool leap = (*year % 4 == 0 && *year % 100 != 0) || *year % 400 == 0;
  const std::array<int, 12> days = {31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (*day < 1 || *day > days[static_cast<size_t>(*month - 1)]) return std::nullopt;
  return *year * 10000 + *month * 100 + *day;
}

std::string_view next_word(std::string_view& text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  const size_t end = std::min(text.find(' '), text.size());
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(end);
  return word;
}

}  // namespace

bool Schedule::contains(const LocalTime& now) const {
  const auto is_day = [&](int weekday) { return (weekdays >> (weekday - 1) & 1) != 0; };
  const int today = now.year * 10000 + now.month * 100 + now.day;
  if (today > until) return false;
  if (from_minute < to_minute)
    return is_day(now.weekday) && now.minute >= from_minute && now.minute < to_minute;
  if (now.minute >= from_minute) return is_day(now.weekday);
  return now.minute < to_minute && is_day(now.weekday == 1 ? 7 : now.weekday - 1);
}

std::optional<Schedule> Schedule::parse(std::string_view text, std::string& error) {
  Schedule schedule;
  enum { start, after_days, after_hours, after_end } seen = start;
  std::string_view rest = text;
  for (std::string_view word = next_word(rest); !word.empty(); word = next_word(rest)) {
    if (seen < after_end && lower_case(word) == "until") {
      const std::string_view date = next_word(rest);
      const auto end = date_of(date);
      if (!end) {
        error = fmt::format("'{}' is not a date: write the last day as \"until 2026-12-31\"", date);
        return std::nullopt;
      }
      schedule.until = *end;
      seen = after_end;
    } else if (word.find(':') != std::string_view::npos && seen < after_hours) {
      const size_t dash = word.find('-');
      const int from = minute_of(word.substr(0, dash)).value_or(-1);
      const int to = dash == std::string_view::npos ? -1 : minute_of(word.substr(dash + 1)).value_or(-1);
      if (from < 0 || to < 0 || from == 24 * 60) {
        error = fmt::format("'{}' are not hours: write \"08:00-18:00\", or \"22:00-06:00\" across midnight",
                            word);
        return std::nullopt;
      }
      if (from == to) {
        error = fmt::format("'{}' begins and ends at the same minute; leave the hours out for the whole day",
                            word);
        return std::nullopt;
      }
      schedule.from_minute = from;
      schedule.to_minute = to;
      seen = after_hours;
    } else if (const auto days = seen == start ? weekdays_of(word) : std::nullopt; days) {
      schedule.weekdays = *days;
      seen = after_days;
    } else {
      error = fmt::format("'{}' is not understood here; {}", word, allowed);
      return std::nullopt;
    }
  }
  if (seen == start) {
    error = fmt::format("a schedule cannot be empty; {}", allowed);
    return std::nullopt;
  }
  return schedule;
}

}  // namespace sluice::rules
