#include "tls/early_data.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include "base/limits.h"
#include "unit/tls/joined_engines.h"

using namespace sluice::tls;
using namespace sluice::tls::testing;

namespace {

constexpr uint16_t x25519 = 0x1d, p256 = 0x17, p384 = 0x18, p521 = 0x19, x25519mlkem768 = 0x11ec,
                   grease = 0x0a0a;

Bytes record(uint8_t type, size_t size) {
  Bytes bytes = {type, 3, 3, static_cast<uint8_t>(size >> 8), static_cast<uint8_t>(size & 0xff)};
  bytes.resize(bytes.size() + size, 0xa5);
  return bytes;
}

void append(Bytes& to, const Bytes& more) { to.insert(to.end(), more.begin(), more.end()); }

uint16_t retried(std::vector<uint16_t> groups, std::vector<uint16_t> shares) {
  return group_to_retry(groups, shares);
}

}  // namespace

TEST_CASE("a group that the client supports and has sent no share of") {
  CHECK(retried({grease, x25519mlkem768, x25519, p256, p384}, {grease, x25519mlkem768, x25519}) ==
        p256);  // Chrome
  CHECK(retried({x25519mlkem768, x25519, p256, p384, p521}, {x25519mlkem768, x25519, p256}) ==
        p384);  // Firefox
  CHECK(retried({p256, x25519}, {p256}) == x25519);
  CHECK(retried({x25519}, {x25519}) == 0);
  CHECK(retried({p521}, {}) == 0);
  CHECK(retried({}, {}) == 0);
}

TEST_CASE("early data goes, the second hello stays, however the bytes are split") {
  Bytes wire = record(20, 1);
  append(wire, record(23, 300));
  append(wire, record(23, 0));
  append(wire, record(23, 17));
  const size_t dropped = wire.size();
  append(wire, record(22, 40));
  for (const size_t piece : {size_t{1}, size_t{3}, size_t{100}, wire.size()}) {
    CAPTURE(piece);
    EarlyDataSkipper skipper;
    size_t at = 0;
    EarlyDataSkipper::Outcome outcome = EarlyDataSkipper::Outcome::need_more;
    while (outcome == EarlyDataSkipper::Outcome::need_more && at < wire.size()) {
      auto input = std::span<const uint8_t>(wire).subspan(at, std::min(piece, wire.size() - at));
      at += input.size();
      outcome = skipper.skip(input);
      at -= input.size();
    }
    CHECK(outcome == EarlyDataSkipper::Outcome::second_hello);
    CHECK(at == dropped + skipper.header().size());
    REQUIRE(skipper.header().size() == 1);
    CHECK(skipper.header()[0] == 22);
  }
}

TEST_CASE("early data without end is dropped up to its limit and no further") {
  for (const size_t size : {size_t{16384}, size_t{100}, size_t{0}}) {
    CAPTURE(size);
    EarlyDataSkipper skipper;
    const Bytes one = record(23, size);
    size_t fed = 0;
    for (;;) {
      std::span<const uint8_t> input(one);
      const auto outcome = skipper.skip(input);
      fed += one.size();
      if (outcome == EarlyDataSkipper::Outcome::too_much) break;
      REQUIRE(fed <= sluice::limits::early_data_bytes_max);
    }
    CHECK(fed > sluice::limits::early_data_bytes_max);
  }
}

TEST_CASE("a handshake with early data in it is completed, by way of a second hello") {
  const Gateway gateway;
  for (const bool with_data : {false, true})
    for (const size_t piece : {size_t{0}, size_t{1}, size_t{7}}) {
      CAPTURE(with_data);
      CAPTURE(piece);
      OriginEngine client = gateway.client_side({.sni = "a.test"});
      auto made = ClientEngine::create(gateway.clients, {gateway.leaf.chain, "", false, p256});
      REQUIRE(made.has_value());
      ClientEngine& server = *made;
      Wire to_client, to_server;
      std::span<const uint8_t> nothing;
      CHECK(client.handshake(nothing, to_server.bytes) == Status::want_input);
      std::span<const uint8_t> hello(to_server.bytes);
      CHECK(server.handshake(hello, to_client.bytes) == Status::want_input);
      CHECK(hello.empty());
      CHECK(!to_client.bytes.empty());
      to_server.bytes.clear();
      if (with_data) {
        append(to_server.bytes, record(20, 1));
        for (int i = 0; i < 3; ++i) append(to_server.bytes, record(23, 1000));
      }
      to_server.piece = to_client.piece = piece;
      const auto outcome = shake_hands(client, server, to_client, to_server);
      CHECK(outcome.client == Status::ok);
      CHECK(outcome.server == Status::ok);
      CHECK(std::string_view(server.agreed().group) == "SECP256R1");
      Bytes output, plain;
      CHECK(client.write(bytes_of("said"), to_server.bytes) == Status::ok);
      CHECK(read_all(server, to_server, plain, output) == Status::want_input);
      CHECK(std::string(plain.begin(), plain.end()) == "said");
    }
}

TEST_CASE("more early data than is dropped ends the handshake") {
  const Gateway gateway;
  OriginEngine client = gateway.client_side({.sni = "a.test"});
  auto server = ClientEngine::create(gateway.clients, {gateway.leaf.chain, "", false, p256});
  REQUIRE(server.has_value());
  Bytes to_server, to_client;
  std::span<const uint8_t> nothing;
  CHECK(client.handshake(nothing, to_server) == Status::want_input);
  std::span<const uint8_t> hello(to_server);
  CHECK(server->handshake(hello, to_client) == Status::want_input);
  const Bytes data = record(23, 16384);
  Status status = Status::want_input;
  for (int i = 0; i < 9 && status == Status::want_input; ++i) {
    std::span<const uint8_t> input(data);
    status = server->handshake(input, to_client);
  }
  CHECK(status == Status::failed);
  CHECK(server->failure().fault == Fault::too_much_early_data);
}
