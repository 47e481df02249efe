// Steps ask and dial: clients that are configured for a proxy.

#include <doctest/doctest.h>

#include <cerrno>

#include "base/limits.h"
#include "flow/dialer.h"
#include "sim/lab.h"
#include "sim/talk.h"

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

TEST_CASE("S4: the record has the name in the CONNECT and the other one in the SNI") {
  Lab lab;
  lab.names["www.example.com"] = {address("203.0.113.7")};
  Connection& client = client_with(lab, connect_request("www.example.com:443"));
  client.send(client_hello("front.example"));
  lab.settle();
  client.finish();
  lab.explicit_origins[endpoint("203.0.113.7:443")]->finish();
  lab.settle();
  CHECK(lab.record_of(client)->host == "www.example.com");
  CHECK(lab.record_of(client)->sni == "front.example");
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

// --- requests in clear ---

namespace {

std::string request_for(std::string_view host, std::string_view path = "/", std::string_view more = "") {
  return "GET http://" + std::string(host) + std::string(path) + " HTTP/1.1\r\nHost: " + std::string(host) + "\r\n" + std::string(more) + "\r\n";
}
const std::string ok_answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

Lab& with_names(Lab& lab) {
  lab.names["a.example"] = {address("203.0.113.7")};
  lab.names["b.example"] = {address("203.0.113.8")};
  return lab;
}

/// The origin at that address answers what it has been asked; returns that.
std::string serve(Lab& lab, const char* at, std::string_view answer = ok_answer) {
  Connection* const origin = lab.explicit_origins[endpoint(at)];
  REQUIRE(origin != nullptr);
  const std::string asked = as_text(origin->read(10'000));
  origin->send(text(answer));
  lab.settle();
  return asked;
}

}  // namespace

TEST_CASE("requests in clear: one connection of the client, each request to its own host, and a CONNECT at last") {
  Lab lab;
  with_names(lab);
  Connection& client = client_with(lab, request_for("a.example", "/1"));
  CHECK(serve(lab, "203.0.113.7:80").starts_with("GET /1 HTTP/1.1\r\nHost: a.example\r\n"));
  CHECK(as_text(client.read(1000)) == ok_answer);
  CHECK(lab.explicit_origins[endpoint("203.0.113.7:80")]->closed_by_gateway());
  client.send(text(request_for("b.example", "/2")));
  lab.settle();
  CHECK(serve(lab, "203.0.113.8:80", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok").starts_with("GET /2 "));
  CHECK(as_text(client.read(1000)) == ok_answer);
  client.send(text(connect_request("a.example:443")));
  lab.settle();
  CHECK(as_text(client.read(1000)) == granted);
  client.send(client_hello("a.example"));
  lab.settle();
  Connection* const origin = lab.explicit_origins[endpoint("203.0.113.7:443")];
  REQUIRE(origin != nullptr);
  CHECK(as_text(origin->read(10'000)) == as_text(client_hello("a.example")));
  client.finish();
  origin->finish();
  lab.settle();
  CHECK(reason_of(lab, client) == CloseReason::finished);
  CHECK(lab.requests_of(client).size() == 2);
  CHECK(lab.record_of(client)->action == "tunnel-sni");
  CHECK(lab.record_of(client)->bytes_down == 2 * ok_answer.size());
}

TEST_CASE("requests in clear: what is forbidden is neither looked up nor dialled, and the connection goes on") {
  Lab lab;
  with_names(lab);
  // The lab's rules over addresses would ask for the address first.
  lab.config().policy = policy_of("[[access.rules]]\nwhen = { host = \"block.test\" }\n");
  Connection& client = client_with(lab, request_for("block.test") + request_for("a.example", "/1"));
  CHECK(as_text(client.read(10'000)).starts_with("HTTP/1.1 403"));
  CHECK(lab.looked_up == std::vector<std::string>{"a.example"});
  CHECK(lab.dialled().size() == 1);
  CHECK(serve(lab, "203.0.113.7:80").starts_with("GET /1 "));
  CHECK(as_text(client.read(1000)) == ok_answer);
  client.finish();
  lab.settle();
  CHECK(reason_of(lab, client) == CloseReason::finished);
  REQUIRE(lab.requests_of(client).size() == 2);
  CHECK(lab.requests_of(client)[0].action == "block");
}

TEST_CASE("requests in clear: a rule over addresses waits for the address, with the body; then the request is judged, and hears") {
  for (const char* where : {"198.51.100.1", "203.0.113.7"}) {
    CAPTURE(where);
    const bool forbidden = std::string_view(where).starts_with("198");
    Lab lab;
    lab.names["www.example.com"] = {address(where)};
    Connection& client = client_with(lab, "POST http://www.example.com/ HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 5\r\n\r\n12345");
    if (forbidden) {
      CHECK(lab.looked_up.size() == 1);
      CHECK(lab.dialled().empty());
      CHECK(as_text(client.read(10'000)).starts_with("HTTP/1.1 403"));
    } else {
      CHECK(serve(lab, "203.0.113.7:80").ends_with("\r\n\r\n12345"));
      CHECK(as_text(client.read(10'000)) == ok_answer);
    }
    client.finish();
    lab.settle();
    CHECK(reason_of(lab, client) == CloseReason::finished);
    CHECK(lab.requests_of(client)[0].action == (forbidden ? "block" : "allow"));
  }
}

// --- a rule names one of the addresses that a name has (S24): whoever owns the name chooses which, and which answers ---

namespace {

/// www.example.com is `here` and `there`; a rule speaks of `there`. One family, and one of each.
struct Places {
  const char* here;
  const char* there;
};
const Places places[] = {{"203.0.113.7", "198.51.100.9"}, {"2001:db8::7", "198.51.100.9"}, {"203.0.113.7", "2001:db8::9"}};

std::string quoted(const Places& at) { return "\"" + std::string(at.there) + "\""; }

/// What a client sends behind its CONNECT, and in which mode the gateway takes it.
enum class First : uint8_t { hello, other_bytes, silence };

struct Whole {
  std::vector<Endpoint> dialled;
  Record record;
};

/// A CONNECT to www.example.com, where every address refuses, so that all are dialled that may be.
Whole connect_to(const std::vector<const char*>& addresses, std::string_view rules, First first, uint16_t port = 443) {
  Lab lab;
  lab.config().policy = policy_of(rules);
  lab.config().tls.non_tls = config::NonTls::tunnel;
  lab.config().http.non_http = config::NonHttp::tunnel;
  lab.config().gateway.http_ports = {80};
  for (const char* each : addresses) lab.names["www.example.com"].push_back(address(each));
  lab.on_explicit_dial = [](const Endpoint&) { return DialOutcome{-ECONNREFUSED, false, 0}; };
  Connection& client = client_with(lab, connect_request("www.example.com:" + std::to_string(port)));
  if (first == First::hello) client.send(client_hello("www.example.com"));
  if (first == First::other_bytes) client.send(text("SSH-2.0-OpenSSH_9.2\r\n"));
  lab.settle();
  if (first == First::silence) lab.pass_ms(lab.config().limits.hello_timeout_ms + 10);
  client.finish();
  lab.pass_ms(limits::linger_ms + 10);
  CHECK(lab.verdict() == "");
  REQUIRE(lab.record_of(client) != nullptr);
  return {lab.dialled(), *lab.record_of(client)};
}

}  // namespace

TEST_CASE("S24 CONNECT: rules that are decided only behind the ClientHello, or without one, count for each address of a name") {
  // Each needs more than the connect event knows before it comes to the address.
  const auto rules_for = [](const Places& at) {
    const std::string where = "{ destination = " + quoted(at) + " }\n";
    const std::string waits = "[[access.rules]]\nname = \"waits\"\naction = \"allow\"\nwhen = { alpn = \"acme-tls/1\" }\n";
    return std::vector<std::pair<std::string, std::string>>{
        {"terminate", "[[tls.rules]]\nname = \"there\"\naction = \"terminate\"\nwhen = " + where},
        {"block", waits + "[[access.rules]]\nname = \"there\"\naction = \"block\"\nwhen = " + where},
        {"redirect", waits + "[[access.rules]]\nname = \"there\"\naction = \"redirect\"\nto = \"https://portal.test/\"\nwhen = " + where},
        {"block", waits + "[links]\nphishing = [" + quoted(at) + "]\n"},
        {"block", "[access]\ndefault = \"block\"\n" + waits + "[[access.rules]]\nname = \"here\"\naction = \"allow\"\nwhen = { destination = \"" +
                      std::string(at.here) + "\" }\n"},
        {"block", "[[bypass.rules]]\nname = \"waits\"\naction = \"allow\"\nwhen = { sni = \"absent\", ech = \"present\" }\n"
                  "[[bypass.rules]]\nname = \"there\"\naction = \"block\"\nwhen = " + where},
    };
  };
  for (const Places& at : places)
    for (const First first : {First::hello, First::other_bytes, First::silence})
      for (const auto& [action, rules] : rules_for(at)) {
        CAPTURE(at.there);
        CAPTURE(rules);
        CAPTURE(static_cast<int>(first));
        const Endpoint here{address(at.here), 443};
        const Whole alone = connect_to({at.there}, rules, first);
        CHECK(alone.dialled.empty());
        CHECK(alone.record.action == action);
        // Whichever comes first.
        for (const auto& addresses : {std::vector{at.here, at.there}, std::vector{at.there, at.here}, std::vector{at.there, at.here, at.there}}) {
          const Whole both = connect_to(addresses, rules, first);
          CHECK(both.dialled == std::vector{here});
          CHECK(both.record.close == CloseReason::origin_refused);
        }
      }
}

TEST_CASE("CONNECT: of the addresses that are allowed those stay of which the rules say the same as of the first") {
  for (const Places& at : places) {
    const Endpoint here{address(at.here), 443};
    const Endpoint there{address(at.there), 443};
    const std::string rules = "[[access.rules]]\nname = \"by address\"\naction = \"allow\"\nwhen = { destination = " + quoted(at) + " }\n";
    Whole both = connect_to({at.here, at.there}, rules, First::hello);
    CHECK(both.dialled == std::vector{here});
    CHECK(both.record.access_rule == "default");
    both = connect_to({at.there, at.here}, rules, First::hello);
    CHECK(both.dialled == std::vector{there});
    CHECK(both.record.access_rule == "by address");
    // No rule tells them apart.
    CHECK(connect_to({at.here, at.there}, "[[access.rules]]\nwhen = { alpn = \"x\" }\n", First::hello).dialled == std::vector{here, there});
  }
}

TEST_CASE("CONNECT to a port of plain HTTP: what is no HTTP goes to no forbidden address") {
  for (const Places& at : places) {
    const std::string rules = "[[access.rules]]\nname = \"waits\"\naction = \"allow\"\nwhen = { alpn = \"acme-tls/1\" }\n"
                              "[[access.rules]]\nname = \"there\"\nwhen = { destination = " + quoted(at) + " }\n";
    CHECK(connect_to({at.there}, rules, First::other_bytes, 80).dialled.empty());
    for (const auto& addresses : {std::vector{at.here, at.there}, std::vector{at.there, at.here}})
      CHECK(connect_to(addresses, rules, First::other_bytes, 80).dialled == std::vector{Endpoint{address(at.here), 80}});
  }
}

TEST_CASE("requests to a name with several addresses, in clear and behind a CONNECT: each is judged for where it goes") {
  for (const Places& at : places)
    for (const bool in_clear : {true, false})
      for (const auto& addresses : {std::vector{at.here, at.there}, std::vector{at.there, at.here}, std::vector{at.there}}) {
        CAPTURE(at.there);
        CAPTURE(in_clear);
        CAPTURE(addresses.front());
        CAPTURE(addresses.size());
        Lab lab;
        lab.config().policy = policy_of("[[access.rules]]\nname = \"no posts there\"\nwhen = { destination = " + quoted(at) + ", method = \"POST\" }\n");
        lab.config().gateway.http_ports = {80};
        for (const char* each : addresses) lab.names["www.example.com"].push_back(address(each));
        const Endpoint here{address(at.here), 80};
        const Endpoint there{address(at.there), 80};
        lab.on_explicit_dial = [&](const Endpoint& to) { return DialOutcome{to == here ? -ECONNREFUSED : 0, false, 0}; };
        const std::string post = "POST " + std::string(in_clear ? "http://www.example.com/" : "/") + " HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 5\r\n\r\n";
        const std::string fetch = "GET " + std::string(in_clear ? "http://www.example.com/" : "/") + " HTTP/1.1\r\nHost: www.example.com\r\n\r\n";
        Connection& client = lab.begin_explicit();
        if (!in_clear) {
          client.send(text(connect_request("www.example.com:80")));
          lab.settle();
          CHECK(as_text(client.read(1000)) == granted);
        }
        client.send(text(post));
        lab.settle();
        client.send(text("12345"));
        lab.settle();
        if (addresses.size() > 1) {  // the one that may be reached does not answer
          CHECK(lab.dialled() == std::vector{here});
          CHECK(status_line(client) == "HTTP/1.1 502 Bad Gateway");
        } else {
          CHECK(lab.dialled().empty());
          CHECK(status_line(client) == "HTTP/1.1 403 Forbidden");
          // The connection goes on, and what is not forbidden goes there; behind it again the same verdict.
          client.send(text(fetch));
          lab.settle();
          CHECK(serve(lab, there.to_string().c_str()).starts_with("GET / HTTP/1.1"));
          CHECK(as_text(client.read(10'000)) == ok_answer);
          client.send(text(post + "12345"));
          lab.settle();
          CHECK(status_line(client) == "HTTP/1.1 403 Forbidden");
          CHECK(lab.explicit_origins[there]->bytes_taken() < 200);
          CHECK(lab.dialled().size() == 1);
        }
        client.finish();
        for (auto& [to, origin] : lab.explicit_origins)
          if (!origin->closed_by_gateway()) origin->finish();
        lab.pass_ms(limits::linger_ms + 10);
        CHECK(lab.verdict() == "");
        REQUIRE(lab.requests_of(client).size() == (addresses.size() > 1 ? 1 : 3));
        CHECK(lab.requests_of(client)[0].access_rule == (addresses.size() > 1 ? "" : "no posts there"));
      }
}

TEST_CASE("a CONNECT to plain HTTP whose forbidden request is answered before anybody is dialled: the next may go to any address") {
  Lab lab;
  lab.config().policy = policy_of("[[access.rules]]\nname = \"no posts\"\nwhen = { destination = \"198.51.100.0/24\", method = \"POST\" }\n");
  lab.config().gateway.http_ports = {80};
  lab.names["www.example.com"] = {address("198.51.100.8"), address("198.51.100.9")};
  lab.on_explicit_dial = [](const Endpoint& to) { return DialOutcome{to == endpoint("198.51.100.8:80") ? -ECONNREFUSED : 0, false, 0}; };
  Connection& client = client_with(lab, connect_request("www.example.com:80"));
  CHECK(as_text(client.read(1000)) == granted);
  for (int i = 0; i < 2; ++i) {
    client.send(text("POST / HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 2\r\n\r\nhi"));
    lab.settle();
    CHECK(status_line(client) == "HTTP/1.1 403 Forbidden");
  }
  CHECK(lab.dialled().empty());
  client.send(text("GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n"));
  lab.settle();
  CHECK(serve(lab, "198.51.100.9:80").starts_with("GET / "));
  CHECK(as_text(client.read(1000)) == ok_answer);
  CHECK(lab.dialled().size() == 2);
  client.finish();
  lab.explicit_origins[endpoint("198.51.100.9:80")]->finish();
  lab.settle();
  CHECK(reason_of(lab, client) == CloseReason::finished);
  CHECK(lab.requests_of(client).size() == 3);
}

TEST_CASE("requests in clear: a rule over addresses behind a stage that waits for the body") {
  for (const Places& at : places)
    for (const auto& addresses : {std::vector{at.here, at.there}, std::vector{at.there}}) {
      CAPTURE(at.there);
      CAPTURE(addresses.size());
      Lab lab;
      lab.config().policy = policy_of("[[bypass.rules]]\nname = \"documents\"\naction = \"allow\"\nwhen = { file_type = \"pdf\" }\n"
                                      "[[access.rules]]\nname = \"not there\"\nwhen = { destination = " + quoted(at) + " }\n");
      for (const char* each : addresses) lab.names["www.example.com"].push_back(address(each));
      lab.on_explicit_dial = [&](const Endpoint& to) { return DialOutcome{to.address == address(at.here) ? -ECONNREFUSED : 0, false, 0}; };
      Connection& client = client_with(lab, "POST http://www.example.com/ HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 5\r\n\r\n");
      client.send(text("12345"));
      lab.settle();
      for (auto& [to, origin] : lab.explicit_origins) CHECK(origin->bytes_taken() == 0);
      if (addresses.size() == 1) CHECK(status_line(client) == "HTTP/1.1 403 Forbidden");
      client.finish();
      lab.pass_ms(limits::linger_ms + 10);
      CHECK(lab.verdict() == "");
    }
}

TEST_CASE("requests in clear: a client that has said all that it wants to say is served") {
  for (const bool finishes_late : {false, true}) {
    CAPTURE(finishes_late);
    Lab lab;
    with_names(lab);
    lab.lookups_held = finishes_late;
    Connection& client = lab.begin_explicit();
    client.send(text(request_for("a.example", "/1")));
    if (finishes_late) lab.settle();
    client.finish();
    lab.settle();
    lab.lookups_held = false;
    lab.settle();
    lab.pass_ms(10);
    CHECK(serve(lab, "203.0.113.7:80").starts_with("GET /1 "));
    CHECK(as_text(client.read(1000)) == ok_answer);
    lab.settle();
    CHECK(reason_of(lab, client) == CloseReason::finished);
  }
}

TEST_CASE("requests in clear: an upgrade, granted and declined") {
  for (const bool granted_too : {true, false}) {
    CAPTURE(granted_too);
    Lab lab;
    with_names(lab);
    Connection& client = client_with(lab, request_for("a.example", "/ws", "Connection: Upgrade\r\nUpgrade: websocket\r\n"));
    const std::string asked = serve(lab, "203.0.113.7:80", granted_too ? switching : std::string_view(ok_answer));
    CHECK(asked.find("Connection: Upgrade\r\n") != std::string::npos);
    CHECK(as_text(client.read(1000)) == (granted_too ? switching : std::string_view(ok_answer)));
    client.send(text(granted_too ? "frames" : request_for("b.example", "/2")));
    lab.settle();
    CHECK(serve(lab, granted_too ? "203.0.113.7:80" : "203.0.113.8:80", granted_too ? "more frames" : std::string_view(ok_answer))
              .starts_with(granted_too ? "frames" : "GET /2 "));
    CHECK(as_text(client.read(1000)) == (granted_too ? "more frames" : ok_answer));
    client.finish();
    if (granted_too) lab.explicit_origins[endpoint("203.0.113.7:80")]->finish();
    lab.settle();
    CHECK(reason_of(lab, client) == CloseReason::finished);
  }
}

TEST_CASE("requests in clear: an address literal is judged before it is dialled") {
  Lab lab;
  Connection& client = client_with(lab, request_for("198.51.100.1"));
  CHECK(as_text(client.read(10'000)).starts_with("HTTP/1.1 403"));
  CHECK(lab.dialled().empty());
  client.finish();
  lab.settle();
  CHECK(reason_of(lab, client) == CloseReason::finished);
}

TEST_CASE("requests in clear: no such host, no answer, no room: in words, behind what came before, with a record") {
  for (const int how : {0, 1, 2, 3}) {
    CAPTURE(how);
    Lab lab;
    with_names(lab);
    Connection& client = client_with(lab, request_for("a.example", "/1"));
    (void)serve(lab, "203.0.113.7:80");
    CHECK(as_text(client.read(1000)) == ok_answer);
    lab.lookups_full = how == 1;
    lab.lookups_held = how == 3;
    lab.on_explicit_dial = [](const Endpoint&) { return DialOutcome{-ECONNREFUSED, false, 0}; };
    client.send(text(request_for(how == 2 ? "b.example" : "nowhere.example")));
    lab.settle();
    if (how == 3) lab.pass_ms(lab.config().limits.hello_timeout_ms + 10);
    CHECK(status_line(client) == (how == 1 ? "HTTP/1.1 503 Service Unavailable" : "HTTP/1.1 502 Bad Gateway"));
    client.finish();
    lab.settle();
    CHECK(reason_of(lab, client) == (how == 1 ? CloseReason::overload : how == 2 ? CloseReason::origin_refused : CloseReason::origin_unresolved));
    REQUIRE(lab.requests_of(client).size() == 2);
    CHECK(lab.requests_of(client)[1].status == (how == 1 ? 503 : 502));
  }
}

TEST_CASE("requests in clear: a client that asks for nothing more is let go after idle_timeout; one in the middle of a head sooner") {
  for (const bool middle : {false, true}) {
    Lab lab;
    with_names(lab);
    Connection& client = client_with(lab, request_for("a.example"));
    (void)serve(lab, "203.0.113.7:80");
    if (middle) client.send(text("GET http://b"));
    lab.settle();
    lab.pass_ms(lab.config().limits.hello_timeout_ms + 10);
    if (!middle) CHECK(lab.record_of(client) == nullptr);
    if (!middle) lab.pass_ms(lab.config().limits.idle_timeout_ms + 10);
    CHECK(reason_of(lab, client) == (middle ? CloseReason::hello_timeout : CloseReason::idle_timeout));
  }
}

TEST_CASE("requests in clear: a host that never answers, and a client that does not take the words for that and leaves") {
  for (const int how : {0, 1, 2}) {
    CAPTURE(how);
    Lab lab;
    with_names(lab);
    Connection& client = client_with(lab, request_for("a.example"));
    (void)serve(lab, "203.0.113.7:80");
    client.outbox_max = ok_answer.size();  // which lies there
    lab.on_explicit_dial = [](const Endpoint&) { return DialOutcome{0, true, 0}; };
    client.send(text(request_for("b.example")));
    lab.settle();
    lab.pass_ms(lab.config().limits.connect_timeout_ms + 10);  // the client has been watched for long
    CHECK(lab.session_of(client) != nullptr);
    if (how == 0) client.finish();
    if (how == 1) client.reset();
    if (how == 2) client.outbox_max = 1000;
    if (how == 2) CHECK(as_text(client.read(1000)) == ok_answer);
    lab.settle();
    if (how == 2) CHECK(status_line(client) == "HTTP/1.1 504 Gateway Timeout");
    if (how != 1) client.close();
    lab.pass_ms(lab.config().limits.idle_timeout_ms + 10);
    (void)reason_of(lab, client);
  }
}

TEST_CASE("requests in clear: a password that was right is not checked again, another one is") {
  Lab lab;
  with_names(lab);
  lab.config().explicit_proxy.users = std::make_shared<config::Users>(config::Users{{"alice", "$6$x$y"}});
  lab.right_password = "wonder";
  const std::string_view right = "Proxy-Authorization: Basic YWxpY2U6d29uZGVy\r\n";
  Connection& client = client_with(lab, request_for("a.example", "/", right));
  CHECK(serve(lab, "203.0.113.7:80").find("Proxy-Authorization") == std::string::npos);
  CHECK(as_text(client.read(1000)) == ok_answer);
  lab.right_password = "another";  // nobody asks
  client.send(text(request_for("b.example", "/", right)));
  lab.settle();
  (void)serve(lab, "203.0.113.8:80");
  CHECK(as_text(client.read(1000)) == ok_answer);
  client.send(text(request_for("a.example")));
  lab.settle();
  CHECK(status_line(client) == "HTTP/1.1 407 Proxy Authentication Required");
  client.finish();
  lab.settle();
  CHECK(reason_of(lab, client) == CloseReason::proxy_auth_required);
}

// --- a reload while a client's connection is kept ---

namespace {

const std::string by_alice = "Proxy-Authorization: Basic YWxpY2U6d29uZGVy\r\n";  // alice:wonder

/// A connection that has been kept behind one request.
Connection& kept(Lab& lab, std::string_view more = "") {
  with_names(lab);
  lab.config().policy = policy_of("[[access.rules]]\nname = \"old\"\nwhen = { host = \"block.test\" }\n");
  Connection& client = client_with(lab, request_for("a.example", "/1", more));
  (void)serve(lab, "203.0.113.7:80");
  CHECK(as_text(client.read(1000)) == ok_answer);
  return client;
}

}  // namespace

TEST_CASE("a reload: the next request on a kept connection is judged by the new rules, and a CONNECT, too") {
  for (const bool is_connect : {false, true}) {
    CAPTURE(is_connect);
    Lab lab;
    Connection& client = kept(lab);
    if (!is_connect) client.send(text("GET http://b.exa"));  // begun before, finished behind
    lab.settle();
    lab.reload([](config::Config& config) {
      config.policy = policy_of("[[access.rules]]\nname = \"other\"\nwhen = { host = \"block.test\" }\n"
                                "[[access.rules]]\nname = \"new\"\nwhen = { host = \"b.example\" }\n");
    });
    client.send(text(is_connect ? connect_request("b.example:443") : "mple/ HTTP/1.1\r\nHost: b.example\r\n\r\n"));
    lab.settle();
    CHECK(lab.dialled().size() == 1);
    if (is_connect) {
      CHECK(client.got_fin());
    } else {
      CHECK(status_line(client) == "HTTP/1.1 403 Forbidden");
      // And back: what is allowed again passes.
      lab.reload([](config::Config& config) { config.policy = policy_of("[[access.rules]]\nname = \"x\"\nwhen = { host = \"x.test\" }\n"); });
      client.send(text(request_for("b.example", "/2")));
      lab.settle();
      CHECK(serve(lab, "203.0.113.8:80").starts_with("GET /2 "));
      CHECK(as_text(client.read(1000)) == ok_answer);
      client.finish();
    }
    lab.settle();
    CHECK(reason_of(lab, client) == (is_connect ? CloseReason::rule_block : CloseReason::finished));
    if (is_connect) {
      CHECK(lab.record_of(client)->access_rule == "new");
    } else {
      REQUIRE(lab.requests_of(client).size() == 3);
      CHECK(lab.requests_of(client)[1].access_rule == "new");
    }
  }
}

TEST_CASE("a reload: a request that is under way, and a tunnel, keep the rules that they began with") {
  Lab lab;
  with_names(lab);
  lab.config().policy = policy_of("[[access.rules]]\nname = \"old\"\nwhen = { host = \"block.test\" }\n");
  const auto forbid_all = [](config::Config& config) { config.policy = policy_of("[access]\ndefault = \"block\"\n"); };
  Connection& client = client_with(lab, request_for("a.example", "/1"));
  Connection& tunnel = client_with(lab, connect_request("b.example:443"));
  lab.reload(forbid_all);
  (void)serve(lab, "203.0.113.7:80");
  CHECK(as_text(client.read(1000)) == ok_answer);
  tunnel.send(client_hello("b.example"));
  lab.settle();
  REQUIRE(lab.explicit_origins[endpoint("203.0.113.8:443")] != nullptr);
  tunnel.finish();
  lab.explicit_origins[endpoint("203.0.113.8:443")]->finish();
  client.finish();
  lab.settle();
  CHECK(reason_of(lab, client) == CloseReason::finished);
  CHECK(reason_of(lab, tunnel) == CloseReason::finished);
}

TEST_CASE("a reload: passwords are asked for again, of who is known no longer with 407; and not at all once nobody needs one") {
  enum class Now : uint8_t { still_there, gone, another_password, nobody_needs_one };
  for (const Now now : {Now::still_there, Now::gone, Now::another_password, Now::nobody_needs_one}) {
    CAPTURE(static_cast<int>(now));
    Lab lab;
    lab.config().explicit_proxy.users = std::make_shared<config::Users>(config::Users{{"alice", "$6$x$y"}});
    lab.right_password = "wonder";
    Connection& client = kept(lab, by_alice);
    lab.reload([now](config::Config& config) {
      config.explicit_proxy.users = std::make_shared<config::Users>(config::Users{{"bob", "$6$x$y"}, {now == Now::gone ? "eve" : "alice", "$6$x$z"}});
      if (now == Now::nobody_needs_one) config.explicit_proxy.users = nullptr;
    });
    if (now == Now::gone || now == Now::another_password) lab.right_password = "no password is right for that hash";
    client.send(text(request_for("b.example", "/2", by_alice)));
    lab.settle();
    const bool passes = now == Now::still_there || now == Now::nobody_needs_one;
    CHECK((lab.explicit_origins[endpoint("203.0.113.8:80")] != nullptr) == passes);
    if (passes)
      (void)serve(lab, "203.0.113.8:80");
    else
      CHECK(status_line(client) == "HTTP/1.1 407 Proxy Authentication Required");
    client.finish();
    lab.settle();
    CHECK(reason_of(lab, client) == (passes ? CloseReason::finished : CloseReason::proxy_auth_required));
  }
}

TEST_CASE("requests in clear, seeded: any cuts, hosts, dials and ends, and every answer in its place") {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    CAPTURE(seed);
    Lab lab(seed);
    with_names(lab);
    lab.kernel.chaos = {.short_receive = 0.3, .short_send = 0.2, .eintr = 0.1, .no_buffer = 0.1, .spurious_poll = 0.1,
                        .reorder = 0.3, .early_connect = 0.3, .cancel_loses = 0.5};
    Connection& client = lab.begin_explicit();
    const uint64_t count = 1 + lab.random.below(6);
    std::string asked;
    std::string expected;  // one letter an answer
    for (uint64_t i = 0; i < count; ++i) {
      const uint64_t kind = lab.random.below(3);
      asked += kind == 2 ? request_for("block.test") : request_for(kind == 0 ? "a.example" : "b.example");
      expected += kind == 2 ? 'x' : 'o';
    }
    lab.names["block.test"] = {address("203.0.113.9")};
    std::string down;
    std::map<Connection*, std::string> heard;
    const uint64_t begun_us = lab.kernel.now_us();
    for (size_t at = 0; at < asked.size() || lab.requests_of(client).size() < count;) {
      const size_t some = std::min<size_t>(asked.size() - at, 1 + lab.random.below(100));
      if (some > 0) at += client.send(text(std::string_view(asked).substr(at, some)));
      lab.pass_ms(lab.random.below(20));
      for (auto& [to, origin] : lab.explicit_origins) {
        if (origin->closed_by_gateway()) continue;
        heard[origin] += as_text(origin->read(10'000));
        if (!heard[origin].ends_with("\r\n\r\n")) continue;
        heard[origin].clear();
        origin->send(text(ok_answer));
        if (lab.random.chance(0.5)) origin->finish();
      }
      down += as_text(client.read(100'000));
      REQUIRE(lab.kernel.now_us() < begun_us + 1'000'000'000);
    }
    client.finish();
    lab.pass_ms(1'000);
    down += as_text(client.read(100'000));
    std::string got;
    for (size_t at = down.find("HTTP/1.1 "); at != std::string::npos; at = down.find("HTTP/1.1 ", at + 1))
      got += down.substr(at + 9, 3) == "200" ? 'o' : 'x';
    CHECK(got == expected);
    for (auto& [to, origin] : lab.explicit_origins)
      if (!origin->closed_by_gateway()) origin->finish();
    lab.pass_ms(3'700'000);
    CHECK(lab.verdict() == "");
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
