// The certificates of tests/data/origin (made by make.py there), and a time at which they mean what they say.
#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tls/origin_verdict.h"
#include "tls/pem.h"
#include "tls/trust.h"

namespace sluice::testing {

inline constexpr int64_t now_s = 1811808000;  // 2027-06-01

inline std::string origin_file(const std::string& name) {
  std::ifstream file("tests/data/origin/" + name, std::ios::binary);
  REQUIRE_MESSAGE(file.good(), name);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline tls::Bytes origin_bytes(const std::string& name) {
  const std::string text = origin_file(name);
  return {text.begin(), text.end()};
}

/// The blocks of a PEM file, in DER.
inline std::vector<tls::Bytes> ders_of(const std::string& name) {
  auto blocks = tls::read_pem(origin_file(name));
  REQUIRE(blocks);
  std::vector<tls::Bytes> ders;
  for (auto& block : *blocks) ders.push_back(std::move(block.content));
  return ders;
}

inline tls::Certificate certificate_of(const std::string& name, size_t index = 0) {
  auto parsed = tls::parse_certificate(ders_of(name).at(index));
  REQUIRE(parsed);
  return std::move(*parsed);
}

struct TrustOf {
  std::vector<std::string> roots = {"root.pem"};
  std::vector<std::string> intermediates = {};
  std::vector<std::string> crls = {};
  std::vector<tls::Fingerprint> trusted = {};

  [[nodiscard]] std::shared_ptr<const tls::Trust> build() const {
    tls::TrustBuilder builder;
    const auto expect = [](const tls::TrustBuilder::Added& added) {
      CHECK_MESSAGE(added.error.empty(), added.error);
      CHECK(added.count > 0);
    };
    for (const auto& name : roots) expect(builder.add_roots(origin_file(name), now_s));
    for (const auto& name : intermediates) expect(builder.add_intermediates(origin_file(name), now_s));
    for (const auto& name : crls) expect(builder.add_crls(origin_file(name), now_s));
    for (const auto& fingerprint : trusted) builder.trust_origin(fingerprint);
    return builder.build();
  }
};

/// What an origin sends: "chain-NAME.pem", and perhaps a staple.
struct Sent {
  std::vector<tls::Bytes> ders;
  tls::Bytes staple;
  std::vector<tls::ByteView> views;

  explicit Sent(const std::string& chain, const std::string& staple_name = "")
      : Sent(ders_of("chain-" + chain + ".pem"), staple_name) {}
  explicit Sent(std::vector<tls::Bytes> chain, const std::string& staple_name = "") : ders(std::move(chain)) {
    if (!staple_name.empty()) staple = origin_bytes(staple_name + ".ocsp");
    for (const tls::Bytes& der : ders) views.emplace_back(der);
  }
  [[nodiscard]] tls::SentChain chain(bool staple_was_asked = true) const {
    return {views, staple, staple_was_asked, nullptr};
  }
};

inline tls::OriginVerdict judge(const tls::Trust& trust, const Sent& sent,
                                const std::string& name = "www.example.com", int64_t at_s = now_s) {
  tls::ChainMemory memory;
  return tls::judge_chain(trust, sent.chain(), tls::requested_name(name), at_s, memory);
}

}  // namespace sluice::testing
