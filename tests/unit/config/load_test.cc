// rules.toml: what is taken, and for everything that is not: the place, what is wrong, what is allowed.
#include <doctest/doctest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "rules/policy.h"
#include "unit/config/loading.h"

namespace {

using namespace sluice;
using testing::Files;
using testing::load;
using testing::problems_of;

struct Bad {
  const char* text;
  const char* problem;  // "LINE:COLUMN: error: …", a part of it
};

void check_refused(const Bad& bad) {
  const auto loaded = load(bad.text);
  const std::string text = bad.text;
  const std::string problems = problems_of(loaded);
  const bool has_place = bad.problem[0] >= '0' && bad.problem[0] <= '9';
  const std::string wanted = std::string(has_place ? "/etc/sluice/rules.toml:" : "") + bad.problem;
  CAPTURE(text);
  CAPTURE(wanted);
  CAPTURE(problems);
  CHECK(loaded.config == nullptr);
  CHECK(problems.find(wanted) != std::string::npos);
}

}  // namespace

TEST_CASE("an empty file is the default configuration") {
  const auto loaded = load("");
  REQUIRE_MESSAGE(loaded.config, problems_of(loaded));
  CHECK(loaded.problems.empty());
  const config::Config& config = *loaded.config;
  CHECK(config.gateway.tproxy_port == 12345);
  CHECK(config.gateway.tls_ports == std::vector<uint16_t>{443});
  CHECK(config.tls.decrypt);
  CHECK(config.limits.hello_timeout_ms == 10'000);
  CHECK(config.policy->tls_default() == rules::Action::tunnel_sni);
  CHECK(config.policy->access_default_allows());
}

TEST_CASE("what cannot begin a key is an error with a place, not an abort of the parser") {
  check_refused({"[!tls]\n", "1:2: error: "});
  check_refused({"\n[[=]]\n", "2:3: error: "});
}

TEST_CASE("every key is taken") {
  const auto loaded = load(R"(
[gateway]
tproxy_port = 1
tls_ports = [443, 8443]
http_ports = []
workers = 3
client_source = "client"
lan = ["eth1", "wg*"]
own_traffic = true
ipv6 = false
quic = "pass"
when_down = "closed"
exempt_clients = ["10.0.0.1", "@lists/exempt.txt"]
exempt_destinations = ["2001:db8::/32"]
mark = 0x100
own_mark = 0x200
mark_mask = 0x300
route_table = 7
rule_priority = 8
[tls]
decrypt = true
default_action = "terminate"
terminate_with = "alert"
non_tls = "tunnel"
require_sni = true
[limits]
hello_timeout = "500ms"
connect_timeout = "7 s"
idle_timeout = "2h"
half_closed_timeout = "1m"
drain_timeout = "0s"
keepalive = "90s"
connections = 1000
relay_memory = "100 MiB"
[access]
default = "block"
https_page = false
[log]
format = "kv"
to = "/var/log/sluice.log"
)",
                           {{"exempt.txt", "10.9.0.0/16 # printers\n"}});
  REQUIRE_MESSAGE(loaded.config, problems_of(loaded));
  CHECK(loaded.problems.empty());
  const config::Config& config = *loaded.config;
  const config::Gateway& gateway = config.gateway;
  const config::Tls& tls = config.tls;
  const config::Limits& limits = config.limits;
  CHECK(config.explicit_proxy.listen.empty());
  CHECK(config.list_files.size() == 1);
  CHECK(gateway.tproxy_port == 1);
  CHECK(gateway.tls_ports == std::vector<uint16_t>{443, 8443});
  CHECK(gateway.workers == 3);
  CHECK(gateway.client_source == config::ClientSource::client);
  CHECK(gateway.lan_interfaces == std::vector<std::string>{"eth1", "wg*"});
  CHECK(gateway.own_traffic);
  CHECK(!gateway.ipv6);
  CHECK(gateway.quic == config::Quic::pass);
  CHECK(gateway.when_down == config::WhenDown::closed);
  REQUIRE(gateway.exempt_clients.size() == 2);
  CHECK(gateway.exempt_clients[1].to_string() == "10.9.0.0/16");
  CHECK(gateway.exempt_destinations.at(0).to_string() == "2001:db8::/32");
  CHECK((gateway.mark == 0x100 && gateway.own_mark == 0x200 && gateway.mark_mask == 0x300));
  CHECK((gateway.route_table == 7 && gateway.rule_priority == 8));
  CHECK(tls.terminate_with == config::TerminateWith::alert);
  CHECK(tls.non_tls == config::NonTls::tunnel);
  CHECK(tls.require_sni);
  CHECK((limits.hello_timeout_ms == 500 && limits.connect_timeout_ms == 7000 &&
         limits.idle_timeout_ms == 7'200'000));
  CHECK((limits.half_closed_timeout_ms == 60'000 && limits.drain_timeout_ms == 0 &&
         limits.keepalive_ms == 90'000));
  CHECK((limits.connections_max == 1000 && limits.relay_memory_max == 100u << 20));
  CHECK(config.http.non_http == config::NonHttp::terminate);
  CHECK(config.log.format == config::LogFormat::key_value);
  CHECK(config.log.to == "/var/log/sluice.log");
  CHECK(config.policy->tls_default() == rules::Action::terminate);
  CHECK(!config.policy->access_default_allows());
}

TEST_CASE("text that is not TOML: line and column") {
  check_refused({"[gateway]\ntproxy_port = \n", "2:"});
  check_refused({"[tls\n", "1:"});
  check_refused({"[[[[[[[[[", "1:3: error: not TOML"});
  check_refused({"[[=]]\n", "1:3: error: not TOML"});
  check_refused({"a.=1\n", "1:3: error: not TOML"});
  check_refused({"\u00fc = 1\n", "1:1: error: not TOML"});
  check_refused({"a = 1 \u00fc\n", "1:7: error: not TOML"});
  check_refused({"a = \u3001\n", "1:5: error: not TOML"});
  check_refused({"[tls]\n[tls]\n", "2:"});
  check_refused({"a = \"\xff\"\n", "1:"});
}

TEST_CASE("keys that are not known: the nearest one, or all") {
  check_refused(
      {"[gatewy]\n", "1:2: error: unknown key 'gatewy' at the top of the file: did you mean 'gateway'?"});
  check_refused({"[gateway]\ntproxy_prot = 1\n",
                 "2:1: error: unknown key 'tproxy_prot' in gateway: did you mean 'tproxy_port'?"});
  check_refused(
      {"[tls]\ndecypt = true\n", "2:1: error: unknown key 'decypt' in tls: did you mean 'decrypt'?"});
  check_refused({"[[tls.rules]]\naction = \"tunnel\"\nwhne = {}\n",
                 "3:1: error: unknown key 'whne' in tls.rules: did you mean 'when'?"});
  check_refused({"[[tls.rules]]\naction = \"tunnel\"\nwhen = { hots = \"a\" }\n",
                 "3:10: error: unknown key 'hots' in tls.rules.when: did you mean 'host'?"});
  check_refused({"[log]\nzzzzzzzz = 1\n", "2:1: error: unknown key 'zzzzzzzz' in log; known are format, to"});
}

TEST_CASE("keys that belong elsewhere") {
  check_refused({"[tls]\nlan = [\"eth1\"]\n", "2:1: error: unknown key 'lan' in tls; it is a key of [gateway]\n"});
  check_refused({"lan = [\"eth1\"]\n", "1:1: error: unknown key 'lan' at the top of the file; it is a key of [gateway]"});
  check_refused({"[[access.rules]]\ndefault = \"block\"\n",
                 "2:1: error: unknown key 'default' in access.rules; it is a key of [access]: put it above the first [[access.rules]]"});
  check_refused({"[[access.rules]]\nlan = 1\n", "unknown key 'lan' in access.rules; it is a key of [gateway]"});
  check_refused({"[[access.rules]]\nhost = \"a.example\"\n",
                 "2:1: error: unknown key 'host' in access.rules; conditions go into when = { host = … }"});
  check_refused({"[[access.rules]]\ntime = \"Mon\"\n", "conditions go into when = { schedule = … }"});
  check_refused({"[access]\nwhen = {}\n", "unknown key 'when' in access; it belongs into a rule, below [[access.rules]]"});
  check_refused({"[[rules]]\nname = \"x\"\n", "1:3: error: unknown key 'rules' at the top of the file; rules are written [[access.rules]]"});
  check_refused({"[[access.rules]]\nwhen = { action = \"block\" }\n", "it is a key of the rule"});
  for (const auto& [key, meant] : {std::pair{"time", "schedule"}, std::pair{"interface", "client"}, std::pair{"ip", "client"},
                                   std::pair{"source", "client"}, std::pair{"domain", "host"}})
    check_refused({("[[access.rules]]\nwhen = { " + std::string(key) + " = \"x\" }\n").c_str(),
                   ("2:10: error: unknown key '" + std::string(key) + "' in access.rules.when: did you mean '" + meant + "'?").c_str()});
  // Each is named once, however often it was asked for.
  const std::string problems = problems_of(load("[tls]\nzzzzzzzz = 1\n"));
  CHECK(problems.find("known are decrypt, ") != std::string::npos);
  CHECK(problems.find("default_action") == problems.rfind("default_action"));
  CHECK(problems.find("ca_cert") == problems.rfind("ca_cert"));
}

TEST_CASE("the homes of keys are those where they are known") {
  for (const char* key : {"tproxy_port", "lan", "listen", "non_http", "template", "https_page", "relay_memory", "format", "decrypt",
                          "ca_cert", "expired", "min_version", "rule_priority", "users", "server", "hold_limit", "connections"}) {
    CAPTURE(key);
    const std::string misplaced = problems_of(load("[links]\n" + std::string(key) + " = 1979-05-27\n"));
    const size_t at = misplaced.find("it is a key of [");
    REQUIRE(at != std::string::npos);
    const std::string table = misplaced.substr(at + 16, misplaced.find(']', at) - at - 16);
    const std::string placed = problems_of(load("[" + table + "]\n" + std::string(key) + " = 1979-05-27\n"));
    CHECK(placed.find("unknown key") == std::string::npos);
  }
}

TEST_CASE("wrong types are told the form") {
  check_refused({"[gateway]\nlan = \"eth1\"\n", "2:7: error: gateway.lan must be a list, not a string; write [\"eth1\"]\n"});
  check_refused({"[gateway]\ntls_ports = 443\n", "must be a list, not a whole number; write [443]\n"});
  check_refused({"[gateway]\ntls_ports = \"443\"\n", "must be a list, not a string; write [443]\n"});
  check_refused({"[gateway]\ntls_ports = \"443-450\"\n", "ranges are not possible here"});
  check_refused({"[gateway]\ntls_ports = [\"443-450\"]\n", "2:14: error: gateway.tls_ports must be a list of numbers, not of a string; ranges and names are not possible here"});
  check_refused({"[gateway]\ntls_ports = [\"443\"]\n", "; write 443, without quotes"});
  check_refused({"[gateway]\nworkers = \"4\"\n", "not a string; write 4, without quotes"});
  check_refused({"[tls]\ndecrypt = \"yes\"\n", "must be true or false, not a string; write true, without quotes"});
  check_refused({"[tls]\ndecrypt = 0\n", "write false, without quotes"});
  check_refused({"[tls]\nmin_version = 1.2\n", "must be \"1.2\" or \"1.3\", not a number with a fraction; write \"1.2\"\n"});
  check_refused({"[log]\nto = [\"journald\"]\n", "must be a string, not a list; write \"journald\", without brackets"});
  check_refused({"[access.rules]\nname = \"x\"\n", "1:1: error: access.rules must be a list, not a table; write [[access.rules]]\n"});
  check_refused({"[[bypass]]\nname = \"x\"\n", "1:1: error: bypass must be a table, not a list; write [[bypass.rules]]\n"});
  check_refused({"[[gateway]]\nworkers = 1\n", "gateway must be a table, not a list; write [gateway]\n"});
  check_refused({"[[access.rules]]\nexcept = { host = \"a\" }\n", "must be a list, not a table; write except = [ { host = \"a\" } ]\n"});
  check_refused({"[[access.rules]]\nexcept = \"a.example\"\n", "must be a list, not a string; write except = [ { host = \"a.example\" } ]\n"});
  check_refused({"[access]\nrules = \"x\"\n", "must be a list, not a string; rules are written [[access.rules]]\n"});
  check_refused({"[[access.rules]]\nwhen = \"a.example\"\n", "must be a table, not a string; write when = { host = \"a.example\" }\n"});
  check_refused({"[[access.rules]]\nwhen = [ { host = \"a\" } ]\n", "must be a table, not a list; write one table"});
  check_refused({"[[access.rules]]\nwhen = { tls_version = 1.2 }\n", "not a number with a fraction; write \"1.2\"\n"});
}

TEST_CASE("actions of other tables and other programs") {
  const auto action = [](const std::string& table, const std::string& word, const char* problem) {
    check_refused({("[[" + table + ".rules]]\naction = \"" + word + "\"\n").c_str(), problem});
  };
  action("tls", "block", "not \"block\"; \"block\" is an action of [[access.rules]]\n");
  action("access", "bump", "2:10: error: access.rules.action must be \"allow\", \"block\" or \"redirect\", not \"bump\"; \"bump\" is an action of [[tls.rules]]\n");
  action("bypass", "tunnel", "\"tunnel\" is an action of [[tls.rules]]");
  for (const char* word : {"deny", "drop", "reject"}) {
    action("access", word, "did you mean \"block\"?");
    action("tls", word, "did you mean \"terminate\"?");
  }
  action("tls", "reset", "did you mean \"terminate\"?");
  action("protection", "block", "unknown key 'action' in protection.rules; a protection rule has a key for each class of threats");
  check_refused({"[access]\ndefault = \"deny\"\n", "did you mean \"block\"?"});
  check_refused({"[[access.rules]]\naction = \"BLOCK\"\n", "did you mean \"block\"?"});
  check_refused({"[tls.invalid_origin]\nexpired = \"block\"\n", "did you mean \"terminate\"?"});
  check_refused({"[gateway]\nlan = \"eth1, eth2\"\n", "not a string; write [\"eth1\", \"eth2\"]\n"});
  check_refused({"[gateway]\nquic = \"block\"\n", "did you mean \"reject\"?"});
}

TEST_CASE("wrong types") {
  check_refused({"gateway = 1\n", "1:11: error: gateway must be a table, not a whole number"});
  check_refused({"[gateway]\ntproxy_port = \"1\"\n",
                 "2:15: error: gateway.tproxy_port must be a whole number from 1 to 65535, not a string"});
  check_refused({"[gateway]\ntproxy_port = 1.5\n", "a number with a fraction"});
  check_refused(
      {"[gateway]\ntls_ports = 443\n", "2:13: error: gateway.tls_ports must be a list, not a whole number"});
  check_refused(
      {"[gateway]\ntls_ports = [\"443\"]\n", "2:14: error: gateway.tls_ports must be a list of numbers"});
  check_refused({"[gateway]\nlan = [1]\n", "2:8: error: gateway.lan must be a list of interface names"});
  check_refused(
      {"[tls]\ndecrypt = \"yes\"\n", "2:11: error: tls.decrypt must be true or false, not a string"});
  check_refused({"[tls]\nrules = {}\n", "2:9: error: tls.rules must be a list, not a table"});
  check_refused({"[tls]\nrules = [1]\n", "2:10: error: tls.rules must be a list of tables"});
  check_refused(
      {"[limits]\nidle_timeout = 10\n", "2:16: error: limits.idle_timeout must be a duration like"});
  check_refused({"[log]\nformat = 1979-05-27\n",
                 "2:10: error: log.format must be \"json\", \"cef\" or \"kv\", not a date or time"});
  check_refused(
      {"[[access.rules]]\nwhen = { host = 1 }\n",
       "2:17: error: access.rules.when.host must be a string, or a list of these, not a whole number"});
  check_refused({"[[access.rules]]\nwhen = { port = 1.5 }\n",
                 "2:17: error: access.rules.when.port must be a number, or a string like"});
  check_refused({"[[access.rules]]\nwhen = 1\n", "2:8: error: access.rules.when must be a table"});
  check_refused({"[[access.rules]]\nexcept = { host = \"a\" }\n",
                 "2:10: error: access.rules.except must be a list, not a table"});
  check_refused({"[[access.rules]]\nexcept = [ \"a\" ]\n",
                 "2:12: error: access.rules.except must be a list of tables"});
}

TEST_CASE("values out of range, one past the limit each way") {
  check_refused(
      {"[gateway]\ntproxy_port = 0\n", "2:15: error: gateway.tproxy_port must be from 1 to 65535, not 0"});
  check_refused({"[gateway]\ntproxy_port = 65536\n", "2:15:"});
  check_refused(
      {"[gateway]\ntls_ports = [0]\n", "2:14: error: gateway.tls_ports: a port is from 1 to 65535, not 0"});
  check_refused({"[gateway]\ntls_ports = [443, 443]\n", "2:19: error: gateway.tls_ports names 443 twice"});
  check_refused({"[gateway]\ntls_ports = []\n", "2:13: error: gateway.tls_ports is empty"});
  check_refused({"[gateway]\ntproxy_port = 8443\ntls_ports = [443, 8443]\n",
                 "3:19: error: gateway.tls_ports must not contain gateway.tproxy_port (8443)"});
  check_refused({"[gateway]\nworkers = -1\n", "2:11:"});
  check_refused({"[gateway]\nmark = 0x10000\n",
                 "2:8: error: gateway.mark (0x10000) has bits outside gateway.mark_mask (0xff00)"});
  check_refused(
      {"[gateway]\nown_mark = 0x5300\n", "2:12: error: gateway.own_mark must differ from gateway.mark"});
  check_refused({"[gateway]\nmark = 1\nown_mark = 0\nmark_mask = 1\n",
                 "4:13: error: gateway.mark_mask has too few bits"});
  check_refused(
      {"[gateway]\nroute_table = 254\n", "2:15: error: gateway.route_table must not be 253, 254 or 255"});
  check_refused({"[gateway]\nlan = [\"an-interface-nam\"]\n",
                 "2:8: error: gateway.lan: 'an-interface-nam' is not the name of an interface"});
  check_refused({"[gateway]\nlan = [\"eth0\", \"eth0\"]\n", "2:16: error: gateway.lan names 'eth0' twice"});
  check_refused({"[gateway]\nlan = [\"192.168.1.*\"]\n",
                 "2:8: error: gateway.lan: '192.168.1.*' is meant as an address, not the name of an interface"});
  CHECK(load("[gateway]\nlan = [\"100\", \"en*\"]\n").config);
  check_refused({"[gateway]\nlan = [\"lo\"]\n", "2:8: error: gateway.lan: 'lo'"});
  check_refused({"[gateway]\nexempt_clients = [\"10.0.0.1/8\"]\n",
                 "2:19: error: gateway.exempt_clients: '10.0.0.1/8' has bits set behind its prefix; its "
                 "network is \"10.0.0.0/8\""});
  check_refused({"[gateway]\nexempt_clients = [\"@lists/none.txt\"]\n",
                 "2:19: error: cannot read the list /etc/sluice/lists/none.txt: No such file or directory"});
  check_refused({"[limits]\nhello_timeout = \"99ms\"\n",
                 "2:17: error: limits.hello_timeout must be from \"100ms\" to \"5m\", not \"99ms\""});
  check_refused({"[limits]\nhello_timeout = \"301s\"\n", "2:17:"});
  check_refused(
      {"[limits]\nhello_timeout = \"10\"\n", "2:17: error: limits.hello_timeout: '10' is not a duration"});
  check_refused({"[limits]\nhello_timeout = \"10 sec\"\n", "is not a duration"});
  check_refused({"[limits]\nhello_timeout = \"99999999999999999999s\"\n", "is not a duration"});
  check_refused({"[limits]\nidle_timeout = \"9999999999999999999d\"\n", "is not a duration"});
  check_refused(
      {"[limits]\nkeepalive = \"1500ms\"\n", "2:13: error: limits.keepalive must be whole seconds"});
  check_refused(
      {"[limits]\nrelay_memory = \"64 MB\"\n", "2:16: error: limits.relay_memory: '64 MB' is not a size"});
  check_refused(
      {"[limits]\nrelay_memory = \"1023 KiB\"\n", "2:16: error: limits.relay_memory must be from \"1 MiB\""});
  check_refused({"[log]\nto = \"sluice.log\"\n",
                 "2:6: error: log.to must be \"stdout\", \"journald\" or the absolute path"});
}

TEST_CASE("S2: default actions: choices with the nearest; plain tunnel refused with the reason") {
  check_refused(
      {"[tls]\ndefault_action = \"tunnel\"\n", "2:18: error: tls.default_action must not be \"tunnel\""});
  check_refused({"[tls]\ndefault_action = \"tunnel_sni\"\n",
                 "2:18: error: tls.default_action must be \"tunnel-sni\", \"bump\" or \"terminate\", not "
                 "\"tunnel_sni\": did you mean \"tunnel-sni\"?"});
  check_refused({"[access]\ndefault = \"deny\"\n",
                 "2:11: error: access.default must be \"allow\" or \"block\", not \"deny\""});
  check_refused({"[[tls.rules]]\naction = \"block\"\n",
                 "2:10: error: tls.rules.action must be \"tunnel\", \"tunnel-sni\", \"bump\" or "
                 "\"terminate\", not \"block\""});
  check_refused({"[[tls.rules]]\nname = \"x\"\n", "1:1: error: tls.rules has no action"});
}

TEST_CASE("what the specification names but this version lacks says so") {
  check_refused({"[antivirus]\n", "1:2: error: antivirus: this version does not scan"});
  check_refused({"[icap]\n", "1:2: error: icap: this version does not scan"});
  check_refused(
      {"[tls]\nroots = []\n", "2:1: error: tls.roots: the keys are system_roots = true and extra_roots"});
}

TEST_CASE("S31: redirects: macros that there are, and nothing that no header can hold") {
  const auto refused = [](const std::string& to, const char* problem) {
    check_refused({("[[access.rules]]\naction = \"redirect\"\nto = \"" + to + "\"\n").c_str(), problem});
  };
  refused("https://x.example/?u=%URI%", "3:6: error: access.rules.to \"https://x.example/?u=%URI%\": there is no macro %URI%");
  refused("https://x.example/a b", "has a character that must be percent-encoded");
  refused("https://x.example/\\r\\nX: y", "has a character that must be percent-encoded");
  const auto policy = testing::policy_of(
      "[[access.rules]]\naction = \"redirect\"\nto = \"https://x.example/?u=%URL%&r=%RULE%&p=100%%\"\n");
  CHECK(policy->access_rules()[0].redirect_to == "https://x.example/?u=%URL%&r=%RULE%&p=100%%");
}

TEST_CASE("S26: a page inside HTTPS needs a CA") {
  check_refused({"[access]\nhttps_page = true\n", "2:14: error: access.https_page: a page inside HTTPS needs a CA"});
}

TEST_CASE("S19: conditions over requests and their content: what is no value is told with what is") {
  const auto refused = [](const std::string& condition, const std::string& problem) {
    check_refused({("[[access.rules]]\nwhen = { " + condition + " }\n").c_str(), problem.c_str()});
  };
  refused("url = \"http://Example.com/\"",
          "2:16: error: access.rules.when.url: 'http://Example.com/' is not the canonical form of a URL, so it could not match "
          "as it stands; write \"http://example.com/\"");
  refused("url = \"example.com/a/../b\"", "write \"example.com/b\"");
  refused("url = \"example.com/%61\"", "write \"example.com/a\"");
  refused("url = \"ftp://example.com/\"", "begins with ftp://");
  refused("url = \"user@example.com/\"", "names a user");
  refused("url = \"example.com:http/\"", "'http' is not a port");
  refused("url = \"ads*.example.com/x\"", "'*' may only stand in front");
  refused("url = \"re:(\"", "2:16: error: access.rules.when.url: not a regular expression (RE2 syntax): missing )");
  refused("user_agent = \"*\"", "not a regular expression");
  refused("user = \"*\"", "'*' is not a user");
  refused("mime = \"video\"", "2:17: error: access.rules.when.mime: 'video' is not a content type");
  refused("mime = \"text/html; charset=utf-8\"", "has parameters, which are not compared; write \"text/html\"");
  refused("mime = \"*/*\"", "is not a content type");
  refused("file_name = \"a/b.exe\"", "names have no directories");
  refused("file_name = \"re:[\"", "not a regular expression");
  refused("file_type = \"pddf\"", "'pddf' is not a file type: did you mean \"pdf\"?");
  refused("size = \"> 10\"", "'> 10' is not a size to compare with: it has no unit (B, KiB, MiB or GiB); allowed are");
  refused("size = \"> 10 MB\"", "with: the units are B, KiB, MiB and GiB; allowed are");
  refused("size = \"> 1 - 10\"", "is not a size to compare with");
  refused("size = \"> 1.5 MiB\"", "with: the number must be whole; allowed are");
  refused("size = \"10 MiB\"", "with: it does not say whether more or less is meant; allowed are");
  refused("size = \"big\"", "'big' is not a size to compare with; allowed are");
  refused("file_type = \"exe\"", "'exe' is not a file type: did you mean \"pe\" (Windows programs) or \"executable\" (all programs)?");
  refused("file_type = \"*.jpg\"", "'*.jpg' is not a file type: did you mean \"jpeg\"?");
  refused("file_type = \"PDF\"", "did you mean \"pdf\"?");
  refused("file_type = \"application/pdf\"", "is a content type, which goes into mime");
  refused("file_type = \"qqqqqqqq\"", "docs/file-types.md lists them");
  refused("md5 = \"d41d8cd98f00b204e9800998ecf8427e  x.exe\"", "; write the hash alone, without the name of the file");
  refused("md5 = \"" + std::string(64, 'a') + "\"", "; this is a SHA-256: its condition is sha256");
  refused("sha256 = \"" + std::string(32, 'a') + "\"", "; this is an MD5: its condition is md5");
  refused("sha256 = \"" + std::string(40, 'a') + "\"", "; this is a SHA-1");
  refused("size = \"10 MiB\"", "2:17: error: access.rules.when.size: '10 MiB' is not a size to compare with");
  refused("size = \"> 10 MB\"", "is not a size to compare with");
  refused("size = \"10 MiB - 1 MiB\"", "ends before it begins");
  refused("size = \"< 0 B\"", "nothing is smaller than nothing");
  refused("size = 10", "must be a string");
  refused("direction = \"up\"", "'up' is not a direction");
  refused("md5 = \"d41d8cd98f00b204e9800998ecf8427\"", "is not an MD5 hash: those are 32 hexadecimal digits");
  refused("sha256 = \"" + std::string(64, 'g') + "\"", "is not a SHA-256 hash: those are 64 hexadecimal digits");
  refused("method = \"get\"", "'get': methods are written in capitals, \"GET\"");
  refused("method = \"GE T\"", "is not a method");
}

TEST_CASE("patterns at their limits and one past them") {
  const auto when = [](const std::string& key, const std::string& value) {
    return load("[gateway]\nhttp_ports = [80]\n[[access.rules]]\nwhen = { " + key + " = \"" + value + "\" }\n").config != nullptr;
  };
  CHECK(when("user_agent", std::string(4096, 'a')));
  CHECK(!when("user_agent", std::string(4097, 'a')));
  CHECK(when("url", "re:" + std::string(4096, 'a')));
  CHECK(!when("url", "re:" + std::string(4097, 'a')));
  CHECK(when("url", "a.example/" + std::string(8192 - 10, 'a')));
  CHECK(!when("url", "a.example/" + std::string(8193 - 10, 'a')));
  CHECK(when("file_name", std::string(255, 'a')));
  CHECK(!when("file_name", std::string(256, 'a')));
}

TEST_CASE("what only requests have is refused in a TLS rule") {
  for (const char* condition : {"mime = \"video/*\"", "file_name = \"*.exe\"", "file_type = \"pdf\"", "size = \"> 1 MiB\"",
                                "direction = \"request\""})
    check_refused({("[[tls.rules]]\naction = \"terminate\"\nwhen = { " + std::string(condition) + " }\n").c_str(),
                   "3:10: error: tls.rules.when."});
}

TEST_CASE("protection: classes and what is done with them") {
  check_refused({"[protection.default]\nmalware = \"allow\"\n",
                 "2:11: error: protection.default.malware must be \"block\" or \"skip\", not \"allow\""});
  check_refused({"[[protection.rules]]\naction = \"skip\"\n", "2:1: error: unknown key 'action' in protection.rules"});
  const auto policy = testing::policy_of(
      "[protection.default]\nmacro = \"block\"\n[[protection.rules]]\nname = \"mail\"\nwhen = { host = \"mail.example\" }\n"
      "encrypted = \"skip\"\n");
  CHECK(policy->protection_default().of(rules::Threat::malware) == rules::ThreatAction::block);
  CHECK(policy->protection_default().of(rules::Threat::macro) == rules::ThreatAction::block);
  CHECK(policy->protection_default().of(rules::Threat::encrypted) == rules::ThreatAction::skip);
  REQUIRE(policy->protection_rules().size() == 1);
  CHECK(policy->protection_rules()[0].threats.of(rules::Threat::encrypted) == rules::ThreatAction::skip);
  CHECK(policy->protection_rules()[0].threats.of(rules::Threat::macro) == rules::ThreatAction::block);
}

TEST_CASE("S19, S20: patterns that are none") {
  const auto refused = [](const std::string& condition, const char* problem) {
    check_refused({("[[access.rules]]\nwhen = { " + condition + " }\n").c_str(), problem});
  };
  refused("host = \"*foo.com\"", "2:17: error: access.rules.when.host: '*' may only stand in front");
  refused("host = [\"a.example\", \"http://foo.com/\"]",
          "2:31: error: access.rules.when.host: 'http://foo.com/' is a URL");
  refused("host = []", "2:17: error: access.rules.when.host is an empty list");
  refused("host = \"10.0.0.1/8\"", "has bits set behind its prefix");
  refused("host = \"10.0.0.256\"", "'10.0.0.256' is not an address");
  refused("host = \"10.0.0.0/33\"", "'10.0.0.0/33' is not an address");
  refused("host = \"2001:db8::g\"", "has a port");
  refused("host = \"2001:db8:::\"", "'2001:db8:::' is not an address");
  refused("host = \"@\"", "2:17: error: \"@\" must be followed by the name of a list file");
  refused("client = \"10.0.0.256\"", "2:19: error: access.rules.when.client: '10.0.0.256' is not an address");
  refused("client = \"10.0.0.0/33\"", "is not an address");
  refused("client = \"10.0.0.1/8\"", "has bits set behind its prefix; its network is \"10.0.0.0/8\"");
  // Names with a wildcard they are not: such a rule would be dead.
  refused("client = \"192.168.1.*\"",
          "2:19: error: access.rules.when.client: '192.168.1.*' is not an address; a network is written \"192.168.1.0/24\"");
  refused("client = [\"eth1\", \"192.168.*\"]", "2:28: error: access.rules.when.client: '192.168.*' is not an address");
  refused("client = \"10.0.*\"", "a network is written \"10.0.0.0/16\"");
  refused("client = \"10.0.0.1-9\"", "ranges are written as networks");
  refused("client = \"10.0.0.0/255.0.0.0\"", "write \"10.0.0.0/8\"");
  refused("client = \"[2001:db8::1]\"", "write \"2001:db8::1\"");
  refused("client = \"0011.22aa.bbcc\"", "is a MAC address");
  refused("host = \"192.168.1.*\"", "a network is written \"192.168.1.0/24\"");
  refused("host = \"[2001:db8::1]\"", "write \"2001:db8::1\"");
  refused("host = \"10.0.0.1-10.0.0.2\"", "is a range");
  refused("destination = \"10.0.0.1-10.0.0.2\"", "is a range");
  refused("client = \"eth 0\"", "or the name of an interface");
  refused("destination = \"example.com\"", "a name goes into the condition host");
  refused("port = 0", "'0' is not a port");
  refused("port = 65536", "'65536' is not a port");
  refused("port = \"90-80\"", "'90-80' is not a port range: it ends before it begins");
  refused("port = \"https\"", "ranges (\"8000-8100\"); write 443\n");
  refused("port = \"80:443\"", "; write \"80-443\"\n");
  refused("port = \"80, 443\"", "2:17: error: access.rules.when.port: '80, 443' are several in one string; write a list, [\"80\", \"443\"]\n");
  refused("client = \"eth1,10.0.0.1\"", "write a list, [\"eth1\", \"10.0.0.1\"]");
  refused("host = \"a.example, b.example\"", "write a list, [\"a.example\", \"b.example\"]");
  refused("client = \"*\"", "'*' would match every client; leave the condition out");
  refused("sni = \"a.example\"", "; a name goes into the condition host");
  refused("port = \"80-x\"", "'80-x' is not a port; allowed");
  refused("port = \"80-\"", "'80-' is not a port");
  refused("sni = \"maybe\"", "allowed are \"present\" and \"absent\"");
  refused("alpn = \"\"", "is not an ALPN protocol");
  refused("alpn = \"h*\"", "named whole");
  refused("tls_version = \"1.4\"", "allowed are \"1.0\", \"1.1\", \"1.2\" and \"1.3\"");
  refused("ja4 = \"t13d1516h2\"", "is not a JA4 fingerprint");
  refused("ja4 = \"t13d1516h2x*\"", "is not a JA4 fingerprint");
  refused("schedule = \"Mon-Fry\"", "'Mon-Fry' is not understood here");
}

TEST_CASE("rules: names, redirects, exceptions") {
  check_refused(
      {"[[tls.rules]]\nname = \"a\"\naction = \"tunnel\"\n[[tls.rules]]\nname = \"a\"\naction = \"tunnel\"\n",
       "4:1: error: tls.rules: another rule is called \"a\", in line 1"});
  check_refused(
      {"[[access.rules]]\nname = \"default\"\n", "2:8: error: access.rules.name must not be \"default\""});
  check_refused({"[[access.rules]]\nname = \"\"\n", "2:8: error: access.rules.name is empty"});
  check_refused(
      {"[[access.rules]]\naction = \"redirect\"\n", "1:1: error: access.rules redirects, but has no `to`"});
  check_refused({"[[access.rules]]\naction = \"redirect\"\nto = \"intranet\"\n",
                 "3:6: error: access.rules.to must be a URL"});
  check_refused({"[[access.rules]]\nto = \"https://a.example/\"\n",
                 "2:6: error: access.rules.to is only for action = \"redirect\""});
  check_refused({"[[access.rules]]\nexcept = [ {} ]\n",
                 "2:12: error: access.rules.except has an entry without conditions"});
  const auto same_name_elsewhere = load(
      "[[tls.rules]]\nname = \"a\"\naction = \"tunnel-sni\"\n[[access.rules]]\nname = \"a\"\naction = "
      "\"allow\"\n");
  CHECK_MESSAGE(same_name_elsewhere.config, problems_of(same_name_elsewhere));
}

TEST_CASE("all problems come at once, in the order of the file, lists behind") {
  const auto loaded = load(
      "[log]\nformat = \"xml\"\n[[access.rules]]\nwhen = { host = \"@lists/a.txt\" }\n[gateway]\ntproxy_port "
      "= 0\nfoo = 1\n",
      {{"a.txt", "good.example\nb!d.example\n"}});
  CHECK(problems_of(loaded) ==
        "/etc/sluice/rules.toml:2:10: error: log.format must be \"json\", \"cef\" or \"kv\", not \"xml\"\n"
        "/etc/sluice/rules.toml:6:15: error: gateway.tproxy_port must be from 1 to 65535, not 0\n"
        "/etc/sluice/rules.toml:7:1: error: unknown key 'foo' in gateway; known are tproxy_port, tls_ports, "
        "http_ports, workers, client_source, lan, "
        "own_traffic, ipv6, quic, when_down, exempt_clients, exempt_destinations, mark, own_mark, mark_mask, "
        "route_table, rule_priority\n"
        "/etc/sluice/lists/a.txt:2:1: error: 'b!d.example' is not a host name: '!' is not allowed in one; "
        "allowed are \"example.com\" (that name), "
        "\"*.example.com\" (every name under it) and \".example.com\" (both)\n");
}

TEST_CASE("a configuration that cannot be read") {
  CHECK(problems_of(Files{}.load()) ==
        "/etc/sluice/rules.toml: error: cannot read the configuration: No such file or directory\n");
}

TEST_CASE("a list with a mistake in every line does not bury the rest") {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "b!d\n";
  const auto loaded = load("[[access.rules]]\nwhen = { host = \"@lists/a.txt\" }\n", {{"a.txt", text}});
  CHECK(loaded.problems.size() == 21);
  CHECK(loaded.problems.back().message.find("only the first are shown") != std::string::npos);
}

TEST_CASE("a list that is no text is one problem, at its name") {
  using namespace std::string_literals;
  for (const auto& text : {"\x1f\x8b\x08\0\n\n\n\n"s, "<!doctype html>\n<title>x\n<p>\n"s, "a\0\n\0b\0\n\0"s}) {
    for (const char* rule : {"[[access.rules]]\nwhen = { host = \"@lists/a.txt\" }\n", "[[access.rules]]\nwhen = { port = \"@lists/a.txt\" }\n",
                             "[gateway]\nexempt_clients = [\"@lists/a.txt\"]\n", "[links]\nphishing = [\"@lists/a.txt\"]\n"}) {
      const auto loaded = load(rule, {{"a.txt", text}});
      CAPTURE(rule);
      CAPTURE(problems_of(loaded));
      CHECK(loaded.config == nullptr);
      REQUIRE(loaded.problems.size() == 1);
      CHECK(loaded.problems[0].message.find("the list /etc/sluice/lists/a.txt is not text (") == 0);
      CHECK(loaded.problems[0].line == 2);
    }
  }
}

TEST_CASE("S19: every list condition can come from a file; a file named twice is read once") {
  int reads = 0;
  const auto read = [&](const std::string& path, std::string&) -> std::optional<std::string> {
    if (path == "rules.toml")
      return "[[access.rules]]\nwhen = { host = \"@h\" }\n[[access.rules]]\nwhen = { host = [\"@h\", "
             "\"x.example\"], port = \"@p\", client = \"@c\", "
             "destination = \"@d\", alpn = \"@a\", tls_version = \"@v\", ja4 = \"@j\", schedule = \"@s\" }\n";
    reads += path == "h";
    if (path == "h") return "a.example\n";
    if (path == "p") return "443\n8000-8100\n";
    if (path == "c") return "10.0.0.0/8\neth1\n";
    if (path == "d") return "192.0.2.0/24 ; SBL1\n";
    if (path == "a") return "h2\n";
    if (path == "v") return "1.2\n";
    if (path == "j") return "t13d*\n";
    if (path == "s") return "Mon-Fri 08:00-18:00\n";
    return std::nullopt;
  };
  const auto loaded = config::load("rules.toml", read, 1);
  REQUIRE_MESSAGE(loaded.config, problems_of(loaded));
  CHECK(reads == 1);
  CHECK(loaded.config->policy->host_patterns() == 2);
}
