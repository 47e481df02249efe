#include "base/ip.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>

#include <random>

using sluice::Cidr;
using sluice::Endpoint;
using sluice::IpAddress;

TEST_CASE("an address is read strictly and written canonically") {
  CHECK(IpAddress::parse("192.0.2.1")->to_string() == "192.0.2.1");
  CHECK(IpAddress::parse("2001:DB8:0::1")->to_string() == "2001:db8::1");
  CHECK(IpAddress::parse("::ffff:192.0.2.1")->is_v4());
  for (const char* bad : {"", "192.0.2", "192.0.2.256", "192.0.2.01", "0x7f.1", "1.2.3.4 ", "[::1]", "fe80::1%eth0", "::1::"})
    CHECK_MESSAGE(!IpAddress::parse(bad), bad);
  CHECK(!IpAddress::parse(std::string_view("1.2.3.4\0", 8)));
}

TEST_CASE("an endpoint needs brackets for IPv6 and only for IPv6") {
  CHECK(Endpoint::parse("192.0.2.1:443")->to_string() == "192.0.2.1:443");
  CHECK(Endpoint::parse("[2001:db8::1]:443")->to_string() == "[2001:db8::1]:443");
  for (const char* bad : {"192.0.2.1", "2001:db8::1:443", "[192.0.2.1]:443", "192.0.2.1:65536", "192.0.2.1:", "192.0.2.1:0443"})
    CHECK_MESSAGE(!Endpoint::parse(bad), bad);
}

TEST_CASE("a network contains its addresses, at the first and the last bit") {
  const Cidr net = *Cidr::parse("192.0.2.128/25");
  CHECK(net.contains(*IpAddress::parse("192.0.2.128")));
  CHECK(net.contains(*IpAddress::parse("192.0.2.255")));
  CHECK(!net.contains(*IpAddress::parse("192.0.2.127")));
  CHECK(!net.contains(*IpAddress::parse("192.0.3.128")));
  CHECK(Cidr::parse("0.0.0.0/0")->contains(*IpAddress::parse("203.0.113.9")));
  CHECK(!Cidr::parse("0.0.0.0/0")->contains(*IpAddress::parse("2001:db8::1")));
  CHECK(Cidr::parse("2001:db8::/33")->contains(*IpAddress::parse("2001:db8:7fff::1")));
  CHECK(!Cidr::parse("2001:db8::/33")->contains(*IpAddress::parse("2001:db8:8000::1")));
  std::optional<Cidr> meant;
  CHECK(!Cidr::parse("192.0.2.1/24", &meant));
  REQUIRE(meant);
  CHECK(meant->to_string() == "192.0.2.0/24");
  CHECK(!Cidr::parse("2001:db8:ffff::1/33", &meant));
  REQUIRE(meant);
  CHECK(meant->to_string() == "2001:db8:8000::/33");
  CHECK(!Cidr::parse("192.0.2.0/33", &meant));
  CHECK(!meant);
  CHECK(Cidr::parse("192.0.2.0/24")->to_string() == "192.0.2.0/24");
}

TEST_CASE("IPv6 addresses are written as inet_ntop writes them") {
  std::mt19937 random(5952);
  for (int round = 0; round < 20000; ++round) {
    IpAddress address;
    for (size_t group = 0; group < 8; ++group) {  // many zero groups, some with leading zeros
      const auto value = static_cast<unsigned>(random() % 3 == 0 ? 0 : random() & (0xffffu >> (random() % 4 * 4)));
      address.bytes[2 * group] = static_cast<uint8_t>(value >> 8);
      address.bytes[2 * group + 1] = static_cast<uint8_t>(value);
    }
    char expected[INET6_ADDRSTRLEN];
    inet_ntop(AF_INET6, address.bytes.data(), expected, sizeof expected);
    if (std::string_view(expected).find('.') != std::string_view::npos) continue;  // the deprecated ::192.0.2.1
    CHECK(address.to_string() == expected);
  }
  for (const char* text : {"::", "::1", "1::", "2001:db8::1", "2001:db8:0:1:1:1:1:1", "1:0:0:2::",
                           "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "0.0.0.0", "255.255.255.255"})
    CHECK(IpAddress::parse(text)->to_string() == text);
}
