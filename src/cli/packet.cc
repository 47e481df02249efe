#include "cli/packet.h"

#include <algorithm>

#include "base/byte_reader.h"

namespace sluice::cli {
namespace {

constexpr uint16_t ethertype_ipv4 = 0x0800;
constexpr uint16_t ethertype_ipv6 = 0x86dd;
constexpr uint16_t ethertype_vlan = 0x8100;      // IEEE 802.1Q
constexpr uint16_t ethertype_qinq = 0x88a8;      // IEEE 802.1ad
constexpr uint16_t ethertype_qinq_old = 0x9100;  // before 802.1ad
constexpr uint16_t ethertype_pppoe = 0x8864;     // RFC 2516
constexpr uint8_t protocol_tcp = 6;

constexpr Decoded other = {std::nullopt, NotTcp::other};
constexpr Decoded fragment = {std::nullopt, NotTcp::fragment};
constexpr Decoded malformed = {std::nullopt, NotTcp::malformed};

/// RFC 9293 section 3.1. `ip_payload_bytes` is what the IP header promises; the capture may hold less, or
/// padding.
Decoded decode_tcp(ByteReader tcp, const IpAddress& from, const IpAddress& to, size_t ip_payload_bytes) {
  const auto from_port = tcp.u16();
  const auto to_port = tcp.u16();
  const auto sequence = tcp.u32();
  const auto acknowledged = tcp.u32();
  const auto offset_and_flags = tcp.u16();
  if (!from_port || !to_port || !sequence || !acknowledged || !offset_and_flags) return malformed;
  const size_t header_bytes = static_cast<size_t>(*offset_and_flags >> 12) * 4;
  constexpr size_t already_read_bytes = 14;
  if (header_bytes < 20 || header_bytes > ip_payload_bytes) return malformed;
  if (!tcp.bytes(header_bytes - already_read_bytes)) return malformed;

  Segment segment;
  segment.from = {from, *from_port};
  segment.to = {to, *to_port};
  segment.sequence = *sequence;
  segment.acknowledged = *acknowledged;
  segment.fin = (*offset_and_flags & 0x01) != 0;
  segment.syn = (*offset_and_flags & 0x02) != 0;
  segment.reset = (*offset_and_flags & 0x04) != 0;
  segment.ack = (*offset_and_flags & 0x10) != 0;
  segment.payload_bytes = ip_payload_bytes - header_bytes;
  segment.payload = tcp.rest().first(std::min(segment.payload_bytes, tcp.left()));
  return {segment, NotTcp::other};
}

std::optional<IpAddress> read_v4(ByteReader& reader) {
  const auto value = reader.u32();
  if (!value) return std::nullopt;
  return IpAddress::v4(*value);
}

std::optional<IpAddress> read_v6(ByteReader& reader) {
  const auto bytes = reader.bytes(16);
  if (!bytes) return std::nullopt;
  IpAddress address;
  std::copy(bytes->begin(), bytes->end(), address.bytes.begin());
  return address;
}

/// RFC 791 section 3.1.
Decoded decode_ipv4(ByteReader ip) {
  const size_t captured_bytes = ip.left();
  const auto version_and_length = ip.u8();
  const auto service = ip.u8();
  const auto total = ip.u16();
  const auto identification = ip.u16();
  const auto fragment_field = ip.u16();
  const auto ttl = ip.u8();
  const auto protocol = ip.u8();
  const auto checksum = ip.u16();
  const auto from = read_v4(ip);
  const auto to = read_v4(ip);
  if (!version_and_length || !service || !total || !identification || !fragment_field || !ttl || !protocol ||
      !checksum || !from || !to)
    return malformed;
  const size_t header_bytes = static_cast<size_t>(*version_and_length & 0x0f) * 4;
  // A length of zero: captured before the card cut it into packets (segmentation offload of more than 64
  // KiB).
  const size_t total_bytes = *total == 0 ? captured_bytes : *total;
  if (header_bytes < 20 || total_bytes < header_bytes || !ip.bytes(header_bytes - 20)) return malformed;
  if (*protocol != protocol_tcp) return other;
  if ((*fragment_field & 0x3fff) != 0) return fragment;  // more fragments, or an offset
  return decode_tcp(ip, *from, *to, total_bytes - header_bytes);
}

enum ExtensionHeader : uint8_t {
  hop_by_hop = 0,
  routing = 43,
  fragment_header = 44,
  authentication = 51,
  destination_options = 60,
};

/// RFC 8200 sections 3 and 4.
Decoded decode_ipv6(ByteReader ip) {
  const auto version_and_flow = ip.u32();
  const auto payload = ip.u16();
  auto next_header = ip.u8();
  const auto hop_limit = ip.u8();
  const auto from = read_v6(ip);
  const auto to = read_v6(ip);
  if (!version_and_flow || !payload || !next_header || !hop_limit || !from || !to) return malformed;
  size_t left_bytes = *payload == 0 ? ip.left() : *payload;  // zero: segmentation offload, as above

  constexpr int extension_headers_max = 8;
  for (int i = 0; i < extension_headers_max; ++i) {
    const uint8_t kind = *next_header;
    if (kind == protocol_tcp) return decode_tcp(ip, *from, *to, left_bytes);
    if (kind != hop_by_hop && kind != routing && kind != fragment_header && kind != authentication &&
        kind != destination_options)
      return other;
    next_header = ip.u8();
    const auto length = ip.u8();
    if (!next_header || !length) return malformed;
    size_t header_bytes = (static_cast<size_t>(*length) + 1) * 8;
    if (kind == authentication)
      header_bytes = (static_cast<size_t>(*length) + 2) * 4;  // RFC 4302 section 2.2
    if (kind == fragment_header) {
      header_bytes = 8;
      const auto offset_and_more = ip.u16();
      if (!offset_and_more || !ip.u32()) return malformed;
      if ((*offset_and_more & 0xfff9) != 0) return fragment;  // an atomic one has neither an offset nor more
    } else if (!ip.bytes(header_bytes - 2)) {
      return malformed;
    }
    if (header_bytes > left_bytes) return malformed;
    left_bytes -= header_bytes;
  }
  return malformed;
}

Decoded decode_ip(ByteReader ip) {
  ByteReader ahead = ip;
  const auto first = ahead.u8();
  if (!first) return malformed;
  if (*first >> 4 == 4) return decode_ipv4(ip);
  if (*first >> 4 == 6) return decode_ipv6(ip);
  return other;
}

Decoded decode_ethertype(ByteReader reader, std::optional<uint16_t> ethertype) {
  constexpr int tags_max = 4;
  for (int i = 0; i <= tags_max; ++i) {
    if (!ethertype) return malformed;
    if (*ethertype == ethertype_ipv4 || *ethertype == ethertype_ipv6) return decode_ip(reader);
    if (*ethertype == ethertype_pppoe) {
      constexpr uint16_t ppp_ipv4 = 0x0021;
      constexpr uint16_t ppp_ipv6 = 0x0057;
      const auto header = reader.bytes(6);  // version, type, code, session, length
      const auto protocol = reader.u16();
      if (!header || !protocol) return malformed;
      return *protocol == ppp_ipv4 || *protocol == ppp_ipv6 ? decode_ip(reader) : other;
    }
    if (*ethertype != ethertype_vlan && *ethertype != ethertype_qinq && *ethertype != ethertype_qinq_old)
      return other;
    if (!reader.u16()) return malformed;  // the tag
    ethertype = reader.u16();
  }
  return malformed;
}

}  // namespace

Decoded decode_packet(LinkType link_type, std::span<const uint8_t> packet) {
  ByteReader reader(packet);
  switch (link_type) {
    case LinkType::ethernet: {
      if (!reader.bytes(12)) return malformed;
      const auto ethertype = reader.u16();
      return decode_ethertype(reader, ethertype);
    }
    case LinkType::linux_sll: {
      if (!reader.bytes(14)) return malformed;
      const auto ethertype = reader.u16();
      return decode_ethertype(reader, ethertype);
    }
    case LinkType::linux_sll2: {
      const auto ethertype = reader.u16();
      if (!reader.bytes(18)) return malformed;
      return decode_ethertype(reader, ethertype);
    }
    case LinkType::raw_ip:
      return decode_ip(reader);
    case LinkType::loopback:
      // Four bytes of address family, in the byte order of whoever captured; the IP header says the same.
      return reader.bytes(4) ? decode_ip(reader) : malformed;
  }
  return malformed;
}

}  // namespace sluice::cli
