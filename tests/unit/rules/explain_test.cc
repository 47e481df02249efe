// `sluice explain` and the daemon ask the same evaluator: the reasons must agree with the verdict.
#include "rules/explain.h"

#include <doctest/doctest.h>

#include "unit/config/loading.h"
#include "unit/rules/facts_of.h"

namespace {

using namespace sluice;
using rules::Event;
using rules::Explanation;
using rules::TableReasons;
using testing::Connection;
using testing::policy_of;

std::string shown(const TableReasons& table) {
  if (!table.read) return "not read: " + table.why_not_read;
  std::string text;
  for (const auto& rule : table.rules) {
    const char* outcome[] = {"matched", "not matched", "deferred"};
    text += rule.name + ": " + outcome[static_cast<int>(rule.outcome)] + ", " + rule.action + ": " +
            rule.reason + "\n";
  }
  return text;
}

const char* const office = R"([[tls.rules]]
name = "banks"
when = { host = ".bank.example" }
action = "tunnel-sni"

[[tls.rules]]
name = "office"
when = { client = "10.20.0.0/16", port = 443 }
except = [ { client = "10.20.0.7" } ]
action = "terminate"
)";

}  // namespace

TEST_CASE("the winner and every earlier rule, with the condition that decided and its line") {
  const auto policy = policy_of(office);
  const Connection connection{.host = "www.example.com"};
  const Explanation explanation = rules::explain(*policy, connection.at_hello(), Event::hello);
  CHECK(explanation.decision.action == rules::Action::terminate);
  CHECK(shown(explanation.tls) ==
        "banks: not matched, tunnel-sni: host = \".bank.example\" (line 3) does not hold: the host is "
        "www.example.com\n"
        "office: matched, terminate: client = \"10.20.0.0/16\" (line 8): the client is 10.20.0.5 on eth1; "
        "port = 443 (line 8): the port is 443\n");
  CHECK(explanation.tls.rules[0].reason_line == 3);
  CHECK(explanation.tls.rules[1].line == 6);
  CHECK(shown(explanation.access) == "default: matched, allow: no rule matched\n");
}

TEST_CASE("an except that holds, and the default") {
  const auto policy = policy_of(office);
  const Connection connection{.client = "10.20.0.7", .host = "www.example.com"};
  CHECK(shown(rules::explain(*policy, connection.at_hello(), Event::hello).tls) ==
        "banks: not matched, tunnel-sni: host = \".bank.example\" (line 3) does not hold: the host is "
        "www.example.com\n"
        "office: not matched, terminate: except entry 1 holds: client = \"10.20.0.7\" (line 9): the client "
        "is 10.20.0.7 on eth1\n"
        "default: matched, tunnel-sni: no rule matched\n");
}

TEST_CASE("at the connect event: what is not known yet defers") {
  const auto policy = policy_of(office);
  const Explanation explanation = rules::explain(*policy, Connection{}.at_connect(), Event::connect);
  CHECK(explanation.decision.action == rules::Action::peek);
  CHECK(shown(explanation.tls) ==
        "banks: deferred, tunnel-sni: host = \".bank.example\" (line 3) cannot be decided yet: the host is "
        "not known before the ClientHello\n");
}

TEST_CASE("a table that is not reached says why") {
  const auto blocked = policy_of("[[access.rules]]\nname = \"no\"\nwhen = { client = \"10.20.0.5\" }\n");
  CHECK(shown(rules::explain(*blocked, Connection{}.at_connect(), Event::connect).tls) ==
        "not read: an access rule closes the connection");
  const auto off =
      policy_of("tls.decrypt = false\n[[access.rules]]\nname = \"a\"\nwhen = { host = \"x.example\" }\n");
  const Explanation explanation = rules::explain(*off, Connection{}.at_connect(), Event::connect);
  CHECK(explanation.decision.action == rules::Action::tunnel);
  CHECK(shown(explanation.tls) ==
        "not read: tls.decrypt = false: handshakes are relayed without intervention");
  CHECK(shown(explanation.access) ==
        "a: not matched, block: host = \"x.example\" (line 4) does not hold: the host is not known before "
        "the ClientHello\n"
        "default: matched, allow: no rule matched\n");
}

TEST_CASE("after bytes that are no TLS: never known") {
  const auto policy = policy_of("[[tls.rules]]\nwhen = { alpn = \"h2\" }\naction = \"terminate\"\n");
  CHECK(shown(rules::explain(*policy, Connection{}.not_tls(), Event::hello).tls) ==
        "tls rule 1: not matched, terminate: alpn = \"h2\" (line 2) does not hold: the alpn is never known "
        "here\n"
        "default: matched, tunnel-sni: no rule matched\n");
}
