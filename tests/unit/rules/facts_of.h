// Facts as a test wants to write them; owns what the views of Facts point to.
#pragma once

#include <string>
#include <vector>

#include "rules/facts.h"

namespace sluice::testing {

struct Connection {
  std::string client = "10.20.0.5";
  std::string interface = "eth1";
  std::string destination = "192.0.2.1:443";
  std::string host = "";  // the SNI; empty: none
  bool ech = false;
  std::vector<std::string> alpn = {"h2", "http/1.1"};
  std::vector<uint16_t> versions = {0x0304, 0x0303};
  std::string ja4 = "t13d1516h2_8daaf6152771_b186095e22b6";
  rules::LocalTime now = {2026, 11, 21, 6, 12 * 60};  // a Saturday, noon

  /// Views of this: it must outlive them.
  [[nodiscard]] rules::Facts at_connect() const {
    rules::Facts facts;
    facts.now = now;
    facts.client = IpAddress::parse(client).value();
    facts.interface = interface;
    facts.destination = Endpoint::parse(destination).value();
    return facts;
  }
  [[nodiscard]] rules::Facts at_hello() const {
    rules::Facts facts = at_connect();
    facts.host_known = rules::Known::yes;
    facts.host = host;
    facts.hello_known = rules::Known::yes;
    facts.sni_present = !host.empty();
    facts.ech_present = ech;
    facts.alpn = alpn;
    facts.tls_versions = versions;
    facts.ja4 = ja4;
    return facts;
  }
  /// After bytes that are no TLS.
  [[nodiscard]] rules::Facts not_tls() const {
    rules::Facts facts = at_connect();
    facts.host_known = rules::Known::never;
    facts.hello_known = rules::Known::never;
    return facts;
  }
};

}  // namespace sluice::testing
