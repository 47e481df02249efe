// JA4 against what FoxIO publishes: github.com/FoxIO-LLC/ja4, technical_details/JA4.md (the definition and
// its worked example) and the outputs for the captures in its pcap/ folder (python/test/testdata/*.json,
// rust/ja4/src/snapshots).
#include "tls/digest.h"

#include <algorithm>
#include "unit/hello/hello_support.h"

using namespace sluice::hello;
using namespace sluice::hello::testing;

namespace {

std::string ja4_of(const ClientHello& hello) {
  const Ja4 fingerprint = ja4(hello, sluice::tls::sha256);
  return {fingerprint.data(), fingerprint.size()};
}

using U16s = std::vector<uint16_t>;

const U16s kChromiumCiphers = {0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9,
                               0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035};
const U16s kChromiumAlgorithms = {0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601};

ClientHello hello_with(U16s ciphers, U16s extensions, U16s algorithms, std::vector<std::string> alpn) {
  ClientHello hello;
  hello.legacy_version = 0x0303;
  hello.versions = {0x0304, 0x0303};
  hello.has_sni = std::find(extensions.begin(), extensions.end(), 0) != extensions.end();
  hello.ciphers = std::move(ciphers);
  hello.extensions = std::move(extensions);
  hello.signature_algorithms = std::move(algorithms);
  hello.alpn = std::move(alpn);
  return hello;
}

/// The worked example of technical_details/JA4.md, in its original order.
ClientHello worked_example() {
  return hello_with(kChromiumCiphers,
                    {0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012,
                     0x002b, 0xff01, 0x000b, 0x000a, 0x0015},
                    kChromiumAlgorithms, {"h2"});
}

std::string alpn_part(std::vector<std::string> alpn) {
  ClientHello hello = worked_example();
  hello.alpn = std::move(alpn);
  return ja4_of(hello).substr(8, 2);
}

}  // namespace

TEST_CASE("JA4.md: the worked example") {
  CHECK(ja4_of(worked_example()) == "t13d1516h2_8daaf6152771_e5627efa2ab1");
  CHECK(ja4_raw(worked_example()) ==
        "t13d1516h2_002f,0035,009c,009d,1301,1302,1303,c013,c014,c02b,c02c,c02f,c030,cca8,cca9_"
        "0005,000a,000b,000d,0012,0015,0017,001b,0023,002b,002d,0033,4469,ff01_"
        "0403,0804,0401,0503,0805,0501,0806,0601");
}

TEST_CASE("JA4.md: without signature algorithms the extension list ends without an underscore") {
  ClientHello hello = worked_example();
  hello.signature_algorithms.clear();
  CHECK(ja4_of(hello) == "t13d1516h2_8daaf6152771_6d807ffa2a79");
  CHECK(ja4_raw(hello).back() == '1');
  hello.signature_algorithms = {0x0a0a};  // nothing but GREASE is nothing
  CHECK(ja4_of(hello) == "t13d1516h2_8daaf6152771_6d807ffa2a79");
}

TEST_CASE(
    "published captures: Chrome without ALPN, and with a pre-shared key (tls-handshake.pcapng, streams 6 and "
    "31)") {
  const U16s common = {0x0005, 0x000a, 0x000b, 0x000d, 0x0012, 0x0015, 0x0017,
                       0x001b, 0x0023, 0x002b, 0x002d, 0x0033, 0xff01};
  U16s extensions = common;
  extensions.push_back(0x0000);
  CHECK(ja4_of(hello_with(kChromiumCiphers, extensions, kChromiumAlgorithms, {})) ==
        "t13d151400_8daaf6152771_de4a06bb82e3");
  extensions.insert(extensions.end(), {0x0010, 0x4469, 0x0029});
  CHECK(ja4_of(hello_with(kChromiumCiphers, extensions, kChromiumAlgorithms, {"http/1.1"})) ==
        "t13d1517h1_8daaf6152771_6cdcb247c39b");
}

TEST_CASE("published captures: Firefox (tls12.pcap)") {
  const ClientHello hello =
      hello_with({0x1301, 0x1303, 0x1302, 0xc02b, 0xc02f, 0xcca9, 0xcca8, 0xc02c, 0xc030, 0xc00a, 0xc009,
                  0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035},
                 {0x0000, 0x0017, 0xff01, 0x000a, 0x000b, 0x0023, 0x0010, 0x0005, 0x0022, 0x0033, 0x002b,
                  0x000d, 0x002d, 0x001c, 0x0015},
                 {0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201},
                 {"h2", "http/1.1"});
  CHECK(ja4_of(hello) == "t13d1715h2_5b57614c22b0_3d5424432f57");
  CHECK(ja4_raw(hello) ==
        "t13d1715h2_002f,0035,009c,009d,1301,1302,1303,c009,c00a,c013,c014,c02b,c02c,c02f,c030,cca8,cca9_"
        "0005,000a,000b,000d,0015,0017,001c,0022,0023,002b,002d,0033,ff01_"
        "0403,0503,0603,0804,0805,0806,0401,0501,0601,0203,0201");
}

TEST_CASE("published captures: Chrome of 2020 (badcurveball.pcap)") {
  U16s ciphers = kChromiumCiphers;
  ciphers.push_back(0x000a);
  U16s algorithms = kChromiumAlgorithms;
  algorithms.push_back(0x0201);
  CHECK(ja4_of(hello_with(ciphers,
                          {0x0000, 0x0017, 0xff01, 0x000a, 0x000b, 0x0023, 0x0010, 0x0005, 0x000d, 0x0012,
                           0x0033, 0x002d, 0x002b, 0x001b, 0x0015},
                          algorithms, {"h2"})) == "t13d1615h2_46e7e9700bed_45f260be83e2");
}

TEST_CASE(
    "published captures: a Chrome that sends GREASE among its signature algorithms (sigalg-grease.pcapng)") {
  // The bytes are our own capture of Chromium 156, which sends what that Chrome sent: JA4 and JA4_r are
  // equal.
  const ClientHello hello = parsed(captured("chromium-156-sends-x25519mlkem768-grease-and-ech"));
  REQUIRE(is_grease(hello.signature_algorithms.front()));
  CHECK(ja4_of(hello) == "t13d1517h2_8daaf6152771_cb7bf5808d99");
  CHECK(ja4_raw(hello) ==
        "t13d1517h2_002f,0035,009c,009d,1301,1302,1303,c013,c014,c02b,c02c,c02f,c030,cca8,cca9_"
        "0005,000a,000b,000d,0012,0017,001b,0023,002b,002d,0033,44cd,ca34,fe0d,ff01_"
        "0904,0905,0906,0403,0804,0401,0503,0805,0501,0806,0601");
}

TEST_CASE("GREASE changes nothing, wherever it stands") {
  HelloBuilder plain;
  plain.sni("www.example.com").alpn({"h2"}).versions({0x0304}).groups({29}).signature_algorithms({0x0403});
  HelloBuilder greased;
  greased.ciphers.insert(greased.ciphers.begin(), 0x1a1a);
  greased.extension(0x0a0a)
      .sni("www.example.com")
      .alpn({"\x3a\x3a", "h2"})
      .versions({0xfafa, 0x0304})
      .groups({0x2a2a, 29})
      .signature_algorithms({0x4a4a, 0x0403})
      .extension(0xeaea);
  CHECK(ja4_of(parsed(greased.wire())) == ja4_of(parsed(plain.wire())));
}

TEST_CASE("JA4.md: ALPN is two characters, or two hex digits when one is not alphanumeric") {
  CHECK(alpn_part({"h2", "http/1.1"}) == "h2");
  CHECK(alpn_part({"http/1.1"}) == "h1");
  CHECK(alpn_part({}) == "00");
  CHECK(alpn_part({""}) == "00");
  CHECK(alpn_part({"x"}) == "xx");
  CHECK(alpn_part({"\xab"}) == "ab");
  CHECK(alpn_part({"\xab\xcd"}) == "ad");
  CHECK(alpn_part({"\x30\xab"}) == "3b");
  CHECK(alpn_part({"\x30\x31\xab\xcd"}) == "3d");
  CHECK(alpn_part({"\x30\xab\xcd\x31"}) == "01");
  CHECK(alpn_part({"h-"}) == "6d");
}

TEST_CASE("JA4.md: versions") {
  const std::vector<std::pair<uint16_t, std::string>> codes = {
      {0x0304, "13"}, {0x0303, "12"}, {0x0302, "11"}, {0x0301, "10"}, {0x0300, "s3"},
      {0x0002, "s2"}, {0xfeff, "d1"}, {0xfefd, "d2"}, {0xfefc, "d3"}, {0x7f1c, "00"}};
  for (const auto& [version, code] : codes) {
    ClientHello hello = worked_example();
    hello.versions = {version};
    CHECK(ja4_of(hello).substr(1, 2) == code);
  }
  // From supported_versions if it is there, whatever its order, else from the hello itself.
  HelloBuilder old;
  old.legacy_version = 0x0302;
  CHECK(ja4_of(parsed(old.wire())).substr(0, 3) == "t11");
  CHECK(ja4_of(parsed(old.versions({0x0303, 0x5a5a, 0x0304}).wire())).substr(0, 3) == "t13");
}

TEST_CASE("JA4.md: d for a server name, even one that is an address, else i") {
  CHECK(ja4_of(parsed(HelloBuilder().sni("www.example.com").wire()))[3] == 'd');
  CHECK(ja4_of(parsed(HelloBuilder().sni("192.0.2.1").wire()))[3] == 'd');
  CHECK(ja4_of(parsed(HelloBuilder().alpn({"h2"}).wire()))[3] == 'i');
}

TEST_CASE("JA4.md: a part without values is twelve zeros") {
  ClientHello hello;
  hello.legacy_version = 0x0303;
  CHECK(ja4_of(hello) == "t12i000000_000000000000_000000000000");
  CHECK(ja4_raw(hello) == "t12i000000__");
  // Server name and ALPN are counted but not hashed.
  const ClientHello named = parsed(HelloBuilder().sni("www.example.com").alpn({"h2"}).wire());
  CHECK(ja4_of(named).substr(0, 10) == "t12d0402h2");
  CHECK(ja4_of(named).substr(24) == "000000000000");
}

TEST_CASE("JA4.md: counts stop at 99, the hash does not") {
  HelloBuilder hello;
  hello.ciphers.clear();
  for (uint16_t cipher = 0; cipher < 99; ++cipher)
    hello.ciphers.push_back(static_cast<uint16_t>(0xc000 + cipher));
  const std::string at = ja4_of(parsed(hello.wire()));
  hello.ciphers.push_back(0xd000);
  const std::string past = ja4_of(parsed(hello.wire()));
  CHECK(at.substr(4, 2) == "99");
  CHECK(past.substr(4, 2) == "99");
  CHECK(at.substr(11, 12) != past.substr(11, 12));
  for (uint16_t type = 0; type < 120; ++type) hello.extension(static_cast<uint16_t>(0x1000 + type));
  CHECK(ja4_of(parsed(hello.wire())).substr(6, 2) == "99");
}

TEST_CASE("the order of cipher suites and extensions does not matter, that of signature algorithms does") {
  ClientHello hello = worked_example();
  std::reverse(hello.ciphers.begin(), hello.ciphers.end());
  std::reverse(hello.extensions.begin(), hello.extensions.end());
  CHECK(ja4_of(hello) == ja4_of(worked_example()));
  std::reverse(hello.signature_algorithms.begin(), hello.signature_algorithms.end());
  CHECK(ja4_of(hello) != ja4_of(worked_example()));
}

TEST_CASE("a hello of nothing but cipher suites, or signature algorithms, has a fingerprint too") {
  HelloBuilder hello;
  hello.ciphers.clear();
  for (int i = 0; i < 32000; ++i) hello.ciphers.push_back(static_cast<uint16_t>(65535 - i));
  const ClientHello flood = parsed(hello.wire());
  CHECK(ja4_of(flood).substr(0, 8) == "t12i9900");
  // All of them, less GREASE, in order: hex digits of one case sort like the numbers.
  const std::string raw = ja4_raw(flood);
  std::vector<std::string> listed;
  for (size_t at = 11; at + 4 < raw.size(); at += 5) listed.push_back(raw.substr(at, 4));
  U16s expected = flood.ciphers;
  std::erase_if(expected, is_grease);
  CHECK(listed.size() == expected.size());
  CHECK(std::is_sorted(listed.begin(), listed.end()));
  std::reverse(hello.ciphers.begin(), hello.ciphers.end());
  CHECK(ja4_of(parsed(hello.wire())) == ja4_of(flood));
  HelloBuilder algorithms;
  algorithms.signature_algorithms(U16s(32000, 0x0403));
  const ClientHello read = parsed(algorithms.wire());
  CHECK(ja4_of(read).substr(0, 8) == "t12i0401");
  CHECK(ja4_raw(read).size() == 10 + 1 + 4 * 5 - 1 + 1 + 4 + 1 + 32000 * 5 - 1);
}

TEST_CASE("real clients have the fingerprints that their hellos spell out") {
  for (const auto& name : captured_names()) {
    CAPTURE(name);
    const ClientHello hello = parsed(captured(name));
    const std::string raw = ja4_raw(hello);
    const std::string hashed = ja4_of(hello);
    CHECK(hashed.substr(0, 10) == raw.substr(0, 10));
    // Hash what JA4_r shows, independently of how ja4() builds it.
    const auto hash = [](const std::string& text) {
      std::array<uint8_t, 32> digest{};
      sluice::tls::sha256({reinterpret_cast<const uint8_t*>(text.data()), text.size()}, digest);
      std::string hex;
      for (size_t i = 0; i < 6; ++i) {
        hex += "0123456789abcdef"[digest[i] >> 4];
        hex += "0123456789abcdef"[digest[i] & 15];
      }
      return hex;
    };
    const size_t second = raw.find('_', 11);
    CHECK(hashed.substr(11, 12) == hash(raw.substr(11, second - 11)));
    CHECK(hashed.substr(24) == hash(raw.substr(second + 1)));
  }
}
