// S26, access.https_page: a CONNECT that is blocked is bumped to show the block page, and nothing is dialled.

#include <array>

#include "sim/talk.h"
#include "unit/tls/certificates.h"
#include "unit/tls/joined_engines.h"

namespace sluice::sim {
namespace {

using tls::Status;

constexpr std::string_view rules_of_the_house = R"(
[tls]
default_action = "tunnel-sni"
ca_cert = "ca.pem"
ca_key = "ca.key"
[access]
https_page = true
[[access.rules]]
name = "no shop"
when = { host = "shop.test" }
[[access.rules]]
name = "no address"
when = { destination = "198.51.100.1" }
[[access.rules]]
name = "moved"
action = "redirect"
to = "https://portal.test/"
when = { host = "moved.test" }
)";

/// A client that trusts the gateway, and the gateway with its CA.
struct House {
  tls::testing::Gateway far;
  std::shared_ptr<tls::Material> material = std::make_shared<tls::Material>();
  std::unique_ptr<flow::BumpShared> shared;
  std::unique_ptr<flow::Bumper> bumper;

  House() {
    material->authority = std::make_shared<const tls::Authority>(tls::testing::authority("p256"));
    material->untrusted = std::make_shared<const tls::Authority>(tls::Authority::make_untrusted(1'800'000'000));
    material->trust = tls::TrustBuilder().build();
    shared = std::make_unique<flow::BumpShared>(tls::LeafKey::generate(tls::LeafKeyKind::p256), tls::testing::some_ticket_keys(), 1);
    auto made = flow::Bumper::create(*shared);
    REQUIRE(made.has_value());
    bumper = std::move(*made);
  }
};

struct Visit {
  explicit Visit(std::string_view sni, const char* destination = "203.0.113.7:443", size_t most = 1'000'000) : piece(most) {
    lab.config().policy = policy_of(rules_of_the_house);
    lab.bump_with(*house.bumper, house.material);
    static constexpr std::array<std::string_view, 1> alpn = {"http/1.1"};
    engine.emplace(house.far.client_side({.sni = sni, .alpn = alpn, .resume = nullptr}));
    client = &lab.begin(endpoint(destination));
    run();
  }
  void run() {
    for (int i = 0; i < 100'000; ++i) {
      const Bytes come = client->read(piece);
      in.insert(in.end(), come.begin(), come.end());
      std::span<const uint8_t> input(in);
      const bool was_complete = complete;
      if (!complete && !failed) {
        const Status status = engine->handshake(input, out);
        complete = status == Status::ok;
        failed = status == Status::failed;
      }
      std::array<uint8_t, tls::plain_bytes_max> record{};
      while (complete && !failed) {
        size_t count = 0;
        const Status status = engine->read(input, record, count, out);
        if (status != Status::ok) break;
        plain.append(reinterpret_cast<const char*>(record.data()), count);
      }
      in.erase(in.begin(), in.begin() + static_cast<ptrdiff_t>(in.size() - input.size()));
      const size_t sent = client->send(std::span(out).first(std::min(piece, out.size())));
      out.erase(out.begin(), out.begin() + static_cast<ptrdiff_t>(sent));
      lab.settle();
      if (come.empty() && sent == 0 && complete == was_complete) return;
    }
  }
  void say(std::string_view text) {
    CHECK(engine->write(tls::testing::bytes_of(text), out) == Status::ok);
    run();
  }
  CloseReason reason() {
    lab.settle();
    CHECK(lab.verdict() == "");
    CHECK(lab.dialled().empty());
    REQUIRE(lab.record_of(*client) != nullptr);
    return lab.record_of(*client)->close;
  }

  House house;
  Lab lab;
  Connection* client = nullptr;
  std::optional<tls::OriginEngine> engine;
  Bytes in, out;
  std::string plain;
  size_t piece;
  bool complete = false;
  bool failed = false;
};

}  // namespace

TEST_CASE("S26 a blocked CONNECT shows its page to every request, and nothing is dialled") {
  for (const size_t piece : {1u, 7u, 1'000u, 1'000'000u}) {
    CAPTURE(piece);
    Visit visit("shop.test", "203.0.113.7:443", piece);
    REQUIRE(visit.complete);
    visit.say("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n");
    CHECK(visit.plain.starts_with("HTTP/1.1 403"));
    CHECK(count_of(visit.plain, "no shop") >= 1);
    visit.say("GET /favicon.ico HTTP/1.1\r\nHost: shop.test\r\n\r\n");
    CHECK(count_of(visit.plain, "HTTP/1.1 403") == 2);
    (void)visit.engine->close_notify(visit.out);
    visit.run();
    visit.client->finish();
    visit.lab.pass_ms(limits::linger_ms + 10);
    CHECK(visit.reason() == CloseReason::rule_block);
    const Record& record = *visit.lab.record_of(*visit.client);
    CHECK(record.action == "block");
    CHECK(record.access_rule == "no shop");
    CHECK(record.has_client_handshake == false);
    REQUIRE(visit.lab.requests_of(*visit.client).size() == 2);
    CHECK(visit.lab.requests_of(*visit.client)[1].access_rule == "no shop");
  }
}

TEST_CASE("S26 a block that is decided by the address, a redirect, and what is no TLS") {
  Visit address("any.test", "198.51.100.1:443");
  REQUIRE(address.complete);
  address.say("GET / HTTP/1.1\r\nHost: any.test\r\nConnection: close\r\n\r\n");
  CHECK(address.plain.starts_with("HTTP/1.1 403"));
  CHECK(count_of(address.plain, "no address") >= 1);
  address.client->close();
  address.lab.pass_ms(limits::linger_ms + 10);
  CHECK(address.reason() == CloseReason::rule_block);

  Visit moved("moved.test");
  CHECK_FALSE(moved.complete);
  CHECK(moved.client->got_reset());
  CHECK(moved.reason() == CloseReason::rule_redirect);
}

TEST_CASE("S26 at any step the client leaves, or falls silent: nothing is left over") {
  for (const int how : {0, 1, 2, 3})
    for (const bool asked : {false, true}) {
      CAPTURE(how);
      CAPTURE(asked);
      Visit visit("shop.test");
      if (asked) visit.say("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\nGET / HTTP");
      switch (how) {
        case 0: visit.client->reset(); break;
        case 1: visit.client->close(); break;
        case 2: visit.client->finish(); break;
        case 3: flow::end(*visit.lab.session_of(*visit.client), CloseReason::stopped); break;
      }
      visit.lab.pass_ms(limits::linger_ms + 100);
      if (visit.lab.session_of(*visit.client) != nullptr) {
        visit.client->close();
        visit.lab.pass_ms(visit.lab.config().limits.idle_timeout_ms + visit.lab.config().limits.half_closed_timeout_ms);
      }
      (void)visit.reason();
    }
}

}  // namespace sluice::sim
