// The relay, case by case: half-closes, resets, slow receivers, promotion to splicing and back, limits.

#include <doctest/doctest.h>

#include <cerrno>

#include "base/limits.h"
#include "sim/lab.h"

namespace sluice::sim {
namespace {

using record::CloseReason;

/// A tunnel that stands: the hello has been passed on and read by the origin.
struct Tunnel {
  explicit Tunnel(Lab& in) : lab(in), client(lab.begin()) {
    client.send(client_hello("www.example.test"));
    lab.settle();
    REQUIRE(lab.origin_of(client) != nullptr);
    origin = lab.origin_of(client);
    REQUIRE(origin->read(100'000) == client_hello("www.example.test"));
  }

  [[nodiscard]] CloseReason reason() {
    REQUIRE(lab.record_of(client) != nullptr);
    return lab.record_of(client)->close;
  }
  [[nodiscard]] bool open() { return lab.session_of(client) != nullptr; }

  Lab& lab;
  Connection& client;
  Connection* origin = nullptr;
};

}  // namespace

TEST_CASE("half-close after a long silence: the other side still has half_closed_timeout from then") {
  Lab lab;
  lab.config().limits.idle_timeout_ms = 600'000;
  lab.config().limits.half_closed_timeout_ms = 60'000;
  Tunnel tunnel(lab);
  lab.pass_ms(300'000);
  tunnel.client.finish();
  lab.pass_ms(50'000);
  REQUIRE(tunnel.open());
  CHECK(tunnel.origin->got_fin());
  const Bytes answer = pattern(1, 5'000);
  tunnel.origin->send(answer);
  tunnel.origin->finish();
  lab.settle();
  CHECK(tunnel.client.read(10'000) == answer);
  CHECK(tunnel.client.got_fin());
  CHECK(tunnel.reason() == CloseReason::finished);
  CHECK(lab.verdict() == "");
}

}  // namespace sluice::sim
