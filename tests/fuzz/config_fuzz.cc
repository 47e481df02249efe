// rules.toml from the input, with a list file that is the input too: whatever it is, loading gives a
// configuration or at least one error, every problem is one line of text with a place in the file, and
// verdicts of what was loaded end.
#include <algorithm>
#include <string>

#include "base/byte_reader.h"
#include "base/check.h"
#include "config/config.h"
#include "fuzz/driver.h"
#include "rules/explain.h"

using namespace sluice;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(as_text(std::span(data, size)));
  const auto read = [&](const std::string& path, std::string& error) -> std::optional<std::string> {
    if (path == "rules.toml" || path == "list") return text;
    error = "No such file or directory";
    return std::nullopt;
  };
  const config::Loaded loaded = config::load("rules.toml", read, 1);
  const auto lines = static_cast<uint32_t>(std::count(text.begin(), text.end(), '\n')) + 1;
  size_t errors = 0;
  for (const config::Problem& problem : loaded.problems) {
    errors += problem.severity == config::Severity::error;
    SLUICE_CHECK(!problem.message.empty());
    SLUICE_CHECK(problem.line <= lines + 1);  // a parser may stop behind the last line
    SLUICE_CHECK(problem.line == 0 || problem.column > 0);
  }
  SLUICE_CHECK((loaded.config == nullptr) == (errors > 0));
  if (!loaded.config) return 0;

  rules::Facts facts;
  facts.client = *IpAddress::parse("10.20.0.5");
  facts.destination = *Endpoint::parse("192.0.2.1:443");
  rules::Judge judge(loaded.config->policy);
  for (const rules::Known known : {rules::Known::not_yet, rules::Known::never, rules::Known::yes}) {
    facts.host_known = facts.hello_known = known;
    facts.host = "www.example.com";
    const auto connect = judge.connect(facts);
    SLUICE_CHECK(connect.action != rules::Action::tunnel_sni && connect.action != rules::Action::bump &&
                 connect.action != rules::Action::terminate);
    SLUICE_CHECK(judge.hello(facts).action != rules::Action::peek);
    SLUICE_CHECK(rules::explain(*loaded.config->policy, facts, rules::Event::connect).decision.action ==
                 connect.action);
  }
  // Requests and responses: a pending decision is settled by `last`, and explain says what the judge does.
  facts.host_known = rules::Known::yes;
  facts.hello_known = rules::Known::never;
  facts.url = "https://www.example.com/a/setup.exe?q=1";
  facts.method = "GET";
  facts.user_agent_known = rules::Known::yes;
  facts.user_agent = "Mozilla/5.0";
  facts.mime = "text/html";
  facts.file_names = {"setup.exe", {}};
  for (const rules::Event event : {rules::Event::request, rules::Event::response}) {
    facts.event = event;
    const auto ask = [&](bool last) {
      return event == rules::Event::request ? judge.request(facts, last) : judge.response(facts, last);
    };
    SLUICE_CHECK(!ask(true).pending);
    const rules::Decision decision = ask(false);
    SLUICE_CHECK(!decision.pending || decision.action == rules::Action::peek);
    SLUICE_CHECK(rules::explain(*loaded.config->policy, facts, event, false).decision.action == decision.action);
  }
  return 0;
}
