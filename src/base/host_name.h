// Names of hosts in their one canonical form. Pure; nothing is kept.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/ip.h"

namespace sluice {

/// Writes `text` as a DNS name: lower case, U-labels to A-labels (IDNA2008 with UTS 46 mapping), without a
/// trailing dot. Labels are 1 to 63 bytes of letters, digits, '-' and '_', the whole at most 253. False with
/// `error` set otherwise.
[[nodiscard]] bool normalize_host(std::string_view text, std::string& name, std::string& error);

/// A host whose last label is a number is an IPv4 address or nothing at all (WHATWG URL section 3.5), in any
/// of the notations that resolvers and browsers take: fewer than four parts, hexadecimal, octal.
struct NumericHost {
  enum class Kind : uint8_t {
    not_numeric,  // a name, perhaps
    address,
    ambiguous,  // an address, but one whose leading zeros some read as octal (010 is 8) and others not
    invalid
  };
  Kind kind = Kind::not_numeric;
  IpAddress address;  // with `address`, and with `ambiguous` as WHATWG reads it
};
[[nodiscard]] NumericHost read_numeric_host(std::string_view text);

}  // namespace sluice
