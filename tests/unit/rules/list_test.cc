#include "rules/list.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace {

using namespace sluice;
using rules::ListForm;

struct Collected final : rules::ListSink {
  std::string entries;
  std::string problems;
  rules::ListSummary summary;

  explicit Collected(std::string_view text) { summary = rules::read_host_list(text, *this); }
  void host(const rules::HostPattern& pattern) override { entries += pattern.to_string() + ' '; }
  void network(const Cidr& network) override { entries += network.to_string() + ' '; }
  void problem(uint32_t line, uint32_t column, std::string message) override {
    problems += std::to_string(line) + ":" + std::to_string(column) + " " + message + "\n";
  }
};

}  // namespace

TEST_CASE(
    "S19: a plain list: patterns as in rules.toml, comments, empty lines, CRLF, byte order mark, no last "
    "newline") {
  const Collected list(
      "\xef\xbb\xbf# comment\r\n\r\nExample.COM\r\n  .both.example  # why\n*.below.example\n; "
      "old\n192.0.2.0/24\n2001:db8::1\nlast.example");
  CHECK(list.entries == "example.com .both.example *.below.example 192.0.2.0/24 2001:db8::1 last.example ");
  CHECK(list.problems.empty());
  CHECK(list.summary.form == ListForm::plain);
  CHECK(list.summary.entries == 6);
}

TEST_CASE("S19: a hosts file: every name, without those of the machine itself") {
  const Collected list(
      "127.0.0.1 localhost\n::1 localhost ip6-loopback\n0.0.0.0 0.0.0.0\n0.0.0.0\tads.example  track.example "
      "# two\nfe80::1%lo0 localhost\n");
  CHECK(list.entries == "ads.example track.example ");
  CHECK(list.problems.empty());
  CHECK(list.summary.form == ListForm::hosts);
}

TEST_CASE("S19: Adblock: ||host^ is the host and all under it; what cannot be applied to a host is counted") {
  const Collected list(R"([Adblock Plus 2.0]
! Title: example
||ads.example^
||Track.example^$important
||all.example^$all,document
||third.example^$third-party
||path.example/ads/
/banner[0-9]+/
##.advert
example.com##.advert
@@||good.example^
||192.0.2.7^
||wild*.example^
||noend.example
||*.star.example^
)");
  CHECK(list.entries == ".ads.example .track.example .all.example 192.0.2.7 .noend.example ");
  CHECK(list.problems.empty());
  CHECK(list.summary.form == ListForm::adblock);
  CHECK(list.summary.entries == 5);
  CHECK(list.summary.skipped == 7);
  CHECK(list.summary.exceptions == 1);
  CHECK(list.summary.first_skipped_line == 6);
}

TEST_CASE("a mistake in a list is told with its line and column") {
  const Collected list(
      "good.example\n  bad!.example\n0.0.0.0 a.example b|.example\nhttp://url.example/\nsome words "
      "here\n10.0.0.1/8\n1.2.3.4.5\n");
  CHECK(list.entries == "good.example a.example ");
  CHECK(list.problems.find("2:3 'bad!.example' is not a host name") != std::string::npos);
  CHECK(list.problems.find("3:19 'b|.example'") != std::string::npos);
  CHECK(list.problems.find("4:1 'http://url.example/' is a URL") != std::string::npos);
  CHECK(list.problems.find("5:5 one entry a line") != std::string::npos);
  CHECK(list.problems.find("6:1 '10.0.0.1/8' has bits set behind its prefix; its network is 10.0.0.0/8") != std::string::npos);
  CHECK(list.problems.find("7:1 '1.2.3.4.5' is not an address or a network") != std::string::npos);
}

TEST_CASE("lines of name servers' configurations are told the name alone") {
  const Collected dnsmasq("address=/ads.example/0.0.0.0\nserver=/x.example/\nlocal=/y.example\n");
  CHECK(dnsmasq.entries.empty());
  CHECK(dnsmasq.problems.find("1:1 this is the form of dnsmasq, which is not read; write \".ads.example\"") != std::string::npos);
  CHECK(dnsmasq.problems.find("2:1 this is the form of dnsmasq, which is not read; write \".x.example\"") != std::string::npos);
  CHECK(dnsmasq.problems.find("3:1 this is the form of dnsmasq, which is not read; write \".y.example\"") != std::string::npos);
  const Collected unbound("local-zone: \"ads.example\" always_nxdomain\n  local-data: \"b.example A 0.0.0.0\"\n");
  CHECK(unbound.problems.find("1:1 this is the form of unbound, which is not read; write \".ads.example\"") != std::string::npos);
  CHECK(unbound.problems.find("2:3 this is the form of unbound, which is not read; write \".b.example\"") != std::string::npos);
}

TEST_CASE("files that are no text, by their first bytes") {
  using namespace std::string_view_literals;
  const auto what = [](std::string_view text) { return std::string(rules::other_than_text(text) == nullptr ? "" : rules::other_than_text(text)); };
  CHECK(what("\x1f\x8b\x08\0"sv) == "gzip: unpack it");
  CHECK(what("PK\x03\x04"sv) == "zip: unpack it");
  CHECK(what("\xff\xfe\x61\0"sv) == "UTF-16: save it as UTF-8");
  CHECK(what("a\0.\0b\0"sv) == "UTF-16: save it as UTF-8");
  CHECK(what("a.example\n\x01\0"sv) == "binary");
  CHECK(what("\n <!DOCTYPE HTML>\n<html>"sv) == "HTML: a page was saved in place of the list");
  CHECK(what("\xef\xbb\xbf<html lang=\"en\">"sv) == "HTML: a page was saved in place of the list");
  CHECK(what("<?xml version"sv) == "XML");
  for (const std::string_view text : {""sv, "\n"sv, "a.example\n"sv, "# <html>\n"sv, "\xef\xbb\xbf||ads.example^"sv, "P"sv, "||x^\n##<html"sv})
    CHECK(what(text) == "");
}

TEST_CASE("empty lists, and texts that are only comments") {
  for (const char* text : {"", "\n", "\n\n\n", "#", "# x\n;y\n", "! x\n", "   \r\n\t"}) {
    CAPTURE(text);
    const Collected list(text);
    CHECK(list.entries.empty());
    CHECK(list.problems.empty());
  }
}

TEST_CASE("any other list: one entry a line, with its place") {
  std::string seen;
  rules::read_plain_list("# x\n 10.0.0.0/8 ; SBL1\nt13d1516h2_*\r\n", [&](std::string_view entry,
                                                                          uint32_t line, uint32_t column) {
    seen += std::string(entry) + "@" + std::to_string(line) + ":" + std::to_string(column) + " ";
  });
  CHECK(seen == "10.0.0.0/8@2:2 t13d1516h2_*@3:1 ");
}
