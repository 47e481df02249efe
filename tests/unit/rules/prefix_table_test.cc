#include "rules/prefix_table.h"

#include <doctest/doctest.h>

#include <random>
#include <set>

namespace {

using namespace sluice;
using rules::PrefixTable;
using rules::PrefixTableBuilder;
using rules::SetPool;

struct Built {
  SetPool sets;
  PrefixTable table;
  explicit Built(const std::vector<std::pair<Cidr, uint32_t>>& networks) {
    PrefixTableBuilder builder;
    for (const auto& [network, group] : networks) builder.add(network, group);
    table = builder.build(sets);
  }
  std::set<uint32_t> find(const IpAddress& address) const {
    std::set<uint32_t> groups;
    table.find(address, sets, [&](uint32_t group) { groups.insert(group); });
    return groups;
  }
  std::set<uint32_t> find(const char* address) const { return find(*IpAddress::parse(address)); }
};

using Groups = std::set<uint32_t>;

}  // namespace

TEST_CASE("networks that nest, touch and repeat, at their first and last addresses") {
  const Built built({{*Cidr::parse("10.0.0.0/8"), 1},
                     {*Cidr::parse("10.1.0.0/16"), 2},
                     {*Cidr::parse("10.1.0.0/16"), 3},
                     {*Cidr::parse("10.1.255.255"), 4},
                     {*Cidr::parse("11.0.0.0/8"), 5},
                     {*Cidr::parse("255.255.255.255"), 6},
                     {*Cidr::parse("2001:db8::/32"), 7}});
  CHECK(built.find("9.255.255.255") == Groups{});
  CHECK(built.find("10.0.0.0") == Groups{1});
  CHECK(built.find("10.1.0.0") == Groups{1, 2, 3});
  CHECK(built.find("10.1.255.255") == Groups{1, 2, 3, 4});
  CHECK(built.find("10.2.0.0") == Groups{1});
  CHECK(built.find("10.255.255.255") == Groups{1});
  CHECK(built.find("11.0.0.0") == Groups{5});
  CHECK(built.find("12.0.0.0") == Groups{});
  CHECK(built.find("255.255.255.255") == Groups{6});
  CHECK(built.find("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff") == Groups{7});
  CHECK(built.find("2001:db9::") == Groups{});
}

TEST_CASE("every address of one family is not an address of the other") {
  const Built built({{*Cidr::parse("0.0.0.0/0"), 4}, {*Cidr::parse("::/0"), 6}});
  CHECK(built.find("0.0.0.0") == Groups{4});
  CHECK(built.find("255.255.255.255") == Groups{4});
  CHECK(built.find("::") == Groups{6});
  CHECK(built.find("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff") == Groups{6});
}

TEST_CASE("random networks: the table answers as a loop over all networks does") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 40; ++round) {
    std::vector<std::pair<Cidr, uint32_t>> networks;
    const auto address = [&] {  // few different bytes, so that networks nest
      IpAddress result;
      for (auto& byte : result.bytes) byte = static_cast<uint8_t>(random() % 3 * 85);
      return random() % 2 == 0
                 ? result
                 : IpAddress::v4({result.bytes[0], result.bytes[1], result.bytes[2], result.bytes[3]});
    };
    for (size_t i = random() % 400; i > 0; --i) {
      const IpAddress base = address();
      const unsigned least = base.is_v4() ? 96 : 0;
      const auto bits = static_cast<uint8_t>(least + random() % (129 - least));
      Cidr network{base, bits};
      for (unsigned bit = bits; bit < 128; ++bit)
        network.network.bytes[bit / 8] &= static_cast<uint8_t>(~(0x80u >> bit % 8));
      networks.emplace_back(network, static_cast<uint32_t>(random() % 10));
    }
    const Built built(networks);
    for (int i = 0; i < 300; ++i) {
      IpAddress wanted = address();
      if (!networks.empty() && i % 2 == 0) wanted = networks[random() % networks.size()].first.network;
      if (i % 5 == 0) wanted.bytes[15] ^= 1;
      Groups expected;
      for (const auto& [network, group] : networks)
        if (network.contains(wanted) &&
            wanted.is_v4() == (network.network.is_v4() && network.prefix_bits >= 96))
          expected.insert(group);
      CAPTURE(wanted.to_string());
      CHECK(built.find(wanted) == expected);
    }
  }
}
