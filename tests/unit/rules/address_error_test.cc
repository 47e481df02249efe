#include "rules/address_error.h"

#include <doctest/doctest.h>

#include "base/ip.h"

using sluice::rules::address_error;
using sluice::rules::address_hint;
using sluice::rules::looks_like_address;

namespace {
bool says(const char* text, const char* part) {
  CHECK(!sluice::Cidr::parse(text));
  const std::string error = address_error(text);
  CAPTURE(text);
  CAPTURE(error);
  const bool found = error.starts_with("'" + std::string(text) + "'") && error.find(part) != std::string::npos;
  CHECK(found);
  return found;
}
}  // namespace

TEST_CASE("what was meant as an address, and what is a name") {
  for (const char* text : {"192.168.1.*", "192.168.*", "10.*", "10.0.*", "*.1.2", "192.168.1.x", "10.0.0.1-9", "10.0.0.256", "1.2.3",
                           "[2001:db8::1]", "10.0.0.0/33", "00:11:22:aa:bb:cc", "0011.22aa.bbcc", "10.0.0.1,10.0.0.2"})
    CHECK_MESSAGE(looks_like_address(text), text);
  for (const char* text : {"eth1", "wg*", "eth1.10", "eth0.10.20", "br-lan", "*", "en*", "3gpp0", "1e100.net", "2.4ghz", "a.b.c.d"})
    CHECK_MESSAGE(!looks_like_address(text), text);
}

TEST_CASE("wildcards are told the network") {
  says("192.168.1.*", "is not an address; a network is written \"192.168.1.0/24\"");
  says("192.168.*", "\"192.168.0.0/16\"");
  says("192.168.*.*", "\"192.168.0.0/16\"");
  says("10.*", "\"10.0.0.0/8\"");
  says("192.168.1.x", "\"192.168.1.0/24\"");
  says("192.168.1", "\"192.168.1.0/24\"");
  says("192.168.1.", "\"192.168.1.0/24\"");
  CHECK(!address_hint("10.*.1.2"));
  CHECK(!address_hint("300.*"));
  CHECK(!address_hint("*"));
  CHECK(!address_hint("1.2.3.4.5"));
}

TEST_CASE("ranges are told the networks that they are") {
  says("10.0.0.1-10.0.0.9", "ranges are written as networks: \"10.0.0.1\", \"10.0.0.2/31\", \"10.0.0.4/30\", \"10.0.0.8/31\"");
  says("10.0.0.0 - 10.0.0.255", ": \"10.0.0.0/24\"");
  says("10.0.0.1-3", ": \"10.0.0.1\", \"10.0.0.2/31\"");
  says("0.0.0.0-255.255.255.255", ": \"0.0.0.0/0\"");
  says("255.255.255.254-255.255.255.255", ": \"255.255.255.254/31\"");
  says("10.0.0.9-10.0.0.1", "is a range, and ranges are written as networks: \"192.0.2.0/24\"");
  says("0.0.0.1-255.255.255.254", "is a range, and ranges are written as networks: \"192.0.2.0/24\"");
  says("2001:db8::1-2001:db8::9", "is a range");
}

TEST_CASE("prefix lengths and masks") {
  says("10.0.0.0/33", "is not an address: behind the / stands the prefix length, from 0 to 32");
  says("2001:db8::/129", "from 0 to 128");
  says("10.0.0.0/", "from 0 to 32");
  says("10.0.0.0/255.0.0.0", "write \"10.0.0.0/8\"");
  says("10.1.2.3/255.255.0.0", "write \"10.1.0.0/16\"");
  says("10.1.2.0/0.0.0.255", "write \"10.1.2.0/24\"");
  says("10.0.0.0/255.0.255.0", "from 0 to 32");
}

TEST_CASE("what stands around an address") {
  says("[2001:db8::1]", "it has no brackets; write \"2001:db8::1\"");
  says("[2001:db8::]/32", "write \"2001:db8::/32\"");
  says("[2001:db8::1]:443", "has a port; write the address alone, \"2001:db8::1\"");
  says("10.0.0.1:443", "has a port; write the address alone, \"10.0.0.1\"");
  says("fe80::1%eth0", "write \"fe80::1\"");
  says("10.0.0.1 ", "has a space around the address; write \"10.0.0.1\"");
  says("10.0.0.1, 10.0.0.2", "are several in one string; write a list, [\"10.0.0.1\", \"…\"]");
  says("192.168.001.010", "zeros in front; write \"192.168.1.10\"");
  says("00:11:22:aa:bb:cc", "is a MAC address");
  says("00-11-22-aa-bb-cc", "is a MAC address");
  says("0011.22aa.bbcc", "is a MAC address");
  says("nonsense", "allowed are \"192.0.2.7\"");
  says("", "allowed are");
}
