// rules.toml: the keys for decrypting. S9, S10, S12, S13.
#include <doctest/doctest.h>

#include <string>

#include "config/bump_reader.h"
#include "rules/policy.h"
#include "unit/config/loading.h"

namespace {

using namespace sluice;
using config::InvalidAction;
using testing::load_bumping;
using testing::problems_of;

constexpr const char* fingerprint_hex = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";

void check_refused(const std::string& text, const std::string& problem) {
  const auto loaded = load_bumping(text);
  const std::string problems = problems_of(loaded);
  CAPTURE(text);
  CAPTURE(problem);
  CAPTURE(problems);
  CHECK(loaded.config == nullptr);
  CHECK(problems.find("/etc/sluice/rules.toml:" + problem) != std::string::npos);
}

}  // namespace

TEST_CASE("every key of bump is taken, and files are relative to the configuration's directory") {
  const auto loaded = load_bumping(R"(
[gateway]
http_ports = [80, 8080]
[tls]
default_action = "bump"
ca_cert = "ca.pem"
ca_key = "/run/ca.key"
leaf_key = "rsa"
system_roots = false
extra_roots = ["roots/lab.pem", "/srv/roots.pem"]
intermediates = ["middle.pem"]
fetch_intermediates = true
fetch_intermediates_from = ["10.10.0.0/16", "fd00:10::1"]
crl_files = ["a.crl", "b.crl"]
trusted_origins = ["@lists/known.txt"]
client_cert = "terminate"
unsupported = "terminate"
min_version = "1.3"
[tls.invalid_origin]
expired = "page"
not_yet_valid = "tunnel"
self_signed = "allow"
revoked = "untrusted"
[http]
non_http = "tunnel"
[[tls.rules]]
name = "IMAP"
when = { port = 443 }
action = "bump"
inspect = false
[[tls.rules]]
name = "Web"
when = { host = ".example" }
action = "bump"
)",
                                   {{"known.txt", std::string("# ours\n") + fingerprint_hex + "\n"}});
  REQUIRE_MESSAGE(loaded.config, problems_of(loaded));
  const config::Config& config = *loaded.config;
  CHECK(config.gateway.http_ports == std::vector<uint16_t>{80, 8080});
  CHECK(config.policy->tls_default() == rules::Action::bump);
  CHECK(config.policy->can_bump());
  CHECK_FALSE(config.policy->inspects(0));
  CHECK(config.policy->inspects(1));
  CHECK(config.policy->inspects(rules::rule_default));
  const config::Tls& tls = config.tls;
  REQUIRE(tls.ca_cert);
  REQUIRE(tls.ca_key);
  CHECK(tls.ca_cert->path == "/etc/sluice/ca.pem");
  CHECK(tls.ca_cert->position.line == 6);
  CHECK(tls.ca_cert->position.column == 11);
  CHECK(tls.ca_key->path == "/run/ca.key");
  CHECK(tls.leaf_key == config::LeafKeyKind::rsa);
  CHECK_FALSE(tls.system_roots);
  REQUIRE(tls.extra_roots.size() == 2);
  CHECK(tls.extra_roots[0].path == "/etc/sluice/roots/lab.pem");
  CHECK(tls.extra_roots[1].path == "/srv/roots.pem");
  CHECK(tls.intermediates.size() == 1);
  CHECK(tls.fetch_intermediates);
  CHECK(tls.fetch_intermediates_from == std::vector<Cidr>{*Cidr::parse("10.10.0.0/16"), *Cidr::parse("fd00:10::1/128")});
  CHECK(tls.crl_files.size() == 2);
  CHECK(tls.crl_files[1].position.column > tls.crl_files[0].position.column);
  CHECK(tls.trusted_origins.size() == 1);
  CHECK(tls.client_cert == config::WhenNotBumpable::terminate);
  CHECK(tls.unsupported == config::WhenNotBumpable::terminate);
  CHECK(tls.min_version == 0x0304);
  CHECK(tls.invalid_origin.action_for(OriginProblem::expired) == InvalidAction::page);
  CHECK(tls.invalid_origin.action_for(OriginProblem::not_yet_valid) == InvalidAction::tunnel);
  CHECK(tls.invalid_origin.action_for(OriginProblem::self_signed) == InvalidAction::allow);
  CHECK(tls.invalid_origin.action_for(OriginProblem::revoked) == InvalidAction::untrusted);
  CHECK(tls.invalid_origin.action_for(OriginProblem::weak) == InvalidAction::untrusted);
  CHECK(config.http.non_http == config::NonHttp::tunnel);
}

TEST_CASE("S12: the defaults are untrusted for all but revoked, and the strictest action of several wins") {
  const config::InvalidOrigin defaults;
  for (const OriginProblem problem : all_origin_problems)
    CHECK(defaults.action_for(problem) ==
          (problem == OriginProblem::revoked ? InvalidAction::terminate : InvalidAction::untrusted));
  CHECK(defaults.action_for(OriginProblems{}) == InvalidAction::allow);
  OriginProblems problems;
  problems.add(OriginProblem::weak);
  CHECK(defaults.action_for(problems) == InvalidAction::untrusted);
  problems.add(OriginProblem::revoked);
  CHECK(defaults.action_for(problems) == InvalidAction::terminate);
  config::InvalidOrigin mixed;
  mixed.actions[static_cast<size_t>(OriginProblem::weak)] = InvalidAction::allow;
  mixed.actions[static_cast<size_t>(OriginProblem::expired)] = InvalidAction::tunnel;
  OriginProblems weak_and_expired;
  weak_and_expired.add(OriginProblem::weak);
  weak_and_expired.add(OriginProblem::expired);
  CHECK(mixed.action_for(weak_and_expired) == InvalidAction::tunnel);
}

TEST_CASE("S9: whatever bumps must name a CA") {
  check_refused(
      "[tls]\ndefault_action = \"bump\"\n",
      "2:18: error: tls.default_action: \"bump\" needs a CA: name its files in tls.ca_cert and tls.ca_key");
  check_refused("[[tls.rules]]\naction = \"bump\"\n", "2:10: error: tls.rules.action: \"bump\" needs a CA");
  check_refused("[tls]\nca_cert = \"ca.pem\"\n", "2:11: error: tls.ca_cert without tls.ca_key");
  check_refused("[tls]\nca_key = \"ca.key\"\n", "2:10: error: tls.ca_key without tls.ca_cert");
  check_refused("[tls]\nca_key = \"\"\nca_cert = \"x\"\n", "2:10: error: tls.ca_key is empty");
  const auto off = load_bumping("[tls]\ndecrypt = false\n[[tls.rules]]\naction = \"bump\"\n");
  CHECK_MESSAGE(off.config, problems_of(off));
  const auto with_ca = load_bumping("[tls]\nca_cert = \"a\"\nca_key = \"b\"\ndefault_action = \"bump\"\n");
  CHECK_MESSAGE(with_ca.config, problems_of(with_ca));
}

TEST_CASE("while the data path cannot bump, the action and HTTP ports are refused, and the keys are not") {
  const auto load = [](const char* text) {
    testing::Files files;
    files.texts["/etc/sluice/rules.toml"] = text;
    return files.load(false);
  };
  const auto keys = load("[tls]\nca_cert = \"a\"\nca_key = \"b\"\n[tls.invalid_origin]\nweak = \"allow\"\n");
  CHECK_MESSAGE(keys.config, problems_of(keys));
  for (const auto& [text, problem] :
       {std::pair{"[tls]\ndefault_action = \"bump\"\n",
                  ":2:18: error: tls.default_action: \"bump\": this version"},
        std::pair{"[[tls.rules]]\naction = \"bump\"\n",
                  ":2:10: error: tls.rules.action: \"bump\": this version"},
        std::pair{"[gateway]\nhttp_ports = [80]\n", ":2:14: error: gateway.http_ports: this version"}}) {
    const auto refused = load(text);
    CHECK(refused.config == nullptr);
    const std::string problems = problems_of(refused);
    CAPTURE(problems);
    CHECK(problems.find(problem) != std::string::npos);
  }
}

TEST_CASE("mistakes in the keys of bump") {
  check_refused("[tls]\nleaf_key = \"dsa\"\n", "2:12: error: tls.leaf_key must be \"ec\" or \"rsa\"");
  check_refused("[tls]\nextra_roots = \"x\"\n", "2:15: error: tls.extra_roots must be a list, not a string");
  check_refused("[tls]\nextra_roots = [1]\n",
                "2:16: error: tls.extra_roots must be a list of file names, not of");
  check_refused("[tls]\nfetch_intermediates = \"yes\"\n", "2:23: error: tls.fetch_intermediates must be");
  check_refused("[tls]\nfetch_intermediates_from = [\"10.0.0.1/8\"]\n",
                "2:29: error: tls.fetch_intermediates_from: '10.0.0.1/8' has bits set behind its prefix");
  check_refused("[tls]\ncrl_files = [\"\"]\n", "2:14: error: tls.crl_files: \"\" is not the name of a file");
  check_refused("[tls]\nmin_version = \"1.1\"\n", "2:15: error: tls.min_version must be \"1.2\" or \"1.3\"");
  check_refused("[tls]\nunsupported = \"bump\"\n", "2:15: error: tls.unsupported must be \"tunnel\" or");
  check_refused("[tls.invalid_origin]\nexpierd = \"page\"\n",
                "2:1: error: unknown key 'expierd' in tls.invalid_origin: did you mean 'expired'?");
  check_refused("[tls.invalid_origin]\nexpired = \"block\"\n",
                "2:11: error: tls.invalid_origin.expired must be \"page\", \"untrusted\", \"terminate\"");
  check_refused("[http]\nnon_http = \"pass\"\n", "2:12: error: http.non_http must be \"terminate\" or");
  check_refused("[[tls.rules]]\naction = \"tunnel\"\ninspect = false\n",
                "3:11: error: tls.rules.inspect is only for action = \"bump\"");
  check_refused("[gateway]\nhttp_ports = [443]\n",
                "2:14: error: gateway.http_ports and gateway.tls_ports both name 443");
  check_refused("[gateway]\nhttp_ports = [80, 80]\n", "2:19: error: gateway.http_ports names 80 twice");
  check_refused("[gateway]\nhttp_ports = [12345]\n", "2:15: error: gateway.http_ports must not contain");
  check_refused("[tls]\ntrusted_origins = [\"12\"]\n",
                "2:20: error: tls.trusted_origins: '12' is not a SHA-256 fingerprint");
}

TEST_CASE("S10: a fingerprint with and without colons, in either case") {
  const auto plain = config::parse_fingerprint(fingerprint_hex);
  REQUIRE(plain);
  CHECK((*plain)[1] == 0x11);
  CHECK((*plain)[31] == 0xff);
  std::string colons;
  for (size_t i = 0; i < 64; i += 2)
    colons += std::string(i == 0 ? "" : ":") + (fingerprint_hex + i)[0] + (fingerprint_hex + i)[1];
  CHECK(config::parse_fingerprint(colons) == plain);
  std::string wrong = colons;
  wrong[2] = '-';
  CHECK_FALSE(config::parse_fingerprint(wrong));
  CHECK_FALSE(config::parse_fingerprint(std::string(63, 'a')));
  CHECK_FALSE(config::parse_fingerprint(std::string(64, 'g')));
  CHECK_FALSE(config::parse_fingerprint(""));
}

TEST_CASE("an access rule for an HTTP port can match") {
  const auto loaded = load_bumping("[gateway]\nhttp_ports = [80]\n[[access.rules]]\nwhen = { port = 80 }\n");
  CHECK_MESSAGE(loaded.config, problems_of(loaded));
  CHECK(loaded.problems.empty());
}
