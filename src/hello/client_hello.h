// What the gateway reads of a ClientHello (RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2), and the
// incremental reader that turns a client's first bytes into it.
//
// Pure: no sockets, clocks or randomness. A HelloReader belongs to one connection and one thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
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
[[nodiscard]] const char* text_of(Malformed reason);  // a sentence for people, without a full stop

/// False when the bytes are no TLS at all (the only case for `tls.non_tls`, S8): certain from the first byte
/// for HTTP, SSH and the like. Whatever begins like TLS and is then broken, or is SSLv2, is true: some server
/// might still make sense of it, so it must never pass for "not TLS".
[[nodiscard]] bool is_tls_like(Malformed reason);

/// Reserved values that clients sprinkle in to keep others honest (RFC 8701): 0x0a0a, 0x1a1a … 0xfafa.
[[nodiscard]] constexpr bool is_grease(uint16_t value) {
  return (value & 0x0f0f) == 0x0a0a && (value >> 8) == (value & 0xff);
}

struct ClientHello {
  bool has_sni = false;
  std::string sni;                   // lower case, no trailing dot; empty without SNI. Letters, digits and
                                     // "-_." only, or an address literal as text (RFC 6066 forbids those, yet
                                     // some clients send them)
  std::vector<std::string> alpn;     // as offered, in order, without GREASE; raw bytes (may be unprintable)
  uint16_t legacy_version = 0;       // the field in the hello, e.g. 0x0303
  std::vector<uint16_t> versions;    // what is offered, highest first, without GREASE; from
                                     // supported_versions, else just legacy_version
  bool has_ech = false;              // extension 0xfe0d present: real outer hello or GREASE, nobody can tell
  std::vector<uint16_t> ciphers;     // in order, GREASE included
  std::vector<uint16_t> extensions;  // in order, GREASE included
  std::vector<uint16_t> signature_algorithms;
  std::vector<uint16_t> groups;      // supported_groups, in order, GREASE included
  std::vector<uint16_t> key_shares;  // groups of the key_share entries, GREASE included
  size_t message_bytes = 0;          // the handshake message, header included
  size_t records = 0;                // how many records it came in
  size_t wire_bytes = 0;             // those records, headers included; what follows is not the hello's

  [[nodiscard]] uint16_t version_max() const { return versions.empty() ? legacy_version : versions.front(); }
  bool operator==(const ClientHello&) const = default;
};

/// SHA-256 of `input`, as a function that the caller supplies: this room links no crypto.
using Sha256 = void (*)(std::span<const uint8_t> input, std::array<uint8_t, 32>& digest);

/// JA4 (TLS client fingerprint) over TCP, FoxIO's BSD-3-Clause definition:
/// "t13d1516h2_8daaf6152771_b186095e22b6".
using Ja4 = std::array<char, 36>;
[[nodiscard]] Ja4 ja4(const ClientHello& hello, Sha256 sha256);
/// JA4_r: the same, unhashed.
[[nodiscard]] std::string ja4_raw(const ClientHello& hello);

struct NeedMore {};

/// Reads a ClientHello from a growing prefix of the client's bytes: split over TCP segments at any offset,
/// and over any number of TLS records. The outcome does not depend on how the bytes were split into calls,
/// and each fault is reported by the first byte that makes it certain, so nobody waits for the rest of
/// something that is wrong already.
class HelloReader {
 public:
  using Outcome = std::variant<NeedMore, ClientHello, Malformed>;

  /// `bytes` is everything that the client has sent so far, from its first byte (the caller keeps it: it is
  /// replayed to the origin). Work is proportional to what is new since the last call. After anything but
  /// NeedMore the reader is finished. Bytes behind the ClientHello's last record (early data) are ignored.
  [[nodiscard]] Outcome read(std::span<const uint8_t> bytes);

 private:
  enum class Progress : uint8_t { need_more, go_on, complete };
  using Step = tl::expected<Progress, Malformed>;

  [[nodiscard]] Step read_record_header(std::span<const uint8_t> bytes);
  [[nodiscard]] Step read_message_header(std::span<const uint8_t> bytes);
  [[nodiscard]] Step read_message_body(std::span<const uint8_t> bytes);
  [[nodiscard]] Outcome finish(std::span<const uint8_t> bytes) const;
  [[nodiscard]] size_t body_bytes() const;  // from the message header, once that is complete

  size_t position_ = 0;     // offset in the client's bytes of the first one not yet consumed
  size_t record_left_ = 0;  // bytes of the current record not yet consumed; 0: a record header is next
  size_t records_ = 0;
  std::array<uint8_t, 4> message_header_{};  // handshake type and length (RFC 8446 section 4)
  uint8_t message_header_bytes_ = 0;         // how much of it is there
  bool in_one_record_ = false;               // then the body is parsed where it lies and body_ stays empty
  std::vector<uint8_t> body_;  // reassembled message body; used only when it spans several records
};

}  // namespace sluice::hello
