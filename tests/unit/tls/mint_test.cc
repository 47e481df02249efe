// S16: minted certificates, with openssl as the judge of them.
#include "tls/mint.h"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <wolfssl/options.h>
// options.h comes first: it holds the choices that the library was built with.
#include <wolfssl/ssl.h>

#include <algorithm>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/limits.h"
#include "unit/tls/certificates.h"

using namespace sluice;
using namespace sluice::tls;
using namespace sluice::tls::testing;

namespace {

const LeafKey& p256_key() {
  static const LeafKey key = LeafKey::generate(LeafKeyKind::p256);
  return key;
}

MintRequest request_for(std::string_view name) {
  MintRequest request;
  request.name = name;
  request.now = now_s;
  request.serial = random_serial();
  return request;
}

Leaf minted(const Authority& ours, const Certificate& certificate, const MintRequest& request) {
  auto leaf = mint(ours, p256_key(), certificate, request);
  REQUIRE_MESSAGE(leaf.has_value(), (leaf ? "" : text_of(leaf.error())));
  return *std::move(leaf);
}

Certificate parsed(const Leaf& leaf) {
  auto certificate = parse_certificate(leaf.certificate());
  REQUIRE_MESSAGE(certificate.has_value(), (certificate ? "" : text_of(certificate.error())));
  return *std::move(certificate);
}

Certificate minted_for(const std::string& origin_name, std::string_view name) {
  return parsed(minted(authority("p256"), origin(origin_name), request_for(name)));
}

/// `openssl verify` with the root alone trusted and the rest of what is sent as helpers.
Ran verify(const Authority& ours, const Leaf& leaf, const std::string& more, int64_t at = now_s) {
  const TemporaryDirectory directory;
  const std::string leaf_file = directory.write("leaf.pem", write_pem("CERTIFICATE", leaf.certificate()));
  const std::string root = directory.write("root.pem", write_pem("CERTIFICATE", ours.chain().back().der));
  std::string helpers;
  for (der::Reader sent(ByteView(leaf.chain).subspan(leaf.leaf_bytes)); !sent.empty();)
    helpers += write_pem("CERTIFICATE", sent.element(der::sequence_tag).value().whole);
  const std::string untrusted = helpers.empty() ? "" : "-untrusted " + directory.write("sent.pem", helpers);
  return openssl(fmt::format("verify -x509_strict -purpose sslserver -attime {} -CAfile {} {} {} {}", at,
                             root, untrusted, more, leaf_file));
}

std::string text_of_leaf(const Leaf& leaf) {
  const TemporaryDirectory directory;
  return openssl("x509 -noout -text -in " +
                 directory.write("leaf.pem", write_pem("CERTIFICATE", leaf.certificate())))
      .output;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("S16: openssl verifies what every kind of CA signs, with the chain that is sent") {
  const Certificate site = origin("one-name-with-every-extension");
  for (const char* name : {"p256", "p384", "p521", "rsa-2048", "rsa-4096", "constrained", "intermediate"}) {
    const Authority ours = authority(name);
    const Leaf leaf = minted(ours, site, request_for("www.example.com"));
    const Ran ran = verify(ours, leaf, "-verify_hostname www.example.com");
    CHECK_MESSAGE(ran.code == 0, name, ": ", ran.output);
    CHECK(verify(ours, leaf, "-verify_hostname other.example.com").code != 0);
  }
}

TEST_CASE("S16: openssl verifies replacements of origins of every kind") {
  struct Row {
    const char* origin;
    const char* option;
    const char* name;
  };
  const Authority ours = authority("p256");
  for (const Row& row :
       std::vector<Row>{{"wildcard-p384", "-verify_hostname", "www.example.com"},
                        {"rsa-2048", "-verify_hostname", "rsa.example.com"},
                        {"rsa-4096-signed-with-sha512", "-verify_hostname", "rsa.example.com"},
                        {"ed25519", "-verify_hostname", "ed.example.com"},
                        {"p521", "-verify_hostname", "big.example.com"},
                        {"addresses-only", "-verify_ip", "192.0.2.10"},
                        {"addresses-only", "-verify_ip", "2001:db8::10"},
                        {"a-thousand-names", "-verify_hostname", "host-999.example.com"},
                        {"empty-subject", "-verify_hostname", "empty.example.com"},
                        {"strings-of-every-kind", "-verify_hostname", "strings.example.com"},
                        {"other-kinds-of-names", "-verify_hostname", "many.example.com"},
                        {"names-that-are-none", "-verify_hostname", "good.example.com"},
                        {"valid-until-9999", "-verify_hostname", "forever.example.com"},
                        {"began-this-morning", "-verify_hostname", "new.example.com"}}) {
    const Ran ran = verify(ours, minted(ours, origin(row.origin), request_for(row.name)),
                           fmt::format("{} {}", row.option, row.name));
    CHECK_MESSAGE(ran.code == 0, row.origin, ": ", ran.output);
  }
}

TEST_CASE("S16: subject and alternative names are those of the origin, octet for octet and in their order") {
  for (const char* name : {"strings-of-every-kind", "a-thousand-names", "other-kinds-of-names",
                           "addresses-only", "empty-subject"}) {
    const Certificate site = origin(name);
    const Certificate replacement = minted_for(name, site.common_name);
    CHECK(std::ranges::equal(replacement.subject, site.subject));
    REQUIRE(replacement.alternative_names.size() == site.alternative_names.size());
    for (size_t i = 0; i < site.alternative_names.size(); ++i)
      CHECK(std::ranges::equal(replacement.alternative_names[i].whole, site.alternative_names[i].whole));
  }
}

TEST_CASE("S16: nothing of AIA, CRL, SCT, must-staple and policies is copied; the rest is as it should be") {
  const Authority ours = authority("p256");
  const Leaf leaf = minted(ours, origin("one-name-with-every-extension"), request_for("www.example.com"));
  const std::string text = text_of_leaf(leaf);
  for (const char* absent : {"Authority Information Access", "CRL Distribution", "CT Precertificate",
                             "TLS Feature", "Policies", "1.3.6.1.4.1.11129", "TLS Web Client"})
    CHECK_MESSAGE(!has(text, absent), absent);
  CHECK(has(text, "X509v3 Basic Constraints: critical\n                CA:FALSE"));
  CHECK(has(text, "X509v3 Key Usage: critical\n                Digital Signature\n"));
  CHECK(has(text, "X509v3 Extended Key Usage: \n                TLS Web Server Authentication\n"));
  const Certificate replacement = parsed(leaf);
  CHECK(std::ranges::equal(replacement.authority_key_id, ours.certificate().subject_key_id));
  CHECK(std::ranges::equal(replacement.subject_key_id, p256_key().key_id()));
  CHECK(std::ranges::equal(replacement.public_key.spki, p256_key().spki()));
  CHECK(std::ranges::equal(replacement.issuer, ours.certificate().subject));
}

TEST_CASE("S16: serials are random, positive and of 16 octets, whatever the random octets are") {
  const Authority ours = authority("p256");
  const Certificate site = origin("wildcard-p384");
  for (const uint8_t octet : {uint8_t{0x00}, uint8_t{0xff}, uint8_t{0x80}}) {
    MintRequest request = request_for("www.example.com");
    request.serial.fill(octet);
    const Certificate replacement = parsed(minted(ours, site, request));
    CHECK(replacement.serial.size() == 16);
    CHECK((replacement.serial[0] & 0x80) == 0);
  }
  const Certificate one = parsed(minted(ours, site, request_for("www.example.com")));
  const Certificate other = parsed(minted(ours, site, request_for("www.example.com")));
  CHECK_FALSE(std::ranges::equal(one.serial, other.serial));
}

TEST_CASE(
    "S16: the requested name is among the alternative names when the origin covers it, and never otherwise") {
  using Names = std::vector<std::string_view>;
  CHECK(minted_for("wildcard-p384", "WWW.example.com.").dns_names ==
        Names{"*.example.com", "example.com", "www.example.com"});
  CHECK(minted_for("wildcard-p384", "example.com").dns_names == Names{"*.example.com", "example.com"});
  CHECK(minted_for("wildcard-p384", "a.b.example.com").dns_names == Names{"*.example.com", "example.com"});
  CHECK(minted_for("wildcard-p384", "evil.example").dns_names == Names{"*.example.com", "example.com"});
  CHECK(minted_for("wildcard-p384", "192.0.2.1").ip_addresses.empty());
  CHECK(minted_for("addresses-only", "192.0.2.10").ip_addresses.size() == 2);
  CHECK(minted_for("addresses-only", "192.0.2.11").ip_addresses.size() == 2);
  CHECK_FALSE(minted_for("no-alternative-names", "cn-only.example.com").has_alternative_names);
  CHECK(minted_for("names-that-are-none", "evil.example.com").dns_names == Names{"good.example.com"});
  CHECK(minted_for("names-that-are-none", "good.example.com").alternative_names.size() == 2);
}

TEST_CASE("S16: validity is the origin's, clipped by the CA, 90 days, and a day of backdating") {
  const auto period = [](const char* ca, const char* name, MintDates dates = MintDates::as_origin) {
    MintRequest request = request_for("x");
    request.dates = dates;
    const Leaf leaf = minted(authority(ca), origin(name), request);
    const Certificate certificate = parsed(leaf);
    CHECK(certificate.not_before == leaf.not_before);
    CHECK(certificate.not_after == leaf.not_after);
    return std::pair(certificate.not_before, certificate.not_after);
  };
  const int64_t yesterday = now_s - test_day_s;
  const int64_t most = yesterday + 90 * test_day_s;
  CHECK(period("p256", "wildcard-p384") == std::pair(yesterday, most));
  CHECK(period("p256", "valid-until-9999") == std::pair(yesterday, most));
  CHECK(period("p256", "ends-in-ten-days") == std::pair(yesterday, origin("ends-in-ten-days").not_after));
  CHECK(period("p256", "began-this-morning") ==
        std::pair(origin("began-this-morning").not_before,
                  origin("began-this-morning").not_before + 90 * test_day_s));
  // The intermediate above ours is valid from 2026-11-20 to 2026-12-20 only.
  CHECK(period("intermediate-that-ends-soon", "wildcard-p384") == std::pair(yesterday, int64_t{1797724800}));
  // What is wrong with the origin's dates shows, unless a rule allows it.
  CHECK(period("p256", "expired") ==
        std::pair(origin("expired").not_after - test_day_s, origin("expired").not_after));
  CHECK(period("p256", "expired-in-2001").second == origin("expired-in-2001").not_after);
  CHECK(period("p256", "not-yet-valid") ==
        std::pair(origin("not-yet-valid").not_before, origin("not-yet-valid").not_before + 90 * test_day_s));
  for (const char* name : {"expired", "expired-in-2001", "not-yet-valid"})
    CHECK(period("p256", name, MintDates::always_valid) == std::pair(yesterday, most));
  CHECK(period("p256", "ends-in-ten-days", MintDates::always_valid).second ==
        origin("ends-in-ten-days").not_after);
}

TEST_CASE("S16: a CA that has ended, or not begun, mints nothing") {
  const Authority ours = authority("p256");
  MintRequest request = request_for("www.example.com");
  request.now = ours.not_after() + 1;
  CHECK(mint(ours, p256_key(), origin("wildcard-p384"), request).error() == MintFault::authority_expired);
  request.now = ours.not_before() - 1;
  CHECK(mint(ours, p256_key(), origin("wildcard-p384"), request).error() == MintFault::authority_expired);
}

TEST_CASE("S18: names outside the CA's constraints are an error") {
  const Authority ours = authority("constrained");
  const auto fault = [&](const char* name) {
    const auto leaf = mint(ours, p256_key(), origin(name), request_for("x"));
    return leaf ? std::optional<MintFault>() : leaf.error();
  };
  CHECK(fault("one-name-with-every-extension") == std::nullopt);
  CHECK(fault("no-alternative-names") == std::nullopt);
  CHECK(fault("wildcard-p384") == MintFault::outside_constraints);   // would reach secret.example.com
  CHECK(fault("addresses-only") == MintFault::outside_constraints);  // one of them is IPv6
  const auto page = [&](const char* name) {
    return mint_for_page(ours, p256_key(), request_for(name)).has_value();
  };
  CHECK(page("www.example.com"));
  CHECK(page("192.0.2.200"));
  CHECK_FALSE(page("www.example.org"));
  CHECK_FALSE(page("192.0.3.1"));
  CHECK_FALSE(page("a.secret.example.com"));
}

TEST_CASE("S12: a replacement by the untrusted CA verifies below that alone") {
  const Authority untrusted = Authority::make_untrusted(now_s);
  const Leaf leaf = minted(untrusted, origin("wildcard-p384"), request_for("www.example.com"));
  CHECK(verify(untrusted, leaf, "-verify_hostname www.example.com").code == 0);
  CHECK(verify(authority("p256"), leaf, "").code != 0);
  CHECK(verify(untrusted, minted(untrusted, origin("expired"), request_for("expired.example.com")), "")
            .output.find("expired") != std::string::npos);
}

TEST_CASE("S26: a certificate for a page of ours is for that name alone") {
  const Authority ours = authority("p256");
  const auto leaf = mint_for_page(ours, p256_key(), request_for("Blocked.example"));
  REQUIRE(leaf.has_value());
  CHECK(parsed(*leaf).dns_names == std::vector<std::string_view>{"blocked.example"});
  CHECK(verify(ours, *leaf, "-verify_hostname blocked.example").code == 0);
  const auto address = mint_for_page(ours, p256_key(), request_for("2001:db8::1"));
  REQUIRE(address.has_value());
  CHECK(verify(ours, *address, "-verify_ip 2001:db8::1").code == 0);
  for (const char* name : {"", ".", "a b", "*.example.com"})
    CHECK(mint_for_page(ours, p256_key(), request_for(name)).error() == MintFault::bad_name);
}

TEST_CASE("S17: wolfSSL takes leaf key, placeholder and every minted chain") {
  for (const LeafKeyKind kind : {LeafKeyKind::p256, LeafKeyKind::rsa_2048}) {
    const LeafKey key = LeafKey::generate(kind);
    WOLFSSL_CTX* const context = wolfSSL_CTX_new(wolfTLS_server_method());
    REQUIRE(context != nullptr);
    const auto size = [](ByteView bytes) { return static_cast<long>(bytes.size()); };
    CHECK(wolfSSL_CTX_use_certificate_buffer(context, key.placeholder().data(), size(key.placeholder()),
                                             WOLFSSL_FILETYPE_ASN1) == WOLFSSL_SUCCESS);
    CHECK(wolfSSL_CTX_use_PrivateKey_buffer(context, key.private_der().data(), size(key.private_der()),
                                            WOLFSSL_FILETYPE_ASN1) == WOLFSSL_SUCCESS);
    for (const char* name : {"p256", "rsa-2048", "intermediate"}) {
      const auto leaf =
          mint(authority(name), key, origin("a-thousand-names"), request_for("host-1.example.com"));
      REQUIRE(leaf.has_value());
      WOLFSSL* const session = wolfSSL_new(context);
      REQUIRE(session != nullptr);
      CHECK(wolfSSL_use_certificate_chain_buffer_format(session, leaf->chain.data(), size(leaf->chain),
                                                        WOLFSSL_FILETYPE_ASN1) == WOLFSSL_SUCCESS);
      wolfSSL_free(session);
    }
    wolfSSL_CTX_free(context);
  }
}

TEST_CASE("several threads mint at once with one CA") {
  for (const char* name : {"p256", "rsa-2048"}) {
    const Authority ours = authority(name);
    const Certificate site = origin("wildcard-p384");
    std::vector<std::vector<Leaf>> leaves(4);
    std::vector<std::thread> threads;
    for (auto& mine : leaves)
      threads.emplace_back([&] {
        for (int i = 0; i < 20; ++i)
          if (auto leaf = mint(ours, p256_key(), site, request_for("www.example.com")))
            mine.push_back(*std::move(leaf));
      });
    for (std::thread& thread : threads) thread.join();
    for (const auto& mine : leaves) {
      REQUIRE(mine.size() == 20);
      CHECK(verify(ours, mine.back(), "").code == 0);
    }
  }
}
