// The inside of a ClientHello message. Internal to this room: others use HelloReader.
#pragma once

#include <optional>

#include "base/byte_reader.h"
#include "hello/client_hello.h"

namespace sluice::hello {

/// Parses the message behind its 4-byte handshake header (RFC 8446 section 4.1.2) into `hello`, except
/// `message_bytes`, `records` and `wire_bytes`. On a fault, returns it and leaves `hello` half filled.
[[nodiscard]] std::optional<Malformed> parse_body(ByteReader in, ClientHello& hello);

}  // namespace sluice::hello
