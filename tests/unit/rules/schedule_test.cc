#include "rules/schedule.h"

#include <doctest/doctest.h>

using sluice::rules::LocalTime;
using sluice::rules::Schedule;

namespace {
bool contains(const char* text, const LocalTime& now) {
  std::string error;
  const auto schedule = Schedule::parse(text, error);
  REQUIRE_MESSAGE(schedule, error);
  return schedule->contains(now);
}
constexpr LocalTime at(int weekday, int hour, int minute) {
  return {2026, 11, 15 + weekday, weekday, hour * 60 + minute};
}
}  // namespace

TEST_CASE("S19: schedules: weekdays, hours, hours over midnight, until") {
  CHECK(contains("Mon-Fri 08:00-18:00", at(1, 8, 0)));
  CHECK(contains("Mon-Fri 08:00-18:00", at(5, 17, 59)));
  CHECK(!contains("Mon-Fri 08:00-18:00", at(5, 18, 0)));
  CHECK(!contains("Mon-Fri 08:00-18:00", at(6, 9, 0)));
  CHECK(contains("sat,SUN", at(7, 0, 0)));
  CHECK(contains("Saturday", at(6, 23, 59)));
  CHECK(!contains("Sat,Sun", at(5, 23, 59)));
  CHECK(contains("Sat-Mon", at(1, 1, 0)));
  CHECK(!contains("Sat-Mon", at(2, 1, 0)));
  CHECK(contains("22:00-06:00", at(3, 22, 0)));
  CHECK(contains("22:00-06:00", at(3, 5, 59)));
  CHECK(!contains("22:00-06:00", at(3, 6, 0)));
  CHECK(!contains("22:00-06:00", at(3, 21, 59)));
  CHECK(contains("00:00-24:00", at(3, 23, 59)));
}

TEST_CASE("hours over midnight belong to the day on which they began") {
  CHECK(contains("Fri 22:00-06:00", at(5, 23, 0)));
  CHECK(contains("Fri 22:00-06:00", at(6, 5, 0)));
  CHECK(!contains("Fri 22:00-06:00", at(5, 5, 0)));
  CHECK(contains("Sun 22:00-06:00", at(1, 5, 0)));
  CHECK(!contains("Sun 22:00-06:00", at(1, 22, 0)));
}

TEST_CASE("until is the last day, whole") {
  CHECK(contains("until 2026-12-31", {2026, 12, 31, 4, 1439}));
  CHECK(!contains("until 2026-12-31", {2027, 1, 1, 5, 0}));
  CHECK(contains("Mon-Fri 08:00-18:00 until 2026-12-31", {2026, 12, 31, 4, 600}));
  CHECK(contains("until 2028-02-29", {2028, 2, 29, 2, 0}));
}

TEST_CASE("what is not a schedule is refused with what is allowed") {
  for (const char* bad : {"",
                          "  ",
                          "Foo",
                          "Mon-",
                          "-Fri",
                          "Mon,",
                          "08:00",
                          "8:00-18:00",
                          "08:00-25:00",
                          "08:60-09:00",
                          "24:00-06:00",
                          "08:00-24:01",
                          "10:00-10:00",
                          "until",
                          "until tomorrow",
                          "until 2026-13-01",
                          "until 2026-02-29",
                          "08:00-18:00 Mon",
                          "Mon Tue",
                          "08:00-09:00 10:00-11:00",
                          "until 2026-12-31 Mon",
                          "Mon until"}) {
    CAPTURE(bad);
    std::string error;
    CHECK(!Schedule::parse(bad, error));
    CHECK(!error.empty());
  }
}
