#include "cli/check.h"

#include <doctest/doctest.h>

#include "cli/text.h"
#include "unit/config/loading.h"

using namespace sluice;
using namespace sluice::cli;
using sluice::testing::config_of;

TEST_CASE("the summary says what the configuration comes to") {
  CHECK(summary_of(*config_of(""), 0) ==
        "ok: 0 TLS rules (else tunnel-sni), 0 access rules (else allow), 0 host patterns");
  const auto config = config_of(R"(
[tls]
default_action = "terminate"
[[tls.rules]]
when = { host = [".a.example", "b.example"] }
action = "tunnel-sni"
[access]
default = "block"
[[access.rules]]
when = { client = "192.0.2.0/24" }
action = "allow"
)");
  CHECK(summary_of(*config, 1) ==
        "ok: 1 TLS rule (else terminate), 1 access rule (else block), 2 host patterns, 1 warning");
  CHECK(summary_of(*config_of("[links]\nphishing = [\"a.example\", \"b.example/x\"]\nmalicious_link = [\"c.example\"]\n"), 0) ==
        "ok: 0 TLS rules (else tunnel-sni), 0 access rules (else allow), 2 phishing links, 1 malicious link, 2 host patterns");
}

TEST_CASE("kernel-setup gets every value that it needs, one line each") {
  std::string error;
  const auto values = kernel_values(*config_of(R"(
[gateway]
tproxy_port = 12346
tls_ports = [443, 8443]
lan = ["eth1", "wg*"]
own_traffic = true
ipv6 = false
quic = "pass"
when_down = "closed"
client_source = "client"
exempt_clients = ["192.0.2.7", "2001:db8::/64"]
exempt_destinations = ["198.51.100.0/24"]
mark = 0x100
own_mark = 0x200
mark_mask = 0x300
route_table = 77
rule_priority = 78
)"),
                                    error);
  REQUIRE(values);
  CHECK(*values ==
        "tproxy_port=12346\ntls_ports=443 8443\nhttp_ports=\nlan=eth1 "
        "wg*\nown_traffic=1\nipv6=0\nquic=pass\nwhen_down=closed\n"
        "client_source=client\nexempt_clients=192.0.2.7 "
        "2001:db8::/64\nexempt_destinations=198.51.100.0/24\nmark=0x100\n"
        "own_mark=0x200\nmark_mask=0x300\nroute_table=77\nrule_priority=78\n");
}

TEST_CASE("a value that a shell could misread is refused, not printed") {
  for (const char* name : {"eth1 eth2", "a;b", "$(x)", "", "a\nb", "`x`"}) {
    config::Config config = *config_of("");
    config.gateway.lan_interfaces = {name};
    std::string error;
    CHECK_MESSAGE(!kernel_values(config, error), name);
    CHECK(!error.empty());
  }
}

TEST_CASE("numbers are grouped, and only one thing is singular") {
  CHECK(counted(0, "rule") == "0 rules");
  CHECK(counted(1, "rule") == "1 rule");
  CHECK(counted(999, "rule") == "999 rules");
  CHECK(counted(1000, "rule") == "1,000 rules");
  CHECK(counted(1234567, "rule") == "1,234,567 rules");
}

TEST_CASE("lists on the command line") {
  CHECK(split_list("").empty());
  CHECK(split_list("h2") == std::vector<std::string>{"h2"});
  CHECK(split_list("h2,http/1.1") == std::vector<std::string>{"h2", "http/1.1"});
}
