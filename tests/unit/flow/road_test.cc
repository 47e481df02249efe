#include "flow/road.h"

#include <doctest/doctest.h>

#include "unit/config/loading.h"

using namespace sluice;
using flow::FirstBytes;
using record::CloseReason;
using rules::Action;

namespace {

struct Row {
  const char* what;
  Action action;
  rules::RuleIndex rule;
  config::NonTls non_tls;
  bool require_sni;
  FirstBytes first_bytes;
  Action expected;
  std::optional<CloseReason> close;
};

constexpr auto pass = config::NonTls::tunnel;
constexpr auto stop = config::NonTls::terminate;
constexpr rules::RuleIndex some_rule = 0;
constexpr rules::RuleIndex by_default = rules::rule_default;

const Row rows[] = {
    {"S3: tunnel asks nothing of the bytes",
     Action::tunnel,
     some_rule,
     stop,
     true,
     FirstBytes::malformed,
     Action::tunnel,
     {}},
    {"S3: nor of silence", Action::tunnel, some_rule, stop, true, FirstBytes::silence, Action::tunnel, {}},
    {"S4: a hello passes",
     Action::tunnel_sni,
     by_default,
     stop,
     true,
     FirstBytes::hello_with_sni,
     Action::tunnel_sni,
     {}},
    {"S4: without SNI it passes",
     Action::tunnel_sni,
     by_default,
     stop,
     false,
     FirstBytes::hello_without_sni,
     Action::tunnel_sni,
     {}},
    {"S4: unless SNI is required", Action::tunnel_sni, by_default, stop, true, FirstBytes::hello_without_sni,
     Action::tunnel_sni, CloseReason::sni_missing},
    {"S4: a malformed hello never passes", Action::tunnel_sni, by_default, pass, false, FirstBytes::malformed,
     Action::tunnel_sni, CloseReason::hello_malformed},
    {"S4: nor one that is too large", Action::tunnel_sni, by_default, pass, false, FirstBytes::too_large,
     Action::tunnel_sni, CloseReason::hello_too_large},
    {"S4: nor one that does not end", Action::tunnel_sni, by_default, pass, false, FirstBytes::unfinished,
     Action::tunnel_sni, CloseReason::hello_timeout},
    {"S8: not TLS, terminate", Action::tunnel_sni, by_default, stop, false, FirstBytes::not_tls,
     Action::tunnel_sni, CloseReason::non_tls},
    {"S8: not TLS, tunnel",
     Action::tunnel_sni,
     by_default,
     pass,
     false,
     FirstBytes::not_tls,
     Action::tunnel,
     {}},
    {"S8: silence, terminate", Action::tunnel_sni, by_default, stop, false, FirstBytes::silence,
     Action::tunnel_sni, CloseReason::hello_timeout},
    {"S8: silence, tunnel",
     Action::tunnel_sni,
     by_default,
     pass,
     false,
     FirstBytes::silence,
     Action::tunnel,
     {}},
    {"S7: a terminate rule means a hello", Action::terminate, some_rule, pass, false,
     FirstBytes::hello_with_sni, Action::terminate, CloseReason::rule_terminate},
    {"S7: and every other byte", Action::terminate, some_rule, pass, false, FirstBytes::not_tls,
     Action::terminate, CloseReason::rule_terminate},
    {"S8: a terminate default leaves bytes that are not TLS to non_tls",
     Action::terminate,
     by_default,
     pass,
     false,
     FirstBytes::not_tls,
     Action::tunnel,
     {}},
    {"S7: but not those that begin like TLS", Action::terminate, by_default, pass, false,
     FirstBytes::malformed, Action::terminate, CloseReason::rule_terminate},
    {"S7: and not against non_tls", Action::terminate, by_default, stop, false, FirstBytes::not_tls,
     Action::terminate, CloseReason::rule_terminate},
    {"S23: block closes", Action::block, by_default, pass, false, FirstBytes::not_tls, Action::block,
     CloseReason::rule_block},
    {"S23: redirect closes", Action::redirect, by_default, pass, false, FirstBytes::hello_with_sni,
     Action::redirect, CloseReason::rule_redirect},
};

}  // namespace

TEST_CASE("what [tls] makes of the rules' verdict at the hello event") {
  for (const Row& row : rows) {
    CAPTURE(row.what);
    config::Tls tls;
    tls.non_tls = row.non_tls;
    tls.require_sni = row.require_sni;
    const flow::Road road = flow::road_at_hello(tls, {row.action, row.rule, by_default}, row.first_bytes);
    CHECK(road.action == row.expected);
    CHECK(road.close == row.close);
  }
}

TEST_CASE(
    "S4: of the CONNECT's name and the SNI the stricter verdict wins; without SNI the CONNECT's name is the "
    "host") {
  rules::Judge judge(sluice::testing::policy_of(
      "[[tls.rules]]\nwhen = { host = \"direct.example\" }\naction = \"tunnel\"\n"
      "[[tls.rules]]\nwhen = { host = \"closed.example\" }\naction = \"terminate\"\n"
      "[[access.rules]]\nwhen = { host = \"blocked.example\" }\n"));
  const auto verdict = [&](const char* sni, const char* asked) {
    rules::Facts facts;
    facts.host_known = facts.hello_known = rules::Known::yes;
    facts.host = sni;
    facts.sni_present = *sni != '\0';
    return std::string(rules::to_string(flow::judge_hello(judge, facts, asked).action));
  };
  CHECK(verdict("direct.example", "") == "tunnel");
  CHECK(verdict("direct.example", "DIRECT.example") == "tunnel");
  CHECK(verdict("direct.example", "other.example") == "tunnel-sni");
  CHECK(verdict("other.example", "direct.example") == "tunnel-sni");
  CHECK(verdict("closed.example", "direct.example") == "terminate");
  CHECK(verdict("closed.example", "blocked.example") == "block");
  CHECK(verdict("blocked.example", "closed.example") == "block");
  CHECK(verdict("", "direct.example") == "tunnel");
  CHECK(verdict("", "closed.example") == "terminate");
  CHECK(verdict("", "") == "tunnel-sni");
}
