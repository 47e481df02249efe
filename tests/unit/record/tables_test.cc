#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include "record/connection_record.h"
#include "record/counters.h"

using sluice::record::CloseReason;
using sluice::record::Counters;

namespace {

std::string read_docs() {
  std::ifstream file("docs/logs.md");
  REQUIRE_MESSAGE(file, "run the unit tests from the top of the tree");
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

TEST_CASE("every close reason names who and says why") {
  std::set<std::string> names;
  for (size_t i = 0; i < sluice::record::close_reason_count; ++i) {
    const auto reason = static_cast<CloseReason>(i);
    CHECK(names.insert(to_string(reason)).second);
    CHECK(std::string(text_of(reason)).ends_with("."));
  }
  CHECK(std::string(to_string(CloseReason::finished)) == "finished");
  CHECK(side_of(CloseReason::hello_timeout) == sluice::Side::client);
  CHECK(side_of(CloseReason::origin_refused) == sluice::Side::origin);
  CHECK(side_of(CloseReason::gateway_error) == sluice::Side::gateway);
}

TEST_CASE("S14, S35: what ends a bumped connection is blamed on the side whose doing it is") {
  for (const auto reason : {CloseReason::client_rejected_certificate, CloseReason::client_tls_failed,
                            CloseReason::client_handshake_timeout, CloseReason::client_truncated,
                            CloseReason::request_refused, CloseReason::misdirected, CloseReason::non_http})
    CHECK_MESSAGE(side_of(reason) == sluice::Side::client, to_string(reason));
  for (const auto reason :
       {CloseReason::origin_tls_failed, CloseReason::origin_handshake_timeout, CloseReason::origin_truncated,
        CloseReason::origin_cert_invalid, CloseReason::client_cert_required, CloseReason::response_refused})
    CHECK_MESSAGE(side_of(reason) == sluice::Side::origin, to_string(reason));
}

TEST_CASE("counters add up, each to itself") {
  Counters one;
  one.connections_accepted = 3;
  one.bytes_down = 1ull << 40;
  one.count_close(CloseReason::finished);
  one.count_close(CloseReason::gateway_error);
  Counters sum = one;
  sum += one;
  Counters expected;
  expected.connections_accepted = 6;
  expected.bytes_down = 2ull << 40;
  expected.closed[static_cast<size_t>(CloseReason::finished)] = 2;
  expected.closed[static_cast<size_t>(CloseReason::gateway_error)] = 2;
  CHECK(sum == expected);

  std::set<std::string> names;
  uint64_t seen = 0;
  for_each(sum, [&](std::string_view name, std::string_view unit, std::string_view text, uint64_t value) {
    CHECK(names.insert(std::string(name)).second);
    CHECK(!unit.empty());
    CHECK(text.ends_with('.'));
    if (name == "connections_accepted" || name == "bytes_down" || name == "closed_finished" ||
        name == "closed_gateway_error")
      ++seen;
    else
      CHECK_MESSAGE(value == 0, name);
  });
  CHECK(seen == 4);
  CHECK(names.size() * sizeof(uint64_t) == sizeof(Counters));
}

// The rows of docs/logs.md are those of the tables, word for word: whoever adds a row is told what is
// missing.
TEST_CASE("docs/logs.md has every key, close reason and counter, as the tables say") {
  const std::string docs = read_docs();
  std::string expected_keys;
#define SLUICE_LOG_KEY(name, always, text) \
  expected_keys += std::string("| `") + name + "` | " + (always ? "always" : "") + " | " + text + " |\n";
#include "record/log_keys.def"
#undef SLUICE_LOG_KEY
  CHECK_MESSAGE(docs.find(expected_keys) != std::string::npos, expected_keys);

  std::string expected_request_keys;
#define SLUICE_LOG_KEY(name, always, text) \
  expected_request_keys +=                 \
      std::string("| `") + name + "` | " + (always ? "always" : "") + " | " + text + " |\n";
#include "record/request_keys.def"
#undef SLUICE_LOG_KEY
  CHECK_MESSAGE(docs.find(expected_request_keys) != std::string::npos, expected_request_keys);

  std::string expected_reasons;
#define SLUICE_CLOSE(name, side, text) expected_reasons += "| `" #name "` | " #side " | " text " |\n";
#include "record/close_reasons.def"
#undef SLUICE_CLOSE
  CHECK_MESSAGE(docs.find(expected_reasons) != std::string::npos, expected_reasons);

  std::string expected_counters;
#define SLUICE_COUNTER(name, unit, text) expected_counters += "| `" #name "` | " #unit " | " text " |\n";
#include "record/counters.def"
#undef SLUICE_COUNTER
  CHECK_MESSAGE(docs.find(expected_counters) != std::string::npos, expected_counters);
}
