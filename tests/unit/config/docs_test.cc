// What the documentation and the shipped file say must be true: every ```toml block loads, and so does
// rules.toml.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "unit/config/loading.h"

namespace {

using namespace sluice;
namespace fs = std::filesystem;

std::string text_of(const fs::path& path) {
  std::ifstream file(path);
  REQUIRE_MESSAGE(file.good(), path.string());
  return {std::istreambuf_iterator<char>(file), {}};
}

// Lists that a block names exist for it, with one entry that fits.
config::Loaded load_block(const std::string& text) {
  return config::load(
      "rules.toml",
      [&](const std::string& path, std::string&) -> std::optional<std::string> {
        if (path == "rules.toml") return text;
        if (path.find("exempt") != std::string::npos) return "192.0.2.9\n";
        if (path.find("devices") != std::string::npos || path.find("hashes") != std::string::npos) return std::string(64, 'a') + "\n";
        if (path.find("htpasswd") != std::string::npos)
          return "anna:$2y$05$abcdefghijklmnopqrstuuKDKsAtYi2VDHwXCMWXDDnvXXIKcgGUC\n";
        return "listed.example\n";
      },
      1, true);  // what is described may bump
}

struct Block {
  size_t line = 0;
  std::string text;
};
// Blocks inside a list item are indented; their indentation is taken off.
std::vector<Block> toml_blocks(const std::string& markdown) {
  std::vector<Block> blocks;
  std::istringstream lines(markdown);
  bool inside = false;
  size_t number = 0;
  size_t indent = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    const size_t text = std::min(line.find_first_not_of(' '), line.size());
    if (inside && line.compare(text, 3, "```") == 0) {
      inside = false;
    } else if (inside) {
      blocks.back().text += line.substr(std::min(indent, text)) + "\n";
    } else if (line.substr(text) == "```toml") {
      inside = true;
      indent = text;
      blocks.push_back({number, ""});
    }
  }
  REQUIRE(!inside);
  return blocks;
}

}  // namespace

TEST_CASE("every TOML block of README.md and docs/*.md is a configuration without a problem") {
  std::vector<fs::path> pages;
  for (const auto& entry : fs::directory_iterator("docs"))
    if (entry.path().extension() == ".md") pages.push_back(entry.path());
  if (fs::exists("README.md")) pages.emplace_back("README.md");
  size_t blocks = 0;
  for (const fs::path& page : pages) {
    for (const Block& block : toml_blocks(text_of(page))) {
      const auto loaded = load_block(block.text);
      CAPTURE(page.string());
      CAPTURE(block.line);
      CHECK_MESSAGE(loaded.config, testing::problems_of(loaded));
      // That nothing is scanned is said wherever [protection] is written.
      size_t problems = 0;
      for (const config::Problem& problem : loaded.problems) problems += !problem.message.starts_with("protection: this version");
      CHECK_MESSAGE(problems == 0, testing::problems_of(loaded));
      ++blocks;
    }
  }
  CHECK(blocks >= 10);
}

TEST_CASE("the shipped rules.toml has no problem and says what the defaults are") {
  const auto shipped = load_block(text_of("rules.toml"));
  REQUIRE_MESSAGE(shipped.config, testing::problems_of(shipped));
  CHECK_MESSAGE(shipped.problems.empty(), testing::problems_of(shipped));
  const auto defaults = load_block("");
  const config::Config& a = *shipped.config;
  const config::Config& b = *defaults.config;
  CHECK(a.gateway.tls_ports == b.gateway.tls_ports);
  CHECK(a.gateway.tproxy_port == b.gateway.tproxy_port);
  CHECK(a.gateway.workers == b.gateway.workers);
  CHECK(a.gateway.client_source == b.gateway.client_source);
  CHECK(a.gateway.lan_interfaces == b.gateway.lan_interfaces);
  CHECK(a.gateway.own_traffic == b.gateway.own_traffic);
  CHECK(a.gateway.ipv6 == b.gateway.ipv6);
  CHECK(a.gateway.quic == b.gateway.quic);
  CHECK(a.gateway.when_down == b.gateway.when_down);
  CHECK((a.gateway.mark == b.gateway.mark && a.gateway.own_mark == b.gateway.own_mark &&
         a.gateway.mark_mask == b.gateway.mark_mask));
  CHECK(
      (a.gateway.route_table == b.gateway.route_table && a.gateway.rule_priority == b.gateway.rule_priority));
  CHECK((a.tls.decrypt == b.tls.decrypt && a.tls.terminate_with == b.tls.terminate_with));
  CHECK((a.tls.non_tls == b.tls.non_tls && a.tls.require_sni == b.tls.require_sni));
  CHECK((a.tls.leaf_key == b.tls.leaf_key && a.tls.system_roots == b.tls.system_roots));
  CHECK((a.tls.extra_roots.size() == b.tls.extra_roots.size() &&
         a.tls.intermediates.size() == b.tls.intermediates.size() &&
         a.tls.crl_files.size() == b.tls.crl_files.size() && a.tls.trusted_origins == b.tls.trusted_origins));
  CHECK((a.tls.client_cert == b.tls.client_cert && a.tls.unsupported == b.tls.unsupported));
  CHECK((a.tls.fetch_intermediates == b.tls.fetch_intermediates &&
         a.tls.fetch_intermediates_from == b.tls.fetch_intermediates_from));
  CHECK(a.tls.min_version == b.tls.min_version);
  CHECK(a.tls.invalid_origin.actions == b.tls.invalid_origin.actions);
  CHECK(a.http.non_http == b.http.non_http);
  CHECK(a.gateway.http_ports == b.gateway.http_ports);
  CHECK(a.limits.hello_timeout_ms == b.limits.hello_timeout_ms);
  CHECK(a.limits.connect_timeout_ms == b.limits.connect_timeout_ms);
  CHECK(a.limits.idle_timeout_ms == b.limits.idle_timeout_ms);
  CHECK(a.limits.half_closed_timeout_ms == b.limits.half_closed_timeout_ms);
  CHECK(a.limits.drain_timeout_ms == b.limits.drain_timeout_ms);
  CHECK(a.limits.keepalive_ms == b.limits.keepalive_ms);
  CHECK(a.limits.connections_max == b.limits.connections_max);
  CHECK(a.limits.relay_memory_max == b.limits.relay_memory_max);
  CHECK((a.log.format == b.log.format && a.log.to == b.log.to));
  CHECK(a.policy->tls_default() == b.policy->tls_default());
  CHECK(a.policy->access_default_allows() == b.policy->access_default_allows());
  CHECK(a.policy->https_page() == b.policy->https_page());
  CHECK(a.http.hold_limit_bytes == b.http.hold_limit_bytes);
}

TEST_CASE("the rules that rules.toml shows as examples work when they are made active") {
  std::string text = text_of("rules.toml");
  for (size_t at = text.find("\n# [["); at != std::string::npos; at = text.find("\n# [[", at)) {
    for (++at; text.compare(at, 2, "# ") == 0; at = text.find('\n', at) + 1) text.erase(at, 2);
  }
  const auto loaded = load_block(text);
  REQUIRE_MESSAGE(loaded.config, testing::problems_of(loaded));
  CHECK(loaded.config->policy->tls_rules().size() == 1);
  CHECK(loaded.config->policy->access_rules().size() == 3);
  CHECK(loaded.config->policy->bypass_rules().size() == 1);
}

TEST_CASE("the example lists are right") {
  for (const char* name : {"example-plain.txt", "example-hosts.txt", "example-adblock.txt"}) {
    CAPTURE(name);
    const auto loaded =
        testing::load(std::string("[[access.rules]]\nwhen = { host = \"@lists/") + name + "\" }\n",
                      {{name, text_of(fs::path("lists") / name)}});
    REQUIRE_MESSAGE(loaded.config, testing::problems_of(loaded));
    CHECK_MESSAGE(loaded.problems.empty(), testing::problems_of(loaded));
  }
}
