// Puts a ClientHello that its client spread over several records into as few as possible: wolfSSL does not
// take one in tiny records. The handshake transcript covers messages, not records, so nobody can tell (RFC
// 8446, section 4.4.1).
//
// Pure; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace sluice::tls {

/// `wire`: exactly the records that hold the hello, as hello::HelloReader accepted them
/// (`ClientHello::wire_bytes`). Returns the same message in one record, or in full ones if it is longer than
/// 16 KiB. Empty: `wire` is no such thing.
[[nodiscard]] std::vector<uint8_t> reframe_hello(std::span<const uint8_t> wire);

}  // namespace sluice::tls
