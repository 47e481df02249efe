// A client's first bytes: whatever they are, the reader gives the same answer whole, byte by byte and in
// pieces; a hello that it accepts keeps every promise of its header, says the same when it is cut into other
// records, and has a JA4 of the right form.
#include <algorithm>
#include <string_view>

#include "base/check.h"
#include "base/ip.h"
#include "base/limits.h"
#include "fuzz/driver.h"
#include "hello/client_hello.h"
#include "unit/hello/hello_builder.h"

using namespace sluice;
using namespace sluice::hello;
using sluice::hello::testing::Bytes;

namespace {

// Byte by byte costs a call per byte; past this many, pieces have to do.
constexpr size_t bytewise_bytes_max = 8192;

/// Numbers that depend on the input alone, so that a failing input fails again.
class Numbers {
 public:
  explicit Numbers(std::span<const uint8_t> bytes) {
    for (const uint8_t byte : bytes) state_ = (state_ ^ byte) * 0x100000001b3u;  // FNV-1a
  }
  size_t below(size_t bound) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<size_t>(state_ >> 33) % bound;
  }

 private:
  uint64_t state_ = 0xcbf29ce484222325u;
};

bool same(const HelloReader::Outcome& one, const HelloReader::Outcome& other) {
  if (one.index() != other.index()) return false;
  if (const auto* fault = std::get_if<Malformed>(&one)) return *fault == *std::get_if<Malformed>(&other);
  if (const auto* hello = std::get_if<ClientHello>(&one)) return *hello == *std::get_if<ClientHello>(&other);
  return true;
}

HelloReader::Outcome read_at_once(std::span<const uint8_t> bytes) {
  HelloReader reader;
  return reader.read(bytes);
}

HelloReader::Outcome read_bytewise(std::span<const uint8_t> bytes) {
  HelloReader reader;
  for (size_t have = 0; have < bytes.size(); ++have) {
    auto outcome = reader.read(bytes.first(have));
    if (!std::holds_alternative<NeedMore>(outcome)) return outcome;
  }
  return reader.read(bytes);
}

/// At most eight pieces; each call gets an allocation of its own of exactly that many bytes, so that a
/// sanitizer sees a read past the end, or through a pointer of an earlier call.
HelloReader::Outcome read_in_pieces(std::span<const uint8_t> bytes, Numbers& numbers) {
  HelloReader reader;
  size_t have = 0;
  for (int piece = 0; piece < 7; ++piece) {
    have += numbers.below(std::min<size_t>(bytes.size() - have, size_t{1} << numbers.below(17)) + 1);
    const Bytes copy(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(have));
    auto outcome = reader.read(copy);
    if (!std::holds_alternative<NeedMore>(outcome)) return outcome;
  }
  return reader.read(bytes);
}

bool is_host_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

void check_name(const ClientHello& hello) {
  SLUICE_CHECK(hello.has_sni != hello.sni.empty());
  if (!hello.has_sni) return;
  SLUICE_CHECK(hello.sni.size() <= limits::host_bytes_max);
  SLUICE_CHECK(std::all_of(hello.sni.begin(), hello.sni.end(), is_host_character) ||
               (hello.sni.find(':') != std::string::npos && IpAddress::parse(hello.sni)));
  SLUICE_CHECK(hello.sni.front() != '.' && hello.sni.back() != '.');
  SLUICE_CHECK(hello.sni.find("..") == std::string::npos);
}

void check_promises(const ClientHello& hello, size_t size) {
  check_name(hello);
  SLUICE_CHECK(hello.message_bytes <= limits::hello_bytes_max);
  SLUICE_CHECK(hello.wire_bytes <= std::min(size, limits::hello_wire_bytes_max));
  SLUICE_CHECK(hello.wire_bytes == hello.message_bytes + 5 * hello.records);
  SLUICE_CHECK(hello.legacy_version >> 8 == 3);
  SLUICE_CHECK(!hello.versions.empty() &&
               std::none_of(hello.versions.begin(), hello.versions.end(), is_grease));
  SLUICE_CHECK(std::is_sorted(hello.versions.rbegin(), hello.versions.rend()));
  SLUICE_CHECK(hello.alpn.size() <= limits::alpn_protocols_max);
  SLUICE_CHECK(hello.extensions.size() <= limits::extensions_max);
  auto extensions = hello.extensions;
  std::sort(extensions.begin(), extensions.end());
  SLUICE_CHECK(std::adjacent_find(extensions.begin(), extensions.end()) == extensions.end());
  SLUICE_CHECK(std::binary_search(extensions.begin(), extensions.end(), 0) == hello.has_sni);
  SLUICE_CHECK(std::binary_search(extensions.begin(), extensions.end(), 0xfe0d) == hello.has_ech);
}

/// The handshake message inside records that are known to be well-formed.
Bytes message_in(std::span<const uint8_t> wire) {
  Bytes message;
  while (!wire.empty()) {
    const size_t length = static_cast<size_t>(wire[3] << 8 | wire[4]);
    testing::put(message, wire.subspan(5, length));
    wire = wire.subspan(5 + length);
  }
  return message;
}

void check_in_other_records(const ClientHello& hello, std::span<const uint8_t> bytes, Numbers& numbers) {
  const Bytes message = message_in(bytes.first(hello.wire_bytes));
  SLUICE_CHECK(message.size() == hello.message_bytes);
  std::vector<size_t> sizes(numbers.below(9));
  for (size_t& size : sizes) size = 1 + numbers.below(message.size() / 8);
  size_t total = 0;
  for (const size_t size : sizes) total += size;
  if (total >= message.size() || message.size() - total > 16384) return;
  auto outcome = read_at_once(testing::in_records(message, sizes));
  auto* other = std::get_if<ClientHello>(&outcome);
  SLUICE_CHECK(other != nullptr && other->records == sizes.size() + 1);
  other->records = hello.records;
  other->wire_bytes = hello.wire_bytes;
  SLUICE_CHECK(*other == hello);
}

/// Not a digest: it only shows that the whole text was handed over.
void add_up(std::span<const uint8_t> input, std::array<uint8_t, 32>& digest) {
  digest.fill(0);
  for (size_t i = 0; i < input.size(); ++i) digest[i % 32] = static_cast<uint8_t>(digest[i % 32] + input[i]);
}

void check_ja4(const ClientHello& hello) {
  const Ja4 fingerprint = ja4(hello, add_up);
  const std::string_view text(fingerprint.data(), fingerprint.size());
  SLUICE_CHECK(text[10] == '_' && text[23] == '_');
  SLUICE_CHECK(std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  }));
  const std::string raw = ja4_raw(hello);
  SLUICE_CHECK(raw.compare(0, 11, text.substr(0, 11)) == 0);
  SLUICE_CHECK(std::count(raw.begin(), raw.end(), '_') >= 2);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const uint8_t> bytes(data, size);
  Numbers numbers(bytes);
  const auto outcome = read_at_once(bytes);
  SLUICE_CHECK(same(outcome, read_in_pieces(bytes, numbers)));
  if (size <= bytewise_bytes_max) SLUICE_CHECK(same(outcome, read_bytewise(bytes)));
  if (const auto* fault = std::get_if<Malformed>(&outcome)) {
    SLUICE_CHECK(*name_of(*fault) != '?' && *text_of(*fault) != '?');
    // A handshake record's first byte is enough never to pass for "not TLS".
    SLUICE_CHECK(is_tls_like(*fault) || bytes.front() != 0x16);
  }
  if (const auto* hello = std::get_if<ClientHello>(&outcome)) {
    check_promises(*hello, size);
    check_in_other_records(*hello, bytes, numbers);
    check_ja4(*hello);
  }
  return 0;
}
