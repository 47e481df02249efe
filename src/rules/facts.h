// What an event knows of a connection: the input of every verdict.
//
// Plain values and views; the caller owns what the views point to for the duration of the call.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/ip.h"

namespace sluice::rules {

/// not_yet: a later event will know it, so a condition over it is unknown. never: it cannot become known in
/// this mode (no event will bring it), so neither the condition nor its negation matches.
enum class Known : uint8_t { not_yet, never, yes };

enum class Mode : uint8_t { transparent, explicit_proxy };

/// Local wall-clock time, for schedules. An argument, because this room reads no clock.
struct LocalTime {
  int year = 1970;
  int month = 1;    // 1..12
  int day = 1;      // 1..31
  int weekday = 4;  // 1 = Monday … 7 = Sunday (ISO 8601)
  int minute = 0;   // of the day, 0..1439
};

struct Facts {
  Mode mode = Mode::transparent;
  LocalTime now;

  // connect event: always known
  IpAddress client;
  std::string_view
      interface;         // the LAN interface's name; empty when the kernel did not tell: then never known
  Endpoint destination;  // the original destination

  // known at connect in explicit mode, at hello in transparent mode.
  Known host_known = Known::not_yet;
  std::string_view host;  // the SNI; else the CONNECT name; else empty (then only address patterns can match)

  // known at hello; never, when the bytes turned out not to be TLS
  Known hello_known = Known::not_yet;
  bool sni_present = false;
  bool ech_present = false;
  std::span<const std::string> alpn;
  std::span<const uint16_t> tls_versions;  // offered, e.g. 0x0304, 0x0303
  std::string_view ja4;
};

}  // namespace sluice::rules
