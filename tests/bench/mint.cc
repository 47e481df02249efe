// What replacement certificates cost: reading the origin's, minting one for each kind of CA, and finding one
// that was kept. CPU time, so that a busy machine does not spoil it much. Prints, asserts nothing.
//
//   bench_mint [ROUNDS]    default 20,000
#include "tls/mint.h"

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tls/authority.h"
#include "tls/certificate.h"
#include "tls/leaf_cache.h"
#include "tls/leaf_key.h"
#include "tls/pem.h"

namespace {

using namespace sluice;
using namespace sluice::tls;

constexpr int64_t now_s = 1795262400;  // 2026-11-21: within the validity of the test certificates

double cpu_us() { return static_cast<double>(std::clock()) * 1e6 / CLOCKS_PER_SEC; }

std::string read_text(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) {
    std::fprintf(stderr, "bench_mint: cannot read %s; run it from the top of the repository\n", file.c_str());
    std::exit(1);
  }
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

Bytes origin_der(const std::string& name) {
  auto blocks = read_pem(read_text("tests/data/certificates/origins/" + name + ".pem"));
  if (!blocks || blocks->empty()) std::exit(1);
  return std::move(blocks->front().content);
}

template <class Work>
void measure(const char* what, int rounds, Work work) {
  work();  // warm
  const double start = cpu_us();
  for (int i = 0; i < rounds; ++i) work();
  std::printf("%-44s %9.2f us\n", what, (cpu_us() - start) / rounds);
}

/// Its result must be looked at, or the compiler may leave the work out.
void must(bool good) {
  if (!good) std::exit(1);
}

void measure_authority(const char* name, const LeafKey& key, const Certificate& site, int rounds) {
  const std::string base = std::string("tests/data/certificates/authorities/") + name;
  const auto authority = Authority::from_pem(read_text(base + ".pem"), read_text(base + ".key"), now_s);
  must(authority.has_value());
  MintRequest request;
  request.name = "www.example.com";
  request.now = now_s;
  measure((std::string("mint, CA ") + name).c_str(), rounds, [&] {
    request.serial = random_serial();
    must(mint(*authority, key, site, request).has_value());
  });
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 20'000;
  const Bytes ordinary = origin_der("one-name-with-every-extension");
  const Bytes large = origin_der("a-thousand-names");
  measure("read a certificate", rounds, [&] { must(parse_certificate(ByteView(ordinary)).has_value()); });
  measure("read one with 1,000 names", rounds / 20,
          [&] { must(parse_certificate(ByteView(large)).has_value()); });

  const LeafKey key = LeafKey::generate(LeafKeyKind::p256);
  const auto site = parse_certificate(ByteView(ordinary));
  const auto large_site = parse_certificate(ByteView(large));
  must(site.has_value() && large_site.has_value());
  measure_authority("p256", key, *site, rounds);
  measure_authority("p384", key, *site, rounds / 10);
  measure_authority("rsa-2048", key, *site, rounds / 20);
  measure_authority("rsa-4096", key, *site, rounds / 100);
  measure_authority("intermediate", key, *site, rounds);

  const Authority authority = Authority::make_untrusted(now_s);
  MintRequest request;
  request.name = "host-7.example.com";
  request.now = now_s;
  measure("mint 1,000 names, CA p256", rounds / 20,
          [&] { must(mint(authority, key, *large_site, request).has_value()); });

  LeafCache cache(1);
  LeafCache::Key wanted;
  wanted.origin = site->fingerprint;
  wanted.authority = authority.certificate().fingerprint;
  std::vector<std::string> names;
  for (int i = 0; i < 1000; ++i) names.push_back("host-" + std::to_string(i) + ".example.com");
  for (const std::string& name : names) {
    wanted.name = name;
    (void)cache.keep(wanted, std::make_shared<const Leaf>(mint(authority, key, *site, request).value()),
                     now_s);
  }
  size_t next = 0;
  measure("find a kept one, of 1,000", rounds * 20, [&] {
    wanted.name = names[next++ % names.size()];
    must(cache.find(wanted, now_s) != nullptr);
  });
  std::printf("%-44s %9zu\n", "bytes kept for each", cache.statistics().bytes / cache.statistics().entries);
  return 0;
}
