// Builds ClientHellos, well-formed or not, for tests of any room. Header only; every field can be overridden,
// and no length is checked, so that a test can say exactly what is wrong with a hello.
//
//   Bytes wire = HelloBuilder().sni("www.example.com").alpn({"h2", "http/1.1"}).wire();
//   Bytes split = in_records(HelloBuilder::chromium("www.example.com").message(), 1);   // records of one
//   byte
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice::hello::testing {

using Bytes = std::vector<uint8_t>;

inline Bytes to_bytes(std::string_view text) { return {text.begin(), text.end()}; }

inline void put_u8(Bytes& out, size_t value) { out.push_back(static_cast<uint8_t>(value)); }
inline void put_u16(Bytes& out, size_t value) {
  put_u8(out, value >> 8 & 0xff);
  put_u8(out, value & 0xff);
}
inline void put_u24(Bytes& out, size_t value) {
  put_u8(out, value >> 16 & 0xff);
  put_u16(out, value & 0xffff);
}
inline void put(Bytes& out, std::span<const uint8_t> bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

/// `content` behind its length in `prefix` bytes (1, 2 or 3).
inline Bytes vector_of(size_t prefix, std::span<const uint8_t> content) {
  Bytes out;
  for (size_t i = prefix; i-- > 0;) put_u8(out, content.size() >> (8 * i) & 0xff);
  put(out, content);
  return out;
}
inline Bytes u16_list(const std::vector<uint16_t>& values) {
  Bytes out;
  for (const uint16_t value : values) put_u16(out, value);
  return out;
}
/// `count` bytes that are neither all alike nor random.
inline Bytes filler(size_t count) {
  Bytes out(count);
  for (size_t i = 0; i < count; ++i) out[i] = static_cast<uint8_t>(i * 31 + 7);
  return out;
}

/// One record of content type `type`; `fragment` may be longer than a record may be.
inline Bytes record(uint8_t type, uint16_t version, std::span<const uint8_t> fragment) {
  Bytes out;
  put_u8(out, type);
  put_u16(out, version);
  put_u16(out, fragment.size());
  put(out, fragment);
  return out;
}

/// `message` in handshake records whose fragments have these sizes; what is left over goes into one more.
inline Bytes in_records(std::span<const uint8_t> message, const std::vector<size_t>& sizes) {
  Bytes out;
  for (const size_t size : sizes) {
    put(out, record(22, 0x0301, message.first(std::min(size, message.size()))));
    message = message.subspan(std::min(size, message.size()));
  }
  if (!message.empty()) put(out, record(22, 0x0301, message));
  return out;
}
/// `message` in handshake records of `fragment_bytes` each.
inline Bytes in_records(std::span<const uint8_t> message, size_t fragment_bytes) {
  return in_records(
      message, std::vector<size_t>((message.size() + fragment_bytes - 1) / fragment_bytes, fragment_bytes));
}

/// A handshake message: type, 24-bit length, body.
inline Bytes handshake(uint8_t type, std::span<const uint8_t> body) {
  Bytes out;
  put_u8(out, type);
  put(out, vector_of(3, body));
  return out;
}

class HelloBuilder {
 public:
  struct Extension {
    uint16_t type;
    Bytes content;
  };

  uint16_t legacy_version = 0x0303;
  Bytes random = filler(32);
  Bytes session_id = filler(32);
  std::vector<uint16_t> ciphers = {0x1301, 0x1302, 0xc02b, 0xc02f};
  Bytes compression = {0};
  bool has_extensions = true;  // false: no extensions block at all
  std::vector<Extension> extensions;

  HelloBuilder& extension(uint16_t type, Bytes content = {}) {
    extensions.push_back({type, std::move(content)});
    return *this;
  }
  HelloBuilder& sni(std::string_view name) { return server_names({{0, std::string(name)}}); }
  /// Any number of names, each with its type (0 is host_name).
  HelloBuilder& server_names(const std::vector<std::pair<uint8_t, std::string>>& names) {
    Bytes list;
    for (const auto& [type, name] : names) {
      put_u8(list, type);
      put(list, vector_of(2, to_bytes(name)));
    }
    return extension(0, vector_of(2, list));
  }
  HelloBuilder& alpn(const std::vector<std::string>& protocols) {
    Bytes list;
    for (const auto& protocol : protocols) put(list, vector_of(1, to_bytes(protocol)));
    return extension(16, vector_of(2, list));
  }
  HelloBuilder& versions(const std::vector<uint16_t>& values) {
    return extension(43, vector_of(1, u16_list(values)));
  }
  HelloBuilder& groups(const std::vector<uint16_t>& values) {
    return extension(10, vector_of(2, u16_list(values)));
  }
  HelloBuilder& signature_algorithms(const std::vector<uint16_t>& values) {
    return extension(13, vector_of(2, u16_list(values)));
  }
  /// Each share: its group and how many bytes its key has.
  HelloBuilder& key_shares(const std::vector<std::pair<uint16_t, size_t>>& shares) {
    Bytes list;
    for (const auto& [group, key_bytes] : shares) {
      put_u16(list, group);
      put(list, vector_of(2, filler(key_bytes)));
    }
    return extension(51, vector_of(2, list));
  }
  /// Padding (RFC 7685) that brings the whole message to exactly `message_bytes`; it must have 4 bytes to
  /// spare.
  HelloBuilder& pad_to(size_t message_bytes) {
    return extension(21, Bytes(message_bytes - message().size() - 4));
  }

  [[nodiscard]] Bytes extensions_block() const {
    Bytes block;
    for (const auto& extension : extensions) {
      put_u16(block, extension.type);
      put(block, vector_of(2, extension.content));
    }
    return block;
  }
  [[nodiscard]] Bytes body() const {
    Bytes out;
    put_u16(out, legacy_version);
    put(out, random);
    put(out, vector_of(1, session_id));
    put(out, vector_of(2, u16_list(ciphers)));
    put(out, vector_of(1, compression));
    if (has_extensions) put(out, vector_of(2, extensions_block()));
    return out;
  }
  [[nodiscard]] Bytes message() const { return handshake(1, body()); }
  /// In one record, or in as many full ones as it takes.
  [[nodiscard]] Bytes wire() const { return in_records(message(), size_t{16384}); }

  /// The shape of a Chromium hello of 2026: GREASE in five places, X25519MLKEM768, ECH, ALPS, 1.8 KB.
  [[nodiscard]] static HelloBuilder chromium(std::string_view name) {
    HelloBuilder hello;
    hello.ciphers = {0xaaaa, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030,
                     0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035};
    hello.extension(0xdada)
        .sni(name)
        .extension(0x0017)
        .extension(0xff01, {0})
        .groups({0x2a2a, 0x11ec, 0x001d, 0x0017, 0x0018})
        .extension(0x000b, {1, 0})
        .extension(0x0023)
        .alpn({"h2", "http/1.1"})
        .extension(0x0005, {1, 0, 0, 0, 0})
        .signature_algorithms({0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601})
        .extension(0x0012)
        .key_shares({{0x2a2a, 1}, {0x11ec, 1216}, {0x001d, 32}})
        .extension(0x002d, {1, 1})
        .versions({0x7a7a, 0x0304, 0x0303})
        .extension(0x001b, {2, 0, 2})
        .extension(0x44cd, {0, 3, 2, 'h', '2'})
        .extension(0xfe0d, filler(218))
        .extension(0xcaca, {0});
    return hello;
  }
};

}  // namespace sluice::hello::testing
