#include "tls/reframe.h"

#include <algorithm>

#include "base/byte_reader.h"

namespace sluice::tls {

namespace {

constexpr uint8_t handshake_record = 22;
constexpr size_t record_bytes_max = 16384;  // RFC 8446, section 5.1

}  // namespace

std::vector<uint8_t> reframe_hello(std::span<const uint8_t> wire) {
  std::vector<uint8_t> message;
  message.reserve(wire.size());
  for (ByteReader records(wire); !records.empty();) {
    const auto type = records.u8();
    const auto version = records.u16();
    const auto fragment = records.prefixed<2>();
    if (!fragment || !version || type != handshake_record) return {};
    message.insert(message.end(), fragment->rest().begin(), fragment->rest().end());
  }
  if (message.empty()) return {};

  std::vector<uint8_t> framed;
  framed.reserve(message.size() + 5 * (message.size() / record_bytes_max + 1));
  for (std::span<const uint8_t> left(message); !left.empty();) {
    const size_t size = std::min(left.size(), record_bytes_max);
    // The version of the first record: clients differ there (0x0301 or 0x0303), and wolfSSL looks at it.
    const uint8_t header[] = {handshake_record, wire[1], wire[2], static_cast<uint8_t>(size >> 8),
                              static_cast<uint8_t>(size & 0xff)};
    framed.insert(framed.end(), std::begin(header), std::end(header));
    framed.insert(framed.end(), left.begin(), left.begin() + static_cast<std::ptrdiff_t>(size));
    left = left.subspan(size);
  }
  return framed;
}

}  // namespace sluice::tls
