// The compiled evaluator beside a naive one that reads rules one by one and conditions value by value, over seeded random rules
// and facts. They must agree in every stage, known or not, settled or not.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "rules/judge.h"
#include "rules/policy.h"
#include "unit/config/loading.h"
#include "unit/rules/facts_of.h"

namespace {

using namespace sluice;
using rules::Action;
using rules::Known;
using testing::Message;

enum class Truth : uint8_t { no, unknown, yes };

struct Condition {
  std::string key;
  std::vector<std::string> values;
};
using Conditions = std::vector<Condition>;
struct Rule {
  std::string name;
  Conditions when;
  std::vector<Conditions> excepts;
  std::string action;
};
struct Rules {
  std::vector<Rule> bypass;
  std::vector<Rule> access;
  bool default_allows = true;
};

// What an event knows, as values.
struct Known_ {
  rules::Event event = rules::Event::connect;
  Message message;
  bool host_known = true;
};
bool is_message(const Known_& facts) {
  return facts.event == rules::Event::request || facts.event == rules::Event::response;
}

bool glob(std::string_view pattern, std::string_view text) {
  if (pattern.empty()) return text.empty();
  if (pattern[0] == '*') return glob(pattern.substr(1), text) || (!text.empty() && glob(pattern, text.substr(1)));
  return !text.empty() && (pattern[0] == '?' || pattern[0] == text[0]) && glob(pattern.substr(1), text.substr(1));
}
bool host_matches(std::string_view pattern, std::string_view host) {
  if (pattern == "*") return true;
  if (pattern.starts_with("*.")) return host.ends_with(pattern.substr(1)) && host.size() > pattern.size() - 1;
  if (pattern.starts_with('.')) return host == pattern.substr(1) || host.ends_with(pattern);
  return host == pattern;
}

// One value of a condition; facts that the event does not have are `no` in the caller.
bool url_matches(const std::string& pattern, const Known_& facts) {
  std::string_view url = facts.message.url;
  if (pattern.starts_with("re:")) return url.find(std::string_view(pattern).substr(3)) != std::string_view::npos;
  url.remove_prefix(url.find("://") + 3);
  const std::string_view host = url.substr(0, url.find('/'));
  const std::string_view target = url.substr(url.find('/'));
  const size_t slash = pattern.find('/');
  if (!host_matches(std::string_view(pattern).substr(0, slash), host)) return false;
  if (slash == std::string::npos) return true;
  const std::string_view path = std::string_view(pattern).substr(slash);
  return glob(path, path.find('?') == std::string_view::npos ? target.substr(0, target.find('?')) : target);
}
// ('?' is a wildcard of file names alone: URLs here have at most one, which stands for itself.)

Truth size_matches(const std::string& value, const Known_& facts) {
  const uint64_t bound = std::stoull(value.substr(2));
  const bool above = value[0] == '>';
  const Message& message = facts.message;
  if (message.complete) return (above ? message.size > bound : message.size < bound) ? Truth::yes : Truth::no;
  if (above) return message.size_at_least > bound ? Truth::yes : Truth::unknown;
  return message.size_at_least >= bound ? Truth::no : Truth::unknown;
}

Truth holds(const Condition& condition, const Known_& facts) {
  const Message& message = facts.message;
  const std::string& key = condition.key;
  Truth best = Truth::no;
  for (const std::string& value : condition.values) {
    Truth truth = Truth::no;
    const auto sure = [](bool matches) { return matches ? Truth::yes : Truth::no; };
    const bool of_message = key == "mime" || key == "file_name" || key == "file_type" || key == "size" || key == "sha256";
    if (of_message && !is_message(facts)) {
      truth = Truth::no;
    } else if (key == "host") {
      truth = facts.host_known ? sure(host_matches(value, message.host)) : Truth::unknown;
    } else if (key == "url" && is_message(facts)) {
      truth = sure(url_matches(value, facts));
    } else if (key == "url") {
      if (value.starts_with("re:") || value.find('/') != std::string::npos) truth = Truth::no;
      else truth = facts.host_known ? sure(host_matches(value, message.host)) : Truth::unknown;
    } else if (key == "method") {
      truth = sure((is_message(facts) ? message.method : "CONNECT") == value);
    } else if (key == "user_agent") {
      truth = sure(is_message(facts) && message.user_agent.find(value) != std::string::npos);
    } else if (key == "direction") {
      truth = sure(value == (facts.event == rules::Event::response ? "response" : "request"));
    } else if (key == "client") {
      truth = sure(message.connection.client == value);
    } else if (key == "mime") {
      truth = sure(value.ends_with('*') ? message.mime.starts_with(value.substr(0, value.size() - 1)) : message.mime == value);
    } else if (key == "file_name") {
      truth = sure(!message.file_name.empty() && glob(value, message.file_name));
    } else if (key == "size") {
      truth = size_matches(value, facts);
    } else if (key == "file_type") {
      if (!message.complete || message.unreadable) {
        truth = Truth::unknown;
      } else {
        FileTypeSet set;
        if (const auto type = file_type_named(value)) set.add(*type);
        if (const auto file_class = file_class_named(value)) set.add(*file_class);
        truth = sure(set.matches(message.types));
      }
    } else if (key == "sha256") {
      if (!message.complete || message.unreadable) truth = Truth::unknown;
      else truth = sure(message.has_body && value == std::string(63, '0') + std::to_string(message.sha256[31]));
    }
    best = std::max(best, truth);
  }
  return best;
}

Truth all_hold(const Conditions& conditions, const Known_& facts) {
  Truth worst = Truth::yes;
  for (const Condition& condition : conditions) worst = std::min(worst, holds(condition, facts));
  return worst;
}
// Only what the decoded body would tell is missing.
bool lacks_content_alone(const Conditions& conditions, const Known_& facts) {
  return std::all_of(conditions.begin(), conditions.end(), [&](const Condition& condition) {
    return holds(condition, facts) != Truth::unknown || condition.key == "file_type" || condition.key == "sha256";
  });
}

Truth matches(const Rule& rule, const Known_& facts, bool settled) {
  Truth truth = all_hold(rule.when, facts);
  for (const Conditions& except : rule.excepts) {
    const Truth excepted = all_hold(except, facts);
    if (excepted == Truth::yes) return Truth::no;
    if (excepted == Truth::unknown && !settled) truth = std::min(truth, Truth::unknown);
    const bool is_unseen = settled && facts.message.unreadable && is_message(facts);
    if (excepted == Truth::unknown && is_unseen && rule.action == "allow" && lacks_content_alone(except, facts)) return Truth::no;
  }
  if (!settled || truth != Truth::unknown) return truth;
  return facts.message.unreadable && is_message(facts) && rule.action != "allow" && lacks_content_alone(rule.when, facts)
             ? Truth::yes
             : Truth::no;
}

// "pending", or the action with the rule that it comes from.
std::string decide(const Rules& rules, const Known_& facts, bool settled) {
  bool any_unknown = false;
  bool only_block = is_message(facts);
  const auto read = [&](const std::vector<Rule>& table) -> const Rule* {
    for (const Rule& rule : table) {
      const Truth truth = matches(rule, facts, settled);
      if (truth == Truth::yes) return &rule;
      if (truth == Truth::no) continue;
      any_unknown = true;
      only_block = only_block && rule.action == "block";
      if (!is_message(facts)) return nullptr;
    }
    return nullptr;
  };
  const Rule* rule = read(rules.bypass);
  if (any_unknown && !only_block) return "pending";
  if (rule == nullptr) rule = read(rules.access);
  const std::string action = rule != nullptr ? rule->action : rules.default_allows ? "allow" : "block";
  if (any_unknown && !(only_block && action == "block")) return "pending";
  return action + " " + (rule != nullptr ? rule->name : "default");
}

// --- random rules and facts ------------------------------------------------------------------------------------------

using Random = std::mt19937_64;
template <class T>
const T& pick(Random& random, const std::vector<T>& values) {
  return values[random() % values.size()];
}

const std::vector<std::string> hosts = {"a.example", "b.example", "www.a.example", "x.www.a.example", "other.test"};
const std::vector<std::string> paths = {"/", "/a", "/a/b", "/ads/x/banner.gif", "/setup.exe?v=1", "/a?q=1"};
const std::vector<std::pair<std::string, std::vector<std::string>>> universe = {
    {"client", {"10.20.0.5", "10.20.0.6"}},
    {"host", {"a.example", "*.a.example", ".a.example", ".example", "other.test"}},
    {"url",
     {"a.example", ".a.example", "a.example/a", "a.example/*", "*/ads/*", "*/*.exe", "www.a.example/a?q=*", "*/a", "*.example/a*b",
      "re:banner", "re:example/a"}},
    {"method", {"GET", "POST", "CONNECT"}},
    {"user_agent", {"curl", "Mozilla", "8"}},
    {"direction", {"request", "response"}},
    {"mime", {"text/html", "video/mp4", "video/*", "text/*"}},
    {"file_name", {"*.exe", "setup*", "report.pdf", "s?tup.exe", "*e*p*"}},
    {"file_type", {"pdf", "zip", "docx", "archive", "document", "executable"}},
    {"size", {"> 10 B", "> 100 B", "< 50 B", "< 1000 B"}},
    {"sha256", {std::string(63, '0') + "1", std::string(63, '0') + "2"}},
};

Conditions random_conditions(Random& random, size_t most) {
  std::vector<size_t> keys(universe.size());
  for (size_t i = 0; i < keys.size(); ++i) keys[i] = i;
  std::shuffle(keys.begin(), keys.end(), random);
  Conditions conditions;
  const size_t count = 1 + random() % most;
  for (size_t i = 0; i < count; ++i) {
    const auto& [key, values] = universe[keys[i]];
    Condition condition{key, {}};
    for (size_t n = 1 + random() % 2; n > 0; --n) condition.values.push_back(pick(random, values));
    conditions.push_back(std::move(condition));
  }
  return conditions;
}

std::vector<Rule> random_table(Random& random, const char* stage) {
  std::vector<Rule> table(random() % 6);
  for (size_t i = 0; i < table.size(); ++i) {
    table[i].name = std::string(stage) + std::to_string(i);
    table[i].when = random_conditions(random, 3);
    for (size_t n = random() % 3; n > 1; --n) table[i].excepts.push_back(random_conditions(random, 2));
    table[i].action = pick<std::string>(random, {"allow", "block", "block", "redirect"});
  }
  return table;
}

std::string toml_of(const Conditions& conditions) {
  std::string text = "{ ";
  for (const Condition& condition : conditions) {
    text += (text.size() > 2 ? ", " : "") + condition.key + " = [";
    for (const std::string& value : condition.values) text += (text.back() == '[' ? "'" : ", '") + value + "'";
    text += "]";
  }
  return text + " }";
}
std::string toml_of(const Rules& rules) {
  std::string text = rules.default_allows ? "" : "[access]\ndefault = \"block\"\n";
  const auto add = [&](const char* stage, const std::vector<Rule>& table) {
    for (const Rule& rule : table) {
      text += std::string("[[") + stage + ".rules]]\nname = \"" + rule.name + "\"\nwhen = " + toml_of(rule.when) + "\n";
      if (!rule.excepts.empty()) {
        text += "except = [";
        for (const Conditions& except : rule.excepts) text += toml_of(except) + ",";
        text += "]\n";
      }
      text += "action = \"" + rule.action + "\"\n";
      if (rule.action == "redirect") text += "to = \"https://x.example/\"\n";
    }
  };
  add("bypass", rules.bypass);
  add("access", rules.access);
  return text;
}

Known_ random_facts(Random& random) {
  Known_ facts;
  facts.event = pick<rules::Event>(random, {rules::Event::connect, rules::Event::hello, rules::Event::request,
                                            rules::Event::response});
  Message& message = facts.message;
  message.connection.client = pick<std::string>(random, {"10.20.0.5", "10.20.0.6", "10.20.0.7"});
  message.host = pick(random, hosts);
  message.url = pick<std::string>(random, {"http://", "https://"}) + message.host + pick(random, paths);
  message.method = pick<std::string>(random, {"GET", "POST", "PUT"});
  message.user_agent = pick<std::string>(random, {"curl/8", "Mozilla/5.0", ""});
  message.mime = pick<std::string>(random, {"", "text/html", "video/mp4", "image/png"});
  message.file_name = pick<std::string>(random, {"", "setup.exe", "report.pdf", "help"});
  message.has_body = random() % 2 == 0;
  message.complete = random() % 3 != 0;
  message.unreadable = message.complete && random() % 6 == 0;
  message.size = random() % 200;
  message.size_at_least = random() % 200;
  if (message.has_body)
    message.types.add(pick<FileType>(random, {FileType::pdf, FileType::zip, FileType::pe, FileType::docx}));
  if (message.types.has(FileType::docx)) message.types.add(FileType::zip);
  message.sha256[31] = static_cast<uint8_t>(random() % 3);
  facts.host_known = is_message(facts) || random() % 2 == 0;
  return facts;
}

rules::Facts facts_of(const Known_& known) {
  rules::Facts facts = known.message.facts(known.event);
  if (is_message(known)) return facts;
  facts.method = "CONNECT";
  facts.url = {};
  facts.user_agent_known = Known::never;
  facts.host_known = known.host_known ? Known::yes : Known::not_yet;
  if (!known.host_known) facts.host = {};
  return facts;
}

std::string asked(rules::Judge& judge, const Known_& known, bool settled) {
  const rules::Facts facts = facts_of(known);
  rules::Decision decision;
  switch (known.event) {
    case rules::Event::connect:
    case rules::Event::hello: decision = judge.http_connect(facts, settled); break;
    case rules::Event::request: decision = judge.request(facts, settled); break;
    case rules::Event::response: decision = judge.response(facts, settled); break;
  }
  if (decision.pending) return "pending";
  const rules::Policy& policy = judge.policy();
  const std::string bypass(policy.bypass_rule_name(decision.bypass_rule));
  const std::string name = bypass.empty() ? std::string(policy.access_rule_name(decision.access_rule)) : bypass;
  const std::string action = decision.action == Action::peek ? "allow" : to_string(decision.action);
  return action + " " + name;
}

}  // namespace

TEST_CASE("the compiled rules decide as the naive ones do") {
  constexpr uint64_t first_seed = 1;
  constexpr uint64_t seeds = 400;
  size_t decided_by_rules = 0;
  size_t pending = 0;
  for (uint64_t seed = first_seed; seed < first_seed + seeds; ++seed) {
    Random random(seed);
    Rules rules;
    rules.bypass = random_table(random, "bypass");
    rules.access = random_table(random, "access");
    rules.default_allows = random() % 2 == 0;
    const std::string toml = toml_of(rules);
    CAPTURE(seed);
    CAPTURE(toml);
    rules::Judge judge(testing::policy_of(toml));
    for (int i = 0; i < 40; ++i) {
      const Known_ facts = random_facts(random);
      for (const bool settled : {false, true}) {
        CAPTURE(to_string(facts.event));
        CAPTURE(facts.message.url);
        CAPTURE(settled);
        const std::string wanted = decide(rules, facts, settled);
        const std::string got = asked(judge, facts, settled);
        // A CONNECT that is not settled says only whether it is refused.
        if (!is_message(facts) && !settled && (wanted == "pending" || wanted.starts_with("allow"))) {
          REQUIRE(got == "allow ");
          continue;
        }
        REQUIRE(got == wanted);
        pending += wanted == "pending";
        decided_by_rules += wanted.find("default") == std::string::npos && wanted != "pending";
      }
    }
  }
  CHECK(decided_by_rules > 1000);  // the comparison means something
  CHECK(pending > 1000);
}
