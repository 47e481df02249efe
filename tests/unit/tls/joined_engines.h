// Two engines joined in memory: our client role against our server role, without a socket. With what they
// need: a leaf key, a certificate, contexts.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tls/context.h"
#include "tls/engine.h"
#include "tls/tickets.h"
#include "unit/tls/raw_peer.h"
#include "unit/tls/self_signed.h"

namespace sluice::tls::testing {

inline TicketKeys some_ticket_keys() {
  std::array<uint8_t, 32> seed{};
  seed.fill(7);
  return TicketKeys(seed, 0);
}

/// What a worker has, once for all tests of a file: making it takes milliseconds.
struct Gateway {
  Leaf leaf = make_leaf("a.test");
  OriginContext origins = origin_context();
  ClientContext clients = client_context(leaf.key);

  static OriginContext origin_context() {
    REQUIRE(start_tls_library().has_value());
    auto made = OriginContext::create();
    REQUIRE(made.has_value());
    return std::move(*made);
  }
  static ClientContext client_context(std::span<const uint8_t> key) {
    auto made = ClientContext::create(key, some_ticket_keys());
    REQUIRE(made.has_value());
    return std::move(*made);
  }
  [[nodiscard]] OriginEngine client_side(const OriginEngine::Offer& offer) const {
    auto made = OriginEngine::create(origins, offer);
    REQUIRE(made.has_value());
    return std::move(*made);
  }
  [[nodiscard]] ClientEngine server_side(std::string_view alpn, const TicketBinding& binding = {}) const {
    auto made =
        ClientEngine::create(clients, {.leaf_chain = leaf.chain, .alpn = alpn, .ticket_binding = binding});
    REQUIRE(made.has_value());
    return std::move(*made);
  }
};

/// Bytes on their way to an engine.
struct Wire {
  Bytes bytes;
  /// How many of them are shown to the engine per call; 0: all.
  size_t piece = 0;

  /// Shows the engine what has come, until it has consumed all or does not want to go on.
  template <class Call>
  Status feed(Call call) {
    Status status = Status::want_input;
    do {
      const size_t shown = piece == 0 ? bytes.size() : std::min(piece, bytes.size());
      std::span<const uint8_t> input(bytes.data(), shown);
      status = call(input);
      if (status == Status::want_input) CHECK(input.empty());
      bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(shown - input.size()));
    } while (status == Status::want_input && !bytes.empty());
    return status;
  }
};

struct Outcome {
  Status client = Status::want_input;  // of the client side, that is our OriginEngine
  Status server = Status::want_input;
};

/// Carries bytes to and fro until nothing moves any more, or both are done.
inline Outcome shake_hands(Engine& client, Engine& server, Wire& to_client, Wire& to_server) {
  Outcome outcome;
  for (int round = 0; round < 20; ++round) {
    outcome.client = to_client.feed([&](auto& input) { return client.handshake(input, to_server.bytes); });
    outcome.server = to_server.feed([&](auto& input) { return server.handshake(input, to_client.bytes); });
    const bool client_is_over = outcome.client != Status::want_input;
    const bool server_is_over = outcome.server != Status::want_input;
    if (client_is_over && server_is_over) break;
    if (to_client.bytes.empty() && to_server.bytes.empty()) break;
  }
  return outcome;
}

/// The same for an engine and a peer that is wolfSSL alone.
inline Status shake_hands(Engine& engine, RawPeer& peer, Wire& to_engine) {
  Status status = Status::want_input;
  const auto take = [&] {
    to_engine.bytes.insert(to_engine.bytes.end(), peer.output.begin(), peer.output.end());
    peer.output.clear();
  };
  for (int round = 0; round < 20; ++round) {
    status = to_engine.feed([&](auto& input) { return engine.handshake(input, peer.input); });
    if (status == Status::failed || status == Status::closed) break;
    const int result = peer.handshake();
    take();
    if (result != 0 && result != 1) break;  // its alert is for the caller to deliver
    if (status == Status::ok && result == 1) break;
    if (to_engine.bytes.empty() && peer.input.empty()) break;
  }
  return status;
}

/// Reads what has come; the plain text is appended to `plain`.
inline Status read_all(Engine& engine, Wire& wire, Bytes& plain, Bytes& output) {
  Bytes record(plain_bytes_max);
  for (;;) {
    size_t count = 0;
    const Status status = wire.feed([&](auto& input) { return engine.read(input, record, count, output); });
    if (status != Status::ok) return status;
    plain.insert(plain.end(), record.begin(), record.begin() + static_cast<std::ptrdiff_t>(count));
  }
}

inline std::span<const uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

}  // namespace sluice::tls::testing
