#include "cli/explain_many.h"

#include <doctest/doctest.h>

#include <array>
#include <cstdlib>
#include <utility>
#include <vector>

#include "record/format.h"
#include "unit/config/loading.h"
#include "unit/hello/hello_builder.h"

using namespace sluice;
using namespace sluice::cli;
using sluice::testing::config_of;

namespace {

constexpr char relaxed[] = "[tls]\ndefault_action = \"tunnel-sni\"\n";
constexpr char strict[] =
    "[[tls.rules]]\nname = \"No casinos\"\nwhen = { host = \".casino.example\" }\naction = \"terminate\"\n";

record::ConnectionRecord record_to(const char* sni) {
  record::ConnectionRecord record;
  record.time_us = 1'795'284'000'123'456;
  record.client = *Endpoint::parse("[2001:db8::7]:50000");
  record.destination = *Endpoint::parse("[2001:db8::1]:443");
  record.interface = "eth1";
  record.sni = sni;
  record.alpn = "h2,http/1.1";
  record.tls_version = "1.3";
  record.ja4 = "t13d1516h2_8daaf6152771_b186095e22b6";
  record.ech = true;
  record.action = "tunnel-sni";
  return record;
}

std::string line_of(const record::ConnectionRecord& record) {
  static std::array<char, record::line_bytes_max> buffer;
  return {buffer.data(), record::format(record, record::Format::json, buffer)};
}

Seen seen_of(const record::ConnectionRecord& record) {
  std::string error;
  auto seen = read_log_line(line_of(record), error);
  REQUIRE_MESSAGE(seen, error);
  return *seen;
}

}  // namespace

TEST_CASE("a line that we logged tells again what the rules need") {
  const Seen seen = seen_of(record_to("www.example.com"));
  CHECK(seen.time_us == 1'795'284'000'123'456);
  CHECK(seen.connection.client == *Endpoint::parse("[2001:db8::7]:50000"));
  CHECK(seen.connection.destination == *Endpoint::parse("[2001:db8::1]:443"));
  CHECK(seen.connection.interface == "eth1");
  CHECK(fingerprint_of(seen.connection) == "t13d1516h2_8daaf6152771_b186095e22b6");
  const auto* const hello = std::get_if<hello::ClientHello>(&seen.connection.first_bytes);
  REQUIRE(hello != nullptr);
  CHECK(hello->has_sni);
  CHECK(hello->sni == "www.example.com");
  CHECK(hello->alpn == std::vector<std::string>{"h2", "http/1.1"});
  CHECK(hello->versions == std::vector<uint16_t>{0x0304});
  CHECK(hello->has_ech);
  CHECK(!std::get<hello::ClientHello>(seen_of(record_to("")).connection.first_bytes).has_sni);
}

TEST_CASE("a line of the explicit proxy tells what was asked for, by whom, and whether it was a CONNECT") {
  record::ConnectionRecord record = record_to("www.example.com");
  CHECK(!seen_of(record).connection.asked);
  record.mode = "transparent";
  CHECK(!seen_of(record).connection.asked);
  record.mode = "explicit";
  record.host = "Front.example";
  record.user = "alice";
  const Seen seen = seen_of(record);
  REQUIRE(seen.connection.asked);
  CHECK(seen.connection.asked->host == "front.example");
  CHECK(seen.connection.asked->user == "alice");
  CHECK(seen.connection.asked->is_connect);
  CHECK(std::get<hello::ClientHello>(seen.connection.first_bytes).sni == "www.example.com");
  record.ech.reset();
  record.sni = "";
  for (const auto& [action, is_connect] :
       {std::pair("block", true), {"tunnel", true}, {"terminate", true}, {"allow", false}, {"", false}}) {
    record.action = action;
    CHECK_MESSAGE(seen_of(record).connection.asked->is_connect == is_connect, action);
  }
  record.user = "";
  CHECK(seen_of(record).connection.asked->user.empty());
}

TEST_CASE("a line of a port of gateway.http_ports tells whether HTTP was spoken") {
  record::ConnectionRecord record = record_to("");
  record.ech.reset();
  record.action = "allow";
  CHECK(std::holds_alternative<PlainHttp>(seen_of(record).connection.first_bytes));
  record.action = "";
  record.close = record::CloseReason::non_http;
  CHECK(std::holds_alternative<NotHttp>(seen_of(record).connection.first_bytes));
}

TEST_CASE("a line without a ClientHello tells what came instead, as far as it was logged") {
  record::ConnectionRecord record = record_to("");
  record.ech.reset();
  record.close = record::CloseReason::non_tls;
  record.detail = "not_tls";
  CHECK(std::get<hello::Malformed>(seen_of(record).connection.first_bytes) == hello::Malformed::not_tls);
  record.close = record::CloseReason::hello_timeout;
  record.detail = "";
  CHECK(std::holds_alternative<Silence>(seen_of(record).connection.first_bytes));
  record.close = record::CloseReason::client_reset;
  CHECK(std::holds_alternative<Unseen>(seen_of(record).connection.first_bytes));
  CHECK(seen_of(record).note == "no ClientHello in the log");
}

TEST_CASE("what is not a line of our log is refused with the reason") {
  for (const char* bad :
       {"", "{", "[]", "3", "CEF:0|Sluice", "{\"type\":\"tunnel\"}", "{\"type\":\"connection\"}",
        "{\"type\":\"connection\",\"client\":\"x\",\"destination\":\"192.0.2.1:443\",\"time\":\"2026-11-"
        "21T18:00:00.123456Z\"}",
        "{\"type\":\"connection\",\"client\":\"192.0.2.7:1\",\"destination\":\"192.0.2.1:443\",\"time\":"
        "\"yesterday\"}"}) {
    std::string error;
    CHECK_MESSAGE(!read_log_line(bad, error), bad);
    CHECK(!error.empty());
  }
}

TEST_CASE("the line of a request is passed over without a complaint") {
  sluice::record::RequestRecord record;
  record.method = "GET";
  record.url = "https://www.example.com/";
  std::array<char, sluice::record::line_bytes_max> buffer;
  const size_t length = sluice::record::format(record, sluice::record::Format::json, buffer);
  std::string error = "left over";
  CHECK(!read_log_line({buffer.data(), length - 1}, error));
  CHECK(error.empty());
}

TEST_CASE("a report has one line per connection; with a second configuration only what it would change") {
  setenv("TZ", "UTC", 1);
  tzset();
  std::vector<std::string> lines;
  const auto keep = [&](std::string_view line) { lines.emplace_back(line); };
  const auto add_three = [&](Report& report) {
    report.add(seen_of(record_to("www.example.com")));
    report.add(seen_of(record_to("x.casino.example")));
    report.add(seen_of(record_to("")));
  };
  Report one(config_of(strict), nullptr, keep);
  add_three(one);
  REQUIRE(lines.size() == 3);
  CHECK(lines[0] ==
        "2026-11-21 18:00:00.123 [2001:db8::7]:50000 [2001:db8::1]:443 tunnel-sni www.example.com "
        "t13d1516h2_8daaf6152771_b186095e22b6 tls.default_action");
  CHECK(lines[1] ==
        "2026-11-21 18:00:00.123 [2001:db8::7]:50000 [2001:db8::1]:443 terminate x.casino.example "
        "t13d1516h2_8daaf6152771_b186095e22b6 tls rule \"No casinos\"");
  CHECK(lines[2].find(" tunnel-sni - t13d") != std::string::npos);
  CHECK(one.summary() == "3 connections: 1 terminate, 2 tunnel-sni");

  lines.clear();
  Report two(config_of(relaxed), config_of(strict), keep);
  add_three(two);
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].find(" tunnel-sni->terminate x.casino.example ") != std::string::npos);
  CHECK(lines[0].ends_with(" tls.default_action -> tls rule \"No casinos\""));
  CHECK(two.summary() == "1 of 3 connections would change");
}

TEST_CASE("a connection whose hello is not known is listed as such, and names are made fit to be shown") {
  std::vector<std::string> lines;
  Report report(config_of(strict), nullptr, [&](std::string_view line) { lines.emplace_back(line); });
  record::ConnectionRecord record = record_to("");
  record.ech.reset();
  record.ja4 = "";
  report.add(seen_of(record));
  Seen hostile = seen_of(record_to("www.example.com"));
  std::get<hello::ClientHello>(hostile.connection.first_bytes).sni = "a\x1b[31m\nb";
  report.add(hostile);
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].ends_with(" [2001:db8::1]:443 ? - - (no ClientHello in the log)"));
  CHECK(lines[1].find(" a\\x1b[31m\\x0ab ") != std::string::npos);
  CHECK(report.summary() == "2 connections: 1 undecided, 1 tunnel-sni");
}

TEST_CASE(
    "a second configuration changes nothing of what cannot be told by both; how many that are is said") {
  std::vector<std::string> lines;
  Report report(config_of(relaxed), config_of("[[access.rules]]\nname = \"none\"\n"),
                [&](std::string_view line) { lines.emplace_back(line); });
  record::ConnectionRecord record = record_to("");
  report.add(seen_of(record));
  record.ech.reset();
  report.add(seen_of(record));
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].find(" tunnel-sni->block ") != std::string::npos);
  CHECK(report.summary() == "1 of 2 connections would change (of 1 connection it cannot be told)");
}

TEST_CASE("plain HTTP is allowed or not in a report, too") {
  std::vector<std::string> lines;
  Report report(config_of("[gateway]\nhttp_ports = [443]\ntls_ports = [8443]\n"),
                config_of("[gateway]\nhttp_ports = [443]\ntls_ports = [8443]\n[[access.rules]]\nname = "
                          "\"none\"\nwhen = { port = 443 }\n"),
                [&](std::string_view line) { lines.emplace_back(line); });
  record::ConnectionRecord record = record_to("");
  record.ech.reset();
  record.action = "allow";
  report.add(seen_of(record));
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].find(" allow->block - ") != std::string::npos);
  CHECK(lines[0].ends_with(" plain HTTP: each request is judged for itself -> access rule \"none\""));
}
