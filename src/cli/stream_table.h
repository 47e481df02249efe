// TCP segments of a capture -> the first bytes that each client sent, in order, up to its ClientHello.
//
// Pure: segments come from decode_packet, time is the capture's. Owns the bytes that it keeps: at most
// bytes_max (and as much again inside the readers of fragmented hellos) over at most streams_max connections.
// What does not fit ends as incomplete, the oldest first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "base/ip.h"
#include "cli/packet.h"
#include "hello/client_hello.h"

namespace sluice::cli {

/// Why a connection in a capture has no ClientHello.
enum class Incomplete : uint8_t {
  silent,       // the client sent nothing
  closed,       // it was closed or reset first
  gap,          // the capture lacks segments, or cut them
  capture_end,  // the capture ends first
  crowded,      // too many connections at once to keep this one
};
[[nodiscard]] const char* text_of(Incomplete why);

/// What a client began a connection with.
struct Beginning {
  int64_t time_us = 0;  // of the connection's first packet
  Endpoint client;
  Endpoint destination;
  std::variant<hello::ClientHello, hello::Malformed, Incomplete> first_bytes;
  bool is_http = false;  // a request in clear, as far as its first segments show
};

class StreamTable {
 public:
  static constexpr size_t streams_max = 65'536;
  static constexpr size_t bytes_max = 64 * 1024 * 1024;
  // Per connection. A hello of 64 KiB is about 45 segments; a client may send smaller ones.
  static constexpr size_t segments_ahead_max = 1024;
  // What keeping one costs besides its bytes: a node of the map and an allocation.
  static constexpr size_t segment_overhead_bytes = 96;

  using IsWanted = std::function<bool(const Endpoint& destination)>;
  using Found = std::function<void(const Beginning&)>;

  /// `found` is called once for each connection to a destination for which `is_wanted`, as soon as it is
  /// clear.
  StreamTable(IsWanted is_wanted, Found found);

  void add(const Segment& segment, int64_t time_us);
  /// The capture ends: tells of every connection that is still open.
  void finish();

  /// Connections whose beginning is not in the capture: what they began with cannot be known.
  [[nodiscard]] size_t begun_before() const { return begun_before_; }

 private:
  struct Key {
    Endpoint client;
    Endpoint destination;
    auto operator<=>(const Key&) const = default;
  };
  struct Stream {
    Key key;
    int64_t time_us = 0;
    uint32_t first_sequence = 0;  // of the first payload byte
    bool is_told = false;         // `found` was called; kept so that retransmissions are recognised
    bool has_gap = false;         // the capture cut a segment
    hello::HelloReader reader;
    std::vector<uint8_t> bytes;                    // in order, from the first
    std::map<size_t, std::vector<uint8_t>> ahead;  // offset -> bytes that came before their turn
    std::optional<size_t> end;                     // offset of the client's FIN
  };
  using Streams = std::list<Stream>;  // oldest first

  Stream* find(const Key& key);
  Stream& begin(const Key& key, uint32_t first_sequence, int64_t time_us);
  void add_unknown(const Segment& segment, int64_t time_us);
  void add_from_client(Stream& stream, const Segment& segment);
  void take_payload(Stream& stream, int32_t offset, const Segment& segment);
  void append(Stream& stream, size_t offset, std::span<const uint8_t> bytes);
  void read_hello(Stream& stream);
  void tell(Stream& stream, std::variant<hello::ClientHello, hello::Malformed, Incomplete> first_bytes);
  void give_up(Stream& stream, Incomplete why);
  void drop_oldest();

  IsWanted is_wanted_;
  Found found_;
  Streams streams_;
  std::map<Key, Streams::iterator> by_key_;
  size_t bytes_kept_ = 0;
  size_t begun_before_ = 0;
};

}  // namespace sluice::cli
