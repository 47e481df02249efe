#include "config/past.h"

#include <doctest/doctest.h>

#include "unit/config/loading.h"

namespace {

using namespace sluice;

std::string past(const std::string& schedule, int today) {
  const auto config = testing::config_of("[[access.rules]]\nname = \"it\"\nwhen = { schedule = " + schedule + " }\n",
                                         {{"s.txt", "Mon until 2020-01-01\n"}});
  std::vector<config::Problem> problems;
  config::advise_of_past(*config, today, problems);
  std::string text;
  for (const auto& problem : problems) text += problem.to_string() + "\n";
  return text;
}

}  // namespace

TEST_CASE("a rule whose schedules are all over is told; one that still holds, or that cannot be told, is not") {
  const std::string one = "\"Mon-Fri 08:00-18:00 until 2026-03-31\"";
  CHECK(past(one, 20260331).empty());
  CHECK(past(one, 20260401) ==
        "/etc/sluice/rules.toml:3:10: warning: rule \"it\" matches no more: its schedule ended on 2026-03-31\n");
  CHECK(past("[" + one + ", \"until 2026-05-01\"]", 20260501).empty());
  CHECK(past("[" + one + ", \"until 2026-05-01\"]", 20260502).find("ended on 2026-05-01") != std::string::npos);
  CHECK(past("[" + one + ", \"Sat\"]", 20991231).empty());
  CHECK(past("[" + one + ", \"@lists/s.txt\"]", 20991231).empty());
  CHECK(past("\"@lists/s.txt\"", 20991231).empty());
  CHECK(past("\"22:00-06:00\"", 20991231).empty());
}
