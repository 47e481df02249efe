#include "io/socket.h"

#include <doctest/doctest.h>
#include <sys/resource.h>

namespace sluice::io {

TEST_CASE("is_own_address: loopback is ours; what lies elsewhere or nowhere is not") {
  CHECK(is_own_address(*IpAddress::parse("127.0.0.1")));
  for (const char* elsewhere : {"192.0.2.1", "2001:db8::1"}) CHECK_FALSE(is_own_address(*IpAddress::parse(elsewhere)));
}

TEST_CASE("is_own_address at the limit of descriptors: what cannot be found out counts as ours") {
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit none{0, before.rlim_max};
  REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
  const bool v4 = is_own_address(*IpAddress::parse("192.0.2.1"));
  const bool v6 = is_own_address(*IpAddress::parse("2001:db8::1"));
  REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(v4);
  CHECK(v6);
}

}  // namespace sluice::io
