// Facts as a test wants to write them; owns what the views of Facts point to.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/file_type.h"
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
    facts.event = rules::Event::hello;
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

/// A request, or the response to it.
struct Message {
  Connection connection{};
  std::string method = "GET";
  std::string host = "www.example.com";
  std::string url = "https://www.example.com/";
  std::string user = "";  // empty: no proxy
  std::string user_agent = "curl/8.5";
  std::string mime = "";
  std::string file_name = "";
  // Its body, if there is one.
  bool has_body = false;
  bool complete = true;  // false: `size_at_least` bytes have come, and nothing else is known of it
  uint64_t size = 0;
  uint64_t size_at_least = 0;
  FileTypes types{};
  std::array<uint8_t, 16> md5{};
  std::array<uint8_t, 32> sha256{};
  bool unreadable = false;
  // What it may be taken for as well.
  std::vector<std::string> also_mimes{};
  std::vector<std::string> also_file_names{};
  FileTypes coded_types{};
  bool has_coded_hashes = false;
  std::array<uint8_t, 32> coded_sha256{};

  [[nodiscard]] rules::Facts facts(rules::Event event) const {
    using rules::Known;
    rules::Facts facts = connection.at_connect();
    facts.event = event;
    facts.hello_known = Known::never;
    facts.host_known = Known::yes;
    facts.host = host;
    facts.method = method;
    facts.url = url;
    facts.user_known = user.empty() ? Known::never : Known::yes;
    facts.user = user;
    facts.user_agent_known = Known::yes;
    facts.user_agent = user_agent;
    facts.mime = mime;
    facts.file_names = {file_name, {}};
    const Known known = complete ? Known::yes : Known::not_yet;
    facts.content.size_known = facts.content.type_known = facts.content.hashes_known = known;
    facts.content.size = size;
    facts.content.size_at_least = size_at_least;
    facts.content.types = &types;
    facts.content.has_hashes = has_body;
    facts.content.md5 = md5;
    facts.content.sha256 = sha256;
    if (unreadable) facts.content.type_known = facts.content.hashes_known = Known::not_yet;
    facts.content.unreadable = unreadable;
    facts.also_mimes = also_mimes;
    facts.also_file_names = also_file_names;
    if (!coded_types.empty()) facts.content.coded_types = &coded_types;
    facts.content.has_coded_hashes = has_coded_hashes;
    facts.content.coded_sha256 = coded_sha256;
    return facts;
  }
  [[nodiscard]] rules::Facts at_request() const { return facts(rules::Event::request); }
  [[nodiscard]] rules::Facts at_response() const { return facts(rules::Event::response); }
};

}  // namespace sluice::testing
