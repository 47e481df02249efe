#include "rules/regex_set.h"

#include <doctest/doctest.h>

#include <set>
#include <string>
#include <vector>

namespace {

using namespace sluice;

std::set<uint32_t> found(const rules::RegexSet& regexes, const rules::SetPool& sets, const std::string& text) {
  std::vector<int> scratch;
  std::set<uint32_t> groups;
  regexes.find(text, scratch, [&](rules::SetId set) {
    for (const uint32_t group : sets.of(set)) groups.insert(group);
  });
  return groups;
}

}  // namespace

TEST_CASE("regular expressions: unanchored, several at once, equal ones of several rules") {
  rules::SetPool sets;
  rules::RegexSet regexes;
  regexes.add("curl|wget", false, 1);
  regexes.add("^Mozilla", false, 2);
  regexes.add("bot", true, 3);
  regexes.add("curl|wget", false, 4);
  regexes.build(sets);
  CHECK(regexes.size() == 3);
  CHECK(found(regexes, sets, "x curl/8") == std::set<uint32_t>{1, 4});
  CHECK(found(regexes, sets, "Mozilla/5.0 GoogleBOT") == std::set<uint32_t>{2, 3});
  CHECK(found(regexes, sets, "x Mozilla").empty());
  CHECK(found(regexes, sets, "CURL").empty());
  CHECK(found(regexes, sets, "").empty());
}

TEST_CASE("no byte slips past a dot, and letters that are not ASCII match themselves") {
  rules::SetPool sets;
  rules::RegexSet regexes;
  regexes.add("^a.b$", false, 1);
  regexes.add("b\xc3\xbc" "cher", false, 2);
  regexes.build(sets);
  CHECK(found(regexes, sets, "a\nb") == std::set<uint32_t>{1});
  CHECK(found(regexes, sets, "a\xff" "b") == std::set<uint32_t>{1});
  CHECK(found(regexes, sets, std::string("a\0b", 3)) == std::set<uint32_t>{1});
  CHECK(found(regexes, sets, "x b\xc3\xbc" "cher") == std::set<uint32_t>{2});
}

TEST_CASE("globs as regular expressions") {
  rules::SetPool sets;
  rules::RegexSet regexes;
  regexes.add(rules::regex_of_glob("s?t*(1).EXE"), true, 1);
  regexes.build(sets);
  CHECK(found(regexes, sets, "setup (1).exe") == std::set<uint32_t>{1});
  CHECK(found(regexes, sets, "setup (1).exe.txt").empty());
  CHECK(found(regexes, sets, "xsetup (1).exe").empty());
}

TEST_CASE("hundreds of expressions give the same answers as each alone") {
  rules::SetPool sets;
  rules::RegexSet regexes;
  for (uint32_t i = 0; i < 400; ++i) regexes.add("/x" + std::to_string(i) + "/.*[a-f]{3,40}.*\\.(exe|dll)$", false, i);
  regexes.build(sets);
  for (const uint32_t i : {0u, 1u, 10u, 399u})
    CHECK(found(regexes, sets, "http://a.example/x" + std::to_string(i) + "/q/zzabcabczz.dll") == std::set<uint32_t>{i});
  CHECK(found(regexes, sets, "http://a.example/x1/q/zz.dll").empty());
}
