// What the gateway reads of a ClientHello (RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2), and the incremental
// reader that turns a client's first bytes into it.
//
// Pure: no sockets, clocks or randomness. A HelloReader belongs to one connection and one thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace sluice::hello {

/// Why bytes are not a well-formed ClientHello. Rows: malformed.def (name, text for people).
enum class Malformed : uint8_t {
#define SLUICE_MALFORMED(name, text) name,
#include "hello/malformed.def"
#undef SLUICE_MALFORMED
};
[[nodiscard]] const char* name_of(Malformed reason);  // "not_tls", stable, for logs
[[nodiscard]] const char* text_of(Malformed reason);  // a sentence for people

struct ClientHello {
  bool has_sni = false;
  std::string sni;                           // lower case, no trailing dot; empty without SNI
  std::vector<std::string> alpn;             // as offered, in order, without GREASE; raw bytes (may be unprintable)
  uint16_t legacy_version = 0;               // the field in the hello, e.g. 0x0303
  std::vector<uint16_t> versions;            // what is offered, best first, without GREASE; from supported_versions,
                                             // else just legacy_version
  bool has_ech = false;                      // extension 0xfe0d present: real outer hello or GREASE, nobody can tell
  std::vector<uint16_t> ciphers;             // in order, GREASE included
  std::vector<uint16_t> extensions;          // in order, GREASE included
  std::vector<uint16_t> signature_algorithms;
  std::vector<uint16_t> groups;              // supported_groups, in order, GREASE included
  std::vector<uint16_t> key_shares;          // groups of the key_share entries, GREASE included
  size_t message_bytes = 0;                  // the handshake message, header included
  size_t records = 0;                        // how many records it came in

  [[nodiscard]] uint16_t version_max() const { return versions.empty() ? legacy_version : versions.front(); }
};

/// SHA-256 of `input`, as a function that the caller supplies: this room links no crypto.
using Sha256 = void (*)(std::span<const uint8_t> input, std::array<uint8_t, 32>& digest);

/// JA4 (TLS client fingerprint) over TCP, FoxIO's BSD-3-Clause definition: "t13d1516h2_8daaf6152771_b186095e22b6".
using Ja4 = std::array<char, 36>;
[[nodiscard]] Ja4 ja4(const ClientHello& hello, Sha256 sha256);
/// JA4_r: the same, unhashed.
[[nodiscard]] std::string ja4_raw(const ClientHello& hello);

struct NeedMore {};

/// Reads a ClientHello from a growing prefix of the client's bytes: split over TCP segments at any offset, and over
/// any number of TLS records.
class HelloReader {
 public:
  using Outcome = std::variant<NeedMore, ClientHello, Malformed>;

  /// `bytes` is everything that the client has sent so far, from its first byte (the caller keeps it: it is replayed
  /// to the origin). Work is proportional to what is new since the last call. After anything but NeedMore the reader is
  /// finished. Bytes behind the ClientHello (early data) are ignored.
  [[nodiscard]] Outcome read(std::span<const uint8_t> bytes);

 private:
  size_t next_record_ = 0;            // offset in `bytes` of the first record header not yet consumed
  size_t records_ = 0;
  std::vector<uint8_t> message_;      // reassembled handshake bytes; used only when the hello spans several records
};

}  // namespace sluice::hello
