// Bytes from a hostile peer into a TLS engine, in either role: never a crash, a hang, or output without end.
//
// The first byte chooses what happens to the rest:
//   role & 3 == 0   the rest is what a client sends to our server role
//   role & 3 == 1   the rest is what an origin sends to our client role
//   else            two engines of ours are joined, and the rest says which bytes between them are changed: 4
//   bytes each,
//                   direction, offset (2) and what is xored
//   role >> 2       in pieces of so many bytes; 0: all at once
// The engines' random numbers are the system's, so an input does not always take the same way.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/check.h"
#include "tls/context.h"
#include "tls/engine.h"
#include "tls/reframe.h"
#include "unit/tls/self_signed.h"

namespace {

using namespace sluice::tls;

struct Material {
  sluice::tls::testing::Leaf leaf = sluice::tls::testing::make_leaf("a.test");
  OriginContext origins = *OriginContext::create();
  ClientContext clients = *ClientContext::create(leaf.key, TicketKeys(std::array<uint8_t, 32>{}, 0));
};

const Material& material() {
  static const bool started = start_tls_library().has_value();
  SLUICE_CHECK(started);
  static const Material made;
  return made;
}

constexpr std::array<std::string_view, 2> protocols = {"h2", "http/1.1"};

OriginEngine client_side() {
  auto engine = OriginEngine::create(material().origins, {.sni = "a.test", .alpn = protocols});
  SLUICE_CHECK(engine.has_value());
  return std::move(*engine);
}

ClientEngine server_side() {
  auto engine =
      ClientEngine::create(material().clients, {.leaf_chain = material().leaf.chain, .alpn = "http/1.1"});
  SLUICE_CHECK(engine.has_value());
  return std::move(*engine);
}

/// One step of whatever the engine is at; true while it wants to go on.
bool step(Engine& engine, std::span<const uint8_t>& input, Bytes& output) {
  Bytes plain(plain_bytes_max);
  size_t count = 0;
  const size_t before = input.size();
  const bool was_complete = engine.is_complete();
  const Status status =
      was_complete ? engine.read(input, plain, count, output) : engine.handshake(input, output);
  SLUICE_CHECK(input.size() <= before);
  switch (status) {
    case Status::ok:
      return true;
    case Status::want_input:
      SLUICE_CHECK(input.empty());
      return false;
    case Status::closed:
      return false;
    case Status::failed:
      SLUICE_CHECK(engine.failure().fault != Fault::none);
      return false;
  }
  return false;
}

void check_end(Engine& engine, Bytes& output, size_t input_bytes) {
  // Answers are bounded by what was asked: a flight of ours is some kilobytes, an alert or a KeyUpdate a
  // record each.
  SLUICE_CHECK(output.size() <= 64 * 1024 + 4 * input_bytes);
  const Status end = engine.end_of_input();
  SLUICE_CHECK(end == Status::closed || end == Status::failed);
  std::span<const uint8_t> nothing;
  Bytes more;
  if (end == Status::failed) SLUICE_CHECK(engine.handshake(nothing, more) != Status::want_input);
}

void run_alone(Engine& engine, std::span<const uint8_t> bytes, size_t piece) {
  Bytes output;
  std::span<const uint8_t> nothing;
  static_cast<void>(step(engine, nothing, output));
  size_t left = bytes.size();
  while (left > 0 && engine.failure().fault == Fault::none) {
    const size_t size = piece == 0 ? left : std::min(piece, left);
    auto input = bytes.subspan(bytes.size() - left, size);
    while (step(engine, input, output)) {
    }
    left -= size - input.size();
    if (!input.empty()) break;
  }
  check_end(engine, output, bytes.size());
}

struct Change {
  bool up;
  size_t offset;
  uint8_t with;
};

void run_joined(std::span<const uint8_t> script, size_t piece) {
  std::vector<Change> changes;
  for (; script.size() >= 4; script = script.subspan(4))
    changes.push_back({(script[0] & 1) != 0, static_cast<size_t>(script[1] << 8 | script[2]), script[3]});
  auto client = client_side();
  auto server = server_side();
  Bytes up, down;
  size_t up_passed = 0, down_passed = 0;
  const auto pass = [&](Engine& engine, Bytes& wire, bool is_up, size_t& passed, Bytes& output) {
    for (const auto& change : changes)
      if (change.up == is_up && change.offset >= passed && change.offset < passed + wire.size())
        wire[change.offset - passed] ^= change.with;
    passed += wire.size();
    std::span<const uint8_t> left(wire);
    do {
      const size_t size = piece == 0 ? left.size() : std::min(piece, left.size());
      auto input = left.first(size);
      while (step(engine, input, output)) {
      }
      left = left.subspan(size - input.size());
      if (!input.empty()) break;
    } while (!left.empty());
    wire.clear();
  };
  for (int round = 0; round < 8; ++round) {
    pass(client, down, false, down_passed, up);
    pass(server, up, true, up_passed, down);
    if (client.is_complete() && round == 4) static_cast<void>(client.write(material().leaf.chain, up));
    if (server.is_complete() && round == 4) static_cast<void>(server.write(material().leaf.chain, down));
  }
  check_end(client, up, down_passed);
  check_end(server, down, up_passed);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::span<const uint8_t> bytes(data + 1, size - 1);
  const size_t piece = data[0] >> 2;
  static_cast<void>(reframe_hello(bytes));
  switch (data[0] & 3) {
    case 0: {
      auto engine = server_side();
      run_alone(engine, bytes, piece);
      break;
    }
    case 1: {
      auto engine = client_side();
      run_alone(engine, bytes, piece);
      break;
    }
    default:
      run_joined(bytes, piece);
  }
  return 0;
}
