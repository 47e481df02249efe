// Link lists in verdicts (S24, S27, S32): at each event, with what the protection rules say, known or not.
#include <doctest/doctest.h>

#include <string>

#include "rules/explain.h"
#include "rules/judge.h"
#include "rules/policy.h"
#include "unit/config/loading.h"
#include "unit/rules/facts_of.h"

namespace {

using namespace sluice;
using rules::Action;
using rules::Decision;
using rules::Judge;
using testing::Connection;
using testing::Message;
using testing::policy_of;

const std::string lists =
    "[links]\nphishing = [\"phish.example\", \"paths.example/login\", \"198.51.100.9\"]\n"
    "malicious_link = [\"malware.example/get/\", \"both.example\", \"phish.example\"]\n";

std::string shown(const Judge& judge, const Decision& decision) {
  std::string text = decision.pending ? "pending" : to_string(decision.action);
  if (decision.threat) text += std::string(" ") + to_string(*decision.threat) + (decision.threat_blocks ? " blocks" : " skipped");
  const std::string_view rule = judge.policy().protection_rule_name(decision.protection_rule);
  if (!rule.empty()) text += " by " + std::string(rule);
  return text;
}

std::string connect(const std::string& rules, const Connection& connection) {
  Judge judge(policy_of(rules + lists));
  return shown(judge, judge.connect(connection.at_connect()));
}
std::string hello(const std::string& rules, const Connection& connection) {
  Judge judge(policy_of(rules + lists));
  return shown(judge, judge.hello(connection.at_hello()));
}
Message to(const std::string& url) {
  Message message;
  message.url = url;
  message.host = url.substr(url.find("://") + 3);
  message.host = message.host.substr(0, message.host.find('/'));
  return message;
}
std::string request(const std::string& rules, const Message& message, bool last = true) {
  Judge judge(policy_of(rules + lists));
  return shown(judge, judge.request(message.at_request(), last));
}
std::string response(const std::string& rules, const Message& message) {
  Judge judge(policy_of(rules + lists));
  return shown(judge, judge.response(message.at_response()));
}

const std::string skip_rule = "[[protection.rules]]\nname = \"skip it\"\n";

}  // namespace

TEST_CASE("S24: a CONNECT to a listed name or address is blocked; nothing else of it changes") {
  CHECK(connect("", {.host = "phish.example"}) == "peek");  // the name is not known yet
  CHECK(hello("", {.host = "phish.example"}) == "block phishing blocks by default");
  CHECK(hello("", {.host = "www.phish.example"}) == "block phishing blocks by default");
  CHECK(hello("", {.host = "both.example"}) == "block malicious_link blocks by default");
  CHECK(hello("", {.host = "paths.example"}) == "tunnel-sni by default");  // S29
  CHECK(hello("", {.host = "malware.example"}) == "tunnel-sni by default");
  CHECK(hello("", {.host = ""}) == "tunnel-sni by default");
  CHECK(connect("", {.destination = "198.51.100.9:443"}) == "block phishing blocks by default");
  CHECK(connect("tls.decrypt = false\n", {.destination = "198.51.100.9:443"}).starts_with("block phishing"));
  CHECK(connect("[[tls.rules]]\naction = \"tunnel\"\n", {.destination = "198.51.100.9:443"}).starts_with("block phishing"));
  // S3: nothing is checked in a ClientHello that is not read.
  CHECK(connect("[[tls.rules]]\naction = \"tunnel\"\n", {.host = "phish.example"}) == "tunnel by default");
}

TEST_CASE("S24: an explicit CONNECT is blocked before its name is looked up") {
  Judge judge(policy_of(lists));
  Connection connection{.host = "phish.example"};
  rules::Facts facts = connection.at_connect();
  facts.mode = rules::Mode::explicit_proxy;
  facts.host_known = rules::Known::yes;
  facts.host = connection.host;
  facts.destination_known = rules::Known::not_yet;
  CHECK(shown(judge, judge.connect(facts)) == "block phishing blocks by default");
  facts.host = "198.51.100.9";
  CHECK(shown(judge, judge.connect(facts)) == "block phishing blocks by default");
  facts.host = "good.example";
  CHECK(shown(judge, judge.connect(facts)) == "peek");
  facts.destination_known = rules::Known::yes;
  facts.destination = *Endpoint::parse("198.51.100.9:443");
  CHECK(shown(judge, judge.connect(facts)) == "block phishing blocks by default");
}

TEST_CASE("S22, S25: a request for a listed URL is blocked, its response is not judged again") {
  CHECK(request("", to("http://phish.example/any/where?x=1")) == "block phishing blocks by default");
  CHECK(request("", to("http://paths.example/login?next=/")) == "block phishing blocks by default");
  CHECK(request("", to("http://paths.example/")) == "peek by default");
  CHECK(request("", to("https://www.malware.example/get/it.exe")) == "block malicious_link blocks by default");
  CHECK(request("", to("http://198.51.100.9/x")) == "block phishing blocks by default");
  CHECK(request("", to("http://good.example/?u=http://phish.example/")) == "peek by default");
  CHECK(response("", to("http://paths.example/login")) == "peek by default");
}

TEST_CASE("S22: an explicit client's request waits for the address when a list has addresses") {
  Judge judge(policy_of(lists));
  Message message = to("http://shop.example/");
  message.user = "anna";
  rules::Facts facts = message.at_request();
  facts.mode = rules::Mode::explicit_proxy;
  facts.destination_known = rules::Known::not_yet;
  const Decision waiting = judge.request(facts, false);
  CHECK((waiting.pending && (waiting.needs & rules::needs_destination) != 0));
  facts.destination_known = rules::Known::yes;
  CHECK(shown(judge, judge.request(facts, false)) == "peek by default");
  facts.destination = *Endpoint::parse("198.51.100.9:80");
  CHECK(shown(judge, judge.request(facts, false)) == "block phishing blocks by default");
  // One whose URL is listed, or of a class that is skipped, waits for nothing.
  facts.destination_known = rules::Known::not_yet;
  facts.url = "http://paths.example/login";
  facts.host = "paths.example";
  CHECK(shown(judge, judge.request(facts, false)) == "block phishing blocks by default");
  Judge skipping(policy_of("[protection.default]\nphishing = \"skip\"\nmalicious_link = \"skip\"\n" + lists));
  facts.url = "http://shop.example/";
  facts.host = "shop.example";
  CHECK_FALSE(skipping.request(facts, false).pending);
  // The same of a rule over an address in a URL.
  Judge rule(policy_of("[[access.rules]]\nwhen = { url = \"198.51.100.9\" }\n"));
  const Decision access = rule.request(facts, false);
  CHECK((access.pending && (access.needs & rules::needs_destination) != 0));
}

TEST_CASE("S19: what is done is up to the protection rule that matches, else to the default") {
  const std::string skip = skip_rule + "when = { client = \"10.20.0.5\" }\nphishing = \"skip\"\n";
  CHECK(hello(skip, {.host = "www.phish.example"}) == "block malicious_link blocks by skip it");  // both lists have it
  CHECK(hello(skip + "malicious_link = \"skip\"\n", {.host = "phish.example"}) == "tunnel-sni phishing skipped by skip it");
  CHECK(request(skip, to("http://paths.example/login")) == "peek phishing skipped by skip it");
  Message other = to("http://paths.example/login");
  other.connection.client = "10.20.0.6";
  CHECK(request(skip, other) == "block phishing blocks by default");
  CHECK(request("[protection.default]\nphishing = \"skip\"\n", to("http://paths.example/login")) == "peek phishing skipped by default");
  // A class that a rule does not name is blocked.
  CHECK(request("[protection.default]\nphishing = \"skip\"\n" + skip_rule + "macro = \"skip\"\n", to("http://paths.example/login")) ==
        "block phishing blocks by skip it");
}

TEST_CASE("S26: a rule that names CONNECT leaves the page to the request inside") {
  const std::string rules = skip_rule + "when = { method = \"CONNECT\" }\nphishing = \"skip\"\nmalicious_link = \"skip\"\n";
  CHECK(hello(rules, {.host = "phish.example"}) == "tunnel-sni phishing skipped by skip it");
  CHECK(request(rules, to("https://phish.example/")) == "block phishing blocks by default");
  const std::string excludes = skip_rule + "except = [ { method = \"CONNECT\" } ]\nphishing = \"skip\"\nmalicious_link = \"skip\"\n";
  CHECK(hello(excludes, {.host = "phish.example"}) == "block phishing blocks by default");
  CHECK(request(excludes, to("https://phish.example/")) == "peek phishing skipped by skip it");
}

TEST_CASE("S22, S27: what bypass or access rules decide comes first") {
  const auto bypass = [](const std::string& when) {
    return "[[bypass.rules]]\nname = \"let\"\nwhen = { " + when + " }\naction = \"allow\"\n";
  };
  CHECK(request(bypass("client = \"10.20.0.5\""), to("http://phish.example/")) == "peek");
  CHECK(hello(bypass("method = \"CONNECT\""), {.host = "phish.example"}) == "tunnel-sni");
  CHECK(request(bypass("method = \"CONNECT\""), to("http://phish.example/")) == "block phishing blocks by default");
  const std::string access = "[[access.rules]]\nname = \"no\"\nwhen = { host = \"phish.example\" }\n";
  CHECK(request(access, to("http://phish.example/")) == "block");
  CHECK(request(access + "action = \"allow\"\n", to("http://phish.example/")) == "block phishing blocks by default");
}

TEST_CASE("S24: a protection rule that is not decided yet keeps a listed CONNECT waiting, unless it says the same") {
  const Connection listed{.destination = "198.51.100.9:443", .host = "shop.example"};
  const std::string skip = skip_rule + "when = { host = \"shop.example\" }\nphishing = \"skip\"\n";
  CHECK(connect(skip, listed) == "peek");
  CHECK(hello(skip, listed) == "tunnel-sni phishing skipped by skip it");
  CHECK(hello(skip, {.destination = "198.51.100.9:443", .host = "x.example"}) == "block phishing blocks by default");
  // Where no hello will be read, it can never hold.
  CHECK(connect(skip + "[[tls.rules]]\naction = \"tunnel\"\n", listed) == "block phishing blocks by default");
  CHECK(connect(skip_rule + "when = { host = \"shop.example\" }\nmacro = \"skip\"\n", listed) == "block phishing blocks by default");
  CHECK(connect("[protection.default]\nphishing = \"skip\"\n" + skip, listed) == "peek");
}

TEST_CASE("S24: a protection rule over the request's own body is waited for, when there is a threat") {
  const std::string rules = skip_rule + "when = { size = \"< 10 B\", direction = \"request\" }\nphishing = \"skip\"\n";
  Message message = to("http://paths.example/login");
  message.method = "POST";
  message.has_body = true;
  message.complete = false;
  Judge judge(policy_of(rules + lists));
  const Decision waiting = judge.request(message.at_request(), false);
  CHECK((waiting.pending && waiting.needs == rules::needs_size && !waiting.threat));
  CHECK((judge.policy().needs_request_content() & rules::needs_size) != 0);
  message.size_at_least = 10;
  CHECK(shown(judge, judge.request(message.at_request(), false)) == "block phishing blocks by default");
  message.complete = true;
  message.size = 9;
  CHECK(shown(judge, judge.request(message.at_request(), true)) == "peek phishing skipped by skip it");
  Message harmless = message;
  harmless.complete = false;
  harmless.size_at_least = 0;
  harmless.url = "http://paths.example/other";
  CHECK_FALSE(judge.request(harmless.at_request(), false).pending);
  // Without lists nobody waits for a body on behalf of the protection rules.
  CHECK(policy_of(rules)->needs_request_content() == rules::needs_nothing);
}

TEST_CASE("a verdict that a link list decides names the protection rule, and explain says which list") {
  const auto policy = policy_of("[[protection.rules]]\nname = \"strict\"\nwhen = { client = \"10.20.0.5\" }\n" + lists);
  Judge judge(policy);
  Decision decision = judge.request(to("http://paths.example/login").at_request());
  REQUIRE(policy->refusing_rule(decision) != nullptr);
  CHECK(policy->refusing_rule(decision)->name == "strict");
  Message other = to("http://paths.example/login");
  other.connection.client = "10.20.0.6";
  decision = judge.request(other.at_request());
  CHECK(policy->refusing_rule(decision) == nullptr);
  const rules::Explanation explained = rules::explain(*policy, other.at_request(), rules::Event::request);
  REQUIRE(explained.links.size() == 2);
  CHECK(explained.links[0].outcome == rules::RuleReason::Outcome::matched);
  CHECK(explained.links[0].action == "block");
  CHECK(explained.links[0].reason.find("(line 5): the URL is http://paths.example/login") != std::string::npos);
  CHECK(explained.links[1].outcome == rules::RuleReason::Outcome::not_matched);
}

TEST_CASE("link lists in the tables of the rules leave the rules' own lists alone") {
  const std::string rules =
      "[[access.rules]]\nname = \"mine\"\nwhen = { url = [\"paths.example/login\", \"re:secret\"] }\naction = \"allow\"\n"
      "[[access.rules]]\nname = \"names\"\nwhen = { host = [\"both.example\"] }\naction = \"redirect\"\nto = \"https://x.example/\"\n";
  Judge judge(policy_of(rules + lists));
  CHECK(judge.request(to("http://paths.example/login").at_request()).access_rule == 0);
  CHECK(judge.request(to("http://sub.paths.example/login").at_request()).access_rule == rules::rule_default);
  CHECK(shown(judge, judge.request(to("http://sub.paths.example/login").at_request())) == "block phishing blocks by default");
  CHECK(judge.request(to("http://both.example/").at_request()).action == Action::redirect);
  CHECK(judge.request(to("http://www.both.example/").at_request()).threat == rules::Threat::malicious_link);
}
