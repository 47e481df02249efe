// Steps ask and dial: clients that are configured for a proxy.

#include <doctest/doctest.h>

#include <cerrno>

#include "base/limits.h"
#include "flow/dialer.h"
#include "sim/lab.h"

namespace sluice::sim {
namespace {

using record::CloseReason;

Bytes text(std::string_view from) { return {from.begin(), from.end()}; }
std::string as_text(const Bytes& bytes) { return {bytes.begin(), bytes.end()}; }
IpAddress address(const char* text) { return *IpAddress::parse(text); }

const std::string granted = "HTTP/1.1 200 Connection established\r\n\r\n";

std::string connect_request(std::string_view target, std::string_view more = "") {
  return "CONNECT " + std::string(target) + " HTTP/1.1\r\nHost: " + std::string(target) + "\r\n" + std::string(more) + "\r\n";
}

CloseReason reason_of(Lab& lab, const Connection& client) {
  CHECK(lab.verdict() == "");
  REQUIRE(lab.record_of(client) != nullptr);
  return lab.record_of(client)->close;
}

std::string status_line(Connection& client) {
  const std::string all = as_text(client.read(100'000));
  return all.substr(0, all.find("\r\n"));
}

/// An explicit client whose bytes have been dealt with as far as can be without time passing.
Connection& client_with(Lab& lab, std::string_view bytes) {
  Connection& client = lab.begin_explicit();
  client.send(text(bytes));
  lab.settle();
  return client;
}

}  // namespace

TEST_CASE("CONNECT by name: 200 first, then the ClientHello goes to the first address byte for byte") {
  Lab lab;
  lab.names["www.example.com"] = {address("203.0.113.7")};
  Connection& client = client_with(lab, connect_request("www.example.com:443"));
  CHECK(as_text(client.read(1000)) == granted);
  CHECK(lab.dialled().empty());  // not before the SNI has been judged
  const Bytes hello = client_hello("www.example.com");
  client.send(hello);
  lab.settle();
  Connection* const origin = lab.explicit_origins[endpoint("203.0.113.7:443")];
  REQUIRE(origin != nullptr);
  CHECK(origin->read(10'000) == hello);
  client.finish();
  origin->finish();
  lab.settle();
  CHECK(reason_of(lab, client) == CloseReason::finished);
  CHECK(lab.record_of(client)->host == "www.example.com");
}

TEST_CASE("CONNECT: every cut of request and hello gives the same") {
  const Bytes hello = client_hello("www.example.com");
  Bytes all = text(connect_request("www.example.com:443"));
  const size_t head = all.size();
  all.insert(all.end(), hello.begin(), hello.end());
  for (size_t cut = 1; cut < head + 20; ++cut) {
    CAPTURE(cut);
    Lab lab;
    lab.names["www.example.com"] = {address("203.0.113.7")};
    Connection& client = lab.begin_explicit();
    client.send({all.begin(), all.begin() + static_cast<ptrdiff_t>(cut)});
    lab.settle();
    client.send({all.begin() + static_cast<ptrdiff_t>(cut), all.end()});
    lab.settle();
    Connection* const origin = lab.explicit_origins[endpoint("203.0.113.7:443")];
    REQUIRE(origin != nullptr);
    CHECK(origin->read(10'000) == hello);
    CHECK(as_text(client.read(1000)) == granted);
    client.finish();
    origin->finish();
    lab.settle();
    CHECK(reason_of(lab, client) == CloseReason::finished);
  }
}

TEST_CASE("S23, S24 a CONNECT that the rules forbid: a bare close, nothing dialled") {
  for (const char* target : {"block.test:443", "redirect.test:443", "198.51.100.1:443", "198.51.100.2:443"}) {
    CAPTURE(target);
    Lab lab;
    Connection& client = client_with(lab, connect_request(target));
    CHECK(client.read(1000).empty());
    CHECK(client.got_fin());
    CHECK_FALSE(client.got_reset());
    const bool blocks = std::string_view(target).find("block") == 0 || std::string_view(target).find("198.51.100.1") == 0;
    CHECK(reason_of(lab, client) == (blocks ? CloseReason::rule_block : CloseReason::rule_redirect));
    // Above the lab's rules over names stands one over addresses that would redirect: so names are looked up first.
    const bool is_name = std::string_view(target).find(".test") != std::string_view::npos;
    CHECK(lab.looked_up.empty() == !is_name);
    CHECK(lab.kernel.origin_sockets() == 0);
  }
}

TEST_CASE("the addresses that the rules forbid are left out") {
  Lab lab;
  lab.names["www.example.com"] = {address("198.51.100.1"), address("203.0.113.7")};
  Connection& client = client_with(lab, connect_request("www.example.com:443"));
  client.send(client_hello("www.example.com"));
  lab.settle();
  CHECK(lab.dialled() == std::vector{endpoint("203.0.113.7:443")});
  lab.names["all.example.com"] = {address("198.51.100.1"), address("198.51.100.2")};
  Connection& other = client_with(lab, connect_request("all.example.com:443"));
  CHECK(other.got_fin());
  CHECK(lab.dialled().size() == 1);
  client.reset();
  lab.settle();
  CHECK(lab.verdict() == "");
}

TEST_CASE("RFC 8305: a silent address costs 250 ms, a failed one nothing, and the losers are let go") {
  Lab lab;
  lab.config().tls.decrypt = false;
  lab.names["www.example.com"] = {address("2001:db8::1"), address("203.0.113.1"), address("2001:db8::2"), address("203.0.113.2")};
  lab.on_explicit_dial = [](const Endpoint& to) {
    DialOutcome outcome;
    if (to == endpoint("[2001:db8::1]:443")) outcome.never = true;
    if (to == endpoint("203.0.113.1:443")) outcome.result = -ECONNREFUSED;
    if (to == endpoint("[2001:db8::2]:443")) outcome.never = true;
    return outcome;
  };
  Connection& client = client_with(lab, connect_request("www.example.com:443"));
  CHECK(lab.dialled() == std::vector{endpoint("[2001:db8::1]:443")});
  lab.pass_ms(limits::dial_stagger_ms + 50);
  // The second is refused, so the third follows at once.
  CHECK(lab.dialled() == std::vector{endpoint("[2001:db8::1]:443"), endpoint("203.0.113.1:443"), endpoint("[2001:db8::2]:443")});
  CHECK(client.read(1000).empty());
  lab.pass_ms(limits::dial_stagger_ms + 50);
  CHECK(lab.dialled().size() == 4);
  CHECK(as_text(client.read(1000)) == granted);
  CHECK(lab.explicit_origins[endpoint("[2001:db8::1]:443")]->closed_by_gateway());
  CHECK(lab.explicit_origins[endpoint("[2001:db8::2]:443")]->closed_by_gateway());
  client.finish();
  lab.explicit_origins[endpoint("203.0.113.2:443")]->finish();
  lab.settle();
  CHECK(reason_of(lab, client) == CloseReason::finished);
}

TEST_CASE("a host that is not reached is told in words; behind the 200 it is a reset") {
  for (const bool peeks : {false, true}) {
    CAPTURE(peeks);
    Lab lab;
    lab.config().tls.decrypt = peeks;
    lab.names["www.example.com"] = {address("203.0.113.7"), address("203.0.113.8")};
    lab.on_explicit_dial = [](const Endpoint&) { return DialOutcome{-ECONNREFUSED, false, 0}; };
    Connection& client = client_with(lab, connect_request("www.example.com:443"));
    if (peeks) client.send(client_hello("www.example.com"));
    lab.settle();
    if (!peeks) CHECK(status_line(client) == "HTTP/1.1 502 Bad Gateway");
    client.finish();
    lab.pass_ms(limits::linger_ms + 10);
    CHECK(client.got_reset() == peeks);
    CHECK(reason_of(lab, client) == CloseReason::origin_refused);
  }
}

TEST_CASE("connect_timeout ends all dials") {
  Lab lab;
  lab.config().tls.decrypt = false;
  lab.names["www.example.com"] = {address("203.0.113.7"), address("203.0.113.8")};
  lab.on_explicit_dial = [](const Endpoint&) { return DialOutcome{0, true, 0}; };
  Connection& client = client_with(lab, connect_request("www.example.com:443"));
  lab.pass_ms(lab.config().limits.connect_timeout_ms + 10);
  CHECK(status_line(client) == "HTTP/1.1 504 Gateway Timeout");
  client.finish();
  lab.settle();
  CHECK(reason_of(lab, client) == CloseReason::origin_connect_timeout);
  CHECK(lab.dialled().size() == 2);
}

TEST_CASE("a client that leaves while its host is looked up or dialled is noticed") {
  for (const bool dialling : {false, true}) {
    CAPTURE(dialling);
    Lab lab;
    lab.config().tls.decrypt = false;
    lab.lookups_held = !dialling;
    lab.names["www.example.com"] = {address("203.0.113.7")};
    lab.on_explicit_dial = [](const Endpoint&) { return DialOutcome{0, true, 0}; };
    Connection& client = client_with(lab, connect_request("www.example.com:443"));
    client.reset();
    lab.pass_ms(dialling ? limits::dial_unwatched_ms + 10 : lab.config().limits.hello_timeout_ms + 10);
    lab.pass_ms(limits::linger_ms + 10);
    CHECK(lab.verdict() == "");
  }
}

TEST_CASE("a name without an address, or whose server is silent") {
  for (const bool silent : {false, true}) {
    Lab lab;
    lab.lookups_held = silent;
    Connection& client = client_with(lab, connect_request("nowhere.example:443"));
    lab.pass_ms(silent ? lab.config().limits.hello_timeout_ms + 10 : 1);
    CHECK(status_line(client) == "HTTP/1.1 502 Bad Gateway");
    client.finish();
    lab.settle();
    CHECK(reason_of(lab, client) == CloseReason::origin_unresolved);
  }
}

TEST_CASE("too many lookups: 503 at once") {
  Lab lab;
  lab.lookups_full = true;
  Connection& client = client_with(lab, connect_request("www.example.com:443"));
  CHECK(status_line(client) == "HTTP/1.1 503 Service Unavailable");
  client.finish();
  lab.settle();
  CHECK(reason_of(lab, client) == CloseReason::overload);
}

TEST_CASE("passwords: 407 without or with a wrong one; nothing is looked up before") {
  for (const char* credentials : {"", "Proxy-Authorization: Basic YWxpY2U6d3Jvbmc=\r\n",  // alice:wrong
                                  "Proxy-Authorization: Basic YWxpY2U6d29uZGVy\r\n"}) {   // alice:wonder
    CAPTURE(credentials);
    Lab lab;
    lab.config().explicit_proxy.users = std::make_shared<config::Users>(config::Users{{"alice", "$6$x$y"}});
    lab.right_password = "wonder";
    lab.names["www.example.com"] = {address("203.0.113.7")};
    Connection& client = client_with(lab, connect_request("www.example.com:443", credentials));
    const bool right = std::string_view(credentials).find("d29uZGVy") != std::string_view::npos;
    CHECK(status_line(client) == (right ? "HTTP/1.1 200 Connection established" : "HTTP/1.1 407 Proxy Authentication Required"));
    CHECK(lab.looked_up.empty() != right);
    client.finish();
    lab.settle();
    CHECK(reason_of(lab, client) == (right ? CloseReason::client_closed_early : CloseReason::proxy_auth_required));
  }
}

TEST_CASE("unkind kernels: nothing is left behind, whatever becomes of dials, names and clients") {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    CAPTURE(seed);
    Lab lab(seed);
    lab.kernel.chaos = {.short_receive = 0.3, .short_send = 0.0, .eintr = 0.1, .no_buffer = 0.1, .spurious_poll = 0.1,
                        .reorder = 0.3, .early_connect = 0.3, .cancel_loses = 0.5};
    lab.config().tls.decrypt = lab.random.chance(0.5);
    lab.names["www.example.com"] = {address("2001:db8::1"), address("203.0.113.1"), address("2001:db8::2"), address("203.0.113.2")};
    lab.on_explicit_dial = [&](const Endpoint&) {
      DialOutcome outcome;
      outcome.never = lab.random.chance(0.3);
      outcome.result = lab.random.chance(0.4) ? -ECONNREFUSED : 0;
      outcome.at_us = lab.kernel.now_us() + lab.random.below(600'000);
      return outcome;
    };
    lab.lookups_held = lab.random.chance(0.1);
    Connection& client = lab.begin_explicit();
    client.send(text(connect_request("www.example.com:443")));
    lab.pass_ms(lab.random.below(400));
    client.send(client_hello("www.example.com"));
    lab.pass_ms(lab.random.below(1500));
    if (lab.random.chance(0.5))
      client.reset();
    else
      client.finish();
    lab.pass_ms(30'000);
    for (auto& [to, origin] : lab.explicit_origins)
      if (!origin->closed_by_gateway()) origin->finish();
    lab.pass_ms(3'700'000);
    CHECK(lab.verdict() == "");
  }
}

TEST_CASE("RFC 8305 section 4: the families take turns, beginning with that of the first") {
  const auto order = flow::take_turns({endpoint("192.0.2.1:1"), endpoint("192.0.2.2:1"), endpoint("192.0.2.3:1"), endpoint("[2001:db8::1]:1")});
  CHECK(order == std::vector{endpoint("192.0.2.1:1"), endpoint("[2001:db8::1]:1"), endpoint("192.0.2.2:1"), endpoint("192.0.2.3:1")});
  CHECK(flow::take_turns({}).empty());
  CHECK(flow::take_turns(std::vector(20, endpoint("192.0.2.1:1"))).size() == limits::dial_addresses_max);
}

}  // namespace sluice::sim
