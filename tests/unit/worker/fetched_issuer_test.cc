// tls.fetch_intermediates: where an origin may send us, and what of an answer is believed.
#include "worker/fetched_issuer.h"

#include <doctest/doctest.h>

#include <fstream>
#include <string>

#include "base/fetch_limits.h"
#include "base/limits.h"
#include "base/log.h"
#include "unit/tls/certificates.h"
#include "unit/tls/origin_data.h"
#include "worker/intermediate_fetcher.h"

namespace {

using namespace sluice;
using namespace sluice::worker;
using testing::certificate_of;
using testing::origin_file;

std::span<const uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

std::string shown(const std::optional<FetchUrl>& url) {
  return url ? url->host + " " + std::to_string(url->port) + " " + url->target : "refused";
}

Endpoint endpoint(const std::string& text) {
  const auto parsed = Endpoint::parse(text);
  REQUIRE_MESSAGE(parsed, text);
  return *parsed;
}

}  // namespace

TEST_CASE("a URL for an issuer is plain http, and its parts are what was written") {
  CHECK(shown(FetchUrl::parse("http://ca.example/i.der")) == "ca.example 80 /i.der");
  CHECK(shown(FetchUrl::parse("HTTP://CA.Example:8080/a/b?c=d#e")) == "ca.example 8080 /a/b?c=d");
  CHECK(shown(FetchUrl::parse("http://ca.example")) == "ca.example 80 /");
  CHECK(shown(FetchUrl::parse("http://ca.example?x")) == "ca.example 80 /?x");
  CHECK(shown(FetchUrl::parse("http://ca.example:/x")) == "ca.example 80 /x");
  CHECK(shown(FetchUrl::parse("http://192.0.2.7/x")) == "192.0.2.7 80 /x");
  CHECK(shown(FetchUrl::parse("http://[2001:db8::7]:81/x")) == "2001:db8::7 81 /x");
  for (const char* refused : {"",
                              "http:",
                              "http://",
                              "http:///x",
                              "https://ca.example/",
                              "ldap://ca.example/",
                              "ftp://ca.example/",
                              "http://user@ca.example/",
                              "http://user:word@ca.example/",
                              "http://ca.example:0/",
                              "http://ca.example:65536/",
                              "http://ca.example:8o/",
                              "http://ca.example:80:80/",
                              "http://[2001:db8::7/",
                              "http://[192.0.2.7]/",
                              "http://[]/",
                              "http://[fe80::1%25eth0]/",
                              "http://ca.example /",
                              "http://ca.example/a b",
                              "http://ca.example/a\r\nX: y",
                              "http://ca.example/\xc3\xa9",
                              "http://ca\\example/",
                              "http://%31.example/"})
    CHECK_MESSAGE(shown(FetchUrl::parse(refused)) == "refused", refused);
  const std::string longest = "http://ca.example/" + std::string(limits::fetch_url_bytes_max - 18, 'x');
  CHECK(FetchUrl::parse(longest).has_value());
  CHECK_FALSE(FetchUrl::parse(longest + "x").has_value());
  CHECK(FetchUrl::parse("http://[2001:db8::7]:81/x")
            ->request()
            .starts_with("GET /x HTTP/1.1\r\nHost: [2001:db8::7]:81\r\n"));
  CHECK(FetchUrl::parse("http://ca.example/x")
            ->request()
            .starts_with("GET /x HTTP/1.1\r\nHost: ca.example\r\n"));
}

TEST_CASE("only public addresses are asked, and only on port 80") {
  for (const char* allowed :
       {"8.8.8.8:80", "1.1.1.1:80", "172.15.255.255:80", "172.32.0.0:80", "100.63.255.255:80",
        "100.128.0.0:80", "223.255.255.255:80", "[2606:4700::1111]:80", "[2a00:1450::1]:80",
        "[2001:4860::8888]:80", "[2001:200::1]:80"})
    CHECK_MESSAGE(may_fetch_from(endpoint(allowed), {}), allowed);
  for (const char* refused : {"0.0.0.0:80",
                              "0.1.2.3:80",
                              "10.0.0.1:80",
                              "100.64.0.1:80",
                              "127.0.0.1:80",
                              "127.255.255.255:80",
                              "169.254.169.254:80",
                              "172.16.0.1:80",
                              "172.31.255.255:80",
                              "192.0.0.1:80",
                              "192.0.2.1:80",
                              "192.88.99.1:80",
                              "192.168.1.1:80",
                              "198.18.0.1:80",
                              "198.19.255.255:80",
                              "198.51.100.1:80",
                              "203.0.113.1:80",
                              "224.0.0.1:80",
                              "239.1.2.3:80",
                              "240.0.0.1:80",
                              "255.255.255.255:80",
                              "[::]:80",
                              "[::1]:80",
                              "[::2]:80",
                              "[64:ff9b::7f00:1]:80",
                              "[100::1]:80",
                              "[2001::1]:80",
                              "[2001:db8::1]:80",
                              "[2002:7f00:1::1]:80",
                              "[3fff::1]:80",
                              "[4000::1]:80",
                              "[fc00::1]:80",
                              "[fd00::1]:80",
                              "[fe80::1]:80",
                              "[fec0::1]:80",
                              "[ff02::1]:80",
                              "8.8.8.8:22",
                              "8.8.8.8:443",
                              "[2606:4700::1111]:8080"})
    CHECK_MESSAGE(!may_fetch_from(endpoint(refused), {}), refused);
  const std::vector<Cidr> lab = {*Cidr::parse("10.10.0.0/16"), *Cidr::parse("fd00:10::/64")};
  CHECK(may_fetch_from(endpoint("10.10.3.4:8080"), lab));
  CHECK(may_fetch_from(endpoint("[fd00:10::9]:80"), lab));
  CHECK_FALSE(may_fetch_from(endpoint("10.11.0.1:80"), lab));
  CHECK_FALSE(may_fetch_from(endpoint("127.0.0.1:80"), lab));
  CHECK_FALSE(may_fetch_from(endpoint("8.8.8.8:81"), lab));
}

TEST_CASE("an answer is 200 with a bounded body, however it is cut") {
  using State = FetchReply::State;
  const auto outcome = [](std::string_view text, size_t piece, bool ends) {
    FetchReply reply;
    State state = State::more;
    while (!text.empty() && state == State::more) {
      const auto part = text.substr(0, piece);
      state = reply.take(bytes_of(part));
      text.remove_prefix(part.size());
    }
    if (ends) state = reply.finish();
    return std::pair(state, std::string(as_text(reply.body())));
  };
  const auto all = [&](const std::string& text, bool ends = true) {
    const auto whole = outcome(text, text.size(), ends);
    CHECK(outcome(text, 1, ends) == whole);
    return whole;
  };
  const std::pair complete{State::complete, std::string("body")};
  CHECK(all("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", false) == complete);
  CHECK(all("HTTP/1.0 200 OK\r\n\r\nbody") == complete);
  CHECK(all("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", false) ==
        complete);
  CHECK(all("HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", false) == complete);
  for (const char* refused :
       {"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 404 No\r\n\r\n", "HTTP/1.1 204 None\r\n\r\n",
        "HTTP/1.1 206 Part\r\nContent-Length: 4\r\n\r\nbody",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nbody",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody", "\x16\x03\x01 not http at all", ""})
    CHECK_MESSAGE(all(refused).first == State::refused, refused);

  const std::string most(limits::fetch_bytes_max, 'x');
  const auto with_length = [](const std::string& body) {
    return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  };
  CHECK(outcome(with_length(most), 4096, false).first == State::complete);
  CHECK(outcome(with_length(most + "x"), 4096, false).first == State::refused);
  CHECK(outcome("HTTP/1.1 200 OK\r\n\r\n" + most, 4096, true).first == State::complete);
  CHECK(outcome("HTTP/1.1 200 OK\r\n\r\n" + most + "x", 4096, true).first == State::refused);
}

TEST_CASE("certificates are read from DER, PEM and PKCS#7, and nothing from anything else") {
  const tls::testing::TemporaryDirectory folder;
  const auto intermediate = certificate_of("intermediate.pem");
  const auto subjects = [](std::span<const uint8_t> body) {
    std::string text;
    for (const auto& certificate : certificates_of(body)) text += certificate.common_name + ";";
    return text;
  };
  CHECK(subjects(intermediate.der) == "Lab Intermediate;");
  const std::string pem = origin_file("intermediate.pem");
  CHECK(subjects(bytes_of(pem)) == "Lab Intermediate;");
  CHECK(subjects(bytes_of(pem + origin_file("root.pem"))) == "Lab Intermediate;Lab Root;");
  for (const char* form : {"DER", "PEM"}) {
    const auto made = tls::testing::openssl(
        "crl2pkcs7 -nocrl -certfile tests/data/origin/intermediate.pem -certfile "
        "tests/data/origin/root.pem -outform " +
        std::string(form) + " -out " + folder.file("x"));
    REQUIRE_MESSAGE(made.code == 0, made.output);
    const std::string file = tls::testing::read_text(folder.file("x"));
    CHECK(subjects(bytes_of(file)) == "Lab Intermediate;Lab Root;");
    for (size_t length = 0; length < file.size(); ++length)
      (void)certificates_of(bytes_of(file).first(length));
  }
  tls::Bytes longer = intermediate.der;
  longer.push_back(0);
  CHECK(subjects(longer).empty());
  CHECK(subjects(std::span(intermediate.der).first(intermediate.der.size() - 1)).empty());
  for (const char* garbage :
       {"", "0", "<html>", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"})
    CHECK_MESSAGE(subjects(bytes_of(garbage)).empty(), garbage);
  std::string many;
  for (size_t i = 0; i <= limits::chain_certificates_max; ++i) many += pem;
  CHECK(certificates_of(bytes_of(many)).size() == limits::chain_certificates_max);
}

TEST_CASE("an issuer is a CA with the right name that has signed") {
  const auto good = certificate_of("chain-good.pem");
  const auto intermediate = certificate_of("intermediate.pem");
  CHECK(has_issued(intermediate, good));
  CHECK_FALSE(has_issued(certificate_of("root.pem"), good));             // another name
  CHECK_FALSE(has_issued(certificate_of("chain-forged.pem", 1), good));  // the same name, another key
  const auto not_a_ca = certificate_of("chain-issuer-not-a-ca.pem", 1);
  CHECK_FALSE(has_issued(not_a_ca, certificate_of("chain-issuer-not-a-ca.pem")));
}

TEST_CASE("what was tried is not tried again for an hour, and no more than so much is") {
  using Noted = Tried::Noted;
  Tried tried;
  CHECK(tried.note("a", 1000) == Noted::fresh);
  CHECK(tried.note("a", 1000 + limits::fetch_again_s - 1) == Noted::before);
  CHECK(tried.has("a", 1000 + limits::fetch_again_s - 1));
  CHECK_FALSE(tried.has("a", 1000 + limits::fetch_again_s));
  CHECK(tried.note("a", 1000 + limits::fetch_again_s) == Noted::fresh);
  const int64_t later_s = 1'000'000;
  for (size_t i = 0; i < limits::fetch_tried_max; ++i)
    CHECK(tried.note(std::to_string(i), later_s) == Noted::fresh);
  CHECK(tried.note("one more", later_s) == Noted::full);
  CHECK_FALSE(tried.has("one more", later_s));
  CHECK(tried.note("0", later_s) == Noted::before);
  CHECK(tried.note("one more", later_s + limits::fetch_again_s) == Noted::fresh);
}

TEST_CASE("requests wait in a queue that has an end, and a stopped fetcher takes none") {
  const Log log(-1, Log::Style::plain);
  IntermediateFetcher fetcher([](const auto&) { FAIL("nothing was begun"); }, log);
  for (size_t i = 0; i < limits::fetch_queue_max; ++i) fetcher.ask({});
  CHECK(fetcher.failures() == 0);
  fetcher.ask({});
  CHECK(fetcher.failures() == 1);
  fetcher.stop();
  fetcher.ask({});
  CHECK(fetcher.failures() == 1);
  CHECK(fetcher.fetched() == 0);
}
