#include "base/embedded_v4.h"

#include <doctest/doctest.h>

namespace sluice {
namespace {

std::string behind(const char* text) {
  const auto v4 = behind_nat64(*IpAddress::parse(text));
  return v4 ? v4->to_string() : "";
}

std::string compatible(const char* text) {
  const auto v4 = in_compatible_form(*IpAddress::parse(text));
  return v4 ? v4->to_string() : "";
}

}  // namespace

TEST_CASE("RFC 6052 section 2.1: the well-known prefix, all 96 bits of it") {
  CHECK(behind("64:ff9b::192.0.2.33") == "192.0.2.33");
  CHECK(behind("64:ff9b::7f00:1") == "127.0.0.1");
  CHECK(behind("64:ff9b::") == "0.0.0.0");
  for (const char* other : {"64:ff9b:1::192.0.2.33", "64:ff9b::1:0:0", "64:ff9a::1", "::192.0.2.33", "192.0.2.33", "::ffff:192.0.2.33", "2001:db8::1"})
    CHECK_MESSAGE(behind(other).empty(), other);
}

TEST_CASE("RFC 4291 section 2.5.5.1: the IPv4-compatible form, which is not the mapped one") {
  CHECK(compatible("::127.0.0.1") == "127.0.0.1");
  CHECK(compatible("::") == "0.0.0.0");
  CHECK(compatible("::1") == "0.0.0.1");
  for (const char* other : {"::ffff:127.0.0.1", "127.0.0.1", "::1:127.0.0.1", "64:ff9b::1"}) CHECK_MESSAGE(compatible(other).empty(), other);
}

}  // namespace sluice
