// One captured packet -> the TCP segment in it. Pure; nothing is owned: a segment views the packet's bytes.
//
// Reads Ethernet (VLAN tags and PPPoE included), Linux cooked (SLL, SLL2), raw IP, and the loopback types of
// BSD.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/ip.h"

namespace sluice::cli {

enum class LinkType : uint8_t { ethernet, linux_sll, linux_sll2, raw_ip, loopback };

struct Segment {
  Endpoint from;
  Endpoint to;
  uint32_t sequence = 0;
  uint32_t acknowledged = 0;  // meaningful with `ack`
  bool syn = false;
  bool ack = false;
  bool fin = false;
  bool reset = false;
  std::span<const uint8_t> payload;  // without link-layer padding
  size_t payload_bytes = 0;          // as sent; more than payload.size() when the capture cut it (tcpdump -s)
};

/// What is in a packet, when it is not a TCP segment.
enum class NotTcp : uint8_t {
  other,      // another protocol
  fragment,   // an IP fragment: these are not reassembled
  malformed,  // its headers contradict each other, or the capture cut them off
};

struct Decoded {
  std::optional<Segment> segment;
  NotTcp why_not = NotTcp::other;  // without a segment
};

[[nodiscard]] Decoded decode_packet(LinkType link_type, std::span<const uint8_t> packet);

}  // namespace sluice::cli
