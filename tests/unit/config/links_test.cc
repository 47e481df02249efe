// [links]: what is taken, what is told of lists that come from elsewhere, and what `sluice check` advises.
#include <doctest/doctest.h>

#include <string>

#include "rules/judge.h"
#include "rules/policy.h"
#include "unit/config/loading.h"

namespace {

using namespace sluice;
using rules::Threat;
using testing::load;
using testing::problems_of;

const std::string plain_http = "gateway.http_ports = [80]\n";

void refused(const std::string& rules, const std::string& wanted, std::map<std::string, std::string> lists = {}) {
  const auto loaded = load(rules, std::move(lists));
  const std::string problems = problems_of(loaded);
  CAPTURE(problems);
  CHECK(loaded.config == nullptr);
  CHECK(problems.find(wanted) != std::string::npos);
}
std::string warnings(const std::string& rules, std::map<std::string, std::string> lists = {}) {
  const auto loaded = load(rules, std::move(lists));
  REQUIRE_MESSAGE(loaded.config, problems_of(loaded));
  return problems_of(loaded);
}
void warns(const std::string& rules, const std::string& wanted) {
  const std::string text = warnings(rules);
  CAPTURE(text);
  CHECK(text.find(wanted) != std::string::npos);
}

}  // namespace

TEST_CASE("S32: links come from rules.toml and from files, alone or in a list") {
  const auto loaded = load(plain_http +
                               "[links]\nphishing = [\"@lists/feed.csv\", \"phish.example\", \"@lists/plain.txt\", \"@lists/plain.txt\"]\n"
                               "malicious_link = \"@lists/plain.txt\"\n",
                           {{"feed.csv", "phish_id,url,x\n1,http://a.example/x,y\n2,http://b.example/,y\n"},
                            {"plain.txt", "c.example\nhttp://d.example/y/\n192.0.2.0/24\n"}});
  REQUIRE_MESSAGE(loaded.config, problems_of(loaded));
  CHECK(problems_of(loaded) == "");
  CHECK(loaded.config->policy->link_entries(Threat::phishing) == 6);
  CHECK(loaded.config->policy->link_entries(Threat::malicious_link) == 3);
  CHECK(loaded.config->policy->link_entries(Threat::malware) == 0);
  CHECK(loaded.config->list_files.size() == 3);
  CHECK(loaded.config->policy->needs_url());
  const auto none = load("[links]\nphishing = []\n");
  CHECK(problems_of(none) == "");
  CHECK_FALSE(none.config->policy->has_links());
}

TEST_CASE("[links]: what is wrong in rules.toml itself is an error with its place") {
  refused("[links]\nphising = []\n", "2:1: error: unknown key 'phising' in links: did you mean 'phishing'?");
  refused("[links]\nphishing = [1]\n", "2:13: error: links.phishing must be a list of strings");
  refused("[links]\nphishing = [\"a.example\", \"ftp://b.example/\"]\n", "2:26: error: links.phishing: 'ftp://b.example/' begins with neither");
  refused("[links]\nmalicious_link = [\"192.0.2.1/24\"]\n", "its network is 192.0.2.0/24");
  refused("[links]\nphishing = [\"@lists/none.txt\"]\n", "2:13: error: cannot read the list /etc/sluice/lists/none.txt");
  refused("[links]\nphishing = [\"@\"]\n", "2:13: error: \"@\" must be followed by the name of a list file");
}

TEST_CASE("S32: wrong lines of a feed are told and left out; a file without one link is refused") {
  std::string feed = "good.example\n";
  for (int i = 0; i < 30; ++i) feed += "not a link\n";
  const std::string text = warnings(plain_http + "[links]\nphishing = [\"@lists/feed.txt\"]\n", {{"feed.txt", feed}});
  CAPTURE(text);
  CHECK(text.find("lists/feed.txt:2:5: warning: left out: one entry a line") != std::string::npos);
  CHECK(text.find("lists/feed.txt:22:5: warning: more lines of this list are wrong") != std::string::npos);
  CHECK(text.find("feed.txt:23:") == std::string::npos);
  refused(plain_http + "[links]\nphishing = [\"@lists/feed.txt\"]\n", "holds no link at all",
          {{"feed.txt", "404: there is nothing\nlog in first\n"}});
  CHECK(warnings("[links]\nphishing = [\"@lists/feed.txt\"]\n", {{"feed.txt", "# nothing today\n"}}).find("is empty: it matches nothing") !=
        std::string::npos);
  CHECK(warnings("[links]\nphishing = [\"@lists/feed.txt\"]\n", {{"feed.txt", "||a.example^\n||b.example/x\n"}})
            .find("feed.txt:2:1: warning: 1 lines of this Adblock list are left out") != std::string::npos);
}

TEST_CASE("S28: link lists that nothing is asked of, or that can only log") {
  const std::string names = "[links]\nphishing = [\"a.example\"]\n";
  CHECK(warnings(names) == "");
  const std::string allow_all = "[[bypass.rules]]\nname = \"all\"\naction = \"allow\"\n";
  warns(names + allow_all, "2:12: warning: links.phishing is never consulted: the bypass rule \"all\" in line 3 lets everything pass");
  CHECK(warnings(names + "[[bypass.rules]]\nwhen = { host = \"a.example\" }\n").find("never consulted") == std::string::npos);
  const std::string skip = "[protection.default]\nphishing = \"skip\"\n";
  warns(names + skip, "2:12: warning: links.phishing blocks nothing");
  CHECK(warnings(names + skip + "[[protection.rules]]\nwhen = { client = \"10.0.0.0/8\" }\n").find("blocks nothing") == std::string::npos);
  warns(names + "[[protection.rules]]\nphishing = \"skip\"\n", "links.phishing blocks nothing");
  warns("tls.decrypt = false\n" + names, "links.phishing: only its addresses can match");
  CHECK(warnings("tls.decrypt = false\n" + plain_http + names) == "");
  const std::string paths = "[links]\nmalicious_link = [\"a.example/x\", \"b.example\"]\n";
  warns(paths, "2:18: warning: links.malicious_link: 1 of its entries have a path and can never match");
  CHECK(warnings(plain_http + paths) == "");
}

TEST_CASE("S28: what nothing in this version finds is said, and no more than that") {
  const std::string names = "[links]\nphishing = [\"a.example\"]\n";
  CHECK(warnings(names + "[protection.default]\nmalicious_link = \"skip\"\n") == "");
  warns(names + "[protection.default]\nphishing = \"block\"\nmalware = \"block\"\n",
        "5:11: warning: protection: this version finds links alone ([links]); malware, encrypted and macro are read");
  warns("[protection.default]\nphishing = \"block\"\n", "protection: this version finds links alone, and [links] names none");
}
