#include "cli/stream_table.h"

#include <algorithm>
#include <utility>

#include "base/give_back.h"
#include "base/limits.h"
#include "http/reader.h"

namespace sluice::cli {
namespace {

/// A TLS record with the beginning of a ClientHello: worth reading even if the capture lacks the TCP
/// handshake.
bool looks_like_hello(std::span<const uint8_t> payload) {
  return payload.size() >= 6 && payload[0] == 0x16 && payload[1] == 0x03 && payload[5] == 0x01;
}

}  // namespace

const char* text_of(Incomplete why) {
  switch (why) {
    case Incomplete::silent:
      return "the client sent nothing";
    case Incomplete::closed:
      return "closed before the ClientHello was complete";
    case Incomplete::gap:
      return "the capture lacks part of the ClientHello";
    case Incomplete::capture_end:
      return "the capture ends inside the ClientHello";
    case Incomplete::crowded:
      return "too many connections at once in the capture";
  }
  return "?";
}

StreamTable::StreamTable(IsWanted is_wanted, Found found)
    : is_wanted_(std::move(is_wanted)), found_(std::move(found)) {}

void StreamTable::add(const Segment& segment, int64_t time_us) {
  if (segment.syn && !segment.ack) {
    const Key key{segment.from, segment.to};
    if (!is_wanted_(key.destination)) return;
    Stream* stream = find(key);
    const bool is_again = stream != nullptr && stream->first_sequence == segment.sequence + 1;
    if (!is_again) stream = &begin(key, segment.sequence + 1, time_us);
    add_from_client(*stream, segment);  // TCP Fast Open: there may be bytes already
  } else if (Stream* const ours = find({segment.from, segment.to})) {
    add_from_client(*ours, segment);
  } else if (Stream* const answered = find({segment.to, segment.from})) {
    if (segment.reset) give_up(*answered, Incomplete::closed);
  } else {
    add_unknown(segment, time_us);
  }
  while (bytes_kept_ > bytes_max) drop_oldest();
}

/// A segment of a connection of which the capture has shown nothing yet, and which is not the client's SYN.
void StreamTable::add_unknown(const Segment& segment, int64_t time_us) {
  if (segment.syn) {  // the SYN+ACK: only the answers were captured so far
    if (is_wanted_(segment.from)) begin({segment.to, segment.from}, segment.acknowledged, time_us);
  } else if (is_wanted_(segment.to) && !segment.payload.empty()) {
    Stream& stream = begin({segment.from, segment.to}, segment.sequence, time_us);
    if (looks_like_hello(segment.payload)) return add_from_client(stream, segment);
    ++begun_before_;
    stream.is_told = true;  // nothing can be told of it
  }
}

StreamTable::Stream* StreamTable::find(const Key& key) {
  const auto found = by_key_.find(key);
  return found == by_key_.end() ? nullptr : &*found->second;
}

StreamTable::Stream& StreamTable::begin(const Key& key, uint32_t first_sequence, int64_t time_us) {
  if (const auto old = by_key_.find(key); old != by_key_.end()) {  // the client uses its port again
    give_up(*old->second, Incomplete::closed);
    streams_.erase(old->second);
    by_key_.erase(old);
  }
  if (streams_.size() >= streams_max) drop_oldest();
  Stream& stream = streams_.emplace_back();
  by_key_.emplace(key, std::prev(streams_.end()));
  stream.key = key;
  stream.time_us = time_us;
  stream.first_sequence = first_sequence;
  return stream;
}

void StreamTable::add_from_client(Stream& stream, const Segment& segment) {
  if (stream.is_told) return;
  const uint32_t first = segment.sequence + (segment.syn ? 1 : 0);
  const auto offset = static_cast<int32_t>(first - stream.first_sequence);  // sequence numbers wrap
  take_payload(stream, offset, segment);
  if (stream.is_told) return;
  if (segment.fin && offset >= 0 && segment.payload_bytes < limits::hello_wire_bytes_max)
    stream.end = static_cast<size_t>(offset) + segment.payload_bytes;
  if (segment.reset || (stream.end && stream.bytes.size() >= *stream.end))
    give_up(stream, Incomplete::closed);
}

/// Puts a payload in its place: what is there already wins over what comes again, as in a receiver.
void StreamTable::take_payload(Stream& stream, int32_t offset, const Segment& segment) {
  if (segment.payload.size() < segment.payload_bytes) stream.has_gap = true;
  std::span<const uint8_t> payload = segment.payload;
  if (offset < 0) {
    const auto before = static_cast<size_t>(-static_cast<int64_t>(offset));
    payload = payload.subspan(std::min(before, payload.size()));
    offset = 0;
  }
  const auto at = static_cast<size_t>(offset);
  if (payload.empty() || at > limits::hello_wire_bytes_max) return;
  if (at > stream.bytes.size()) {
    if (stream.ahead.size() >= segments_ahead_max) return;
    const auto [place, is_new] = stream.ahead.try_emplace(at);
    std::vector<uint8_t>& kept = place->second;
    if (kept.size() >= payload.size()) return;
    bytes_kept_ += payload.size() - kept.size() + (is_new ? segment_overhead_bytes : 0);
    kept.assign(payload.begin(), payload.end());
    return;
  }
  append(stream, at, payload);
  while (!stream.is_told && !stream.ahead.empty() && stream.ahead.begin()->first <= stream.bytes.size()) {
    auto next = stream.ahead.extract(stream.ahead.begin());
    append(stream, next.key(), next.mapped());
    bytes_kept_ -= next.mapped().size() + segment_overhead_bytes;
  }
}

/// `offset` is not past the end of what is there.
void StreamTable::append(Stream& stream, size_t offset, std::span<const uint8_t> bytes) {
  const size_t known = stream.bytes.size() - offset;
  if (known >= bytes.size()) return;
  const auto fresh = bytes.subspan(known);
  stream.bytes.insert(stream.bytes.end(), fresh.begin(), fresh.end());
  bytes_kept_ += fresh.size();
  read_hello(stream);
}

void StreamTable::read_hello(Stream& stream) {
  auto outcome = stream.reader.read(stream.bytes);
  if (auto* hello = std::get_if<hello::ClientHello>(&outcome)) {
    tell(stream, std::move(*hello));
  } else if (const auto* malformed = std::get_if<hello::Malformed>(&outcome)) {
    tell(stream, *malformed);
  }
}

void StreamTable::tell(Stream& stream,
                       std::variant<hello::ClientHello, hello::Malformed, Incomplete> first_bytes) {
  stream.is_told = true;
  const bool is_http = http::recognise(stream.bytes) == http::Protocol::http;
  found_({stream.time_us, stream.key.client, stream.key.destination, std::move(first_bytes), is_http});
  bytes_kept_ -= stream.bytes.size();
  for (const auto& [offset, bytes] : stream.ahead) bytes_kept_ -= bytes.size() + segment_overhead_bytes;
  give_back(stream.bytes);
  stream.ahead.clear();
  stream.reader = {};
}

void StreamTable::give_up(Stream& stream, Incomplete why) {
  if (stream.is_told) return;
  if (why != Incomplete::crowded) {
    if (stream.has_gap || !stream.ahead.empty())
      why = Incomplete::gap;
    else if (stream.bytes.empty())
      why = Incomplete::silent;
  }
  tell(stream, why);
}

void StreamTable::drop_oldest() {
  Stream& oldest = streams_.front();
  give_up(oldest, Incomplete::crowded);
  by_key_.erase(oldest.key);
  streams_.pop_front();
}

void StreamTable::finish() {
  for (Stream& stream : streams_) give_up(stream, Incomplete::capture_end);
  streams_.clear();
  by_key_.clear();
}

}  // namespace sluice::cli
