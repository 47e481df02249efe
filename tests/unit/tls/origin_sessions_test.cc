#include "tls/origin_sessions.h"

#include <doctest/doctest.h>

#include <string>

#include "unit/tls/joined_engines.h"

namespace {

using namespace sluice;
using namespace sluice::tls;
using namespace sluice::tls::testing;

/// References to one session: what is in it does not matter here.
class Sessions {
 public:
  Sessions() {
    auto client = gateway_.client_side({.sni = "a.test"});
    auto server = gateway_.server_side("");
    Wire to_client, to_server;
    REQUIRE(shake_hands(client, server, to_client, to_server).client == Status::ok);
    Bytes plain;
    REQUIRE(read_all(client, to_client, plain, to_server.bytes) == Status::want_input);
    first_ = client.take_session();
    REQUIRE(first_);
  }
  [[nodiscard]] OriginSession one() const {
    REQUIRE(wolfSSL_SESSION_up_ref(first_.get()) == WOLFSSL_SUCCESS);
    return OriginSession(first_.get());
  }

 private:
  Gateway gateway_;
  OriginSession first_;
};

OriginSessions::Key key(std::string_view name) {
  return {.name = name, .origin = {*IpAddress::parse("192.0.2.1"), 443}, .trust = 1, .alpn = "http/1.1"};
}

std::shared_ptr<const Chain> chain() {
  auto made = std::make_shared<Chain>();
  made->certificates.push_back({1, 2, 3});
  return made;
}

}  // namespace

TEST_CASE("a session is found under exactly its key, with its chain") {
  const Sessions some;
  OriginSessions sessions(10);
  const auto its_chain = chain();
  sessions.put(key("a.test"), some.one(), its_chain);
  REQUIRE(sessions.find(key("a.test")) != nullptr);
  CHECK(sessions.find(key("a.test"))->chain == its_chain);
  CHECK(sessions.find(key("a.test"))->session);
  CHECK(sessions.find(key("b.test")) == nullptr);
  auto other = key("a.test");
  other.origin.port = 444;
  CHECK(sessions.find(other) == nullptr);
  other = key("a.test");
  other.origin.address = *IpAddress::parse("2001:db8::1");
  CHECK(sessions.find(other) == nullptr);
  other = key("a.test");
  other.trust = 2;
  CHECK(sessions.find(other) == nullptr);
  other = key("a.test");
  other.alpn = "";
  CHECK(sessions.find(other) == nullptr);
  // Name and ALPN stand side by side in the stored key: one must not run into the other.
  auto moved = key("a.testhttp/1.1");
  moved.alpn = "";
  CHECK(sessions.find(moved) == nullptr);
}

TEST_CASE("the session that was not used for longest goes first, at the limit") {
  const Sessions some;
  OriginSessions sessions(3);
  for (const char* name : {"a", "b", "c"}) sessions.put(key(name), some.one(), chain());
  REQUIRE(sessions.find(key("a")) != nullptr);
  CHECK(sessions.size() == 3);
  sessions.put(key("d"), some.one(), chain());
  CHECK(sessions.size() == 3);
  CHECK(sessions.find(key("b")) == nullptr);
  CHECK(sessions.find(key("a")) != nullptr);
  // Replacing makes nobody go.
  sessions.put(key("c"), some.one(), chain());
  CHECK(sessions.size() == 3);
  CHECK(sessions.find(key("d")) != nullptr);
}

TEST_CASE("forgotten sessions and empty ones are not kept") {
  const Sessions some;
  OriginSessions sessions(3);
  sessions.put(key("a"), {}, chain());
  CHECK(sessions.size() == 0);
  sessions.put(key("a"), some.one(), chain());
  sessions.forget(key("a"));
  sessions.forget(key("a"));
  CHECK(sessions.find(key("a")) == nullptr);
  CHECK(sessions.size() == 0);
  OriginSessions none(0);
  none.put(key("a"), some.one(), chain());
  CHECK(none.size() == 0);
}
