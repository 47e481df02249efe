// The compiled host table against a matcher that anyone can read.
#include "rules/host_table.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace {

using namespace sluice::rules;
using Kind = HostPattern::Kind;

struct Pattern {
  uint32_t group;
  Kind kind;
  std::string name;
};

std::set<uint32_t> naive(const std::vector<Pattern>& patterns, std::string host) {
  std::transform(host.begin(), host.end(), host.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (host.ends_with('.')) host.pop_back();
  std::set<uint32_t> groups;
  for (const Pattern& pattern : patterns) {
    const bool apex = host == pattern.name;
    const bool below = host.size() > pattern.name.size() && host.ends_with("." + pattern.name);
    if ((apex && pattern.kind != Kind::below) || (below && pattern.kind != Kind::exact))
      groups.insert(pattern.group);
  }
  return groups;
}

struct Built {
  SetPool sets;
  HostTable table;
  explicit Built(const std::vector<Pattern>& patterns, uint64_t seed = 1) {
    NameTableBuilder builder;
    for (const Pattern& pattern : patterns)
      REQUIRE(builder.add(pattern.name, HostTable::element(pattern.group, pattern.kind)));
    const NameHash hash(seed);
    table = HostTable(builder.build(hash, sets), hash);
  }
  std::set<uint32_t> find(std::string_view host) const {
    std::set<uint32_t> groups;
    table.find(host, sets, [&](uint32_t group) { groups.insert(group); });
    return groups;
  }
};

}  // namespace

TEST_CASE("S20: random patterns and hosts: the table answers as the naive matcher does") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  // Few labels, so that names share suffixes and patterns meet; lengths around the seven bytes of a hash
  // word.
  const std::vector<std::string> labels = {"a",
                                           "b",
                                           "com",
                                           "example",
                                           "exampl",
                                           "examplex",
                                           "twelve-bytes",
                                           "fourteen-bytes",
                                           "x1",
                                           "x2",
                                           std::string(63, 'l')};
  const auto name = [&] {
    std::string text = labels[below(labels.size())];
    for (size_t more = below(5); more > 0 && text.size() < 180; --more)
      text += "." + labels[below(labels.size())];
    return text;
  };
  for (int round = 0; round < 60; ++round) {
    std::vector<Pattern> patterns(below(300));
    for (Pattern& pattern : patterns)
      pattern = {static_cast<uint32_t>(below(20)), static_cast<Kind>(below(3)), name()};
    const Built built(patterns, random());
    for (int i = 0; i < 300; ++i) {
      std::string host = name();
      if (!patterns.empty() && below(2) == 0) host = patterns[below(patterns.size())].name;
      if (below(3) == 0) host = labels[below(labels.size())] + "." + host;
      if (below(4) == 0) host += ".";
      if (below(4) == 0) host[below(host.size())] = 'X';
      CAPTURE(host);
      CHECK(built.find(host) == naive(patterns, host));
    }
  }
}

TEST_CASE("names at the limits: one byte, 253 bytes, 127 labels") {
  std::string deep = "z";
  while (deep.size() < 253) deep = "a." + deep;
  const std::string wide = std::string(63, 'a') + "." + std::string(63, 'b') + "." + std::string(63, 'c') +
                           "." + std::string(61, 'd');
  REQUIRE(deep.size() == 253);
  REQUIRE(wide.size() == 253);
  const Built built({{1, Kind::exact, "z"},
                     {2, Kind::both, "z"},
                     {3, Kind::exact, deep},
                     {4, Kind::below, wide},
                     {5, Kind::both, wide}});
  CHECK(built.find("z") == std::set<uint32_t>{1, 2});
  CHECK(built.find(deep) == std::set<uint32_t>{2, 3});
  CHECK(built.find(wide) == std::set<uint32_t>{5});
}

TEST_CASE("a host longer than any DNS name still meets the patterns of the domain above it") {
  const Built built({{1, Kind::both, "ads.example"}});
  for (const size_t length : {240u, 241u, 242u, 243u, 254u, 255u, 256u, 1000u, 65000u}) {
    CAPTURE(length);
    CHECK(built.find(std::string(length, 'a') + ".ads.example") == std::set<uint32_t>{1});
    CHECK(built.find(std::string(length, '.') + ".ads.example") == std::set<uint32_t>{1});
    CHECK(built.find(std::string(length, 'a') + "ads.example").empty());
  }
  // The cut must not make a name out of the rest of a label.
  const std::string name(243, 'b');
  const Built whole({{1, Kind::exact, name}});
  CHECK(whole.find(std::string(300, 'b')).empty());
}

TEST_CASE("odd hosts match nothing and end") {
  const Built built({{1, Kind::both, "example.com"}});
  for (const char* host :
       {"", ".", "..", "...", ".com", "com.", "example.com..", "\xff\xfe", "exam ple.com"}) {
    CAPTURE(host);
    CHECK(built.find(host).empty());
  }
  CHECK(built.find("..example.com") == std::set<uint32_t>{1});
  CHECK(built.find(std::string_view("a\0.example.com", 14)) == std::set<uint32_t>{1});
  CHECK(Built({}).find("example.com").empty());
}

TEST_CASE("the same name in many groups, and many names in one group") {
  std::vector<Pattern> patterns;
  for (uint32_t group = 0; group < 500; ++group) patterns.push_back({group, Kind::both, "shared.example"});
  for (uint32_t i = 0; i < 20000; ++i)
    patterns.push_back({7, Kind::exact, "n" + std::to_string(i) + ".example"});
  const Built built(patterns);
  CHECK(built.find("shared.example").size() == 500);
  CHECK(built.table.size() == 20001);
  for (uint32_t i = 0; i < 20000; ++i)
    CHECK(built.find("n" + std::to_string(i) + ".example") == std::set<uint32_t>{7});
  CHECK(built.find("n20000.example").empty());
}

TEST_CASE("names of every length, inline and long, and a table full of one length") {
  for (const size_t length : {1u, 4u, 58u, 59u, 60u, 63u}) {
    std::vector<Pattern> patterns;
    for (uint32_t i = 0; i < 3000; ++i) {
      std::string name = std::to_string(i);
      while (name.size() < length) name += 'x';
      patterns.push_back({i % 7, Kind::exact, name + ".t"});
    }
    const Built built(patterns);
    CAPTURE(length);
    for (const Pattern& pattern : patterns)
      CHECK(built.find(pattern.name) == std::set<uint32_t>{pattern.group});
    CHECK(built.find("none.t").empty());
  }
  std::vector<Pattern> patterns;
  for (uint32_t i = 0; i < 2000; ++i) {  // 62 to 68 bytes: both sides of what fits into a bucket
    patterns.push_back(
        {i % 7, Kind::both, std::to_string(i) + "." + std::string(50 + i % 7, 'y') + ".exampl"});
    patterns.push_back({i % 7, Kind::exact,
                        std::to_string(i) + "." + std::string(60, 'y') + "." + std::string(60, 'z') + "." +
                            std::string(60, 'z')});
  }
  const Built built(patterns);
  for (const Pattern& pattern : patterns)
    CHECK(built.find(pattern.name) == std::set<uint32_t>{pattern.group});
  CHECK(built.table.size() == patterns.size());
}
