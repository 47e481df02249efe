// URL patterns (S19, S29): what they are, and which URLs each matches.
#include "rules/url_pattern.h"

#include <doctest/doctest.h>

#include <set>
#include <string>
#include <vector>

#include "rules/url_table.h"

namespace {

using namespace sluice;
using rules::UrlPattern;

std::string refusal_of(const std::string& text) {
  std::string error;
  return UrlPattern::parse(text, error) ? "" : error;
}

bool matches(const std::string& pattern, const std::string& url) {
  rules::SetPool sets;
  rules::UrlTableBuilder builder;
  std::string error;
  const auto parsed = UrlPattern::parse(pattern, error);
  REQUIRE_MESSAGE(parsed, error);
  REQUIRE(builder.add(*parsed, 7));
  const rules::NameHash hash(3);
  const rules::UrlTable table = builder.build(hash, sets);
  rules::UrlParts parts;
  REQUIRE(rules::UrlParts::split(url, parts));
  bool found = false;
  table.find(parts, hash, sets, [&](rules::SetId groups) {
    CHECK(sets.of(groups).size() == 1);
    CHECK(sets.of(groups).front() == 7);
    found = true;
  });
  return found;
}

}  // namespace

TEST_CASE("S29: a URL that is not canonical is refused, naming its canonical form") {
  for (const char* good :
       {"example.com", ".example.com", "*.example.com", "*", "192.0.2.1", "[2001:db8::1]", "example.com:8080",
        "http://example.com", "https://*.example.com:8443/a/*", "example.com/", "example.com/a?b=c", "*/ads/*",
        "[2001:db8::1]:81/x", "xn--bcher-kva.example/%C3%BC"}) {
    CAPTURE(good);
    CHECK(refusal_of(good) == "");
  }
  const auto suggests = [](const char* bad, const char* good) {
    CAPTURE(bad);
    CHECK(refusal_of(bad).find("write \"" + std::string(good) + "\"") != std::string::npos);
  };
  suggests("EXAMPLE.com/x", "example.com/x");
  suggests("HTTP://example.com/x", "http://example.com/x");
  suggests("example.com/a//b", "example.com/a/b");
  suggests("example.com/a/./b/../c", "example.com/a/c");
  suggests("example.com/%61", "example.com/a");
  suggests("example.com/a#frag", "example.com/a");
  suggests("example.com./a", "example.com/a");
  suggests("b\xc3\xbc\x63her.example/", "xn--bcher-kva.example/");
  suggests("0x7f.1/", "127.0.0.1/");
  CHECK(refusal_of("") != "");
  CHECK(refusal_of("/path") != "");
  CHECK(refusal_of("http://") != "");
  CHECK(refusal_of("a@example.com") != "");
  CHECK(refusal_of("example.com:0") != "");
  CHECK(refusal_of("example.com:65536") != "");
  CHECK(refusal_of("2001:db8::1/x") != "");
  CHECK(refusal_of(std::string(9000, 'a')) != "");
}

TEST_CASE("host, scheme and port of a URL pattern") {
  CHECK(matches("example.com/", "http://example.com/"));
  CHECK(matches("example.com/", "https://example.com/"));
  CHECK(matches("example.com/", "https://example.com:8443/"));
  CHECK(!matches("example.com/", "https://www.example.com/"));
  CHECK(matches("*.example.com/", "https://www.example.com/"));
  CHECK(!matches("*.example.com/", "https://example.com/"));
  CHECK(matches(".example.com/", "https://example.com/"));
  CHECK(matches("https://example.com/", "https://example.com/"));
  CHECK(!matches("https://example.com/", "http://example.com/"));
  CHECK(matches("example.com:443/", "https://example.com/"));
  CHECK(!matches("example.com:443/", "http://example.com/"));
  CHECK(!matches("example.com:443/", "https://example.com:8443/"));
  CHECK(matches("http://example.com:8080", "http://example.com:8080/any/path?x"));
  CHECK(!matches("http://example.com:8080", "http://example.com/"));
  CHECK(matches("[2001:db8::1]/x", "https://[2001:db8::1]/x"));
  CHECK(matches("[2001:db8::1]:81/x", "http://[2001:db8::1]:81/x"));
  CHECK(matches("192.0.2.1/x", "http://192.0.2.1/x"));
  CHECK(matches("*/x", "http://192.0.2.1/x"));
}

TEST_CASE("the path of a URL pattern") {
  CHECK(matches("example.com/a", "https://example.com/a"));
  CHECK(matches("example.com/a", "https://example.com/a?b=c"));
  CHECK(!matches("example.com/a", "https://example.com/a/"));
  CHECK(!matches("example.com/a", "https://example.com/"));
  CHECK(matches("example.com/a?b=c", "https://example.com/a?b=c"));
  CHECK(!matches("example.com/a?b=c", "https://example.com/a"));
  CHECK(!matches("example.com/a?b=c", "https://example.com/a?b=cd"));
  CHECK(matches("example.com/a?b=*", "https://example.com/a?b=cd"));
  CHECK(matches("example.com/a*", "https://example.com/a"));
  CHECK(matches("example.com/a*", "https://example.com/a/b?c"));
  CHECK(!matches("example.com/a*", "https://example.com/b"));
  CHECK(matches("example.com/*", "https://example.com/"));
  CHECK(matches("example.com/*.exe", "https://example.com/x/setup.exe"));
  CHECK(matches("example.com/*.exe", "https://example.com/x/setup.exe?v=1"));
  CHECK(!matches("example.com/*.exe", "https://example.com/x/setup.exe.txt"));
  CHECK(!matches("example.com/*.exe", "https://example.com/x?name=setup.exe"));
  CHECK(matches("example.com/*?*name=*.exe", "https://example.com/x?a=1&name=setup.exe"));
  CHECK(matches("*/ads/*/banner", "https://any.example/ads/1/2/banner"));
  CHECK(!matches("*/ads/*/banner", "https://any.example/x/ads/1/banner"));
  CHECK(matches("*/*/ads/*/banner", "https://any.example/x/ads/1/2/banner"));
  CHECK(!matches("*/*/ads/*/banner", "https://any.example/x/ads/banner"));
  CHECK(matches("*/*a*", "https://any.example/ba"));
}

TEST_CASE("globs: every piece, in order, without overlapping") {
  CHECK(rules::glob_matches("a*b*c", "abc"));
  CHECK(rules::glob_matches("a*b*c", "a.b.b.c"));
  CHECK(!rules::glob_matches("a*b*c", "ac"));
  CHECK(!rules::glob_matches("ab*ba", "aba"));
  CHECK(rules::glob_matches("**a**", "a"));
  CHECK(rules::glob_matches("*", ""));
  CHECK(!rules::glob_matches("a", ""));
  CHECK(!rules::glob_matches("*aa*a*", "aa"));
}

TEST_CASE("a list of many URLs: each is found, its neighbours are not") {
  rules::SetPool sets;
  rules::UrlTableBuilder builder;
  UrlPattern pattern;
  std::string error;
  for (uint32_t i = 0; i < 5000; ++i) {
    const std::string n = std::to_string(i);
    REQUIRE(UrlPattern::parse_into("http://H" + std::to_string(i % 50) + ".example/dir/" + n + "?q=" + n, pattern, error));
    REQUIRE(builder.add(pattern, i));
    REQUIRE(UrlPattern::parse_into("*/any-" + n + "-x/*/end", pattern, error));
    REQUIRE(builder.add(pattern, 5000 + i));
  }
  const rules::NameHash hash(9);
  const rules::UrlTable table = builder.build(hash, sets);
  const auto found = [&](const std::string& url) {
    rules::UrlParts parts;
    REQUIRE(rules::UrlParts::split(url, parts));
    std::set<uint32_t> groups;
    table.find(parts, hash, sets, [&](rules::SetId set) {
      for (const uint32_t group : sets.of(set)) groups.insert(group);
    });
    return groups;
  };
  for (const uint32_t i : {0u, 1u, 49u, 50u, 777u, 4999u}) {
    const std::string n = std::to_string(i);
    const std::string host = "http://h" + std::to_string(i % 50) + ".example";
    CHECK(found(host + "/dir/" + n + "?q=" + n) == std::set<uint32_t>{i});
    CHECK(found(host + "/dir/" + n).empty());
    CHECK(found(host + "/any-" + n + "-x/y/end") == std::set<uint32_t>{5000 + i});
    CHECK(found(host + "/any-" + n + "-y/y/end").empty());
  }
}
