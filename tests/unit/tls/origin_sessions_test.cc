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

constexpr int64_t now_s = 1'800'000'000;

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
  sessions.put(key("a.test"), {some.one(), its_chain, now_s});
  REQUIRE(sessions.find(key("a.test"), now_s) != nullptr);
  CHECK(sessions.find(key("a.test"), now_s)->chain == its_chain);
  CHECK(sessions.find(key("a.test"), now_s)->session);
  CHECK(sessions.find(key("b.test"), now_s) == nullptr);
  auto other = key("a.test");
  other.origin.port = 444;
  CHECK(sessions.find(other, now_s) == nullptr);
  other = key("a.test");
  other.origin.address = *IpAddress::parse("2001:db8::1");
  CHECK(sessions.find(other, now_s) == nullptr);
  other = key("a.test");
  other.trust = 2;
  CHECK(sessions.find(other, now_s) == nullptr);
  other = key("a.test");
  other.alpn = "";
  CHECK(sessions.find(other, now_s) == nullptr);
  // Name and ALPN stand side by side in the stored key: one must not run into the other.
  auto moved = key("a.testhttp/1.1");
  moved.alpn = "";
  CHECK(sessions.find(moved, now_s) == nullptr);
}

TEST_CASE("the session that was not used for longest goes first, at the limit") {
  const Sessions some;
  OriginSessions sessions(3);
  for (const char* name : {"a", "b", "c"}) sessions.put(key(name), {some.one(), chain(), now_s});
  REQUIRE(sessions.find(key("a"), now_s) != nullptr);
  CHECK(sessions.size() == 3);
  sessions.put(key("d"), {some.one(), chain(), now_s});
  CHECK(sessions.size() == 3);
  CHECK(sessions.find(key("b"), now_s) == nullptr);
  CHECK(sessions.find(key("a"), now_s) != nullptr);
  // Replacing makes nobody go.
  sessions.put(key("c"), {some.one(), chain(), now_s});
  CHECK(sessions.size() == 3);
  CHECK(sessions.find(key("d"), now_s) != nullptr);
}

TEST_CASE("a session is kept for a day from its full handshake, and not when the clock was set back behind that") {
  const Sessions some;
  OriginSessions sessions(3);
  const auto keep = [&] { sessions.put(key("a"), {some.one(), chain(), now_s}); };
  keep();
  CHECK(sessions.find(key("a"), now_s) != nullptr);
  REQUIRE(sessions.find(key("a"), now_s + 24 * 3600 - 1) != nullptr);
  CHECK(sessions.find(key("a"), now_s + 24 * 3600 - 1)->begun_s == now_s);
  CHECK(sessions.find(key("a"), now_s + 24 * 3600) == nullptr);
  CHECK(sessions.size() == 0);
  keep();
  CHECK(sessions.find(key("a"), now_s - 1) == nullptr);
  CHECK(sessions.size() == 0);
}

TEST_CASE("forgotten sessions and empty ones are not kept") {
  const Sessions some;
  OriginSessions sessions(3);
  sessions.put(key("a"), {{}, chain(), now_s});
  CHECK(sessions.size() == 0);
  sessions.put(key("a"), {some.one(), chain(), now_s});
  sessions.forget(key("a"));
  sessions.forget(key("a"));
  CHECK(sessions.find(key("a"), now_s) == nullptr);
  CHECK(sessions.size() == 0);
  OriginSessions none(0);
  none.put(key("a"), {some.one(), chain(), now_s});
  CHECK(none.size() == 0);
}
