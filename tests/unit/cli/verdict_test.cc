#include "cli/verdict.h"

#include <doctest/doctest.h>

#include "unit/config/loading.h"

using namespace sluice;
using namespace sluice::cli;
using rules::Action;
using sluice::testing::config_of;

namespace {

constexpr char rules_text[] = R"(
[tls]
default_action = "tunnel-sni"

[[tls.rules]]
name = "Printers"
when = { client = "192.0.2.99" }
action = "tunnel"

[[tls.rules]]
name = "No casinos"
when = { host = ".casino.example" }
action = "terminate"

[[access.rules]]
name = "Guests stay out of the office"
when = { client = "203.0.113.0/24", destination = "198.51.100.0/24" }
action = "block"
)";

Connection connection_from(const char* client, FirstBytes first_bytes) {
  Connection connection;
  connection.client = {*IpAddress::parse(client), 50000};
  connection.destination = *Endpoint::parse("198.51.100.1:443");
  connection.first_bytes = std::move(first_bytes);
  return connection;
}

hello::ClientHello hello_to(const char* sni) {
  hello::ClientHello hello;
  hello.sni = sni;
  hello.has_sni = *sni != '\0';
  hello.versions = {0x0304};
  return hello;
}

Verdict verdict_with(const std::string& text, const Connection& connection) {
  const auto config = config_of(text);
  rules::Judge judge(config->policy);
  return verdict_of(judge, config->tls, connection);
}

void check_verdict(const Verdict& verdict, Action action, bool closes, const std::string& by) {
  CHECK(rules::to_string(verdict.action) == std::string(rules::to_string(action)));
  CHECK(verdict.closes == closes);
  CHECK(verdict.by == by);
}

}  // namespace

TEST_CASE("S2, S3, S4, S7: what explain says is what the rules say, and it names the rule") {
  check_verdict(verdict_with(rules_text, connection_from("192.0.2.7", hello_to("www.example.com"))),
                Action::tunnel_sni, false, "tls.default_action");
  check_verdict(verdict_with(rules_text, connection_from("192.0.2.7", hello_to("x.casino.example"))),
                Action::terminate, true, "tls rule \"No casinos\"");
  check_verdict(verdict_with(rules_text, connection_from("192.0.2.99", hello_to("x.casino.example"))),
                Action::tunnel, false, "tls rule \"Printers\"");
  check_verdict(verdict_with(rules_text, connection_from("203.0.113.5", hello_to("www.example.com"))),
                Action::block, true, "access rule \"Guests stay out of the office\"");
}

TEST_CASE("what the connect event decides needs no first bytes; what it leaves open cannot be told without") {
  check_verdict(verdict_with(rules_text, connection_from("192.0.2.99", Unseen{})), Action::tunnel, false,
                "tls rule \"Printers\"");
  check_verdict(verdict_with(rules_text, connection_from("203.0.113.5", Unseen{})), Action::block, true,
                "access rule \"Guests stay out of the office\"");
  check_verdict(verdict_with(rules_text, connection_from("192.0.2.7", Unseen{})), Action::peek, false, "");
}

TEST_CASE(
    "S8: bytes that are no ClientHello, and silence, go by tls.non_tls; a broken ClientHello never passes") {
  const std::string tunnels = std::string(rules_text).replace(1, 5, "[tls]\nnon_tls = \"tunnel\"");
  for (const FirstBytes& first_bytes : {FirstBytes(hello::Malformed::not_tls), FirstBytes(Silence{})}) {
    const Verdict closed = verdict_with(rules_text, connection_from("192.0.2.7", first_bytes));
    CHECK(closed.closes);
    CHECK(closed.by.starts_with("tls.non_tls = \"terminate\": "));
    check_verdict(verdict_with(tunnels, connection_from("192.0.2.7", first_bytes)), Action::tunnel, false,
                  "tls.non_tls = \"tunnel\"");
    check_verdict(verdict_with(rules_text, connection_from("192.0.2.99", first_bytes)), Action::tunnel, false,
                  "tls rule \"Printers\"");
  }
  const Verdict broken =
      verdict_with(tunnels, connection_from("192.0.2.7", hello::Malformed::truncated_head));
  CHECK(broken.closes);
  CHECK(broken.by.starts_with("malformed ClientHello: "));
}

TEST_CASE("S4: tls.require_sni closes what names no server") {
  const std::string requires_sni = std::string(rules_text).replace(1, 5, "[tls]\nrequire_sni = true");
  check_verdict(verdict_with(requires_sni, connection_from("192.0.2.7", hello_to(""))), Action::terminate,
                true, "tls.require_sni");
  check_verdict(verdict_with(requires_sni, connection_from("192.0.2.7", hello_to("www.example.com"))),
                Action::tunnel_sni, false, "tls.default_action");
  check_verdict(verdict_with(rules_text, connection_from("192.0.2.7", hello_to(""))), Action::tunnel_sni,
                false, "tls.default_action");
}

TEST_CASE("S1: with tls.decrypt = false everything is relayed, but access rules hold") {
  const std::string relayed = std::string(rules_text).replace(1, 5, "[tls]\ndecrypt = false");
  check_verdict(verdict_with(relayed, connection_from("192.0.2.7", hello_to("x.casino.example"))),
                Action::tunnel, false, "tls.decrypt = false");
  check_verdict(verdict_with(relayed, connection_from("203.0.113.5", hello_to(""))), Action::block, true,
                "access rule \"Guests stay out of the office\"");
}

TEST_CASE("a time on the command line is a time of the calendar") {
  const auto time = parse_local_time("2026-11-21 09:05");
  REQUIRE(time);
  CHECK(time->year == 2026);
  CHECK(time->month == 11);
  CHECK(time->day == 21);
  CHECK(time->weekday == 6);  // a Saturday
  CHECK(time->minute == 9 * 60 + 5);
  CHECK(parse_local_time("2028-02-29T23:59")->weekday == 2);
  CHECK(parse_local_time("2026-11-22 00:00")->weekday == 7);
  for (const char* bad :
       {"", "2026-11-21", "2026-02-29 09:00", "2026-13-01 09:00", "2026-11-21 24:00", "2026-11-21 09:60",
        "2026-11-21 9:00", "2026-11-21 09:00 ", "-026-11-21 09:00", "2026-00-10 09:00"})
    CHECK_MESSAGE(!parse_local_time(bad), bad);
}
