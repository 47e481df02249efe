// Strict wherever two readers of the same bytes could come to different answers about the host (duplicates,
// second names, lengths that do not add up, bytes left over); lenient about everything that is the origin's
// business.
#include "hello/parse_body.h"

#include <algorithm>
#include <functional>

#include "base/ip.h"
#include "base/limits.h"

namespace sluice::hello {
namespace {

using Fault = std::optional<Malformed>;  // nullopt: well-formed

constexpr size_t kRandomBytes = 32;
constexpr size_t kSessionIdBytesMax = 32;
constexpr size_t kLabelBytesMax = 63;  // RFC 1035 section 2.3.4
constexpr uint8_t kVersionMajor = 3;
constexpr uint8_t kNameTypeHostName = 0;

// IANA "TLS ExtensionType Values".
constexpr uint16_t kServerName = 0;
constexpr uint16_t kSupportedGroups = 10;
constexpr uint16_t kSignatureAlgorithms = 13;
constexpr uint16_t kAlpn = 16;
constexpr uint16_t kPreSharedKey = 41;
constexpr uint16_t kSupportedVersions = 43;
constexpr uint16_t kKeyShare = 51;
constexpr uint16_t kEncryptedClientHello = 0xfe0d;

/// Lower case of each byte that a host name may contain, 0 for all others.
constexpr std::array<char, 256> kHostCharacters = [] {
  std::array<char, 256> table{};
  for (char c = 'a'; c <= 'z'; ++c) table[static_cast<uint8_t>(c)] = c;
  for (char c = 'A'; c <= 'Z'; ++c) table[static_cast<uint8_t>(c)] = static_cast<char>(c - 'A' + 'a');
  for (char c = '0'; c <= '9'; ++c) table[static_cast<uint8_t>(c)] = c;
  for (char c : {'-', '_', '.'}) table[static_cast<uint8_t>(c)] = c;
  return table;
}();

/// All 16-bit values of `in`. False when there is none, or half a one at the end.
bool read_u16_list(ByteReader in, std::vector<uint16_t>& values) {
  if (in.empty() || in.left() % 2 != 0) return false;
  values.resize(in.left() / 2);
  for (uint16_t& value : values)
    value = in.u16().value_or(0);  // always there: the count came from the length
  return true;
}

/// The same behind a length of `Prefix` bytes that must cover the whole extension.
template <size_t Prefix>
bool read_u16_extension(ByteReader extension, std::vector<uint16_t>& values) {
  const auto list = extension.prefixed<Prefix>();
  return list && extension.empty() && read_u16_list(*list, values);
}

/// `host` as lower-case text, if it is an IPv6 address. RFC 6066 forbids it as a server name; some clients do
/// it.
bool read_ipv6_literal(std::string_view host, std::string& name) {
  const auto colon = host.find(':');
  if (colon == std::string_view::npos || !IpAddress::parse(host)) return false;
  name.resize(host.size());
  std::transform(host.begin(), host.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c; });
  return true;
}

/// One host name, normalised: lower case, one trailing dot dropped.
Fault read_host_name(std::span<const uint8_t> bytes, std::string& name) {
  if (!bytes.empty() && bytes.back() == '.') bytes = bytes.first(bytes.size() - 1);
  if (bytes.empty()) return Malformed::sni_empty;
  if (bytes.size() > limits::host_bytes_max) return Malformed::sni_too_long;
  name.resize(bytes.size());
  size_t label_start = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    const char c = kHostCharacters[bytes[i]];
    if (c == 0) {
      if (read_ipv6_literal(as_text(bytes), name)) return std::nullopt;
      return Malformed::sni_bad_character;
    }
    name[i] = c;
    if (c != '.') continue;
    if (i == label_start) return Malformed::sni_empty_label;
    if (i - label_start > kLabelBytesMax) return Malformed::sni_long_label;
    label_start = i + 1;
  }
  if (label_start == bytes.size()) return Malformed::sni_empty_label;
  if (bytes.size() - label_start > kLabelBytesMax) return Malformed::sni_long_label;
  return std::nullopt;
}

/// RFC 6066 section 3. One name, of type host_name: that is all the type has ever been, and a second one of
/// any kind invites two parsers to choose differently.
Fault read_server_name(ByteReader extension, ClientHello& hello) {
  auto list = extension.prefixed<2>();
  if (!list) return extension.empty() ? Malformed::sni_empty : Malformed::sni_bad_length;
  if (!extension.empty()) return Malformed::sni_bad_length;
  if (list->empty()) return Malformed::sni_empty;
  const auto type = list->u8();
  if (!type) return Malformed::sni_bad_length;
  if (*type != kNameTypeHostName) return Malformed::sni_not_host_name;
  const auto name = list->prefixed<2>();
  if (!name) return Malformed::sni_bad_length;
  if (!list->empty()) return Malformed::sni_two_names;
  hello.has_sni = true;
  return read_host_name(name->rest(), hello.sni);
}

bool is_grease_protocol(std::span<const uint8_t> name) {  // RFC 8701 section 2: two bytes, 0x?A 0x?A
  return name.size() == 2 && is_grease(static_cast<uint16_t>(name[0] << 8 | name[1]));
}

/// RFC 7301 section 3.1.
Fault read_alpn(ByteReader extension, ClientHello& hello) {
  const auto list = extension.prefixed<2>();
  if (!list || !extension.empty()) return Malformed::alpn_bad_length;
  if (list->empty()) return Malformed::alpn_empty;
  size_t protocols = 0;
  for (ByteReader in = *list; !in.empty(); ++protocols) {
    const auto name = in.prefixed<1>();
    if (!name) return Malformed::alpn_bad_length;
    if (name->empty()) return Malformed::alpn_empty;
    if (protocols == limits::alpn_protocols_max) return Malformed::alpn_too_many;
  }
  hello.alpn.reserve(protocols);
  for (ByteReader in = *list; !in.empty();) {
    const auto name = in.prefixed<1>();
    if (name && !is_grease_protocol(name->rest())) hello.alpn.emplace_back(as_text(name->rest()));
  }
  return std::nullopt;
}

/// RFC 8446 section 4.2.1.
Fault read_supported_versions(ByteReader extension, ClientHello& hello) {
  if (!read_u16_extension<1>(extension, hello.versions)) return Malformed::bad_supported_versions;
  std::erase_if(hello.versions, is_grease);
  std::sort(hello.versions.begin(), hello.versions.end(), std::greater<>());
  return std::nullopt;
}

/// RFC 8446 section 4.2.8. An empty list is legal: it asks for a HelloRetryRequest.
Fault read_key_share(ByteReader extension, ClientHello& hello) {
  const auto shares = extension.prefixed<2>();
  if (!shares || !extension.empty()) return Malformed::bad_key_share;
  size_t count = 0;
  for (ByteReader in = *shares; !in.empty(); ++count) {
    const auto group = in.u16();
    const auto key = in.prefixed<2>();
    if (!group || !key || key->empty()) return Malformed::bad_key_share;
  }
  hello.key_shares.reserve(count);
  for (ByteReader in = *shares; !in.empty();) {
    hello.key_shares.push_back(in.u16().value_or(0));
    if (!in.prefixed<2>()) return Malformed::bad_key_share;
  }
  return std::nullopt;
}

Fault read_extension(uint16_t type, ByteReader extension, ClientHello& hello) {
  switch (type) {
    case kServerName:
      return read_server_name(extension, hello);
    case kAlpn:
      return read_alpn(extension, hello);
    case kSupportedVersions:
      return read_supported_versions(extension, hello);
    case kKeyShare:
      return read_key_share(extension, hello);
    case kEncryptedClientHello:
      hello.has_ech = true;
      return std::nullopt;
    case kSupportedGroups:
      if (!read_u16_extension<2>(extension, hello.groups)) return Malformed::bad_supported_groups;
      return std::nullopt;
    case kSignatureAlgorithms:
      if (!read_u16_extension<2>(extension, hello.signature_algorithms))
        return Malformed::bad_signature_algorithms;
      return std::nullopt;
  }
  return std::nullopt;  // all the others are between client and origin
}

/// Remembers which extensions were seen. 256 bits by the low byte answer nearly every question; only on a
/// collision is the list itself searched, and that has at most limits::extensions_max entries.
class Seen {
 public:
  /// True if `type` is in `types`, which are those passed to earlier calls.
  bool test_and_set(uint16_t type, const std::vector<uint16_t>& types) {
    uint64_t& word = bits_[(type >> 6) & 3];
    const uint64_t bit = uint64_t{1} << (type & 63);
    if ((word & bit) == 0) {
      word |= bit;
      return false;
    }
    return std::find(types.begin(), types.end(), type) != types.end();
  }

 private:
  std::array<uint64_t, 4> bits_{};
};

Fault read_extensions(ByteReader in, ClientHello& hello) {
  Seen seen;
  hello.extensions.reserve(
      std::min(in.left() / 4, size_t{24}));  // browsers send 12 to 20; 4 bytes is the least
  while (!in.empty()) {
    const auto type = in.u16();
    const auto extension = in.prefixed<2>();
    if (!type || !extension) return Malformed::truncated_extension;
    if (hello.extensions.size() == limits::extensions_max) return Malformed::too_many_extensions;
    if (seen.test_and_set(*type, hello.extensions)) return Malformed::duplicate_extension;
    // RFC 8446 section 4.2.11: the binders cover everything before them.
    if (!hello.extensions.empty() && hello.extensions.back() == kPreSharedKey)
      return Malformed::extension_after_psk;
    hello.extensions.push_back(*type);
    if (const Fault fault = read_extension(*type, *extension, hello)) return fault;
  }
  return std::nullopt;
}

Fault read_head(ByteReader& in, ClientHello& hello) {
  const auto version = in.u16();
  if (!version) return Malformed::truncated_head;
  if ((*version >> 8) != kVersionMajor) return Malformed::bad_version;
  hello.legacy_version = *version;
  if (!in.bytes(kRandomBytes)) return Malformed::truncated_head;
  const auto session_id = in.prefixed<1>();
  if (!session_id) return Malformed::truncated_session_id;
  if (session_id->left() > kSessionIdBytesMax) return Malformed::oversized_session_id;
  const auto ciphers = in.prefixed<2>();
  if (!ciphers) return Malformed::truncated_ciphers;
  if (ciphers->empty()) return Malformed::empty_ciphers;
  if (!read_u16_list(*ciphers, hello.ciphers)) return Malformed::odd_ciphers;
  const auto compression = in.prefixed<1>();
  if (!compression) return Malformed::truncated_compression;
  if (compression->empty()) return Malformed::empty_compression;
  return std::nullopt;
}

}  // namespace

std::optional<Malformed> parse_body(ByteReader in, ClientHello& hello) {
  if (const Fault fault = read_head(in, hello)) return fault;
  if (!in.empty()) {  // no extensions block at all is legal up to TLS 1.2 (RFC 5246 section 7.4.1.2)
    const auto extensions = in.prefixed<2>();
    if (!extensions) return Malformed::truncated_extensions;
    if (!in.empty()) return Malformed::trailing_bytes;
    if (const Fault fault = read_extensions(*extensions, hello)) return fault;
  }
  if (hello.versions.empty()) hello.versions.push_back(hello.legacy_version);
  return std::nullopt;
}

}  // namespace sluice::hello
