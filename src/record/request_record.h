// The access record of one HTTP request (S35), inside a bumped connection or in plain HTTP: plain values,
// filled by flow, formatted by record/format.
//
// Views point into the session and its policy; a record lives only for the call that formats it. All records
// of requests come before that of their connection.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/ip.h"

namespace sluice::record {

/// Empty strings and empty optionals are absent: they are left out of the line. Keys: SPEC section 6, "Log
/// keys".
struct RequestRecord {
  int64_t time_us = 0;  // when its head had been read: microseconds since 1970-01-01 UTC
  uint64_t id = 0;      // that of its connection
  Endpoint client;
  std::string_view method;         // as it came; a peer's bytes: escape them
  std::string_view url;            // absolute, as the rules saw it; a peer's bytes: escape them
  std::optional<uint16_t> status;  // of the response that the client got; absent: it got none
  std::string_view mime;           // the response's Content-Type without its parameters; a peer's bytes
  uint64_t bytes_up = 0;           // of the request's body, as far as it was read from the client
  uint64_t bytes_down = 0;         // of the response's body, as far as it was sent to the client
  std::string_view action;         // "allow", "block" or "redirect"
  std::string_view bypass_rule;    // the rule's name
  std::string_view access_rule;    // the rule's name; "default" when access.default applied
  std::string_view protection_rule;
  std::string_view scan;    // what the scanners said, or why there was no scan
  std::string_view threat;  // the name of what they found; a scanner's bytes: escape them
  uint64_t total_us = 0;    // from the request's head to the response's last byte; key ms.total
};

}  // namespace sluice::record
