#include "tls/engine.h"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "unit/tls/joined_engines.h"

namespace {

using namespace sluice::tls;
using namespace sluice::tls::testing;

const Gateway& gateway() {
  static const Gateway made;
  return made;
}

}  // namespace

TEST_CASE("two engines complete a TLS 1.3 handshake and exchange data") {
  auto client = gateway().client_side({.sni = "a.test"});
  auto server = gateway().server_side("");
  Wire to_client, to_server;
  const Outcome outcome = shake_hands(client, server, to_client, to_server);
  REQUIRE(outcome.client == Status::ok);
  REQUIRE(outcome.server == Status::ok);
  CHECK(client.agreed().version == Version::tls13);
  CHECK(std::string_view(client.agreed().cipher) == "TLS_AES_128_GCM_SHA256");
  CHECK(std::string_view(client.agreed().group) == "X25519");
  CHECK(!client.agreed().resumed);
  REQUIRE(client.chain());
  CHECK(client.chain()->certificates == std::vector<Bytes>{gateway().leaf.chain});

  REQUIRE(client.write(bytes_of("hello"), to_server.bytes) == Status::ok);
  Bytes plain;
  CHECK(read_all(server, to_server, plain, to_client.bytes) == Status::want_input);
  CHECK(std::string(plain.begin(), plain.end()) == "hello");
  plain.clear();
  REQUIRE(server.write(bytes_of("and back"), to_client.bytes) == Status::ok);
  CHECK(read_all(client, to_client, plain, to_server.bytes) == Status::want_input);
  CHECK(std::string(plain.begin(), plain.end()) == "and back");
}
