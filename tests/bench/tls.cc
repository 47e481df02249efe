// What TLS costs without a socket: two engines joined in memory. CPU time; prints, asserts nothing.
//
//   bench_tls [HANDSHAKES]    default 2,000
#include <malloc.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/check.h"
#include "tls/context.h"
#include "tls/engine.h"
#include "unit/tls/self_signed.h"

namespace {

using namespace sluice::tls;

double cpu_us() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

struct Material {
  sluice::tls::testing::Leaf leaf = sluice::tls::testing::make_leaf("a.test");
  OriginContext origins = *OriginContext::create();
  ClientContext clients = *ClientContext::create(leaf.key, TicketKeys(std::array<uint8_t, 32>{}, 0));
};

struct Pair {
  OriginEngine client;
  ClientEngine server;
  Bytes up, down;
  double client_us = 0;
  double server_us = 0;
};

Pair make_pair(const Material& material, const OriginEngine::Offer& offer) {
  const double start = cpu_us();
  auto client = OriginEngine::create(material.origins, offer);
  const double between = cpu_us();
  auto server =
      ClientEngine::create(material.clients, {.leaf_chain = material.leaf.chain, .alpn = "http/1.1"});
  SLUICE_CHECK(client.has_value() && server.has_value());
  return {std::move(*client), std::move(*server), {}, {}, between - start, cpu_us() - between};
}

/// Reads off what came behind the handshake: the ticket.
void read_tickets(Pair& pair) {
  Bytes plain(plain_bytes_max);
  size_t count = 0;
  std::span<const uint8_t> input(pair.down);
  const double start = cpu_us();
  SLUICE_CHECK(pair.client.read(input, plain, count, pair.up) == Status::want_input);
  pair.client_us += cpu_us() - start;
  pair.down.clear();
}

void shake_hands(Pair& pair) {
  while (!pair.client.is_complete() || !pair.server.is_complete()) {
    const double start = cpu_us();
    std::span<const uint8_t> input(pair.down);
    SLUICE_CHECK(pair.client.handshake(input, pair.up) != Status::failed);
    pair.down.clear();
    const double between = cpu_us();
    input = pair.up;
    SLUICE_CHECK(pair.server.handshake(input, pair.down) != Status::failed);
    pair.up.clear();
    pair.client_us += between - start;
    pair.server_us += cpu_us() - between;
  }
  read_tickets(pair);
}

constexpr std::array<std::string_view, 1> protocols = {"http/1.1"};

void measure_handshakes(const Material& material, const char* what, int count, bool resumed,
                        bool post_quantum) {
  OriginSession session;
  double client_us = 0, server_us = 0;
  int measured = 0;
  while (measured < count) {
    OriginEngine::Offer offer{.sni = "a.test", .alpn = protocols, .post_quantum = post_quantum};
    if (resumed) offer.resume = &session;
    Pair pair = make_pair(material, offer);
    shake_hands(pair);
    session = pair.client.take_session();
    if (pair.client.agreed().resumed != resumed)
      continue;  // the first, and where the chain of tickets was cut
    ++measured;
    client_us += pair.client_us;
    server_us += pair.server_us;
  }
  std::printf("%-44s client role %6.1f us   server role %6.1f us   both %6.1f us\n", what, client_us / count,
              server_us / count, (client_us + server_us) / count);
}

void measure_records(const Material& material) {
  Pair pair = make_pair(material, {.sni = "a.test"});
  shake_hands(pair);
  Bytes plain(plain_bytes_max, 'x');
  Bytes back(plain_bytes_max);
  constexpr int records = 32 * 1024;
  const double start = cpu_us();
  for (int i = 0; i < records; ++i) {
    pair.down.clear();
    SLUICE_CHECK(pair.server.write(plain, pair.down) == Status::ok);
    std::span<const uint8_t> input(pair.down);
    size_t got = 0;
    for (size_t count = 0; got < plain.size(); got += count)
      SLUICE_CHECK(pair.client.read(input, back, count, pair.up) == Status::ok);
  }
  const double gigabytes = static_cast<double>(records) * static_cast<double>(plain_bytes_max) / 1e9;
  std::printf("%-44s %.3f CPU-s/GB encrypted and decrypted (%s)\n", "records of 16 KiB",
              (cpu_us() - start) / 1e6 / gigabytes, pair.client.agreed().cipher);
}

void measure_memory(const Material& material, int count) {
  std::vector<std::unique_ptr<Pair>> pairs;
  pairs.reserve(static_cast<size_t>(count));
  const auto used = [] { return static_cast<double>(mallinfo2().uordblks); };
  const double start = used();
  for (int i = 0; i < count; ++i) {
    pairs.push_back(std::make_unique<Pair>(make_pair(material, {.sni = "a.test", .alpn = protocols})));
    shake_hands(*pairs.back());
    pairs.back()->up = {};
    pairs.back()->down = {};
    static_cast<void>(pairs.back()->client.take_session());
  }
  const double all = (used() - start) / count;
  const double chain = static_cast<double>(material.leaf.chain.size()) + sizeof(Chain);
  std::printf(
      "%-44s %.0f bytes of heap, %.0f of them the origin's chain (%zu bytes here) and our own objects\n",
      "an idle pair after full handshakes", all, chain + static_cast<double>(sizeof(Pair)),
      material.leaf.chain.size());
}

}  // namespace

int main(int argc, char** argv) {
  const int handshakes = std::max(argc > 1 ? std::atoi(argv[1]) : 2000, 1);
  SLUICE_CHECK(start_tls_library().has_value());
  const Material material;
  measure_handshakes(material, "TLS 1.3, full, X25519, P-256 certificate", handshakes, false, false);
  measure_handshakes(material, "TLS 1.3, resumed", handshakes, true, false);
  measure_handshakes(material, "TLS 1.3, full, X25519MLKEM768 and X25519", handshakes, false, true);
  measure_records(material);
  measure_memory(material, 1000);
  return 0;
}
