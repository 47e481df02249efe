#include "tls/certificate.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/limits.h"
#include "tls/certificate_writer.h"
#include "tls/der_oid.h"
#include "unit/tls/certificates.h"

using namespace sluice;
using namespace sluice::tls;
using namespace sluice::tls::testing;

namespace {

const PrivateKey& test_key() {
  static const PrivateKey key = PrivateKey::generate_p256();
  return key;
}

/// A certificate with these Extension elements (in DER), for what no tool would make.
Bytes certificate_with(const std::vector<Bytes>& extensions) {
  der::Writer out;
  for (auto extension = extensions.rbegin(); extension != extensions.rend(); ++extension) out.raw(*extension);
  static constexpr std::array<uint8_t, 1> serial{1};
  const Bytes name = make_name("test", "");
  Draft draft{serial, name, name, test_key().spki(), 0, 4102444800};
  return sign_certificate(draft, std::move(out), test_key()).value();
}

Bytes extension(ByteView oid, const Bytes& value, bool critical = false) {
  der::Writer out;
  out.raw(value);
  wrap_extension(out, 0, oid, critical);
  return out.take();
}

CertificateFault fault_of(const Bytes& der) {
  const auto parsed = parse_certificate(ByteView(der));
  REQUIRE_FALSE(parsed.has_value());
  return parsed.error();
}

GeneralName dns(std::string_view text) {
  const ByteView value(reinterpret_cast<const uint8_t*>(text.data()), text.size());
  return {NameKind::dns, value, value};
}

}  // namespace

TEST_CASE("a server's certificate: every field that we use") {
  const Certificate certificate = origin("one-name-with-every-extension");
  CHECK(certificate.version == 3);
  CHECK(name_text(certificate.subject) == "CN=www.example.com, O=Example");
  CHECK(name_text(certificate.issuer) == "CN=Some public CA, O=Example");
  CHECK(certificate.common_name == "www.example.com");
  CHECK(certificate.not_before == 1788220800);  // 2026-09-01
  CHECK(certificate.not_after == 1811808000);   // 2027-06-01
  CHECK(certificate.dns_names == std::vector<std::string_view>{"www.example.com"});
  CHECK(certificate.ip_addresses.empty());
  CHECK_FALSE(certificate.is_ca);
  CHECK_FALSE(certificate.path_length.has_value());
  CHECK(key_text(certificate.public_key) == "EC P-256");
  CHECK(certificate.signature_algorithm == SignatureAlgorithm::ecdsa_sha256);
  CHECK(certificate.extended_key_usage->server_auth);
  CHECK(certificate.extended_key_usage->client_auth);
  CHECK_FALSE(certificate.extended_key_usage->any);
  CHECK(certificate.subject_key_id.size() == 20);
  CHECK(hex_text(certificate.authority_key_id) == "0202020202020202020202020202020202020202");
  CHECK(certificate.ocsp_urls == std::vector<std::string_view>{"http://ocsp.ca.example/"});
  CHECK(certificate.ca_issuer_urls == std::vector<std::string_view>{"http://ca.example/ca.crt"});
  CHECK(certificate.crl_urls == std::vector<std::string_view>{"http://ca.example/ca.crl"});
  CHECK(certificate.must_staple);
  CHECK_FALSE(certificate.has_unknown_critical);
  CHECK_FALSE(certificate.is_self_issued());
}

TEST_CASE("the fingerprint is what openssl says") {
  const Certificate certificate = origin("wildcard-p384");
  std::string expected =
      openssl("x509 -noout -fingerprint -sha256 -in " + data_file("origins/wildcard-p384.pem")).output;
  expected = expected.substr(expected.find('=') + 1);
  std::erase_if(expected, [](char c) { return c == ':' || c == '\n'; });
  std::ranges::transform(expected, expected.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  CHECK(hex_text(certificate.fingerprint) == expected);
}

TEST_CASE("keys and signatures of every kind are told apart") {
  const auto key_and_signature = [](const char* name) {
    const Certificate certificate = origin(name);
    return std::pair(key_text(certificate.public_key), certificate.signature_algorithm);
  };
  using enum SignatureAlgorithm;
  CHECK(key_and_signature("rsa-2048") == std::pair(std::string("RSA 2048"), rsa_sha256));
  CHECK(key_and_signature("rsa-4096-signed-with-sha512") == std::pair(std::string("RSA 4096"), rsa_sha512));
  CHECK(key_and_signature("rsa-1024-signed-with-sha1") == std::pair(std::string("RSA 1024"), rsa_sha1));
  CHECK(key_and_signature("self-signed-with-pss") == std::pair(std::string("RSA 2048"), rsa_pss_sha256));
  CHECK(key_and_signature("ed25519") == std::pair(std::string("Ed25519"), SignatureAlgorithm::ed25519));
  CHECK(key_and_signature("wildcard-p384") == std::pair(std::string("EC P-384"), ecdsa_sha256));
  CHECK(key_and_signature("p521") == std::pair(std::string("EC P-521"), ecdsa_sha512));
}

TEST_CASE("names: a thousand, addresses, none, an empty subject, and every string type") {
  CHECK(origin("a-thousand-names").dns_names.size() == 1000);
  CHECK(origin("a-thousand-names").dns_names.back() == "host-999.example.com");
  const Certificate router = origin("addresses-only");
  CHECK(router.dns_names.empty());
  REQUIRE(router.ip_addresses.size() == 2);
  CHECK(router.ip_addresses[0].to_string() == "192.0.2.10");
  CHECK(router.ip_addresses[1].to_string() == "2001:db8::10");
  CHECK_FALSE(origin("no-alternative-names").has_alternative_names);
  CHECK(name_text(origin("empty-subject").subject).empty());
  CHECK(name_text(origin("strings-of-every-kind").subject) ==
        "CN=strings.example.com, OU=Universal, OU=Gerat, O=Žltý kôň, L=Košice, C=SK");
}

TEST_CASE("an alternative name that is no name is kept, but matches nothing") {
  const Certificate certificate = origin("names-that-are-none");
  CHECK(certificate.alternative_names.size() == 6);
  CHECK(certificate.dns_names == std::vector<std::string_view>{"good.example.com"});
  REQUIRE(certificate.ip_addresses.size() == 1);
  CHECK(covers_name(certificate, "192.0.2.30"));
  CHECK_FALSE(covers_name(certificate, "evil.example.com"));
  CHECK(origin("other-kinds-of-names").alternative_names.size() == 7);
}

TEST_CASE("validity: both time types, far away years") {
  CHECK(origin("valid-until-9999").not_after == 253402214400);
  CHECK(origin("expired-in-2001").not_before == 946684800);
}

TEST_CASE("every public root on this system is read") {
  const std::string bundle = "/etc/ssl/certs/ca-certificates.crt";
  if (!std::filesystem::exists(bundle)) return;
  const auto blocks = read_pem(read_text(bundle));
  REQUIRE(blocks.has_value());
  for (const PemBlock& block : *blocks) {
    const auto certificate = parse_certificate(ByteView(block.content));
    CHECK_MESSAGE(certificate.has_value(), "line ", block.line, ": ",
                  certificate ? "" : text_of(certificate.error()));
  }
}

TEST_CASE("cut off anywhere, a certificate is refused") {
  const Certificate whole = origin("one-name-with-every-extension");
  for (size_t length = 0; length < whole.der.size(); ++length)
    CHECK_FALSE(parse_certificate(ByteView(whole.der).first(length)).has_value());
}

TEST_CASE("faults have their names") {
  using enum CertificateFault;
  const Bytes good = certificate_with({extension(der_oid::basic_constraints, {0x30, 0x00})});
  REQUIRE(parse_certificate(ByteView(good)).has_value());
  Bytes longer = good;
  longer.push_back(0);
  CHECK(fault_of(longer) == trailing_bytes);
  CHECK(fault_of({}) == not_der);
  CHECK(fault_of(Bytes(limits::certificate_bytes_max + 1)) == too_large);
  const Bytes constraints = extension(der_oid::basic_constraints, {0x30, 0x00});
  CHECK(fault_of(certificate_with({constraints, constraints})) == repeated_extension);
  CHECK(fault_of(certificate_with({})) == bad_extensions);
  CHECK(fault_of(certificate_with({extension(der_oid::basic_constraints, {0x30, 0x03, 0x01, 0x01, 0x01})})) ==
        bad_basic_constraints);
  CHECK(fault_of(certificate_with({extension(der_oid::basic_constraints, {0x30, 0x03, 0x02, 0x01, 0xff})})) ==
        bad_basic_constraints);
  CHECK(fault_of(certificate_with({extension(der_oid::key_usage, {0x03, 0x02, 0x09, 0x80})})) ==
        bad_key_usage);
  CHECK(fault_of(certificate_with({extension(der_oid::extended_key_usage, {0x30, 0x00})})) ==
        bad_extended_key_usage);
  CHECK(fault_of(certificate_with({extension(der_oid::subject_alternative_name, {0x30, 0x00})})) ==
        bad_alternative_names);
  CHECK(fault_of(certificate_with({extension(der_oid::subject_alternative_name,
                                             {0x30, 0x80, 0x00, 0x00})})) == bad_alternative_names);
  // A subtree with a minimum.
  CHECK(fault_of(certificate_with(
            {extension(der_oid::name_constraints, {0x30, 0x0a, 0xa0, 0x08, 0x30, 0x06, 0x82, 0x01, 'a', 0x80,
                                                   0x01, 0x01})})) == bad_name_constraints);
}

TEST_CASE("no more than so many names and extensions") {
  const auto with_names = [](size_t count) {
    der::Writer out;
    for (size_t i = 0; i < count; ++i) out.element(der::context(2), std::string_view("a"));
    out.wrap(der::sequence_tag, 0);
    return certificate_with({extension(der_oid::subject_alternative_name, out.take())});
  };
  CHECK(parse_certificate(with_names(limits::certificate_names_max)).has_value());
  CHECK(fault_of(with_names(limits::certificate_names_max + 1)) == CertificateFault::too_many_names);
  std::vector<Bytes> extensions;
  for (size_t i = 0; i < limits::certificate_extensions_max; ++i)
    extensions.push_back(extension(Bytes{0x2a, static_cast<uint8_t>(i)}, {0x05, 0x00}));
  CHECK(parse_certificate(certificate_with(extensions)).has_value());
  extensions.push_back(extension(Bytes{0x2b}, {0x05, 0x00}));
  CHECK(fault_of(certificate_with(extensions)) == CertificateFault::bad_extensions);
}

TEST_CASE(
    "an unknown critical extension is noted; an unknown other one, a policy or a broken CRL point is not") {
  const auto has_unknown_critical = [](const Bytes& one) {
    const auto parsed = parse_certificate(certificate_with({one}));
    REQUIRE(parsed.has_value());
    return parsed->has_unknown_critical;
  };
  CHECK(has_unknown_critical(extension(Bytes{0x2a, 0x03}, {0x05, 0x00}, true)));
  CHECK_FALSE(has_unknown_critical(extension(Bytes{0x2a, 0x03}, {0x05, 0x00}, false)));
  CHECK_FALSE(has_unknown_critical(extension(der_oid::certificate_policies, {0x30, 0x00}, true)));
  CHECK_FALSE(has_unknown_critical(extension(der_oid::crl_distribution_points, {0xff})));
}

TEST_CASE("names are matched as RFC 6125 has it") {
  CHECK(dns_name_matches("www.example.com", "www.example.com"));
  CHECK(dns_name_matches("WWW.Example.com", "www.eXample.com."));
  CHECK(dns_name_matches("*.example.com", "www.example.com"));
  CHECK(dns_name_matches("localhost", "localhost"));
  CHECK_FALSE(dns_name_matches("*.example.com", "example.com"));
  CHECK_FALSE(dns_name_matches("*.example.com", "a.b.example.com"));
  CHECK_FALSE(dns_name_matches("*.example.com", ".example.com"));
  CHECK_FALSE(dns_name_matches("w*.example.com", "www.example.com"));
  CHECK_FALSE(dns_name_matches("*.com", "example.com"));
  CHECK_FALSE(dns_name_matches("*", "localhost"));
  CHECK_FALSE(dns_name_matches("*.*.example.com", "a.b.example.com"));
  CHECK_FALSE(dns_name_matches("www.*.com", "www.example.com"));
  CHECK_FALSE(dns_name_matches("*.example.com", "*.example.com"));
  CHECK_FALSE(dns_name_matches("", ""));
}

TEST_CASE("a name is covered by alternative names alone, an address by addresses alone") {
  CHECK(covers_name(origin("wildcard-p384"), "deep.example.com"));
  CHECK_FALSE(covers_name(origin("no-alternative-names"), "cn-only.example.com"));
  CHECK(covers_name(origin("addresses-only"), "2001:db8::10"));
  CHECK_FALSE(covers_name(origin("addresses-only"), "192.0.2.11"));
  const auto in_text = parse_certificate(
      certificate_with({extension(der_oid::subject_alternative_name,
                                  {0x30, 0x0b, 0x82, 0x09, '1', '9', '2', '.', '0', '.', '2', '.', '1'})}));
  REQUIRE(in_text.has_value());
  CHECK_FALSE(covers_name(*in_text, "192.0.2.1"));
}

TEST_CASE("name constraints: below a domain, not the excluded part of it, not by a wildcard either") {
  const Authority constrained = authority("constrained");
  const NameConstraints& constraints = *constrained.certificate().name_constraints;
  CHECK(is_within(constraints, dns("example.com")));
  CHECK(is_within(constraints, dns("www.EXAMPLE.com")));
  CHECK_FALSE(is_within(constraints, dns("notexample.com")));
  CHECK_FALSE(is_within(constraints, dns("example.com.evil.example")));
  CHECK_FALSE(is_within(constraints, dns("a.secret.example.com")));
  CHECK_FALSE(is_within(constraints, dns("*.example.com")));
  CHECK(is_within(constraints, dns("*.www.example.com")));
  const Bytes inside{192, 0, 2, 77};
  const Bytes outside{192, 0, 3, 77};
  CHECK(is_within(constraints, GeneralName{NameKind::ip, inside, inside}));
  CHECK_FALSE(is_within(constraints, GeneralName{NameKind::ip, outside, outside}));
  CHECK_FALSE(is_within(constraints, GeneralName{NameKind::ip, Bytes(16), Bytes(16)}));
  CHECK(is_within(constraints, origin("one-name-with-every-extension")));
  CHECK_FALSE(is_within(constraints, origin("wildcard-p384")));
  CHECK(is_within(constraints, origin("no-alternative-names")));
}

TEST_CASE("control characters in a subject are not shown as they are") {
  CHECK(name_text(make_name("a\nb\x1b[31m, CN=c", "")) == "CN=a\\x0ab\\x1b[31m\\, CN\\=c");
}
