// Builds packets as a capture holds them. Header only; for tests of src/cli.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/ip.h"
#include "unit/hello/hello_builder.h"

namespace sluice::cli::testing {

using hello::testing::Bytes;
using hello::testing::put;
using hello::testing::put_u16;
using hello::testing::put_u8;
using hello::testing::to_bytes;

inline void put_u32(Bytes& out, uint32_t value) {
  put_u16(out, value >> 16);
  put_u16(out, value & 0xffff);
}

enum TcpFlags : uint8_t { fin = 0x01, syn = 0x02, rst = 0x04, ack = 0x10 };

struct Packet {
  Endpoint from;
  Endpoint to;
  uint32_t sequence = 0;
  unsigned flags = ack;
  Bytes payload = {};
  uint32_t acknowledged = 0;
  size_t tcp_option_bytes = 12;  // as with timestamps; a multiple of four

  [[nodiscard]] Bytes tcp() const {
    Bytes out;
    put_u16(out, from.port);
    put_u16(out, to.port);
    put_u32(out, sequence);
    put_u32(out, acknowledged);
    put_u16(out, (20 + tcp_option_bytes) / 4 << 12 | flags);
    out.resize(20 + tcp_option_bytes, 1);  // window, checksum, urgent pointer, options: nobody looks
    put(out, payload);
    return out;
  }

  /// The IP packet. For IPv6, `extension` stands between the header and TCP, and `first_header` is its kind.
  [[nodiscard]] Bytes ip(uint8_t first_header = 6, const Bytes& extension = {}) const {
    const Bytes segment = tcp();
    Bytes out;
    if (from.address.is_v4()) {
      put_u16(out, 0x4500);
      put_u16(out, 20 + segment.size());
      put_u32(out, 0x12344000);  // identification, don't fragment
      put_u16(out, 0x4000u | first_header);
      put_u16(out, 0);
      put(out, std::span(from.address.bytes).last(4));
      put(out, std::span(to.address.bytes).last(4));
    } else {
      put_u32(out, 0x60000000);
      put_u16(out, extension.size() + segment.size());
      put_u8(out, first_header);
      put_u8(out, 64);
      put(out, from.address.bytes);
      put(out, to.address.bytes);
      put(out, extension);
    }
    put(out, segment);
    return out;
  }

  /// Ethernet, with VLAN tags of these ethertypes in front of the real one.
  [[nodiscard]] Bytes ethernet(std::initializer_list<uint16_t> tags = {}) const {
    Bytes out(12, 0xaa);
    for (const uint16_t tag : tags) {
      put_u16(out, tag);
      put_u16(out, 42);
    }
    put_u16(out, from.address.is_v4() ? 0x0800 : 0x86dd);
    put(out, ip());
    return out;
  }
};

inline Endpoint endpoint(std::string_view text) { return *Endpoint::parse(text); }

}  // namespace sluice::cli::testing
