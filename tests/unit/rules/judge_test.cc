// Verdicts, table by table; each case names the statement of the specification that it proves.
#include "rules/judge.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "rules/policy.h"
#include "unit/config/loading.h"
#include "unit/rules/facts_of.h"

namespace {

using namespace sluice;
using rules::Action;
using rules::Decision;
using rules::Judge;
using testing::Connection;
using testing::policy_of;

std::string shown(const Judge& judge, const Decision& decision) {
  std::string text = to_string(decision.action);
  text += " tls=" + std::string(judge.policy().tls_rule_name(decision.tls_rule));
  return text + " access=" + std::string(judge.policy().access_rule_name(decision.access_rule));
}
std::string at_connect(const std::string& rules, const Connection& connection = {}) {
  Judge judge(policy_of(rules));
  return shown(judge, judge.connect(connection.at_connect()));
}
std::string at_hello(const std::string& rules, const Connection& connection = {}) {
  Judge judge(policy_of(rules));
  return shown(judge, judge.hello(connection.at_hello()));
}

// One rule that terminates on `when`; whether it matched at the hello event.
bool matches(const std::string& when, const Connection& connection) {
  return at_hello("[[tls.rules]]\nname = \"it\"\nwhen = { " + when + " }\naction = \"terminate\"\n",
                  connection) == "terminate tls=it access=default";
}

}  // namespace

TEST_CASE("S2: no rule matches: the default, named in the log, and never before the hello") {
  CHECK(at_connect("") == "peek tls= access=");
  CHECK(at_hello("") == "tunnel-sni tls=default access=default");
  CHECK(at_hello("tls.default_action = \"terminate\"") == "terminate tls=default access=default");
  CHECK(at_connect("tls.default_action = \"terminate\"") == "peek tls= access=");
}

TEST_CASE("S2: rules are read top-down and the first match wins") {
  const std::string rules = R"(
[[tls.rules]]
name = "one"
when = { host = "a.example" }
action = "terminate"
[[tls.rules]]
name = "two"
when = { host = ".example" }
action = "tunnel-sni"
[[tls.rules]]
name = "three"
action = "terminate"
)";
  CHECK(at_hello(rules, {.host = "a.example"}) == "terminate tls=one access=default");
  CHECK(at_hello(rules, {.host = "b.example"}) == "tunnel-sni tls=two access=default");
  CHECK(at_hello(rules, {.host = "b.test"}) == "terminate tls=three access=default");
}

TEST_CASE("S19: an IPv4 destination holds for what NAT64 makes of it; its own network still has its own name") {
  const auto to = [](const char* address) {
    Connection connection;
    connection.destination = "[" + std::string(address) + "]:443";
    return connection;
  };
  CHECK(matches("destination = \"10.9.0.0/16\"", to("64:ff9b::a09:2")));
  CHECK(matches("destination = \"64:ff9b::/96\"", to("64:ff9b::a09:2")));
  CHECK(matches("host = \"10.9.0.2\"", to("64:ff9b::a09:2")));
  CHECK_FALSE(matches("destination = \"10.8.0.0/16\"", to("64:ff9b::a09:2")));
  CHECK_FALSE(matches("destination = \"10.9.0.0/16\"", to("64:ff9b:1::a09:2")));
  CHECK_FALSE(matches("destination = \"64:ff9b::/96\"", {}));
}

TEST_CASE("S3: a tunnel that the connect event can decide needs no byte of the client") {
  const std::string rules =
      "[[tls.rules]]\nname = \"db\"\nwhen = { destination = \"192.0.2.0/24\" }\naction = \"tunnel\"\n";
  CHECK(at_connect(rules) == "tunnel tls=db access=default");
  CHECK(at_connect(rules, {.destination = "198.51.100.1:443"}) == "peek tls= access=");
}

TEST_CASE("S4, S6, S7: what needs the hello is never decided at the connect event") {
  for (const char* action : {"tunnel-sni", "terminate"}) {
    const std::string rules = std::string("[[tls.rules]]\nname = \"r\"\naction = \"") + action + "\"\n";
    CHECK(at_connect(rules) == "peek tls= access=");
    CHECK(at_hello(rules) == std::string(action) + " tls=r access=default");
  }
}

TEST_CASE("S3, three-valued: an unknown met before a match defers; a known false does not") {
  const std::string host_first = R"(
[[tls.rules]]
when = { host = ".bank.example" }
action = "tunnel-sni"
[[tls.rules]]
name = "lan"
when = { destination = "192.0.2.0/24" }
action = "tunnel"
)";
  CHECK(at_connect(host_first) == "peek tls= access=");
  CHECK(at_hello(host_first, {.host = "x.example"}) == "tunnel tls=lan access=default");

  const std::string false_and_unknown = R"(
[[tls.rules]]
when = { client = "172.16.0.0/12", host = ".bank.example" }
action = "tunnel-sni"
[[tls.rules]]
name = "lan"
when = { destination = "192.0.2.0/24" }
action = "tunnel"
)";
  CHECK(at_connect(false_and_unknown) == "tunnel tls=lan access=default");
}

TEST_CASE("S3: access rules that wait for a hello are read again without one under a plain tunnel") {
  const std::string tunnel = "[[tls.rules]]\nname = \"t\"\naction = \"tunnel\"\n";
  const std::string ads = "[[access.rules]]\nname = \"ads\"\nwhen = { host = \".ads.example\" }\n";
  CHECK(at_connect(tunnel + ads) == "tunnel tls=t access=default");
  CHECK(at_connect(tunnel + ads + "[[access.rules]]\nname = \"all\"\n") == "block tls=t access=all");
  CHECK(at_connect(tunnel + "[access]\ndefault = \"block\"\n[[access.rules]]\nwhen = { host = \"ok.example\" "
                            "}\naction = \"allow\"\n") == "block tls=t access=default");
}

TEST_CASE("S1: decrypt = false relays without TLS rules, but the connect event passes the access rules") {
  const std::string off = "tls.decrypt = false\n[[tls.rules]]\naction = \"terminate\"\n";
  CHECK(at_connect(off) == "tunnel tls= access=default");
  CHECK(at_connect(off + "[[access.rules]]\nname = \"no\"\nwhen = { client = \"10.0.0.0/8\" }\n") ==
        "block tls= access=no");
  CHECK(at_connect(off + "[[access.rules]]\nname = \"no\"\nwhen = { host = \"a.example\" }\n") ==
        "tunnel tls= access=default");
}

TEST_CASE("S23: block and redirect at the connect event close at once; at the hello event as well") {
  CHECK(at_connect("[[access.rules]]\nname = \"b\"\nwhen = { port = 443 }\n") == "block tls= access=b");
  CHECK(at_connect("[[access.rules]]\nname = \"r\"\nwhen = { port = 443 }\naction = \"redirect\"\nto = "
                   "\"https://i.example/\"\n") == "redirect tls= access=r");
  CHECK(at_connect("[access]\ndefault = \"block\"\n") == "block tls= access=default");
  const std::string by_name = "[[access.rules]]\nname = \"b\"\nwhen = { host = \"a.example\" }\n";
  CHECK(at_connect(by_name) == "peek tls= access=");
  CHECK(at_hello(by_name, {.host = "a.example"}) == "block tls=default access=b");
  CHECK(at_hello(by_name, {.host = "b.example"}) == "tunnel-sni tls=default access=default");
}

TEST_CASE("an access rule that allows ends the table, so that later ones do not block") {
  const std::string rules = R"(
[access]
default = "block"
[[access.rules]]
name = "work"
when = { host = [".work.example"] }
action = "allow"
)";
  CHECK(at_connect(rules) == "peek tls= access=");
  CHECK(at_hello(rules, {.host = "a.work.example"}) == "tunnel-sni tls=default access=work");
  CHECK(at_hello(rules, {.host = "a.play.example"}) == "block tls=default access=default");
}

TEST_CASE("S8: after bytes that are no TLS, host and hello conditions are never known and do not match") {
  Judge judge(policy_of(R"(
[[tls.rules]]
name = "absent"
when = { sni = "absent" }
action = "terminate"
[[tls.rules]]
name = "not old"
when = { port = 443 }
except = [ { tls_version = "1.0" } ]
action = "tunnel"
)"));
  CHECK(shown(judge, judge.hello(Connection{}.not_tls())) == "tunnel tls=not old access=default");
}

TEST_CASE("S4: without SNI the host is the address: only address patterns match") {
  CHECK(matches("host = \"192.0.2.1\"", {}));
  CHECK(matches("host = [\"a.example\", \"192.0.2.0/24\"]", {}));
  CHECK(!matches("host = \"a.example\"", {}));
  CHECK(matches("sni = \"absent\"", {}));
  CHECK(!matches("sni = \"present\"", {}));
}

TEST_CASE(
    "S21: an except entry that holds ends the rule; all its conditions must hold; reading continues below") {
  const std::string rules = R"(
[[tls.rules]]
name = "office"
when = { client = "10.20.0.0/16" }
except = [ { client = "10.20.0.7" }, { host = ".bank.example", alpn = "h2" } ]
action = "terminate"
[[tls.rules]]
name = "below"
action = "tunnel-sni"
)";
  CHECK(at_hello(rules, {.host = "a.example"}) == "terminate tls=office access=default");
  CHECK(at_hello(rules, {.client = "10.20.0.7", .host = "a.example"}) ==
        "tunnel-sni tls=below access=default");
  CHECK(at_hello(rules, {.host = "www.bank.example"}) == "tunnel-sni tls=below access=default");
  CHECK(at_hello(rules, {.host = "www.bank.example", .alpn = {"http/1.1"}}) ==
        "terminate tls=office access=default");
}

TEST_CASE("S21, three-valued: an except that is unknown defers, one that holds does not") {
  const std::string head =
      "[[tls.rules]]\nname = \"r\"\nwhen = { port = 443 }\nexcept = [ { host = \"a.example\" }";
  CHECK(at_connect(head + " ]\naction = \"tunnel\"\n") == "peek tls= access=");
  CHECK(at_connect(head + ", { client = \"10.20.0.5\" } ]\naction = \"tunnel\"\n[[tls.rules]]\nname = "
                          "\"next\"\naction = \"tunnel\"\n") == "tunnel tls=next access=default");
}

TEST_CASE(
    "a condition over an interface that the kernel did not tell does not match, and neither does its "
    "exception") {
  const std::string rules =
      "[[access.rules]]\nname = \"r\"\nwhen = { client = \"eth1\" }\n[[access.rules]]\nname = \"s\"\nexcept "
      "= [ { client = \"eth1\" } ]\n";
  CHECK(at_connect(rules) == "block tls= access=r");
  CHECK(at_connect(rules, {.interface = "eth2"}) == "block tls= access=s");
  CHECK(at_connect(rules, {.interface = ""}) == "block tls= access=s");
}

TEST_CASE("S19: client: address, network, interface") {
  CHECK(matches("client = \"10.20.0.5\"", {}));
  CHECK(!matches("client = \"10.20.0.6\"", {}));
  CHECK(matches("client = [\"10.20.0.0/16\", \"eth9\"]", {}));
  CHECK(matches("client = [\"172.16.0.0/12\", \"eth1\"]", {}));
  CHECK(matches("client = \"eth*\"", {}));
  CHECK(!matches("client = \"eth\"", {}));
  CHECK(matches("client = \"2001:db8::/32\"", {.client = "2001:db8::5"}));
  CHECK(!matches("client = \"2001:db8::/32\"", {}));
  CHECK(!matches("client = \"::/0\"", {}));
  CHECK(matches("client = \"0.0.0.0/0\"", {}));
}

TEST_CASE("S19: destination and port") {
  CHECK(matches("destination = \"192.0.2.1\"", {}));
  CHECK(matches("destination = \"2001:db8::1\"", {.destination = "[2001:db8::1]:443"}));
  CHECK(!matches("destination = \"192.0.2.2\"", {}));
  CHECK(matches("port = 443", {}));
  CHECK(matches("port = [8443, \"440-443\"]", {}));
  CHECK(matches("port = \"443-450\"", {}));
  CHECK(!matches("port = \"444-450\"", {}));
  CHECK(!matches("port = \"8000-8100\"", {.destination = "192.0.2.1:7999"}));
  CHECK(matches("port = \"8000-8100\"", {.destination = "192.0.2.1:8000"}));
  CHECK(matches("port = \"8000-8100\"", {.destination = "192.0.2.1:8100"}));
  CHECK(!matches("port = \"8000-8100\"", {.destination = "192.0.2.1:8101"}));
  CHECK(matches("port = \"1-65535\"", {.destination = "192.0.2.1:65535"}));
}

TEST_CASE("S20: host patterns") {
  struct Row {
    const char* pattern;
    const char* host;
    bool match;
  };
  const std::vector<Row> rows = {
      {"example.com", "example.com", true},
      {"example.com", "www.example.com", false},
      {"example.com", "example.com.", true},
      {"example.com.", "example.com", true},
      {"EXAMPLE.com", "example.COM", true},
      {"*.example.com", "www.example.com", true},
      {"*.example.com", "a.b.example.com", true},
      {"*.example.com", "example.com", false},
      {".example.com", "example.com", true},
      {".example.com", "www.example.com", true},
      {".example.com", "badexample.com", false},
      {".example.com", "example.com.evil.test", false},
      {"bücher.example", "xn--bcher-kva.example", true},
      {".BÜCHER.example", "www.xn--bcher-kva.example", true},
      {"faß.example", "xn--fa-hia.example", true},
      {"xn--bcher-kva.example", "xn--bcher-kva.example", true},
      {"*.com", "example.com", true},
      {"com", "example.com", false},
      {"localhost", "localhost", true},
      {"_dmarc.example", "_dmarc.example", true},
  };
  for (const Row& row : rows) {
    CAPTURE(row.pattern);
    CAPTURE(row.host);
    CHECK(matches(std::string("host = \"") + row.pattern + "\"", {.host = row.host}) == row.match);
  }
  CHECK(matches("host = \"2001:db8::1\"", {.destination = "[2001:db8::1]:443", .host = "a.example"}));
  CHECK(!matches("host = \"192.0.2.9\"", {.host = "192.0.2.9"}));  // an address as SNI is not the destination
}

TEST_CASE("S19: sni, ech, alpn, tls_version, ja4, method") {
  CHECK(matches("sni = \"present\"", {.host = "a.example"}));
  CHECK(matches("sni = true", {.host = "a.example"}));
  CHECK(matches("sni = false", {}));
  CHECK(matches("ech = \"present\"", {.ech = true}));
  CHECK(matches("ech = \"absent\"", {}));
  CHECK(!matches("ech = \"present\"", {}));
  CHECK(matches("alpn = \"h2\"", {}));
  CHECK(matches("alpn = [\"h3\", \"http/1.1\"]", {}));
  CHECK(!matches("alpn = \"http/1\"", {}));
  CHECK(!matches("alpn = \"h2\"", {.alpn = {}}));
  CHECK(matches("tls_version = \"1.2\"", {}));
  CHECK(matches("tls_version = [\"1.0\", \"1.3\"]", {}));
  CHECK(!matches("tls_version = [\"1.0\", \"1.1\"]", {}));
  CHECK(matches("ja4 = \"t13d1516h2_8daaf6152771_b186095e22b6\"", {}));
  CHECK(matches("ja4 = \"t13d1516h2_*\"", {}));
  CHECK(!matches("ja4 = \"t13d1517h2_*\"", {}));
  CHECK(matches("method = \"CONNECT\"", {}));
}

TEST_CASE("S19: all conditions of a `when` must hold") {
  CHECK(matches("host = \".example\", alpn = \"h2\", client = \"eth1\", port = 443", {.host = "a.example"}));
  CHECK(!matches("host = \".example\", alpn = \"h3\", client = \"eth1\", port = 443", {.host = "a.example"}));
  CHECK(matches("", {}));
}

TEST_CASE("S19: schedule; the answer follows the clock") {
  Judge judge(
      policy_of("[[access.rules]]\nname = \"office\"\nwhen = { schedule = \"Mon-Fri 08:00-18:00\" }\n"));
  Connection connection;
  const auto action_at = [&](int weekday, int minute) {
    connection.now.weekday = weekday;
    connection.now.minute = minute;
    return judge.hello(connection.at_hello()).action;
  };
  CHECK(action_at(5, 8 * 60) == Action::block);
  CHECK(action_at(5, 18 * 60) == Action::tunnel_sni);
  CHECK(action_at(6, 9 * 60) == Action::tunnel_sni);
  CHECK(action_at(1, 9 * 60) == Action::block);
}

TEST_CASE("a thousand rules and as many exceptions keep their order over word borders") {
  std::string rules;
  for (int i = 0; i < 1000; ++i)
    rules += "[[tls.rules]]\nwhen = { host = \".h" + std::to_string(i) +
             ".example\" }\nexcept = [ { host = \"no.h" + std::to_string(i) +
             ".example\" } ]\naction = \"terminate\"\n";
  rules += "[[access.rules]]\nname = \"only\"\nwhen = { host = \"x.h63.example\" }\n";
  Judge judge(policy_of(rules));
  for (const int i : {0, 1, 62, 63, 64, 65, 127, 128, 998, 999}) {
    const std::string name = "h" + std::to_string(i) + ".example";
    CHECK(judge.hello(Connection{.host = name}.at_hello()).tls_rule == i);
    CHECK(judge.hello(Connection{.host = "no." + name}.at_hello()).tls_rule == rules::rule_default);
  }
  CHECK(judge.hello(Connection{.host = "x.h63.example"}.at_hello()).access_rule == 0);
}

TEST_CASE("the policy says what the daemon need not find out") {
  const auto none = policy_of("");
  CHECK((!none->needs_interface() && !none->needs_ja4() && !none->needs_time() && !none->can_bump()));
  CHECK(policy_of("[[access.rules]]\nwhen = { client = \"eth1\" }\n")->needs_interface());
  CHECK(policy_of("[[access.rules]]\nexcept = [ { ja4 = \"t13*\" } ]\n")->needs_ja4());
  CHECK(policy_of("[[access.rules]]\nwhen = { schedule = \"Mon\" }\n")->needs_time());
}

TEST_CASE("rules without a name are numbered for the log") {
  CHECK(at_hello("[[tls.rules]]\nwhen = { port = 1 }\naction = \"terminate\"\n[[tls.rules]]\naction = "
                 "\"terminate\"\n") == "terminate tls=tls rule 2 access=default");
}
