// Every reason of malformed.def, reached by bytes, whole and byte by byte; and how early each is certain.
#include <set>

#include "base/limits.h"
#include "unit/hello/hello_support.h"

using namespace sluice::hello;
using namespace sluice::hello::testing;
namespace limits = sluice::limits;

namespace {

struct Case {
  Malformed reason;
  std::string what;
  Bytes bytes;
};

/// A message cut off after `bytes` bytes of its body, its own length and the record's set to match.
Bytes cut_body(const HelloBuilder& hello, size_t bytes) {
  Bytes body = hello.body();
  body.resize(bytes);
  return record(22, 0x0301, handshake(1, body));
}

HelloBuilder with(uint16_t extension, Bytes content) {
  HelloBuilder hello;
  hello.extension(extension, std::move(content));
  return hello;
}

HelloBuilder with_raw_sni(Bytes content) { return with(0, std::move(content)); }

std::string repeated(std::string_view text, size_t count) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out += text;
  return out;
}

/// A host name of exactly `count` characters in labels of at most 63.
std::string host_of(size_t count) {
  std::string name = repeated(std::string(49, 'a') + ".", count / 50 + 1).substr(0, count);
  if (name.back() == '.') name.back() = 'a';
  return name;
}

std::vector<Case> first_byte_cases() {
  using enum Malformed;
  return {
      {not_tls, "HTTP", to_bytes("GET / HTTP/1.1\r\n\r\n")},
      {not_tls, "SSH", to_bytes("SSH-2.0-OpenSSH_9.2\r\n")},
      {not_tls, "SMTP", to_bytes("EHLO example.com\r\n")},
      {not_tls, "a NUL", Bytes{0}},
      {not_tls, "an alert's number, but no TLS version", {21, 1, 1}},
      {not_tls, "top bit, but no SSLv2 client hello", {0x80, 0x2e, 2, 0, 2}},
      {not_tls, "top bit, type 1, no SSL version", {0x80, 0x2e, 1, 7, 7}},
      {not_tls, "top bit, type 1, version 0.3", {0x80, 0x2e, 1, 0, 3}},
      {sslv2, "SSL 2.0", {0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10}},
      {sslv2, "TLS 1.0 in SSLv2 clothes", {0x80, 0x2e, 1, 3, 1, 0, 0x15, 0, 0, 0, 0x10}},
      {not_client_hello, "an alert", record(21, 0x0301, Bytes{2, 40})},
      {not_client_hello, "change_cipher_spec", record(20, 0x0303, Bytes{1})},
      {not_client_hello, "application data", record(23, 0x0303, filler(20))},
      {not_client_hello, "a heartbeat", record(24, 0x0303, filler(20))},
      {not_client_hello, "a ServerHello", record(22, 0x0303, handshake(2, filler(70)))},
      {not_client_hello, "a HelloRequest", record(22, 0x0303, handshake(0, {}))},
  };
}

std::vector<Case> record_cases() {
  using enum Malformed;
  const Bytes message = HelloBuilder().sni("www.example.com").message();
  const auto two = [&](uint8_t type, const Bytes& second) {
    Bytes wire = record(22, 0x0301, std::span(message).first(50));
    put(wire, record(type, 0x0301, second));
    return wire;
  };
  Bytes longer = message;
  longer.push_back(0);
  Bytes two_messages = message;
  put(two_messages, message);
  Bytes second_too_long = record(22, 0x0301, std::span(message).first(50));
  put(second_too_long, record(22, 0x0301, std::span(longer).subspan(50)));
  return {
      {interleaved_record, "an alert in the middle", two(21, {1, 0})},
      {interleaved_record, "not even a record type in the middle", two('G', to_bytes("ET"))},
      {bad_record_version, "version 5.1", record(22, 0x0501, message)},
      {empty_record, "first", record(22, 0x0301, {})},
      {empty_record, "in the middle", two(22, {})},
      {oversized_record, "first", record(22, 0x0301, Bytes(16385, 1))},
      {too_large, "16 MiB announced", record(22, 0x0301, Bytes{1, 0xff, 0xff, 0xff})},
      {too_large_on_wire, "64 KiB in records of one byte",
       in_records(HelloBuilder().pad_to(limits::hello_bytes_max).message(), size_t{1})},
      {bytes_after_hello, "a byte", record(22, 0x0301, longer)},
      {bytes_after_hello, "a second hello in the record", record(22, 0x0301, two_messages)},
      {bytes_after_hello, "in the second record", second_too_long},
  };
}

std::vector<Case> message_cases() {
  using enum Malformed;
  const HelloBuilder hello = HelloBuilder().sni("www.example.com");
  // Body offsets: version 0, random 2, session id 34 (length) and 35..66, ciphers 67 (length) and 69..76
  // (four of them), compression 77 (length) and 78, extensions 79 (length) and 81.
  HelloBuilder ssl23 = hello;
  ssl23.legacy_version = 0x0203;
  HelloBuilder long_session = hello;
  long_session.session_id = filler(33);
  HelloBuilder no_ciphers = hello;
  no_ciphers.ciphers.clear();
  Bytes odd = HelloBuilder().body();
  odd[68] = 7;  // of its 8 bytes: then compression starts one byte early
  HelloBuilder no_compression = hello;
  no_compression.compression.clear();
  Bytes trailing = hello.body();
  trailing.push_back(0);
  Bytes overlong = hello.body();
  ++overlong[84];  // the low byte of the first extension's length
  HelloBuilder many;
  for (uint16_t type = 0; type <= limits::extensions_max; ++type)
    many.extension(static_cast<uint16_t>(0x1000 + type));
  HelloBuilder twice = hello;
  twice.sni("www.example.com");
  HelloBuilder unknown_twice = hello;
  unknown_twice.extension(0x1234).extension(0x1235).extension(0x1234);
  HelloBuilder grease_twice = hello;
  grease_twice.extension(0x0a0a).extension(0x0a0a);
  HelloBuilder psk = hello;
  psk.extension(41, filler(40)).extension(45, {1, 1});
  const auto message = [](const Bytes& body) { return record(22, 0x0301, handshake(1, body)); };
  return {
      {truncated_head, "an empty message", record(22, 0x0301, handshake(1, {}))},
      {truncated_head, "in the version", cut_body(hello, 1)},
      {truncated_head, "in the random", cut_body(hello, 33)},
      {bad_version, "SSL 2.3", ssl23.wire()},
      {truncated_session_id, "before its length", cut_body(hello, 34)},
      {truncated_session_id, "inside", cut_body(hello, 66)},
      {oversized_session_id, "33 bytes", long_session.wire()},
      {truncated_ciphers, "before their length", cut_body(hello, 67)},
      {truncated_ciphers, "inside", cut_body(hello, 76)},
      {empty_ciphers, "none", no_ciphers.wire()},
      {odd_ciphers, "seven bytes", message(odd)},
      {truncated_compression, "before its length", cut_body(hello, 77)},
      {truncated_compression, "inside", cut_body(hello, 78)},
      {empty_compression, "none", no_compression.wire()},
      {truncated_extensions, "in their length", cut_body(hello, 80)},
      {truncated_extensions, "inside", cut_body(hello, 90)},
      {trailing_bytes, "a byte after the extensions", message(trailing)},
      {truncated_extension, "longer than the block", message(overlong)},
      {truncated_extension, "three bytes are no extension", message([] {
         Bytes body = HelloBuilder().body();
         body[80] = 3;  // the low byte of the block's length
         put(body, Bytes{0, 23, 0});
         return body;
       }())},
      {too_many_extensions, "257", many.wire()},
      {duplicate_extension, "two server_name extensions", twice.wire()},
      {duplicate_extension, "of an unknown type", unknown_twice.wire()},
      {duplicate_extension, "of a GREASE type", grease_twice.wire()},
      {extension_after_psk, "psk_key_exchange_modes after pre_shared_key", psk.wire()},
  };
}

std::vector<Case> sni_cases() {
  using enum Malformed;
  const auto named = [](std::string_view name) { return HelloBuilder().sni(name).wire(); };
  const std::string nul_inside("www.example.com\0.evil.example", 29);
  return {
      {sni_bad_length, "half a list length", with_raw_sni({0}).wire()},
      {sni_bad_length, "list shorter than the extension", with_raw_sni({0, 4, 0, 0, 1, 'a', 'b'}).wire()},
      {sni_bad_length, "list longer than the extension", with_raw_sni({0, 9, 0, 0, 1, 'a'}).wire()},
      {sni_bad_length, "name longer than the list", with_raw_sni({0, 4, 0, 0, 9, 'a'}).wire()},
      {sni_bad_length, "a type and nothing else", with_raw_sni({0, 1, 0}).wire()},
      {sni_empty, "an empty extension", with_raw_sni({}).wire()},
      {sni_empty, "an empty list", HelloBuilder().server_names({}).wire()},
      {sni_empty, "an empty name", named("")},
      {sni_empty, "just a dot", named(".")},
      {sni_two_names, "two host names",
       HelloBuilder().server_names({{0, "a.example"}, {0, "b.example"}}).wire()},
      {sni_two_names, "a name and another type",
       HelloBuilder().server_names({{0, "a.example"}, {1, "b"}}).wire()},
      {sni_two_names, "a name and a stray byte", with_raw_sni({0, 5, 0, 0, 1, 'a', 0}).wire()},
      {sni_not_host_name, "type 1", HelloBuilder().server_names({{1, "a.example"}}).wire()},
      {sni_not_host_name, "type 1 in front",
       HelloBuilder().server_names({{1, "a"}, {0, "b.example"}}).wire()},
      {sni_bad_character, "NUL", named(nul_inside)},
      {sni_bad_character, "a space", named("www.example.com ")},
      {sni_bad_character, "a port", named("www.example.com:443")},
      {sni_bad_character, "a slash", named("www.example.com/x")},
      {sni_bad_character, "a wildcard", named("*.example.com")},
      {sni_bad_character, "UTF-8",
       named("b\xc3\xbc"
             "cher.example")},
      {sni_bad_character, "an IPv6 address in brackets", named("[2001:db8::1]")},
      {sni_bad_character, "an IPv6 address with a zone", named("fe80::1%eth0")},
      {sni_bad_character, "colons that are no address", named("1:2:3")},
      {sni_empty_label, "in front", named(".example.com")},
      {sni_empty_label, "in the middle", named("www..example.com")},
      {sni_empty_label, "two dots at the end", named("www.example.com..")},
      {sni_long_label, "64 bytes", named(std::string(64, 'a') + ".example.com")},
      {sni_long_label, "64 bytes at the end", named("www." + std::string(64, 'a'))},
      {sni_too_long, "254 bytes", named(host_of(254))},
      {sni_too_long, "254 bytes and a dot", named(host_of(254) + ".")},
      {sni_too_long, "60,000 bytes", named(host_of(60000))},
  };
}

std::vector<Case> other_extension_cases() {
  using enum Malformed;
  std::vector<std::string> protocols(limits::alpn_protocols_max + 1, "h2");
  return {
      {alpn_bad_length, "an empty extension", with(16, {}).wire()},
      {alpn_bad_length, "a byte too many", with(16, {0, 3, 2, 'h', '2', 0}).wire()},
      {alpn_bad_length, "name longer than the list", with(16, {0, 3, 3, 'h', '2'}).wire()},
      {alpn_empty, "an empty list", HelloBuilder().alpn({}).wire()},
      {alpn_empty, "an empty name", HelloBuilder().alpn({"h2", ""}).wire()},
      {alpn_too_many, "65", HelloBuilder().alpn(protocols).wire()},
      {bad_supported_versions, "an empty extension", with(43, {}).wire()},
      {bad_supported_versions, "an empty list", HelloBuilder().versions({}).wire()},
      {bad_supported_versions, "half a version", with(43, {3, 3, 4, 3}).wire()},
      {bad_supported_versions, "a byte too many", with(43, {2, 3, 4, 0}).wire()},
      {bad_supported_versions, "a server's form", with(43, {3, 4}).wire()},
      {bad_supported_groups, "an empty list", HelloBuilder().groups({}).wire()},
      {bad_supported_groups, "half a group", with(10, {0, 3, 0, 29, 0}).wire()},
      {bad_signature_algorithms, "an empty list", HelloBuilder().signature_algorithms({}).wire()},
      {bad_signature_algorithms, "a byte too many", with(13, {0, 2, 4, 3, 0}).wire()},
      {bad_key_share, "an empty extension", with(51, {}).wire()},
      {bad_key_share, "a byte too many", with(51, {0, 0, 0}).wire()},
      {bad_key_share, "an empty key", HelloBuilder().key_shares({{29, 0}}).wire()},
      {bad_key_share, "a key longer than the list", with(51, {0, 5, 0, 29, 0, 9, 1}).wire()},
  };
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (auto&& some :
       {first_byte_cases(), record_cases(), message_cases(), sni_cases(), other_extension_cases()}) {
    cases.insert(cases.end(), some.begin(), some.end());
  }
  return cases;
}

}  // namespace

TEST_CASE("S15: each fault has its reason, the same whole and byte by byte") {
  for (const Case& c : all_cases()) {
    CAPTURE(name_of(c.reason));
    CAPTURE(c.what);
    CHECK(to_string(read_at_once(c.bytes)) == name_of(c.reason));
    CHECK(to_string(read_bytewise(c.bytes)) == name_of(c.reason));
  }
}

TEST_CASE("no reason is without a test") {
  std::set<std::string> reached;
  for (const Case& c : all_cases()) reached.insert(name_of(c.reason));
#define SLUICE_MALFORMED(name, text) CHECK_MESSAGE(reached.count(#name) == 1, #name);
#include "hello/malformed.def"
#undef SLUICE_MALFORMED
}

TEST_CASE("every reason has a text of its own, without a full stop") {
  std::set<std::string> texts;
#define SLUICE_MALFORMED(name, text)                    \
  CHECK(std::string(text_of(Malformed::name)) == text); \
  CHECK_MESSAGE(texts.insert(text).second, #name);      \
  CHECK_MESSAGE(std::string(text).back() != '.', #name);
#include "hello/malformed.def"
#undef SLUICE_MALFORMED
}

TEST_CASE("S8: only what is not TLS at all may count as not TLS") {
#define SLUICE_MALFORMED(name, text) \
  CHECK(is_tls_like(Malformed::name) == (Malformed::name != Malformed::not_tls));
#include "hello/malformed.def"
#undef SLUICE_MALFORMED
}

TEST_CASE("S8: HTTP, SSH and any other protocol is known by its first byte, so that nobody waits") {
  size_t certain = 0;
  for (int first = 0; first < 256; ++first) {
    const bool record_type = first >= 20 && first <= 24;
    const bool sslv2 = first >= 0x80;
    const std::string expected = record_type || sslv2 ? "need_more" : "not_tls";
    CHECK(to_string(read_at_once({static_cast<uint8_t>(first)})) == expected);
    if (expected == "not_tls") ++certain;
  }
  CHECK(certain == 123);  // 256 less 5 record types and 128 SSLv2 lengths
}

TEST_CASE("a fault in the records is certain as soon as its byte is there") {
  const auto bytes_needed = [](const Bytes& bytes) {
    size_t used = 0;
    static_cast<void>(read_bytewise(bytes, &used));
    return used;
  };
  CHECK(bytes_needed(record(21, 0x0301, Bytes{2, 40})) == 2);                // alert: type and major version
  CHECK(bytes_needed(record(22, 0x0501, filler(50))) == 2);                  // bad_record_version
  CHECK(bytes_needed(record(22, 0x0301, {})) == 5);                          // empty_record
  CHECK(bytes_needed(record(22, 0x0301, handshake(2, filler(70)))) == 6);    // not_client_hello
  CHECK(bytes_needed(record(22, 0x0301, handshake(1, Bytes(20000)))) == 5);  // oversized_record
  CHECK(bytes_needed({0x80, 0x2e, 1, 3, 1, 0}) == 4);                        // sslv2
  CHECK(bytes_needed({0x80, 0x2e, 1, 0, 2, 0}) == 5);
}
