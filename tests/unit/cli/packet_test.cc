#include "cli/packet.h"

#include <doctest/doctest.h>

#include "unit/cli/packets.h"

using namespace sluice;
using namespace sluice::cli;
using namespace sluice::cli::testing;

namespace {

Packet v4_packet() {
  return {.from = endpoint("192.0.2.7:50000"),
          .to = endpoint("198.51.100.1:443"),
          .sequence = 0xfffffff0,
          .payload = to_bytes("hello"),
          .acknowledged = 77};
}
Packet v6_packet() {
  Packet packet = v4_packet();
  packet.from = endpoint("[2001:db8::7]:50000");
  packet.to = endpoint("[2001:db8::1]:443");
  return packet;
}

void check_is(const Packet& packet, LinkType link_type, const Bytes& bytes) {
  const Decoded decoded = decode_packet(link_type, bytes);
  REQUIRE(decoded.segment);
  CHECK(decoded.segment->from == packet.from);
  CHECK(decoded.segment->to == packet.to);
  CHECK(decoded.segment->sequence == packet.sequence);
  CHECK(decoded.segment->acknowledged == packet.acknowledged);
  CHECK(Bytes(decoded.segment->payload.begin(), decoded.segment->payload.end()) == packet.payload);
  CHECK(decoded.segment->payload_bytes == packet.payload.size());
}

NotTcp why_not(const Bytes& ip) {
  const Decoded decoded = decode_packet(LinkType::raw_ip, ip);
  CHECK(!decoded.segment);
  return decoded.why_not;
}

Bytes behind(Bytes head, const Bytes& ip) {
  put(head, ip);
  return head;
}

}  // namespace

TEST_CASE("a TCP segment is found behind every kind of link header, IPv4 and IPv6") {
  for (const Packet& packet : {v4_packet(), v6_packet()}) {
    const bool is_v4 = packet.from.address.is_v4();
    Bytes ethertype;
    put_u16(ethertype, is_v4 ? 0x0800 : 0x86dd);
    const Bytes ip = packet.ip();
    check_is(packet, LinkType::ethernet, packet.ethernet());
    check_is(packet, LinkType::ethernet, packet.ethernet({0x8100}));
    check_is(packet, LinkType::ethernet, packet.ethernet({0x88a8, 0x8100}));
    check_is(packet, LinkType::linux_sll, behind(behind(Bytes(14, 0), ethertype), ip));
    Bytes sll2 = ethertype;
    sll2.resize(20);
    check_is(packet, LinkType::linux_sll2, behind(sll2, ip));
    check_is(packet, LinkType::raw_ip, ip);
    check_is(packet, LinkType::loopback, behind({2, 0, 0, 0}, ip));
    Bytes pppoe = behind(Bytes(12, 0xaa), {0x88, 0x64, 0x11, 0x00, 0x00, 0x01, 0x00, 0x50});
    put_u16(pppoe, is_v4 ? 0x0021 : 0x0057);
    check_is(packet, LinkType::ethernet, behind(pppoe, ip));
  }
}

TEST_CASE("link-layer padding is not payload, and what the capture cut off is known to be missing") {
  Packet packet = v4_packet();
  packet.payload = to_bytes("x");
  packet.tcp_option_bytes = 0;
  Bytes padded = packet.ethernet();
  padded.resize(60);
  check_is(packet, LinkType::ethernet, padded);

  Bytes cut = v4_packet().ethernet();
  cut.resize(cut.size() - 3);
  const Decoded decoded = decode_packet(LinkType::ethernet, cut);
  REQUIRE(decoded.segment);
  CHECK(decoded.segment->payload.size() == 2);
  CHECK(decoded.segment->payload_bytes == 5);
}

TEST_CASE("a packet captured before segmentation offload has no length of its own") {
  Bytes ip = v4_packet().ip();
  ip[2] = ip[3] = 0;
  check_is(v4_packet(), LinkType::raw_ip, ip);
  ip = v6_packet().ip();
  ip[4] = ip[5] = 0;
  check_is(v6_packet(), LinkType::raw_ip, ip);
}

TEST_CASE("IPv6 extension headers are stepped over; fragments are named as such") {
  const Packet packet = v6_packet();
  check_is(packet, LinkType::raw_ip, packet.ip(0, {60, 0, 1, 4, 0, 0, 0, 0, 6, 0, 1, 4, 0, 0, 0, 0}));
  check_is(packet, LinkType::raw_ip, packet.ip(43, {6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}));
  check_is(packet, LinkType::raw_ip, packet.ip(51, {6, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1}));
  check_is(packet, LinkType::raw_ip, packet.ip(44, {6, 0, 0, 0, 0, 0, 0, 9}));  // an atomic fragment
  CHECK(why_not(packet.ip(44, {6, 0, 0, 1, 0, 0, 0, 9})) == NotTcp::fragment);
  CHECK(why_not(packet.ip(44, {6, 0, 5, 0, 0, 0, 0, 9})) == NotTcp::fragment);
  CHECK(why_not(packet.ip(17)) == NotTcp::other);
  CHECK(why_not(packet.ip(0, {6, 200, 1, 4, 0, 0, 0, 0})) == NotTcp::malformed);
  Bytes chain;
  for (int i = 0; i < 20; ++i) put(chain, Bytes{60, 0, 1, 4, 0, 0, 0, 0});
  CHECK(why_not(packet.ip(60, chain)) == NotTcp::malformed);

  Bytes fragment = v4_packet().ip();
  fragment[6] = 0x20;
  CHECK(why_not(fragment) == NotTcp::fragment);
  fragment[6] = 0x00;
  fragment[7] = 0x01;
  CHECK(why_not(fragment) == NotTcp::fragment);
}

TEST_CASE("headers that lie about their length are malformed, at every cut") {
  for (const Packet& packet : {v4_packet(), v6_packet()}) {
    const Bytes whole = packet.ethernet();
    const size_t headers = whole.size() - packet.payload.size();
    for (size_t length = 0; length < headers; ++length) {
      const Decoded decoded = decode_packet(LinkType::ethernet, std::span(whole).first(length));
      CHECK(!decoded.segment);
      CHECK(decoded.why_not == NotTcp::malformed);
    }
    for (size_t length = headers; length <= whole.size(); ++length)
      CHECK(decode_packet(LinkType::ethernet, std::span(whole).first(length)).segment);
  }
  Bytes short_header = v4_packet().ip();
  short_header[0] = 0x44;  // an IPv4 header of 16 bytes
  CHECK(why_not(short_header) == NotTcp::malformed);
  Bytes short_total = v4_packet().ip();
  short_total[3] = 30;  // the TCP header does not fit
  CHECK(why_not(short_total) == NotTcp::malformed);
  Bytes short_tcp = v4_packet().ip();
  short_tcp[32] = 0x40;  // a TCP header of 16 bytes
  CHECK(why_not(short_tcp) == NotTcp::malformed);
}

TEST_CASE("what is not IP is left alone") {
  const Bytes arp = behind(Bytes(12, 0xaa), {0x08, 0x06, 0, 1});
  CHECK(!decode_packet(LinkType::ethernet, arp).segment);
  CHECK(decode_packet(LinkType::ethernet, arp).why_not == NotTcp::other);
  CHECK(why_not({0x50, 0, 0, 0}) == NotTcp::other);
  CHECK(why_not({}) == NotTcp::malformed);
}
