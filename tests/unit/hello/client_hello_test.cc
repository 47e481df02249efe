// What is read from a well-formed hello: from real clients (tests/data/hello) and from built ones.
#include "base/limits.h"

#include <algorithm>
#include "unit/hello/hello_support.h"

using namespace sluice::hello;
using namespace sluice::hello::testing;
namespace limits = sluice::limits;

namespace {

std::string sni_of(std::string_view name) { return parsed(HelloBuilder().sni(name).wire()).sni; }

using U16s = std::vector<uint16_t>;

}  // namespace

TEST_CASE("S15: Chromium 156, with GREASE, X25519MLKEM768 and ECH") {
  const Bytes wire = captured("chromium-156-sends-x25519mlkem768-grease-and-ech");
  const ClientHello hello = parsed(wire);
  CHECK(hello.has_sni);
  CHECK(hello.sni == "www.example.com");
  CHECK(hello.alpn == std::vector<std::string>{"h2", "http/1.1"});
  CHECK(hello.legacy_version == 0x0303);
  CHECK(hello.versions == U16s{0x0304, 0x0303});
  CHECK(hello.version_max() == 0x0304);
  CHECK(hello.has_ech);
  CHECK(hello.ciphers.size() == 16);
  CHECK(is_grease(hello.ciphers.front()));
  CHECK(is_grease(hello.extensions.front()));
  CHECK(is_grease(hello.extensions.back()));
  CHECK(is_grease(hello.groups.front()));
  CHECK(U16s(hello.groups.begin() + 1, hello.groups.end()) == U16s{0x11ec, 29, 23, 24});
  CHECK(hello.key_shares == U16s{hello.groups.front(), 0x11ec, 29});
  CHECK(hello.message_bytes == wire.size() - 5);
  CHECK(hello.records == 1);
  CHECK(hello.wire_bytes == wire.size());
}

TEST_CASE("S15: Firefox 153, with X25519MLKEM768 and ECH, without GREASE") {
  const ClientHello hello = parsed(captured("firefox-153-sends-x25519mlkem768-and-ech"));
  CHECK(hello.sni == "location.services.mozilla.com");
  CHECK(hello.has_ech);
  CHECK(hello.versions == U16s{0x0304, 0x0303});
  CHECK(hello.key_shares.front() == 0x11ec);
  for (const auto* values : {&hello.ciphers, &hello.extensions, &hello.groups}) {
    CHECK(std::none_of(values->begin(), values->end(), is_grease));
  }
}

TEST_CASE("S15: hellos of TLS 1.0, 1.2 and 1.3 from OpenSSL") {
  const ClientHello tls13 = parsed(captured("openssl-3-s-client-offers-h2-and-http11"));
  CHECK(tls13.sni == "www.example.com");
  CHECK(tls13.versions == U16s{0x0304, 0x0303, 0x0302, 0x0301});
  CHECK(tls13.alpn == std::vector<std::string>{"h2", "http/1.1"});
  CHECK(!tls13.has_ech);

  const ClientHello tls12 = parsed(captured("openssl-3-s-client-offers-only-tls12"));
  CHECK(tls12.versions == U16s{0x0303});
  CHECK(tls12.alpn.empty());
  CHECK(tls12.key_shares.empty());

  const ClientHello tls10 =
      parsed(captured("openssl-3-s-client-offers-only-tls10-without-signature-algorithms"));
  CHECK(tls10.versions == U16s{0x0301});
  CHECK(tls10.signature_algorithms.empty());
  CHECK(tls10.sni == "www.example.com");

  const ClientHello anonymous = parsed(captured("openssl-3-s-client-sends-no-sni"));
  CHECK(!anonymous.has_sni);
  CHECK(anonymous.sni.empty());
}

TEST_CASE("S15: other clients") {
  CHECK(parsed(captured("curl-7-goes-to-a-name-and-pads-to-517-bytes")).sni == "www.example.com");
  CHECK(!parsed(captured("curl-7-goes-to-an-address-without-sni")).has_sni);
  CHECK(parsed(captured("gnutls-3-cli-offers-tls13-without-alpn")).alpn.empty());
  CHECK(parsed(captured("wget-with-gnutls-goes-to-localhost")).sni == "localhost");
  CHECK(parsed(captured("node-20-offers-h2-and-59-cipher-suites")).ciphers.size() == 59);
}

TEST_CASE("S15: a hello without an extensions block, as TLS 1.0 allowed, and one with an empty block") {
  HelloBuilder hello;
  hello.legacy_version = 0x0301;
  hello.has_extensions = false;
  const ClientHello bare = parsed(hello.wire());
  CHECK(!bare.has_sni);
  CHECK(bare.versions == U16s{0x0301});
  CHECK(bare.extensions.empty());
  CHECK(bare.ciphers == U16s{0x1301, 0x1302, 0xc02b, 0xc02f});

  hello.has_extensions = true;
  CHECK(content_of(parsed(hello.wire())).extensions.empty());
}

TEST_CASE("the server name is lower-cased and loses one trailing dot") {
  CHECK(sni_of("WWW.Example.COM") == "www.example.com");
  CHECK(sni_of("www.example.com.") == "www.example.com");
  CHECK(sni_of("localhost") == "localhost");
  CHECK(sni_of("xn--bcher-kva.example") == "xn--bcher-kva.example");
  CHECK(sni_of("_dmarc.a-b.0-9.example") == "_dmarc.a-b.0-9.example");
  CHECK(sni_of("-odd-.example-") == "-odd-.example-");
}

TEST_CASE("an address as server name, which RFC 6066 forbids and some clients send, is kept as text") {
  CHECK(sni_of("192.0.2.1") == "192.0.2.1");
  CHECK(sni_of("2001:DB8::1") == "2001:db8::1");
  CHECK(sni_of("::ffff:192.0.2.1") == "::ffff:192.0.2.1");
}

TEST_CASE("names and labels of exactly the limit are read") {
  const std::string label(63, 'a');
  const std::string longest = label + "." + label + "." + label + "." + std::string(61, 'a');
  REQUIRE(longest.size() == limits::host_bytes_max);
  CHECK(sni_of(longest) == longest);
  CHECK(sni_of(longest + ".") == longest);
}

TEST_CASE("every character that is no letter, digit, hyphen, underscore or dot is refused") {
  for (int c = 0; c < 256; ++c) {
    const std::string name = std::string("a") + static_cast<char>(c) + "b.example";
    const bool allowed = (c < 128 && std::isalnum(c) != 0) || c == '-' || c == '_' || c == '.';
    CAPTURE(c);
    CHECK(to_string(read_at_once(HelloBuilder().sni(name).wire())) ==
          (allowed ? "hello" : "sni_bad_character"));
  }
}

TEST_CASE("versions are listed highest first, without GREASE, and unknown ones are kept") {
  CHECK(parsed(HelloBuilder().versions({0x0301, 0x2a2a, 0x0304, 0x0303}).wire()).versions ==
        U16s{0x0304, 0x0303, 0x0301});
  CHECK(parsed(HelloBuilder().versions({0x7f1c, 0x0303}).wire()).versions == U16s{0x7f1c, 0x0303});
  CHECK(parsed(HelloBuilder().versions({0x2a2a}).wire()).versions == U16s{0x0303});  // nothing but GREASE
}

TEST_CASE("ALPN keeps order and odd bytes, and drops GREASE (RFC 8701)") {
  const std::string odd("\x00\xff\x80", 3);
  const ClientHello hello = parsed(HelloBuilder().alpn({"\x0a\x0a", "h2", odd, "\xfa\xfa", "h"}).wire());
  CHECK(hello.alpn == std::vector<std::string>{"h2", odd, "h"});
}

TEST_CASE("exactly as many ALPN protocols and extensions as the limits are read") {
  const std::vector<std::string> protocols(limits::alpn_protocols_max, "h2");
  CHECK(parsed(HelloBuilder().alpn(protocols).wire()).alpn.size() == limits::alpn_protocols_max);

  HelloBuilder many;
  for (size_t type = 0; type < limits::extensions_max; ++type)
    many.extension(static_cast<uint16_t>(0x0100 * type + 99));
  CHECK(parsed(many.wire()).extensions.size() == limits::extensions_max);  // all with the same low byte
}

TEST_CASE("all sixteen GREASE values are known, and nothing else is one") {
  int count = 0;
  for (int value = 0; value <= 0xffff; ++value) {
    const bool expected = (value & 0xff) == value >> 8 && (value & 0x0f) == 0x0a;
    count += expected ? 1 : 0;
    REQUIRE(is_grease(static_cast<uint16_t>(value)) == expected);
  }
  CHECK(count == 16);
}

TEST_CASE("what is the origin's business is left to it") {
  HelloBuilder hello;
  hello.session_id.clear();
  hello.compression = {1, 64};  // without null, which RFC 5246 requires
  hello.legacy_version = 0x0399;
  hello.key_shares({});  // asks for a HelloRetryRequest
  hello.extension(0x1234, filler(9)).extension(5, filler(3)).extension(0xfe0d);
  hello.extension(41, filler(3));  // pre_shared_key, last
  const ClientHello read = parsed(hello.wire());
  CHECK(read.key_shares.empty());
  CHECK(read.has_ech);
  CHECK(read.extensions == U16s{51, 0x1234, 5, 0xfe0d, 41});
  CHECK(read.version_max() == 0x0399);
}
