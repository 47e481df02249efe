// What client and origin of the load generator say to each other: sizes, and a real ClientHello to begin
// with.
//
// The byte flow of a connection resembles TLS 1.3 without its cryptography, so that the gateway's cost is
// measured and not OpenSSL's: hello -> server flight -> Finished -> tickets, then requests and answers of
// fixed size. Pure; used by both roles.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace bench {

inline constexpr size_t hello_bytes = 517;    // what browsers pad a hello without post-quantum shares to
inline constexpr size_t flight_bytes = 3072;  // ServerHello … Finished with a chain of two EC certificates
inline constexpr size_t client_flight_bytes = 96;  // ChangeCipherSpec and Finished
inline constexpr size_t tickets_bytes = 224;       // a NewSessionTicket or two
inline constexpr size_t request_bytes = 300;
inline constexpr size_t answer_bytes = 1024;

/// The origin reads this from the first byte of the hello's random (offset 11 of the stream).
enum class Flow : uint8_t { talk = 'T', stream = 'S' };
inline constexpr size_t flow_offset = 11;

/// Appends big-endian integers and nested vectors (RFC 8446, section 3.4) to a byte string.
class Writer {
 public:
  void u8(size_t v) { bytes_.push_back(static_cast<uint8_t>(v)); }
  void u16(size_t v) { u8(v >> 8), u8(v & 0xff); }
  void fill(size_t count, uint8_t v) { bytes_.insert(bytes_.end(), count, v); }
  void text(std::string_view s) { bytes_.insert(bytes_.end(), s.begin(), s.end()); }
  void list16(std::initializer_list<uint16_t> values) {
    for (uint16_t v : values) u16(v);
  }
  [[nodiscard]] size_t open(size_t prefix) {
    fill(prefix, 0);
    return bytes_.size();
  }
  void close(size_t begin, size_t prefix) {
    size_t length = bytes_.size() - begin;
    for (size_t i = 0; i < prefix; ++i, length >>= 8) bytes_[begin - 1 - i] = static_cast<uint8_t>(length);
  }
  [[nodiscard]] size_t size() const { return bytes_.size(); }
  [[nodiscard]] std::vector<uint8_t> take() { return std::move(bytes_); }

 private:
  std::vector<uint8_t> bytes_;
};

namespace detail {

template <typename Body>
void extension(Writer& w, uint16_t type, Body body) {
  w.u16(type);
  const size_t begin = w.open(2);
  body();
  w.close(begin, 2);
}

inline void extensions(Writer& w, std::string_view sni) {
  extension(w, 0x3a3a, [] {});  // GREASE, RFC 8701
  extension(w, 0, [&] {         // server_name, RFC 6066 section 3
    const size_t list = w.open(2);
    w.u8(0);
    const size_t name = w.open(2);
    w.text(sni);
    w.close(name, 2);
    w.close(list, 2);
  });
  extension(w, 23, [] {});                                                          // extended_master_secret
  extension(w, 0xff01, [&] { w.u8(0); });                                           // renegotiation_info
  extension(w, 10, [&] { w.u16(8), w.list16({0x4a4a, 0x001d, 0x0017, 0x0018}); });  // supported_groups
  extension(w, 11, [&] { w.u8(1), w.u8(0); });                                      // ec_point_formats
  extension(w, 35, [] {});                                                          // session_ticket
  extension(w, 16, [&] { w.u16(12), w.u8(2), w.text("h2"), w.u8(8), w.text("http/1.1"); });  // ALPN
  extension(w, 5, [&] { w.u8(1), w.u16(0), w.u16(0); });                                     // status_request
  extension(w, 13, [&] {  // signature_algorithms
    w.u16(16), w.list16({0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601});
  });
  extension(w, 51, [&] {  // key_share: GREASE and an X25519 share
    w.u16(41), w.list16({0x4a4a, 1}), w.u8(0), w.list16({0x001d, 32}), w.fill(32, 0x5c);
  });
  extension(w, 45, [&] { w.u8(1), w.u8(1); });                             // psk_key_exchange_modes
  extension(w, 43, [&] { w.u8(6), w.list16({0x6a6a, 0x0304, 0x0303}); });  // supported_versions
}

}  // namespace detail

/// One ClientHello in one record, `hello_bytes` long in all (for an SNI of up to 100 bytes).
inline std::vector<uint8_t> client_hello(std::string_view sni, Flow flow) {
  Writer w;
  w.u8(22), w.u16(0x0301);
  const size_t record = w.open(2);
  w.u8(1);
  const size_t message = w.open(3);
  w.u16(0x0303);
  w.u8(static_cast<uint8_t>(flow)), w.fill(31, 0xa7);  // random
  w.u8(32), w.fill(32, 0x1d);                          // session id
  w.u16(18), w.list16({0x2a2a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9});
  w.u8(1), w.u8(0);  // compression: none
  const size_t extensions = w.open(2);
  detail::extensions(w, sni);
  if (w.size() + 4 <= hello_bytes) {
    detail::extension(w, 21, [&] { w.fill(hello_bytes - w.size(), 0); });  // padding, RFC 7685
  }
  w.close(extensions, 2);
  w.close(message, 3);
  w.close(record, 2);
  return w.take();
}

/// A run of records that fills exactly `count` bytes: a ServerHello-like first record, then application data.
/// `count` must be at least 16.
inline std::vector<uint8_t> records(size_t count, uint8_t first_type) {
  Writer w;
  const auto record = [&](uint8_t type, size_t body) {
    w.u8(type), w.u16(0x0303), w.u16(body), w.fill(body, 0xee);
  };
  if (first_type == 22 && count > 200) {
    record(22, 122), record(20, 1);
  }
  record(first_type == 22 ? 23 : first_type, count - w.size() - 5);
  return w.take();
}

}  // namespace bench
