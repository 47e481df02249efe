// The stages of the traffic rules: one row for every cell of {event} x {stage} x {action} x {rule names, excludes or is silent on
// CONNECT}, and what is pending when something is not known yet.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "rules/judge.h"
#include "rules/policy.h"
#include "unit/config/loading.h"
#include "unit/rules/facts_of.h"

namespace {

using namespace sluice;
using rules::Action;
using rules::Decision;
using rules::Judge;
using testing::Message;
using testing::policy_of;

std::string shown(const Judge& judge, const Decision& decision) {
  const rules::Policy& policy = judge.policy();
  std::string text = decision.pending ? "pending" : to_string(decision.action);
  const auto add = [&](const char* stage, std::string_view name) {
    if (!name.empty()) text += std::string(" ") + stage + "=" + std::string(name);
  };
  add("bypass", policy.bypass_rule_name(decision.bypass_rule));
  add("access", policy.access_rule_name(decision.access_rule));
  add("protection", policy.protection_rule_name(decision.protection_rule));
  if (!decision.scan) text += " unscanned";
  return text;
}

std::string request(const std::string& rules, const Message& message = {}, bool last = true) {
  Judge judge(policy_of(rules));
  return shown(judge, judge.request(message.at_request(), last));
}
std::string response(const std::string& rules, const Message& message = {}, bool last = true) {
  Judge judge(policy_of(rules));
  return shown(judge, judge.response(message.at_response(), last));
}
std::string hello(const std::string& rules, const std::string& host) {
  Judge judge(policy_of(rules));
  const testing::Connection connection{.host = host};
  return shown(judge, judge.hello(connection.at_hello()));
}

// A rule over one host.
std::string rule_of(const std::string& stage, const std::string& action, const std::string& connect) {
  std::string text = "[[" + stage + ".rules]]\nname = \"it\"\nwhen = { host = \"a.example\"";
  if (connect == "names") text += ", method = [\"CONNECT\", \"GET\"]";
  text += " }\n";
  if (connect == "excludes") text += "except = [ { method = \"CONNECT\" } ]\n";
  if (stage != "protection") text += "action = \"" + action + "\"\n";
  if (stage == "protection") text += "malware = \"" + action + "\"\n";
  if (action == "redirect") text += "to = \"https://intranet.example/\"\n";
  return text;
}

}  // namespace

TEST_CASE("S22 to S27: every cell of event, stage, action and what the rule says of CONNECT") {
  struct Cell {
    const char* stage;
    const char* action;
    const char* connect;      // names, excludes, silent
    const char* at_connect;   // a CONNECT to a.example, its name known
    const char* at_message;   // a GET of it, and the response
  };
  const char* const clean = "tunnel-sni access=default protection=default";
  const std::vector<Cell> cells = {
      {"bypass", "allow", "names", "tunnel-sni bypass=it unscanned", "peek bypass=it unscanned"},
      {"bypass", "allow", "excludes", clean, "peek bypass=it unscanned"},
      {"bypass", "allow", "silent", "tunnel-sni bypass=it unscanned", "peek bypass=it unscanned"},
      {"bypass", "block", "names", "block bypass=it", "block bypass=it"},
      {"bypass", "block", "excludes", clean, "block bypass=it"},
      {"bypass", "block", "silent", "block bypass=it", "block bypass=it"},
      {"bypass", "redirect", "names", "redirect bypass=it", "redirect bypass=it"},
      {"bypass", "redirect", "excludes", clean, "redirect bypass=it"},
      {"bypass", "redirect", "silent", "redirect bypass=it", "redirect bypass=it"},
      {"access", "allow", "names", "tunnel-sni access=it protection=default", "peek access=it protection=default"},
      {"access", "allow", "excludes", clean, "peek access=it protection=default"},
      {"access", "allow", "silent", "tunnel-sni access=it protection=default", "peek access=it protection=default"},
      {"access", "block", "names", "block access=it", "block access=it"},
      {"access", "block", "excludes", clean, "block access=it"},
      {"access", "block", "silent", "block access=it", "block access=it"},
      {"access", "redirect", "names", "redirect access=it", "redirect access=it"},
      {"access", "redirect", "excludes", clean, "redirect access=it"},
      {"access", "redirect", "silent", "redirect access=it", "redirect access=it"},
      {"protection", "block", "names", "tunnel-sni access=default protection=it", "peek access=default protection=it"},
      {"protection", "skip", "excludes", clean, "peek access=default protection=it"},
      {"protection", "skip", "silent", "tunnel-sni access=default protection=it", "peek access=default protection=it"},
  };
  for (const Cell& cell : cells) {
    const std::string rules = rule_of(cell.stage, cell.action, cell.connect);
    CAPTURE(rules);
    const Message message{.host = "a.example", .url = "https://a.example/"};
    CHECK(hello(rules, "a.example") == cell.at_connect);
    CHECK(request(rules, message) == cell.at_message);
    CHECK(response(rules, message) == cell.at_message);
    // No match: the defaults, in every event.
    CHECK(hello(rules, "b.example") == clean);
    CHECK(request(rules) == "peek access=default protection=default");
    CHECK(response(rules) == "peek access=default protection=default");
  }
}

TEST_CASE("S22: the stages in their order: a bypass rule spares a request what stands below") {
  const std::string access = "[[access.rules]]\nname = \"no\"\nwhen = { host = \".example\" }\n";
  const std::string bypass = "[[bypass.rules]]\nname = \"staff\"\nwhen = { host = \"a.example\" }\naction = \"allow\"\n";
  CHECK(request(access + bypass, {.host = "a.example"}) == "peek bypass=staff unscanned");
  CHECK(request(access + bypass, {.host = "b.example"}) == "block access=no");
  CHECK(request("[access]\ndefault = \"block\"\n" + bypass, {.host = "a.example"}) == "peek bypass=staff unscanned");
  CHECK(request("[access]\ndefault = \"block\"\n" + bypass, {.host = "b.example"}) == "block access=default");
}

TEST_CASE("S27: a bypass allow on CONNECT covers that event only and leaves the TLS rules alone") {
  const std::string rules =
      "[[bypass.rules]]\nname = \"in\"\nwhen = { method = \"CONNECT\" }\naction = \"allow\"\n"
      "[[access.rules]]\nname = \"no\"\nwhen = { host = \"a.example\" }\n"
      "[[tls.rules]]\nname = \"end\"\nwhen = { host = \"b.example\" }\naction = \"terminate\"\n";
  CHECK(hello(rules, "a.example") == "tunnel-sni bypass=in unscanned");
  CHECK(request(rules, {.host = "a.example"}) == "block access=no");
  CHECK(hello(rules, "b.example") == "terminate bypass=in unscanned");
}

TEST_CASE("S29: what a CONNECT never has, it does not match, nor do its exceptions") {
  for (const char* condition : {"url = \"a.example/x\"", "url = \"re:a.example\"", "mime = \"text/html\"",
                                "file_name = \"*.exe\"", "file_type = \"pdf\"", "size = \"> 1 KiB\"",
                                "md5 = \"d41d8cd98f00b204e9800998ecf8427e\"", "user_agent = \"curl\"", "user = \"anna\""}) {
    CAPTURE(condition);
    const std::string when = std::string("[[access.rules]]\nname = \"it\"\nwhen = { ") + condition + " }\n";
    const std::string except = std::string("[[access.rules]]\nname = \"it\"\nexcept = [ { ") + condition + " } ]\n";
    CHECK(hello(when, "a.example") == "tunnel-sni access=default protection=default");
    CHECK(hello(except, "a.example") == "block access=it");
    Judge judge(policy_of(when));
    CHECK(judge.connect(testing::Connection{}.at_connect()).action == Action::peek);
  }
}

TEST_CASE("S29: a url without a path is what host is, at a CONNECT as well") {
  const auto rule = [](const char* url) {
    return std::string("[[access.rules]]\nname = \"it\"\nwhen = { url = \"") + url + "\" }\n";
  };
  CHECK(hello(rule("a.example"), "a.example") == "block access=it");
  CHECK(hello(rule(".example"), "a.example") == "block access=it");
  CHECK(hello(rule("https://a.example"), "a.example") == "block access=it");
  CHECK(hello(rule("a.example:443"), "a.example") == "block access=it");
  CHECK(hello(rule("192.0.2.1"), "a.example") == "block access=it");
  const char* const clean = "tunnel-sni access=default protection=default";
  CHECK(hello(rule("http://a.example"), "a.example") == clean);
  CHECK(hello(rule("a.example:8443"), "a.example") == clean);
  CHECK(hello(rule("b.example"), "a.example") == clean);
  // Before the name is known it waits, as host does.
  Judge judge(policy_of(rule("a.example")));
  CHECK(judge.connect(testing::Connection{}.at_connect()).action == Action::peek);
  Judge blind(policy_of(rule("a.example") + "[[tls.rules]]\nname = \"t\"\naction = \"tunnel\"\n"));
  CHECK(blind.connect(testing::Connection{}.at_connect()).action == Action::tunnel);
}

TEST_CASE("an address in the request's Host matches address patterns of host and url") {
  const Message message{.host = "198.51.100.9", .url = "http://198.51.100.9/"};
  CHECK(request("[[access.rules]]\nname = \"it\"\nwhen = { host = \"198.51.100.0/24\" }\n", message) == "block access=it");
  CHECK(request("[[access.rules]]\nname = \"it\"\nwhen = { url = \"198.51.100.9\" }\n", message) == "block access=it");
  CHECK(request("[[access.rules]]\nname = \"it\"\nwhen = { destination = \"198.51.100.9\" }\n", message) ==
        "peek access=default protection=default");
  const Message v6{.host = "[2001:db8::9]", .url = "http://[2001:db8::9]/"};
  CHECK(request("[[access.rules]]\nname = \"it\"\nwhen = { host = \"2001:db8::/32\" }\n", v6) == "block access=it");
}

TEST_CASE("what is not known yet keeps a message pending, and says what would decide it") {
  const Message upload{.has_body = true, .complete = false};
  const auto needs = [&](const std::string& condition) {
    Judge judge(policy_of("[[access.rules]]\nname = \"it\"\nwhen = { " + condition + " }\n"));
    const Decision decision = judge.response(upload.at_response(), false);
    CHECK(decision.pending);
    CHECK(decision.action == Action::peek);
    CHECK(!judge.response(upload.at_response(), true).pending);
    return decision.needs;
  };
  CHECK(needs("file_type = \"pdf\"") == rules::needs_prefix);
  CHECK(needs("size = \"> 1 MiB\"") == rules::needs_size);
  CHECK(needs("sha256 = \"" + std::string(64, '0') + "\"") == rules::needs_whole_body);
  CHECK(needs("file_type = \"pdf\", md5 = \"" + std::string(32, '0') + "\"") ==
        (rules::needs_prefix | rules::needs_whole_body));
  // A head condition that fails leaves nothing to wait for.
  CHECK(response("[[access.rules]]\nwhen = { file_type = \"pdf\", mime = \"text/html\" }\n", upload, false) ==
        "peek access=default protection=default");
  // An undecided stage leaves the later ones undecided.
  CHECK(response("[[bypass.rules]]\nwhen = { file_type = \"pdf\" }\naction = \"allow\"\n[[access.rules]]\nname = \"no\"\n", upload,
                 false) == "pending");
  // A protection rule keeps nobody waiting.
  CHECK(response("[[protection.rules]]\nname = \"p\"\nwhen = { file_type = \"pdf\" }\nmalware = \"skip\"\n", upload, false) ==
        "peek access=default");
}

TEST_CASE("what can only block does not wait when it is blocked anyway") {
  const Message upload{.has_body = true, .complete = false};
  const std::string pdf = "[[access.rules]]\nname = \"pdf\"\nwhen = { file_type = \"pdf\" }\n";
  const std::string host = "[[access.rules]]\nname = \"host\"\nwhen = { host = \".example.com\" }\n";
  CHECK(request(pdf + host, upload, false) == "block access=host");
  CHECK(request(pdf + "[access]\ndefault = \"block\"\n", upload, false) == "block access=default");
  CHECK(request("[[bypass.rules]]\nwhen = { file_type = \"pdf\" }\n" + host, upload, false) == "block access=host");
  CHECK(request("[[access.rules]]\nwhen = { file_type = \"pdf\" }\naction = \"allow\"\n" + host, upload, false) == "pending");
  CHECK(request(pdf + "[[access.rules]]\nwhen = { host = \".example.com\" }\naction = \"redirect\"\nto = \"https://x.example/\"\n",
                upload, false) == "pending");
}

TEST_CASE("content that cannot be read: a rule that blocks by it counts as matched, once nothing more will be known") {
  const Message broken{.has_body = true, .unreadable = true};
  const std::string pdf = "[[access.rules]]\nname = \"pdf\"\nwhen = { file_type = \"pdf\" }\n";
  CHECK(response(pdf, broken, false) == "pending");
  CHECK(response(pdf, broken, true) == "block access=pdf");
  CHECK(response("[[access.rules]]\nname = \"pdf\"\nwhen = { file_type = \"pdf\", host = \"other.example\" }\n", broken) ==
        "peek access=default protection=default");
  CHECK(response("[[access.rules]]\nname = \"pdf\"\nwhen = { file_type = \"pdf\" }\naction = \"redirect\"\nto = "
                 "\"https://x.example/\"\n",
                 broken) == "redirect access=pdf");
  CHECK(response("[[access.rules]]\nname = \"pdf\"\nwhen = { file_type = \"pdf\" }\naction = \"allow\"\n", broken) ==
        "peek access=default protection=default");
  CHECK(response("[[access.rules]]\nname = \"not\"\nwhen = { mime = \"a/b\" }\nexcept = [ { file_type = \"pdf\" } ]\n",
                 {.mime = "a/b", .has_body = true, .unreadable = true}) == "block access=not");
}

TEST_CASE("content that cannot be read: an except of a rule that allows counts as matched, too") {
  const Message broken{.has_body = true, .unreadable = true};
  const std::string all_but = "[[access.rules]]\nexcept = [ { file_type = \"pdf\" } ]\naction = \"allow\"\n[access]\ndefault = \"block\"\n";
  CHECK(response(all_but, broken) == "block access=default");
  FileTypes pdf;
  pdf.add(FileType::pdf);
  CHECK(response(all_but, {.has_body = true, .types = pdf}) == "block access=default");
  CHECK(response(all_but, {.has_body = true}) == "peek access=access rule 1 protection=default");
}

TEST_CASE("what a message may also be taken for: enough for a rule that forbids, not for one that allows") {
  FileTypes pdf;
  pdf.add(FileType::pdf);
  std::array<uint8_t, 32> hash{};
  hash[31] = 1;
  const std::string passes = "peek access=default protection=default";
  struct {
    std::string condition;
    Message first;  // is it
    Message other;  // may be it as well
  } const rows[] = {
      {"mime = \"a/b\"", {.mime = "a/b", .has_body = true}, {.has_body = true, .also_mimes = {"c/d", "a/b"}}},
      {"file_name = \"*.exe\"", {.file_name = "x.exe", .has_body = true},
       {.file_name = "x.txt", .has_body = true, .also_file_names = {"x.exe"}}},
      {"file_type = \"pdf\"", {.has_body = true, .types = pdf}, {.has_body = true, .coded_types = pdf}},
      {"sha256 = \"" + std::string(63, '0') + "1\"", {.has_body = true, .sha256 = hash},
       {.has_body = true, .has_coded_hashes = true, .coded_sha256 = hash}},
  };
  for (const auto& row : rows) {
    CAPTURE(row.condition);
    const std::string when = "when = { " + row.condition + " }\n";
    const std::string except = "except = [ { " + row.condition + " } ]\n";
    const std::string begin = "[access]\ndefault = \"block\"\n[[access.rules]]\nname = \"it\"\naction = \"allow\"\n";
    for (const Message& message : {row.first, row.other}) {
      CHECK(response("[[access.rules]]\nname = \"it\"\n" + when, message) == "block access=it");
      CHECK(response("[[access.rules]]\nname = \"it\"\naction = \"redirect\"\nto = \"https://x.example/\"\n" + when, message) ==
            "redirect access=it");
      CHECK(response(begin + except, message) == "block access=default");
    }
    CHECK(response("[[access.rules]]\nname = \"it\"\n" + except, row.first) == passes);
    CHECK(response("[[access.rules]]\nname = \"it\"\n" + except, row.other) == "block access=it");
    CHECK(response(begin + when, row.first) == "peek access=it protection=default");
    CHECK(response(begin + when, row.other) == "block access=default");
  }
}

TEST_CASE("direction: a rule of the other one wants nothing of this message") {
  const std::string up = "[[access.rules]]\nname = \"up\"\nwhen = { direction = \"request\", size = \"> 1 KiB\" }\n";
  const Message big{.has_body = true, .size = 4096};
  CHECK(request(up, big) == "block access=up");
  CHECK(response(up, big) == "peek access=default protection=default");
  const auto policy = policy_of(up);
  CHECK(policy->needs_request_content() == rules::needs_size);
  CHECK(policy->needs_response_content() == rules::needs_nothing);
  const auto both = policy_of("[[bypass.rules]]\nwhen = { file_type = \"pdf\" }\n[[access.rules]]\nexcept = [ { md5 = \"" +
                              std::string(32, 'a') + "\" } ]\n");
  CHECK(both->needs_request_content() == (rules::needs_prefix | rules::needs_whole_body));
  CHECK(both->needs_response_content() == both->needs_request_content());
  CHECK(policy_of("[[protection.rules]]\nwhen = { file_type = \"pdf\" }\n")->needs_response_content() == rules::needs_nothing);
}

TEST_CASE("the rule that refuses, for the page and the redirect") {
  const std::string rules =
      "[[bypass.rules]]\nname = \"b\"\nwhen = { host = \"a.example\" }\naction = \"redirect\"\nto = \"https://b.example/\"\n"
      "[[access.rules]]\nname = \"a\"\nwhen = { host = \"b.example\" }\naction = \"redirect\"\nto = \"https://a.example/\"\n";
  Judge judge(policy_of(rules));
  const auto to = [&](const char* host) {
    const Message message{.host = host};
    const rules::Rule* rule = judge.policy().refusing_rule(judge.request(message.at_request()));
    return rule == nullptr ? "" : rule->redirect_to;
  };
  CHECK(to("a.example") == "https://b.example/");
  CHECK(to("b.example") == "https://a.example/");
  CHECK(to("c.example") == "");
}

TEST_CASE("http_connect: plain HTTP waits for its requests, unless no request can come") {
  Judge judge(policy_of("[[access.rules]]\nname = \"lan\"\nwhen = { client = \"10.20.0.9\" }\n[access]\ndefault = \"block\"\n"
                        "[[access.rules]]\nname = \"ok\"\nwhen = { host = \"ok.example\" }\naction = \"allow\"\n"));
  testing::Connection connection;
  CHECK(judge.http_connect(connection.at_connect()).action == Action::peek);
  CHECK(shown(judge, judge.http_connect(connection.not_tls(), true)) == "block access=default");
  connection.client = "10.20.0.9";
  CHECK(shown(judge, judge.http_connect(connection.at_connect())) == "block access=lan");
}

TEST_CASE("explicit mode: an address that is not resolved yet is unknown, the name is not") {
  Judge judge(policy_of("[[access.rules]]\nname = \"net\"\nwhen = { destination = \"198.51.100.0/24\" }\n"));
  Message message;
  rules::Facts facts = message.at_request();
  facts.mode = rules::Mode::explicit_proxy;
  facts.destination_known = rules::Known::not_yet;
  const Decision decision = judge.request(facts, false);
  CHECK(decision.pending);
  CHECK(decision.needs == rules::needs_destination);
  facts.destination_known = rules::Known::yes;
  facts.destination = *Endpoint::parse("198.51.100.7:443");
  CHECK(judge.request(facts, false).action == Action::block);
}

TEST_CASE("what is remembered of hosts and URLs is of the very same ones") {
  Judge judge(policy_of("[[access.rules]]\nwhen = { host = \"*.odd.example\" }\n"
                        "[[access.rules]]\nwhen = { url = \"*/third/*\" }\n"));
  const auto decided = [&](const Message& message) { return judge.request(message.at_request(), true).action; };
  // More than are remembered, over and over: each pushes others out.
  for (size_t i = 0; i < 3 * 500; ++i) {
    const size_t number = i % 500;
    Message message;
    message.host = "h" + std::to_string(number) + (number % 2 == 1 ? ".odd.example" : ".even.example");
    message.url = "https://" + message.host + (number % 3 == 0 ? "/third/" : "/") + "page";
    CAPTURE(message.url);
    const Action wanted = number % 2 == 1 || number % 3 == 0 ? Action::block : Action::peek;
    REQUIRE(decided(message) == wanted);
    REQUIRE(judge.response(message.at_response(), true).action == wanted);
    // The same URL for another host, as no caller should ask.
    message.host = number % 2 == 1 ? "x.even.example" : "x.odd.example";
    REQUIRE(decided(message) == (number % 2 == 0 || number % 3 == 0 ? Action::block : Action::peek));
  }
  // A URL that is longer than what is remembered.
  Message message;
  message.host = "x.even.example";
  const std::string tail(4000, 'a');
  message.url = "https://x.even.example/" + tail;
  CHECK(decided(message) == Action::peek);
  message.url = "https://x.even.example/third/" + tail;
  CHECK(decided(message) == Action::block);
}
