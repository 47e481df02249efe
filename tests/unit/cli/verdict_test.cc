#include "cli/verdict.h"

#include <doctest/doctest.h>

#include "cli/redirection.h"
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
  return verdict_of(judge, *config, connection);
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

namespace {

constexpr char http_rules_text[] = R"(
[gateway]
http_ports = [80]

[tls]
default_action = "terminate"

[[access.rules]]
name = "Guests stay out of the office"
when = { client = "203.0.113.0/24", destination = "198.51.100.0/24" }

[[access.rules]]
name = "No casinos"
when = { host = ".casino.example" }
)";

Connection http_from(const char* client, FirstBytes first_bytes) {
  Connection connection = connection_from(client, std::move(first_bytes));
  connection.destination.port = 80;
  return connection;
}

Connection asked_by(const char* host, const char* user, FirstBytes first_bytes) {
  Connection connection = connection_from("192.0.2.7", std::move(first_bytes));
  connection.asked = Asked{host, user, true};
  return connection;
}

std::string verdict_text(const std::string& text, const Connection& connection) {
  const Verdict verdict = verdict_with(text, connection);
  return shown_action(verdict) + (verdict.by.empty() ? "" : " by " + verdict.by);
}

}  // namespace

TEST_CASE("a port of gateway.http_ports: no TLS rule applies, the connect event's other stages do") {
  const std::string passes = "allow by plain HTTP: each request is judged for itself";
  CHECK(verdict_text(http_rules_text, http_from("192.0.2.7", PlainHttp{})) == passes);
  CHECK(!verdict_with(http_rules_text, http_from("192.0.2.7", PlainHttp{})).closes);
  check_verdict(verdict_with(http_rules_text, http_from("203.0.113.5", PlainHttp{})), Action::block, true,
                "access rule \"Guests stay out of the office\"");
  CHECK(verdict_text(http_rules_text, http_from("192.0.2.7", Unseen{})) == "?");
  CHECK(verdict_text(http_rules_text, http_from("192.0.2.7", hello::Malformed::not_tls)) ==
        "?");  // HTTP, or not
  // On another port the same bytes are what is not TLS.
  CHECK(verdict_text(rules_text, connection_from("192.0.2.7", PlainHttp{})) ==
        "terminate by tls.non_tls = \"terminate\": the client speaks HTTP");
  CHECK(verdict_text(rules_text, connection_from("192.0.2.7", NotHttp{})) == "?");
}

TEST_CASE(
    "a port of gateway.http_ports: what is not HTTP goes by http.non_http, and by the rules that need no "
    "request") {
  const std::string tunnels = std::string("[http]\nnon_http = \"tunnel\"\n") + http_rules_text;
  const std::string closed =
      tunnels + "[[access.rules]]\nname = \"Only names\"\nexcept = [ { host = \".example\" } ]\n";
  for (const FirstBytes& first_bytes :
       {FirstBytes(hello_to("www.example.com")), FirstBytes(Silence{}), FirstBytes(NotHttp{}),
        FirstBytes(hello::Malformed::truncated_head)}) {
    check_verdict(verdict_with(http_rules_text, http_from("192.0.2.7", first_bytes)), Action::terminate, true,
                  "http.non_http = \"terminate\"");
    check_verdict(verdict_with(tunnels, http_from("192.0.2.7", first_bytes)), Action::tunnel, false,
                  "http.non_http = \"tunnel\"");
    check_verdict(verdict_with(tunnels, http_from("203.0.113.5", first_bytes)), Action::block, true,
                  "access rule \"Guests stay out of the office\"");
  }
  CHECK(verdict_text(closed, http_from("192.0.2.7", PlainHttp{})).starts_with("allow by plain HTTP"));
  CHECK(verdict_text(closed, http_from("192.0.2.7", NotHttp{})) == "block by access rule \"Only names\"");
}

TEST_CASE("S23: a real CONNECT is judged by its name, its user and its address before anything is read") {
  const std::string text =
      "[[access.rules]]\nname = \"name\"\nwhen = { host = \"www.casino.example\" }\n"
      "[[access.rules]]\nname = \"user\"\nwhen = { user = \"guest-*\" }\n";
  CHECK(verdict_text(text, asked_by("www.casino.example", "", Unseen{})) == "block by access rule \"name\"");
  CHECK(verdict_text(text, asked_by("www.example.com", "guest-7", Unseen{})) ==
        "block by access rule \"user\"");
  CHECK(verdict_text(text, asked_by("www.example.com", "alice", Unseen{})) == "?");
  CHECK(verdict_text(text, asked_by("www.example.com", "alice", hello_to("www.example.com"))) ==
        "tunnel-sni by tls.default_action");
  CHECK(verdict_text(text, asked_by("www.example.com", "", hello_to("www.example.com"))) ==
        "tunnel-sni by tls.default_action");
  // What a redirected connection never has does not match there.
  CHECK(verdict_text(text, connection_from("192.0.2.7", hello_to("www.example.com"))) ==
        "tunnel-sni by tls.default_action");
}

TEST_CASE(
    "S4: the CONNECT's name and the SNI are both judged, the stricter verdict wins; without SNI the "
    "CONNECT's name is the host") {
  const std::string text =
      "[[tls.rules]]\nname = \"no\"\nwhen = { host = \"www.casino.example\" }\naction = \"terminate\"\n"
      "[[tls.rules]]\nname = \"direct\"\nwhen = { host = \"www.bank.example\" }\naction = \"tunnel\"\n"
      "[[access.rules]]\nname = \"hidden\"\nwhen = { host = \"secret.example\" }\n";
  CHECK(verdict_text(text, asked_by("www.example.com", "", hello_to("www.casino.example"))) ==
        "terminate by tls rule \"no\"");
  CHECK(verdict_text(text, asked_by("www.casino.example", "", hello_to("www.example.com"))) ==
        "terminate by tls rule \"no\"");
  CHECK(verdict_text(text, asked_by("www.casino.example", "", hello_to("secret.example"))) ==
        "block by access rule \"hidden\"");
  CHECK(verdict_text(text, asked_by("www.casino.example", "", hello_to(""))) ==
        "terminate by tls rule \"no\"");
  CHECK(verdict_text(text, asked_by("www.example.com", "", hello_to(""))) ==
        "tunnel-sni by tls.default_action");
  CHECK(verdict_text(text, asked_by("www.bank.example", "", hello_to("secret.example"))) ==
        "tunnel by tls rule \"direct\"");
  // Bytes that are not TLS: the CONNECT's name is still the host.
  CHECK(verdict_text(text, asked_by("www.casino.example", "", hello::Malformed::not_tls)) ==
        "terminate by tls rule \"no\"");
}

TEST_CASE("an explicit client's User-Agent is in no log: what hangs on it cannot be told, and nothing else") {
  const std::string text =
      "[[access.rules]]\nname = \"curl\"\nwhen = { user_agent = \"^curl\", host = \".files.example\" }\n"
      "[[tls.rules]]\nname = \"wget\"\nwhen = { user_agent = \"^Wget\", host = \".bank.example\" }\naction = "
      "\"tunnel\"\n";
  CHECK(verdict_text(text, asked_by("a.files.example", "", hello_to("a.files.example"))) == "?");
  CHECK(verdict_text(text, asked_by("a.bank.example", "", hello_to("a.bank.example"))) == "?");
  CHECK(verdict_text(text, asked_by("www.example.com", "", hello_to("a.files.example"))) == "?");
  CHECK(verdict_text(text, asked_by("www.example.com", "", hello_to("www.example.com"))) ==
        "tunnel-sni by tls.default_action");
  CHECK(verdict_text(text, connection_from("192.0.2.7", hello_to("a.files.example"))) ==
        "tunnel-sni by tls.default_action");
  // Where it is blocked either way, it can be told.
  const std::string blocked = text + "[[access.rules]]\nname = \"all\"\n";
  CHECK(verdict_text(blocked, asked_by("a.files.example", "", hello_to("a.files.example")))
            .starts_with("block by access rule"));
  const std::string relayed = "[tls]\ndecrypt = false\n" + text;
  CHECK(verdict_text(relayed, asked_by("a.files.example", "", hello_to("a.files.example"))) == "?");
  CHECK(verdict_text(relayed, asked_by("www.example.com", "", Unseen{})) == "tunnel by tls.decrypt = false");
}

TEST_CASE(
    "a host has several addresses, and the log the one that was dialled: that it is forbidden does not tell "
    "of the others") {
  const std::string text =
      "[[access.rules]]\nname = \"net\"\nwhen = { destination = \"198.51.100.0/24\" }\n"
      "[[access.rules]]\nname = \"name\"\nwhen = { host = \"www.casino.example\" }\n";
  CHECK(verdict_text(text, asked_by("www.example.com", "", hello_to("www.example.com"))) == "?");
  CHECK(verdict_text(text, asked_by("www.casino.example", "", Unseen{})).starts_with("block by access rule"));
  CHECK(verdict_text(text, asked_by("198.51.100.1", "", hello_to("www.example.com"))) ==
        "block by access rule \"net\"");
  Connection other = asked_by("www.example.com", "", hello_to("www.example.com"));
  other.destination = *Endpoint::parse("203.0.113.1:443");
  CHECK(verdict_text(text, other) == "tunnel-sni by tls.default_action");
  other.destination = *Endpoint::parse("0.0.0.0:443");  // refused by its name, so it was never looked up
  CHECK(verdict_text(text, other) == "?");
}

TEST_CASE(
    "a connection of the proxy that may have been no CONNECT: its requests are judged, or it cannot be "
    "told") {
  Connection clear = asked_by("www.casino.example", "", PlainHttp{});
  clear.asked->is_connect = false;
  const std::string text = "[[access.rules]]\nname = \"name\"\nwhen = { host = \"www.casino.example\" }\n";
  CHECK(verdict_text(text, clear).starts_with("allow by plain HTTP"));
  clear.destination.port = 80;
  CHECK(verdict_text(http_rules_text, clear) == "?");  // a CONNECT would be closed, a request gets a page
  clear.asked->host = "www.example.com";
  CHECK(verdict_text(http_rules_text, clear).starts_with("allow by plain HTTP"));
  clear.first_bytes = Unseen{};
  CHECK(verdict_text(text, clear) == "?");
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

TEST_CASE("what the kernel leaves alone is no verdict of the rules") {
  const auto why = [](const std::string& gateway, const char* client, const char* destination) {
    return why_not_redirected(config_of("[gateway]\n" + gateway)->gateway, *IpAddress::parse(client),
                              *Endpoint::parse(destination));
  };
  CHECK(why("", "192.0.2.7", "198.51.100.1:443").empty());
  CHECK(why("", "2001:db8::7", "[2001:db8:1::1]:443").empty());
  CHECK(why("", "192.0.2.7", "198.51.100.1:80") == "port 80 is in neither gateway.tls_ports nor gateway.http_ports");
  CHECK(why("http_ports = [80]", "192.0.2.7", "198.51.100.1:80").empty());
  CHECK(why("ipv6 = false", "2001:db8::7", "[2001:db8:1::1]:443") == "gateway.ipv6 is false");
  CHECK(why("ipv6 = false", "192.0.2.7", "198.51.100.1:443").empty());
  const std::string exempt = "exempt_clients = [\"192.0.2.64/26\"]\nexempt_destinations = [\"198.51.100.9\", \"2001:db8::/32\"]";
  CHECK(why(exempt, "192.0.2.63", "198.51.100.1:443").empty());
  CHECK(why(exempt, "192.0.2.64", "198.51.100.1:443") == "the client is in gateway.exempt_clients (192.0.2.64/26)");
  CHECK(why(exempt, "192.0.2.7", "198.51.100.9:443") == "the destination is in gateway.exempt_destinations (198.51.100.9)");
  CHECK(why(exempt, "2001:db9::1", "[2001:db8::1]:443") ==
        "the destination is in gateway.exempt_destinations (2001:db8::/32)");
  CHECK(why("exempt_destinations = [\"0.0.0.0/0\"]", "192.0.2.7", "0.0.0.0:443").empty());  // not known

  Connection connection = connection_from("192.0.2.7", hello_to("www.example.com"));
  connection.destination.port = 9999;
  CHECK(shown_action(verdict_with(rules_text, connection)) == "not-redirected");
  connection.asked = Asked{"www.example.com", "", true};  // of the proxy, which no redirection brings there
  CHECK(shown_action(verdict_with(rules_text, connection)) == "tunnel-sni");
}
