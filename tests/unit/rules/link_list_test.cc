// Link lists: forms, canonical entries, and what each of them matches.
#include "rules/link_list.h"

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "rules/judge.h"
#include "rules/policy_builder.h"

using namespace sluice;
using namespace sluice::rules;

namespace {

/// "host .example.com", "url .example.com/a/", "network 192.0.2.0/24".
std::string shown(const Link& link) {
  if (link.network) return "network " + link.network->to_string();
  return (link.is_host() ? "host " : "url ") + link.url.to_string();
}

struct Seen final : LinkSink {
  std::vector<std::string> links;
  std::vector<std::string> problems;
  void link(const Link& link) override { links.push_back(shown(link)); }
  void problem(uint32_t line, uint32_t column, std::string message) override {
    problems.push_back(std::to_string(line) + ":" + std::to_string(column) + ": " + message);
  }
};

Seen read(std::string_view text) {
  Seen seen;
  const LinkSummary summary = read_link_list(text, seen);
  CHECK(summary.entries == seen.links.size());
  return seen;
}

using Lines = std::vector<std::string>;

/// Does a list with this one entry have the URL?
class OneLink {
 public:
  explicit OneLink(std::string_view entry, uint64_t seed = 1) {
    PolicyBuilder builder(seed);
    const GroupId group = builder.new_group(Slot::url);
    Link link;
    std::string error;
    REQUIRE_MESSAGE(parse_link(entry, link, error), error);
    REQUIRE(builder.add_link(group, link));
    builder.set_links(Threat::phishing, {{Slot::url, "links.phishing", {1, 1}}, {group}}, 1);
    judge_.emplace(builder.build());
  }
  bool has(std::string_view url) {
    Facts facts;
    facts.client = *IpAddress::parse("10.0.0.1");
    facts.destination = {*IpAddress::parse("203.0.113.80"), 80};
    UrlParts parts;
    REQUIRE(UrlParts::split(url, parts));
    facts.host_known = Known::yes;
    facts.host = parts.host;
    facts.method = "GET";
    facts.url = url;
    return judge_->request(facts).threat == Threat::phishing;
  }
  bool has_connect(std::string_view host, std::string_view destination = "203.0.113.80") {
    Facts facts;
    facts.client = *IpAddress::parse("10.0.0.1");
    facts.destination = {*IpAddress::parse(destination), 443};
    facts.host_known = facts.hello_known = Known::yes;
    facts.host = host;
    return judge_->hello(facts).threat == Threat::phishing;
  }

 private:
  std::optional<Judge> judge_;
};

}  // namespace

TEST_CASE("S32: a plain link list has hosts, URLs, addresses and networks") {
  const Seen seen = read(
      "\xef\xbb\xbf# a feed\n"
      "evil.example\n"
      "Evil.EXAMPLE.  # the same\r\n"
      "  *.below.example\n"
      ".both.example\n"
      "http://urls.example\n"
      "https://urls.example/\n"
      "http://urls.example:8080/login.php\n"
      "urls.example/dir/ ; a directory\n"
      "http://user:password@urls.example/find?q=1#fragment\n"
      "http://urls.example/a b\n"
      "http://192.0.2.7/\n"
      "http://[2001:db8::7]:81/bin\n"
      "192.0.2.8\n"
      "192.0.2.0/25\n"
      "localhost\n"
      "http:\\\\slashes.example\\x\n"
      "bücher.example/a\n"
      "http://urls.example/star*\n"
      "http://0x7f000001/x\n");
  CHECK(seen.problems == Lines{});
  CHECK(seen.links == Lines{"host .evil.example", "host .evil.example", "host *.below.example", "host .both.example",
                            "host .urls.example", "host .urls.example", "url .urls.example/login.php",
                            "url .urls.example/dir/", "url .urls.example/find?q=1", "url .urls.example/a%20b",
                            "host 192.0.2.7", "url [2001:db8::7]/bin", "network 192.0.2.8", "network 192.0.2.0/25",
                            "host localhost", "url .slashes.example/x", "url .xn--bcher-kva.example/a",
                            "url .urls.example/star*", "url 127.0.0.1/x"});
}

TEST_CASE("S32: hosts and Adblock forms name hosts and what is under them") {
  Seen seen = read("# hosts\n127.0.0.1\tlocalhost\n0.0.0.0 a.example b.example # two\n::1 ip6-localhost\n");
  CHECK(seen.links == Lines{"host .a.example", "host .b.example"});
  CHECK(seen.problems == Lines{});
  seen = read("! title\n||c.example^\n||zip^\n||d.example/path^\n@@||e.example^\n");
  CHECK(seen.links == Lines{"host .c.example", "host .zip"});
  Seen again;
  const LinkSummary summary = read_link_list("||c.example^\n||d.example/path\n", again);
  CHECK((summary.form == LinkForm::adblock && summary.skipped == 1 && summary.first_skipped_line == 2));
}

TEST_CASE("S32: URLhaus's CSV") {
  const Seen seen = read(
      "################################################################\r\n"
      "# abuse.ch URLhaus Database Dump (CSV - recent URLs only)      #\r\n"
      "################################################################\r\n"
      "#\r\n"
      "# id,dateadded,url,url_status,last_online,threat,tags,urlhaus_link,reporter\r\n"
      "\"12\",\"2026-11-22 10:00:00\",\"http://192.0.2.1:39481/i\",\"online\",\"\",\"malware_download\",\"32-bit,elf\",\"\",\"x\"\r\n"
      "\"13\",\"2026-11-22 10:00:01\",\"https://evil.example/a,b/?x=\"\"1\"\"\",\"offline\",\"\",\"\",\"\",\"\",\"x\"\r\n"
      "\"14\",\"2026-11-22\"\r\n"
      "\"15\",\"2026-11-22\",\"ftp://evil.example/\"\r\n"
      "\"16\",\"2026-11-22\",\"http://open\r\n");
  CHECK(seen.links == Lines{"url 192.0.2.1/i", "url .evil.example/a,b/?x=\"1\""});
  REQUIRE(seen.problems.size() == 3);
  CHECK(seen.problems[0] == "8:1: this line of CSV has 2 fields, and the URL is to be field 3");
  CHECK(seen.problems[1].starts_with("9:20: 'ftp://evil.example/' begins with neither http:// nor https://"));
  CHECK(seen.problems[2] == "10:1: a quote is not closed in this line of CSV");
  CHECK(read("\"1\",\"now\",\"http://evil.example/x\"\n").links == Lines{"url .evil.example/x"});  // its header was cut off
}

TEST_CASE("S32: PhishTank's CSV, and any other with a column url") {
  Seen seen = read(
      "phish_id,url,phish_detail_url,submission_time,verified,verification_time,online,target\n"
      "9,http://phish.example/login/,http://www.phishtank.com/phish_detail.php?phish_id=9,2026-11-22T10:00:00+00:00,yes,,yes,Other\n"
      "10,\"http://phish.example/a,b\",x,,yes,,yes,\"A, B\"\n");
  CHECK(seen.links == Lines{"url .phish.example/login/", "url .phish.example/a,b"});
  CHECK(seen.problems == Lines{});
  seen = read("first_seen, url ,score\n2026, http://x.example/a ,1\n");
  CHECK(seen.links == Lines{"url .x.example/a"});
  // A comment with commas does not make a plain list one.
  seen = read("# name,url,date\nx.example\n");
  CHECK(seen.links == Lines{"host .x.example"});
}

TEST_CASE("S32: what is no link is told with its place, and what would be one") {
  const auto first = [](std::string_view text) {
    const Seen seen = read(text);
    CHECK(seen.links.empty());
    return seen.problems.empty() ? std::string() : seen.problems.front();
  };
  CHECK(first("\n  ftp://evil.example/x\n").starts_with("2:3: 'ftp://evil.example/x' begins with neither"));
  CHECK(first("hxxp://evil.example/x").find("begins with neither http:// nor https://") != std::string::npos);
  CHECK(first("evil.example elsewhere.example").starts_with("1:14: one entry a line"));
  CHECK(first("192.0.2.1/24").find("its network is 192.0.2.0/24") != std::string::npos);
  CHECK(first("192.0.2").find("is not an address or a network; allowed are a host") != std::string::npos);
  CHECK(first("evil..example").starts_with("1:1: "));
  CHECK(first("http://evil.example:99999/").find("port") != std::string::npos);
  CHECK(first("http://").starts_with("1:1: "));
  CHECK(first("ev*l.example").find("'*' may only stand in front") != std::string::npos);
  CHECK(first("*").starts_with("1:1: "));
  CHECK(first("http://evil.example/" + std::string(9000, 'a')).find("at most 8192 are allowed") != std::string::npos);
  CHECK(first("<!DOCTYPE html>\n").starts_with("1:"));
  CHECK(first("\xff\xfe\n").starts_with("1:1: "));
}

// "URLs and Hashing", Suffix/Prefix Expressions: each of these is tried for the URL, so a list that has one has the URL.
TEST_CASE("S32: the expressions of Safe Browsing") {
  const std::vector<std::pair<std::string, std::vector<std::string>>> documented = {
      {"http://a.b.com/1/2.html?param=1",
       {"a.b.com/1/2.html?param=1", "a.b.com/1/2.html", "a.b.com/", "a.b.com/1/", "b.com/1/2.html?param=1", "b.com/1/2.html",
        "b.com/", "b.com/1/"}},
      {"http://a.b.c.d.e.f.com/1.html",
       {"a.b.c.d.e.f.com/1.html", "a.b.c.d.e.f.com/", "c.d.e.f.com/1.html", "c.d.e.f.com/", "d.e.f.com/1.html", "d.e.f.com/",
        "e.f.com/1.html", "e.f.com/", "f.com/1.html", "f.com/"}},
      {"http://1.2.3.4/1/", {"1.2.3.4/1/", "1.2.3.4/"}},
      {"http://example.co.uk/1", {"example.co.uk/1", "example.co.uk/", "co.uk/1", "co.uk/"}},
  };
  for (const auto& row : documented) {
    const std::string& url = row.first;
    for (const std::string& expression : row.second) {
      CAPTURE(expression);
      CHECK(OneLink(expression).has(url));
    }
    for (const char* other : {"com/", "uk", "2.3.4/", "x.b.com/", "a.b.com/2/", "a.b.com/1/2", "a.b.com/1/2.html?param=2",
                              "a.b.com/1/2.html?", "b.com/1/2.htm", "f.com/1.html/", "http://1.2.3.4/1", "example.co.uk/1/"}) {
      CAPTURE(url);
      CAPTURE(other);
      CHECK_FALSE(OneLink(other).has(url));
    }
  }
}

TEST_CASE("S32: directories, at most four of them, and paths that are one") {
  OneLink shallow("evil.example/1/2/3/");
  CHECK(shallow.has("http://evil.example/1/2/3/"));
  CHECK(shallow.has("https://evil.example/1/2/3/4/5/6?x=/"));
  CHECK(shallow.has("http://www.evil.example/1/2/3/x"));
  CHECK_FALSE(shallow.has("http://evil.example/1/2/3"));
  CHECK_FALSE(shallow.has("http://evil.example/x?/1/2/3/"));
  OneLink deep("evil.example/1/2/3/4/");
  CHECK(deep.has("http://evil.example/1/2/3/4/"));
  CHECK(deep.has("http://evil.example/1/2/3/4/?session=1"));
  CHECK_FALSE(deep.has("http://evil.example/1/2/3/4/5"));
}

TEST_CASE("S32: scheme, port and spelling do not matter") {
  OneLink link("HTTPS://user@EVIL.example.:8443/a/../%6Cogin//x.php#top");
  CHECK(link.has("http://evil.example/login/x.php"));
  CHECK(link.has("https://evil.example:444/login/x.php?session=7"));
  CHECK_FALSE(link.has("http://evil.example/login/x"));
  CHECK(OneLink("http://3221225991/x").has("http://192.0.2.7/x"));
}

TEST_CASE("S24, S29: a CONNECT meets whole hosts, never a path") {
  OneLink host("http://evil.example:8080/");
  CHECK(host.has_connect("evil.example"));
  CHECK(host.has_connect("WWW.evil.example"));
  CHECK_FALSE(host.has_connect("notevil.example"));
  CHECK_FALSE(host.has_connect(""));
  for (const char* path : {"evil.example/x", "evil.example/x/", "evil.example/?q"}) CHECK_FALSE(OneLink(path).has_connect("evil.example"));
  OneLink address("203.0.113.9");
  CHECK(address.has_connect("any.example", "203.0.113.9"));
  CHECK_FALSE(address.has_connect("any.example"));
  CHECK(address.has("http://203.0.113.9/x"));
  CHECK(OneLink("2001:db8::/32").has("http://[2001:db8::1]/x"));
  CHECK_FALSE(OneLink("http://203.0.113.9/x").has_connect("any.example", "203.0.113.9"));
}
