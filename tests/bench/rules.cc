// What the rules cost: loading a list of a million domains (time, memory), one look-up, one verdict.
// CPU time, so that a busy machine does not spoil it much. Prints, asserts nothing.
//
//   bench_rules [DOMAINS]    default 1,000,000
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "rules/judge.h"
#include "rules/policy.h"

namespace {

using namespace sluice;

double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

/// CPU time as well, in nanoseconds' steps.
double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

/// Kilobytes; `key` is "VmHWM" (the peak so far) or "VmRSS".
long status_kb(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (long kb = 0; word == key + ":" && status >> kb) return kb;
  return 0;
}

/// Names like those of real lists: 5 to 20 letters under a few endings, a quarter of them with a label in
/// front.
std::string domain(std::mt19937_64& random) {
  static constexpr const char* endings[] = {".com",  ".net", ".org", ".de",  ".co.uk",
                                            ".info", ".xyz", ".com", ".com", ".ru"};
  static constexpr const char* fronts[] = {"www.", "ads.", "cdn.",    "track.",
                                           "m.",   "api.", "static.", "eu-west-1."};
  std::string name;
  if (random() % 4 == 0) name = fronts[random() % 8];
  for (size_t letters = 5 + random() % 16; letters > 0; --letters)
    name += static_cast<char>('a' + random() % 26);
  return name + endings[random() % 10];
}

std::vector<std::string> domains(size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::string> names(count);
  for (auto& name : names) name = domain(random);
  return names;
}

std::optional<std::string> read_file(const std::string& path, std::string& error) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) {
    error = "cannot be opened";
    return std::nullopt;
  }
  std::string text(static_cast<size_t>(file.tellg()), '\0');
  file.seekg(0);
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  return text;
}

std::shared_ptr<const rules::Policy> load(const std::string& path) {
  const auto loaded = config::load(path, read_file, 0x5eed);
  if (!loaded.config) {
    for (const auto& problem : loaded.problems) std::printf("%s\n", problem.to_string().c_str());
    std::exit(1);
  }
  return loaded.config->policy;
}

void write(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

// One load in a process of its own, started afresh: memory that was freed before would hide its peak.
int load_and_report(const char* form, const std::string& path) {
  const long before = status_kb("VmRSS");
  const double start = cpu_seconds();
  const auto policy = load(path);
  const double seconds = cpu_seconds() - start;
  const auto megabytes = [](long kb) { return static_cast<double>(kb) / 1024; };
  std::printf("load, %-8s %.3f s CPU, peak +%.1f MB, afterwards +%.1f MB (tables %.1f MB), %zu names\n", form,
              seconds, megabytes(status_kb("VmHWM") - before), megabytes(status_kb("VmRSS") - before),
              static_cast<double>(policy->memory_bytes()) / (1 << 20), policy->host_patterns());
  return 0;
}

void bench_load(const char* form, const std::string& path) {
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    execl("/proc/self/exe", "bench_rules", "--load", form, path.c_str(), static_cast<char*>(nullptr));
    _exit(127);
  }
  waitpid(child, nullptr, 0);
}

rules::Facts facts_for(std::string_view host, const std::vector<std::string>& alpn,
                       const std::vector<uint16_t>& versions) {
  rules::Facts facts;
  facts.client = *IpAddress::parse("10.20.0.5");
  facts.interface = "eth1";
  facts.destination = *Endpoint::parse("192.0.2.1:443");
  facts.host_known = rules::Known::yes;
  facts.host = host;
  facts.hello_known = rules::Known::yes;
  facts.sni_present = true;
  facts.alpn = alpn;
  facts.tls_versions = versions;
  facts.ja4 = "t13d1516h2_8daaf6152771_b186095e22b6";
  return facts;
}

/// Names one behind the other in memory: the daemon has just parsed the name that it looks up, so that it is
/// warm.
struct Names {
  std::string text;
  std::vector<std::string_view> views;
  explicit Names(const std::vector<std::string>& names) {
    for (const std::string& name : names) text += name;
    size_t at = 0;
    for (const std::string& name : names) {
      views.emplace_back(text.data() + at, name.size());
      at += name.size();
    }
  }
  Names(const Names&) = delete;
  Names& operator=(const Names&) = delete;
};

constexpr size_t rounds = 5;  // the median counts

// Look-ups in random order over all names, so that most of what they touch is cold.
void bench_find(const char* name, const rules::HostTable& table, const rules::SetPool& sets,
                const Names& hosts) {
  size_t found = 0;
  std::array<double, rounds> nanoseconds{};
  for (double& round : nanoseconds) {
    found = 0;
    const double start = cpu_seconds();
    for (const std::string_view host : hosts.views) table.find(host, sets, [&](uint32_t) { ++found; });
    round = (cpu_seconds() - start) * 1e9 / static_cast<double>(hosts.views.size());
  }
  std::sort(nanoseconds.begin(), nanoseconds.end());
  std::printf("look-up, %-28s %6.0f ns, %.0f at best (%.0f %% found)\n", name, nanoseconds[rounds / 2],
              nanoseconds.front(),
              100.0 * static_cast<double>(found) / static_cast<double>(hosts.views.size()));
}

void bench_verdict(const char* name, std::shared_ptr<const rules::Policy> policy, const Names& hosts) {
  const std::vector<std::string> alpn = {"h2", "http/1.1"};
  const std::vector<uint16_t> versions = {0x0304, 0x0303};
  rules::Judge judge(std::move(policy));
  rules::Facts facts = facts_for("", alpn, versions);
  size_t refused = 0;
  const double start = cpu_seconds();
  for (const std::string_view host : hosts.views) {
    facts.host = host;
    refused += judge.hello(facts).action == rules::Action::block;
  }
  const double seconds = cpu_seconds() - start;
  std::printf("verdict, %-28s %6.0f ns (%.0f %% blocked)\n", name,
              seconds * 1e9 / static_cast<double>(hosts.views.size()),
              100.0 * static_cast<double>(refused) / static_cast<double>(hosts.views.size()));
}

/// `count` rules over every kind of condition, none of which matches before the last.
std::string many_rules(size_t count) {
  std::string text;
  for (size_t i = 0; i < count; ++i) {
    const std::string n = std::to_string(i);
    text += i % 2 == 0 ? "[[tls.rules]]\naction = \"terminate\"\n" : "[[access.rules]]\n";
    switch (i % 5) {
      case 0:
        text += "when = { host = [\".h" + n + ".example\", \"g" + n + ".example\"], port = 443 }\n";
        break;
      case 1:
        text += "when = { client = \"10.20." + std::to_string(i / 250) + "." + std::to_string(i % 250) +
                "\", alpn = \"h3\" }\n";
        break;
      case 2:
        text += "when = { client = \"10.0.0.0/8\", host = \"x" + n +
                ".example\" }\nexcept = [ { client = \"10.20.0.7\" } ]\n";
        break;
      case 3:
        text += "when = { destination = \"198.51.100.0/24\", schedule = \"Mon-Fri 08:00-18:00\" }\n";
        break;
      case 4:
        text +=
            "when = { ja4 = \"t13d" + std::to_string(1000 + i % 9000) + "h2_*\", tls_version = \"1.3\" }\n";
        break;
    }
  }
  return text;
}

/// A request to every host, and its response: each timed by itself, in batches that the daemon would have under way at once. What
/// the request has looked up is remembered for the response, so its verdict costs less.
void bench_request(const char* name, std::shared_ptr<const rules::Policy> policy, const Names& hosts) {
  // What flow has built before it asks: the URL, one behind the other in memory.
  std::vector<std::string> written;
  for (const std::string_view host : hosts.views)
    written.push_back("https://" + std::string(host) + "/assets/js/app.bundle.min.js?v=20261122");
  const Names urls(written);
  rules::Judge judge(std::move(policy));
  rules::Facts facts = facts_for("", {}, {});
  facts.hello_known = rules::Known::never;
  facts.method = "GET";
  facts.user_agent_known = rules::Known::yes;
  facts.user_agent = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";
  facts.mime = "application/javascript";
  facts.file_names = {"app.bundle.min.js", {}};
  facts.content.size_known = rules::Known::yes;
  facts.content.size = 48'000;
  facts.content.type_known = facts.content.hashes_known = rules::Known::yes;
  constexpr size_t batch = 32;
  size_t refused = 0;
  size_t responses = 0;
  double requests_s = 0;
  double responses_s = 0;
  std::vector<size_t> passed;
  for (size_t first = 0; first < hosts.views.size(); first += batch) {
    const auto show = [&](size_t i, rules::Event event) {
      facts.event = event;
      facts.host = hosts.views[i];
      facts.url = urls.views[i];
    };
    passed.clear();
    const double start = thread_seconds();
    for (size_t i = first; i < std::min(first + batch, hosts.views.size()); ++i) {
      show(i, rules::Event::request);
      if (judge.request(facts, false).action == rules::Action::block) {
        ++refused;
      } else {
        passed.push_back(i);
      }
    }
    const double middle = thread_seconds();
    for (const size_t i : passed) {
      show(i, rules::Event::response);
      (void)judge.response(facts, true);
    }
    requests_s += middle - start;
    responses_s += thread_seconds() - middle;
    responses += passed.size();
  }
  std::printf("request, %-28s %6.0f ns", name, requests_s * 1e9 / static_cast<double>(hosts.views.size()));
  if (responses > 0) std::printf(", response %6.0f ns", responses_s * 1e9 / static_cast<double>(responses));
  std::printf(" (%.0f %% blocked)\n", 100.0 * static_cast<double>(refused) / static_cast<double>(hosts.views.size()));
}

/// `count` rules over what only requests have, none of which matches.
std::string many_request_rules(size_t count) {
  std::string text = "[gateway]\nhttp_ports = [80]\n";
  for (size_t i = 0; i < count; ++i) {
    const std::string n = std::to_string(i);
    text += i % 2 == 0 ? "[[bypass.rules]]\n" : "[[access.rules]]\n";
    switch (i % 5) {
      case 0:
        text += "when = { url = [\"u" + n + ".example/x/*\", \"*/path" + n + "\", \"*/*/track" + n + "*.gif\"] }\n";
        break;
      case 1: text += "when = { mime = \"video/x-" + n + "\", method = [\"GET\", \"POST\"] }\n"; break;
      case 2: text += "when = { file_name = [\"*.e" + n + "\", \"setup" + n + "*\"], direction = \"response\" }\n"; break;
      case 3: text += "when = { file_type = \"pe\", size = \"> " + n + " MiB\" }\nexcept = [ { client = \"10.20.0.7\" } ]\n"; break;
      case 4:
        text += "when = { sha256 = \"" + std::string(64 - n.size(), '0') + n + "\", host = \".r" + n + ".example\" }\n";
        break;
    }
  }
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 4 && std::string_view(argv[1]) == "--load") return load_and_report(argv[2], argv[3]);
  const size_t count = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 1'000'000;
  char folder[] = "/tmp/sluice-bench-rules-XXXXXX";
  if (mkdtemp(folder) == nullptr) return 1;
  const std::string path = folder;
  {
    std::string plain;
    std::string hosts;
    std::string adblock = "[Adblock Plus 2.0]\n";
    for (const std::string& name : domains(count, 1)) {
      plain += name + "\n";
      hosts += "0.0.0.0 " + name + "\n";
      adblock += "||" + name + "^\n";
    }
    write(path + "/plain.txt", plain);
    write(path + "/hosts.txt", hosts);
    write(path + "/adblock.txt", adblock);
  }
  for (const char* form : {"plain", "hosts", "adblock"}) {
    write(path + "/" + form + ".toml",
          std::string("[[access.rules]]\nwhen = { host = \"@") + form + ".txt\" }\n");
    bench_load(form, path + "/" + form + ".toml");
  }

  {
    std::string pages = "\"id\",\"dateadded\",\"url\"\n";
    for (const std::string& name : domains(count, 1)) pages += "\"1\",\"2026-11-22\",\"http://" + name + "/wp-content/x.php\"\n";
    write(path + "/pages.csv", pages);
  }
  write(path + "/link-hosts.toml", "[links]\nphishing = \"@plain.txt\"\n");
  write(path + "/link-pages.toml", "[gateway]\nhttp_ports = [80]\n[links]\nphishing = \"@pages.csv\"\n");
  bench_load("links", path + "/link-hosts.toml");
  bench_load("pages", path + "/link-pages.toml");

  auto listed = domains(count, 1);
  std::shuffle(listed.begin(), listed.end(), std::mt19937_64(3));
  auto deeper = listed;
  for (auto& host : deeper) host = "a.b." + host;
  const Names hits(listed);
  const Names below(deeper);
  const Names misses(domains(count, 2));
  {
    rules::SetPool sets;
    rules::NameTableBuilder builder;
    for (const std::string& name : domains(count, 1))
      if (!builder.add(name, rules::HostTable::element(0, rules::HostPattern::Kind::both))) return 1;
    const rules::NameHash hash(7);
    const rules::HostTable table(builder.build(hash, sets), hash);
    bench_find("names of the list", table, sets, hits);
    bench_find("names two labels below", table, sets, below);
    bench_find("names not in it", table, sets, misses);
    bench_find("the same name again", table, sets, Names(std::vector<std::string>(count, listed[0])));
  }
  const std::string block = "[[access.rules]]\nwhen = { host = \"@adblock.txt\" }\n";
  write(path + "/one.toml", block);
  write(path + "/many.toml", many_rules(1000) + block);
  write(path + "/more.toml", many_rules(10'000) + block);
  bench_verdict("1 rule, hits", load(path + "/one.toml"), hits);
  bench_verdict("1 rule, misses", load(path + "/one.toml"), misses);
  bench_verdict("1,000 rules, hits", load(path + "/many.toml"), hits);
  bench_verdict("1,000 rules, misses", load(path + "/many.toml"), misses);
  bench_verdict("10,000 rules, misses", load(path + "/more.toml"), misses);
  {
    std::string urls;
    for (const std::string& name : domains(count / 2, 1)) urls += "http://" + name + "/wp-content/x.php?id=1\n";
    write(path + "/urls.txt", urls);
  }
  const std::string block_urls = "[[access.rules]]\nwhen = { url = \"@urls.txt\" }\n";
  write(path + "/requests.toml", many_request_rules(1000) + block);
  write(path + "/urls.toml", many_request_rules(1000) + block_urls + block);
  write(path + "/agents.toml", many_request_rules(1000) + block +
                                   "[[access.rules]]\nwhen = { user_agent = [\"(?i)bot\", \"curl|wget\", \"MSIE [5-9]\"] }\n");
  bench_request("1 rule, misses", load(path + "/one.toml"), misses);
  bench_request("1,000 rules, hits", load(path + "/requests.toml"), hits);
  bench_request("1,000 rules, misses", load(path + "/requests.toml"), misses);
  bench_request("and 500,000 URLs, misses", load(path + "/urls.toml"), misses);
  bench_request("and 3 user agents, misses", load(path + "/agents.toml"), misses);
  const std::string links = "[links]\nphishing = \"@adblock.txt\"\nmalicious_link = \"@pages.csv\"\n";
  write(path + "/links.toml", many_request_rules(1000) + links);
  bench_verdict("1,000 rules, links, hits", load(path + "/links.toml"), hits);
  bench_verdict("1,000 rules, links, misses", load(path + "/links.toml"), misses);
  bench_request("1,000 rules, links, hits", load(path + "/links.toml"), hits);
  bench_request("1,000 rules, links, misses", load(path + "/links.toml"), misses);
  for (const char* name : {"pages.csv", "link-hosts.toml", "link-pages.toml", "links.toml"}) unlink((path + "/" + name).c_str());
  for (const char* name : {"urls.txt", "requests.toml", "urls.toml", "agents.toml"}) unlink((path + "/" + name).c_str());
  for (const char* name : {"plain.txt", "hosts.txt", "adblock.txt", "plain.toml", "hosts.toml",
                           "adblock.toml", "one.toml", "many.toml", "more.toml"})
    unlink((path + "/" + name).c_str());
  rmdir(folder);
}
