#include "tls/authority.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "tls/authority_file.h"
#include "unit/tls/certificates.h"

using namespace sluice;
using namespace sluice::tls;
using namespace sluice::tls::testing;

namespace {

AuthorityFault fault_of(const std::string& name, int64_t now = now_s) {
  const auto loaded = load(name, now);
  REQUIRE_MESSAGE(!loaded.has_value(), name);
  return loaded.error().fault;
}

std::string sentence_of(const std::string& name) {
  const auto loaded = load(name);
  REQUIRE_FALSE(loaded.has_value());
  return text_of(loaded.error());
}

std::string error_of_files(const std::string& certificate_file, const std::string& key_file) {
  const auto loaded = load_authority(certificate_file, key_file, now_s);
  REQUIRE_FALSE(loaded.has_value());
  return text_of(loaded.error());
}

}  // namespace

TEST_CASE("S18: a CA of any usual kind and key format is taken") {
  for (const char* name :
       {"p256", "p256-sec1", "p384", "p521", "rsa-2048", "rsa-2048-pkcs1", "rsa-4096", "constrained"}) {
    const Authority ours = authority(name);
    CHECK_MESSAGE(ours.chain().size() == 1, name);
    CHECK_MESSAGE(ours.sent_chain().empty(), name);
    CHECK_MESSAGE(ours.key().is_key_of(ours.certificate().public_key), name);
  }
}

TEST_CASE(
    "an intermediate CA: ours is found by the key, those above in any order, and the root is not sent") {
  for (const char* name : {"intermediate", "intermediate-in-another-order"}) {
    const Authority ours = authority(name);
    REQUIRE(ours.chain().size() == 3);
    CHECK(ours.certificate().common_name == "Corporate gateway CA");
    CHECK(ours.chain()[1].common_name == "Corporate policy CA");
    CHECK(ours.chain()[2].common_name == "Corporate root");
    CHECK(ours.sent_chain().size() == ours.chain()[0].der.size() + ours.chain()[1].der.size());
  }
  CHECK(authority("intermediate-without-root").chain().size() == 2);
}

TEST_CASE("S18: a CA that cannot be used is refused for the right reason") {
  using enum AuthorityFault;
  CHECK(fault_of("mismatch") == key_mismatch);
  CHECK(fault_of("expired") == expired);
  CHECK(fault_of("not-yet-valid") == not_yet_valid);
  CHECK(fault_of("not-a-ca") == not_ca);
  CHECK(fault_of("no-basic-constraints") == not_ca);
  CHECK(fault_of("no-cert-sign") == no_cert_sign);
  CHECK(fault_of("for-mail-only") == not_for_servers);
  CHECK(fault_of("intermediate-below-path-length-0") == path_length);
  CHECK(fault_of("intermediate-below-an-expired-one") == expired);
  CHECK(fault_of("p256-encrypted") == encrypted_key);
  CHECK(fault_of("p256-encrypted-sec1") == encrypted_key);
  CHECK(fault_of("secp256k1") == bad_key);
  CHECK(fault_of("ed25519") == bad_key);
  CHECK(fault_of("rsa-1024") == bad_key);
  CHECK(fault_of("p256", authority("p256").not_after() + 1) == expired);
  CHECK(load("p256", authority("p256").not_after()).has_value());
}

TEST_CASE("the reason names the certificate and what can be done") {
  CHECK(sentence_of("expired") == "'CN=Root that ended, O=Example' expired on 2026-01-01 00:00 UTC");
  CHECK(sentence_of("not-a-ca") ==
        "'CN=A server, O=Example' is not a CA (basicConstraints CA:TRUE is missing)");
  CHECK(sentence_of("secp256k1") == "the private key is on none of the curves P-256, P-384 and P-521");
  CHECK(sentence_of("mismatch") ==
        "the private key does not belong to 'CN=Root of another key, O=Example', nor to another certificate "
        "there");
  CHECK(sentence_of("p256-encrypted").find("openssl pkey") != std::string::npos);
}

TEST_CASE("files that hold something else") {
  const std::string good = read_text(data_file("authorities/p256.pem"));
  const std::string key = read_text(data_file("authorities/p256.key"));
  const auto fault = [](const std::string& certificates, const std::string& key_text) {
    const auto loaded = Authority::from_pem(certificates, key_text, now_s);
    REQUIRE_FALSE(loaded.has_value());
    return std::pair(loaded.error().fault, loaded.error().of_key);
  };
  using enum AuthorityFault;
  CHECK(fault("", key) == std::pair(no_certificate, false));
  CHECK(fault(key, key) == std::pair(no_certificate, false));
  CHECK(fault(good, good) == std::pair(no_key, true));
  CHECK(fault(good, "") == std::pair(no_key, true));
  CHECK(fault(good.substr(0, good.size() / 2), key) == std::pair(not_pem, false));
  CHECK(fault(good, key.substr(0, key.size() / 2)) == std::pair(not_pem, true));
  CHECK(fault("-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n", key) ==
        std::pair(bad_certificate, false));
  CHECK(fault(good, "-----BEGIN PRIVATE KEY-----\nQUJD\n-----END PRIVATE KEY-----\n") ==
        std::pair(bad_key, true));
  std::string many;
  for (int i = 0; i < 9; ++i) many += good;
  CHECK(fault(many, key) == std::pair(too_many, false));
  CHECK(Authority::from_pem(good + key, good + key, now_s).has_value());  // both in one file
}

TEST_CASE("S18: files that are missing, no files, or readable for everybody") {
  const TemporaryDirectory directory;
  const std::string certificate = directory.write("ca.pem", read_text(data_file("authorities/p256.pem")));
  const std::string key = directory.write("ca.key", read_text(data_file("authorities/p256.key")));
  CHECK(chmod(key.c_str(), 0600) == 0);
  REQUIRE(load_authority(certificate, key, now_s).has_value());
  CHECK(chmod(key.c_str(), 0640) == 0);
  CHECK(load_authority(certificate, key, now_s).has_value());
  CHECK(chmod(key.c_str(), 0644) == 0);
  CHECK(error_of_files(certificate, key) ==
        key + ": everybody on this machine can read or change the private key; its mode is 0644: chmod 0600");
  CHECK(chmod(key.c_str(), 0600) == 0);
  const std::string missing = directory.file("missing");
  CHECK(error_of_files(missing, key) == missing + ": cannot read it: No such file or directory");
  CHECK(error_of_files(certificate, missing) == missing + ": cannot read it: No such file or directory");
  CHECK(error_of_files(directory.file(""), key).find("Is a directory") != std::string::npos);
  const std::string fifo = directory.file("fifo");
  REQUIRE(mkfifo(fifo.c_str(), 0600) == 0);
  CHECK(error_of_files(certificate, fifo) == fifo + ": cannot read it: not a regular file");
  const std::string broken =
      directory.write("broken.pem", "text\n-----BEGIN CERTIFICATE-----\nQ*\n-----END CERTIFICATE-----\n");
  CHECK(error_of_files(broken, key) == broken + ":3: not PEM: not base64");
}

TEST_CASE("S12: the CA for invalid origins says in its subject that it is not trusted") {
  const Authority one = Authority::make_untrusted(now_s);
  CHECK(one.certificate().common_name == "NOT TRUSTED: the origin's certificate is invalid");
  CHECK(one.certificate().is_ca);
  CHECK(one.not_before() < now_s);
  CHECK(one.not_after() > now_s + 365 * test_day_s);
  CHECK(one.certificate().fingerprint != Authority::make_untrusted(now_s).certificate().fingerprint);
}

TEST_CASE("private keys come out as they went in") {
  for (const char* name : {"p256", "p384", "p521", "rsa-2048"}) {
    const Authority ours = authority(name);
    const auto again = PrivateKey::parse("PRIVATE KEY", ours.key().pkcs8());
    REQUIRE_MESSAGE(again.has_value(), name);
    CHECK(again->is_key_of(ours.certificate().public_key));
    const bool is_rsa = ours.key().kind() == KeyKind::rsa;
    const auto traditional =
        PrivateKey::parse(is_rsa ? "RSA PRIVATE KEY" : "EC PRIVATE KEY", ours.key().traditional());
    REQUIRE_MESSAGE(traditional.has_value(), name);
    CHECK(traditional->is_key_of(ours.certificate().public_key));
  }
  CHECK(PrivateKey::parse("PRIVATE KEY", PrivateKey::generate_rsa_2048().pkcs8()).has_value());
}

TEST_CASE("a key whose parts do not belong together is refused") {
  Bytes der = authority("rsa-2048").key().traditional();
  der[der.size() / 2] ^= 1;
  const auto key = PrivateKey::parse("RSA PRIVATE KEY", der);
  REQUIRE_FALSE(key.has_value());
  CHECK((key.error() == KeyFault::inconsistent || key.error() == KeyFault::malformed));
}

TEST_CASE("openssl accepts a root of ours, with and without constraints") {
  const TemporaryDirectory directory;
  const PrivateKey key = PrivateKey::generate_p256();
  RootRequest request;
  request.common_name = "Žltý root";
  request.organization = "Example";
  request.not_before = now_s;
  request.not_after = now_s + 10 * test_day_s;
  const std::string plain = directory.write("plain.pem", write_pem("CERTIFICATE", make_root(request, key)));
  CHECK(openssl("verify -x509_strict -check_ss_sig -attime 1795262401 -CAfile " + plain + " " + plain).code ==
        0);
  request.domains = {"example.com"};
  request.networks = {*Cidr::parse("192.0.2.0/25"), *Cidr::parse("2001:db8::/33")};
  const std::string both = directory.write("both.pem", write_pem("CERTIFICATE", make_root(request, key)));
  const std::string text = openssl("x509 -noout -text -in " + both).output;
  CHECK(text.find("Name Constraints: critical") != std::string::npos);
  CHECK(text.find("DNS:example.com") != std::string::npos);
  CHECK(text.find("IP:192.0.2.0/255.255.255.128") != std::string::npos);
  CHECK(text.find("FFFF:FFFF:8000:0:0:0:0:0") != std::string::npos);
  CHECK(text.find("CA:TRUE, pathlen:0") != std::string::npos);
  CHECK(text.find("Excluded") == std::string::npos);
  request.networks.clear();
  const auto domains_alone = parse_certificate(make_root(request, key));
  REQUIRE(domains_alone.has_value());
  CHECK(domains_alone->name_constraints->excluded.size() == 2);
}
