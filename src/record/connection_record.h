// The access record of one connection (S35): plain values, filled by flow/finish, formatted by record/format.
//
// Views point into the session and its policy; a record lives only for the call that formats it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/ip.h"
#include "base/result.h"

namespace sluice::record {

enum class CloseReason : uint8_t {
#define SLUICE_CLOSE(name, side, text) name,
#include "record/close_reasons.def"
#undef SLUICE_CLOSE
};
inline constexpr size_t close_reason_count = 0
#define SLUICE_CLOSE(name, side, text) +1
#include "record/close_reasons.def"
#undef SLUICE_CLOSE
    ;
[[nodiscard]] const char* to_string(CloseReason reason);
[[nodiscard]] Side side_of(CloseReason reason);
[[nodiscard]] const char* text_of(CloseReason reason);

/// Empty strings and empty optionals are absent: they are left out of the line. Keys: SPEC section 6, "Log keys".
struct ConnectionRecord {
  int64_t time_us = 0;             // when the connection was accepted: microseconds since 1970-01-01 UTC
  uint64_t id = 0;                 // unique while the process lives
  std::string_view mode;           // "transparent", "explicit"
  Endpoint client;
  Endpoint destination;
  std::string_view interface;      // key "interface"
  std::string_view user;           // of the explicit proxy, who has proved his name
  std::string_view sni;
  std::string_view host;           // what the rules saw: SNI, else the address as text
  std::string_view alpn;           // what the client offers, joined with commas; a peer's bytes: escape them
  std::string_view tls_version;    // the best that the client offers: "1.3"
  std::string_view ja4;
  std::optional<bool> ech;         // absent: no hello was read
  std::string_view action;         // rules::to_string(Action)
  std::string_view tls_rule;       // the rule's name; "default" when the table's default applied
  std::string_view bypass_rule;
  std::string_view access_rule;
  std::string_view protection_rule;
  std::string_view origin_cert;    // the verdict on the origin's certificate: "ok", "expired,name_mismatch"
  std::optional<std::array<uint8_t, 32>> origin_fingerprint;  // SHA-256 of the origin's certificate, as DER
  std::string_view scan;           // "skipped" under a tunnel
  std::string_view scan_reason;    // "tunnel"; key "reason" (S5)
  uint64_t bytes_up = 0;           // client to origin, payload bytes delivered to the origin's socket
  uint64_t bytes_down = 0;         // origin to client
  std::optional<uint32_t> peek_us;       // from accept to the complete ClientHello; key ms.peek, in ms with 3 decimals
  std::optional<uint32_t> connect_us;    // the origin's TCP handshake; key ms.connect
  std::optional<uint32_t> origin_handshake_us;  // bump: the TLS handshake with the origin; key ms.origin_handshake
  std::optional<uint32_t> client_handshake_us;  // bump: the TLS handshake with the client; key ms.client_handshake
  uint64_t total_us = 0;                 // key ms.total
  CloseReason close = CloseReason::finished;
  std::string_view detail;         // key "detail": a Malformed's or http::Refusal's name, what failed in TLS, or an errno's name
};

}  // namespace sluice::record
