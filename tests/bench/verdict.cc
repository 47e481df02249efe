// What the verdict on an origin costs: us of CPU for a chain that nobody has seen (every signature checked),
// for another origin below a known CA, for the same certificate under another name, and for one that is
// remembered. Prints, asserts nothing.
#include <cstdio>
#include <ctime>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tls/digest.h"
#include "tls/origin_verdict.h"
#include "tls/pem.h"
#include "tls/trust.h"
#include "tls/verdict_cache.h"

using namespace sluice::tls;

namespace {

constexpr int64_t now_s = 1811808000;  // 2027-06-01: the certificates of tests/data/origin

/// Microseconds of CPU time per call, over about half a second: a busy machine does not spoil it much.
template <class Work>
double measure_us(const Work& work) {
  for (size_t rounds = 1;; rounds *= 2) {
    const std::clock_t begin = std::clock();
    for (size_t i = 0; i < rounds; ++i) work();
    const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    if (seconds > 0.3) return seconds * 1e6 / static_cast<double>(rounds);
  }
}

template <class Value>
void use(const Value& value) {
  asm volatile("" : : "g"(&value) : "memory");
}

std::string file(const std::string& name) {
  std::ifstream in("tests/data/origin/" + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

void bench(const char* title, const std::string& chain, const std::string& root,
           const std::string& staple = "") {
  TrustBuilder builder;
  (void)builder.add_roots(file(root), now_s);
  const auto trust = builder.build();
  const auto blocks = read_pem(file(chain));
  const std::string staple_text = staple.empty() ? "" : file(staple);
  const Bytes staple_bytes(staple_text.begin(), staple_text.end());
  std::vector<ByteView> views;
  Bytes all;
  for (const PemBlock& block : *blocks) {
    views.emplace_back(block.content);
    all.insert(all.end(), block.content.begin(), block.content.end());
  }
  Fingerprint digest{};
  sha256(all, digest);  // the engine makes it anyway
  const SentChain sent{views, staple_bytes, true, &digest};
  const RequestedName name = requested_name("www.example.com");
  const RequestedName other_name = requested_name("mail.example.com");

  const double unseen = measure_us([&] {
    ChainMemory memory;
    use(judge_chain(*trust, sent, name, now_s, memory));
  });
  ChainMemory memory;
  const double known = measure_us([&] { use(judge_chain(*trust, sent, other_name, now_s, memory)); });
  VerdictCache cache;
  const double hit = measure_us([&] { use(cache.judge(*trust, sent, name, now_s)); });
  std::printf("%-34s %zu certificates  unseen %6.1f us  known signatures %6.1f us  remembered %5.2f us\n",
              title, views.size(), unseen, known, hit);
}

}  // namespace

int main() {
  bench("P-256, one intermediate", "chain-good.pem", "root.pem");
  bench("the same with a stapled response", "chain-good.pem", "root.pem", "good.ocsp");
  bench("RSA-2048, below the root", "chain-rsa2048.pem", "root-rsa2048.pem");
  bench("RSA-4096, below the root", "chain-rsa4096.pem", "root-rsa4096.pem");
  bench("P-384, below the root", "chain-p384.pem", "root-p384.pem");
  bench("Ed25519, below the root", "chain-ed25519.pem", "root-ed25519.pem");
  bench("1,000 names", "chain-1000-names.pem", "root.pem");
}
