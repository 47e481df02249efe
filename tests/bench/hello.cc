// What the peek costs: ns per ClientHello parsed and per JA4, for real hellos, for one that is cut into
// records, and for the largest one read byte by byte (which must cost the same per byte as a small one).
// Prints, asserts nothing.
#include <cstdio>
#include <ctime>
#include <fstream>
#include <iterator>

#include "base/limits.h"
#include "hello/client_hello.h"
#include "tls/digest.h"
#include "unit/hello/hello_builder.h"

using namespace sluice::hello;
using sluice::hello::testing::Bytes;
using sluice::hello::testing::HelloBuilder;
using sluice::hello::testing::in_records;

namespace {

/// Nanoseconds of CPU time per call, over about half a second: a busy machine does not spoil it much.
template <class Work>
double measure(const Work& work) {
  for (size_t rounds = 1;; rounds *= 2) {
    const std::clock_t begin = std::clock();
    for (size_t i = 0; i < rounds; ++i) work();
    const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    if (seconds > 0.3) return seconds * 1e9 / static_cast<double>(rounds);
  }
}

/// Keeps the compiler from leaving the work out.
template <class Value>
void use(const Value& value) {
  asm volatile("" : : "g"(&value) : "memory");
}

void bench_parse(const char* name, const Bytes& wire) {
  ClientHello hello;
  const double parse = measure([&] {
    HelloReader reader;
    const auto outcome = reader.read(wire);
    use(outcome);
  });
  HelloReader reader;
  auto outcome = reader.read(wire);
  if (auto* parsed = std::get_if<ClientHello>(&outcome)) hello = std::move(*parsed);
  const double fingerprint = measure([&] { use(ja4(hello, sluice::tls::sha256)); });
  std::printf("%-36s %6zu bytes  parse %7.0f ns  ja4 %6.0f ns\n", name, wire.size(), parse, fingerprint);
}

void bench_bytewise(const char* name, const Bytes& wire) {
  const double whole = measure([&] {
    HelloReader reader;
    for (size_t have = 1; have <= wire.size(); ++have) use(reader.read(std::span(wire).first(have)));
  });
  const double per_read = whole / static_cast<double>(wire.size());
  std::printf("%-36s %6zu bytes  %5.1f ns per one-byte read\n", name, wire.size(), per_read);
}

Bytes file(const char* name) {
  std::ifstream in(std::string("tests/data/hello/") + name + ".bin", std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

}  // namespace

int main() {
  const Bytes chromium = file("chromium-156-sends-x25519mlkem768-grease-and-ech");
  bench_parse("Chromium 156", chromium);
  bench_parse("Firefox 153", file("firefox-153-sends-x25519mlkem768-and-ech"));
  bench_parse("curl 7 (OpenSSL 3)", file("curl-7-goes-to-a-name-and-pads-to-517-bytes"));
  bench_parse("OpenSSL 3, TLS 1.2 only", file("openssl-3-s-client-offers-only-tls12"));
  bench_parse("Chromium 156 in 100-byte records", in_records(std::span(chromium).subspan(5), size_t{100}));
  const HelloBuilder named = HelloBuilder().sni("www.example.com");
  for (const size_t bytes : {size_t{1024}, sluice::limits::hello_bytes_max}) {
    const Bytes message = HelloBuilder(named).pad_to(bytes).message();
    bench_bytewise("byte by byte", in_records(message, size_t{16384}));
    bench_bytewise("byte by byte, 5-byte fragments", in_records(message, size_t{5}));
  }
  HelloBuilder flood = named;
  flood.ciphers.assign(32000, 0);
  for (size_t i = 0; i < flood.ciphers.size(); ++i) flood.ciphers[i] = static_cast<uint16_t>(i * 40503);
  bench_parse("32,000 cipher suites", flood.wire());
}
