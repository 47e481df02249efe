// Records and reassembly: from the client's bytes to one handshake message body. What is in the body:
// parse_body.
#include <algorithm>

#include "base/byte_reader.h"
#include "base/check.h"
#include "base/limits.h"
#include "hello/client_hello.h"
#include "hello/parse_body.h"

namespace sluice::hello {
namespace {

constexpr size_t kRecordHeaderBytes = 5;
constexpr size_t kFragmentBytesMax = 1 << 14;  // RFC 8446 section 5.1
constexpr uint8_t kContentHandshake = 22;
constexpr uint8_t kContentFirst = 20;  // change_cipher_spec, alert, handshake, application_data, heartbeat
constexpr uint8_t kContentLast = 24;
constexpr uint8_t kVersionMajor = 3;  // of SSL 3.0 and every TLS
constexpr uint8_t kTypeClientHello = 1;

// What a fragmented hello gets up front. Real ones are up to 2.2 KB; a bigger claim has to be made good by
// bytes.
constexpr size_t kReserveBytesMax = 4096;

/// The first byte was not that of a handshake record: what is it? nullopt: needs more bytes to say.
///
/// SSLv2 hello (RFC 5246 appendix E.2): 2-byte length with the top bit set, type 1, version 0x0002 or 0x03xx.
std::optional<Malformed> classify_first_bytes(ByteReader in) {
  const auto first = in.u8();
  if (!first) return std::nullopt;
  if (*first >= kContentFirst && *first <= kContentLast) {
    const auto major = in.u8();
    if (!major) return std::nullopt;
    return *major == kVersionMajor ? Malformed::not_client_hello : Malformed::not_tls;
  }
  if (*first < 0x80) return Malformed::not_tls;
  if (!in.u8()) return std::nullopt;  // low byte of the length: any
  const auto type = in.u8();
  if (!type) return std::nullopt;
  if (*type != kTypeClientHello) return Malformed::not_tls;
  const auto major = in.u8();
  if (!major) return std::nullopt;
  if (*major == kVersionMajor) return Malformed::sslv2;
  if (*major != 0) return Malformed::not_tls;
  const auto minor = in.u8();
  if (!minor) return std::nullopt;
  return *minor == 2 ? Malformed::sslv2 : Malformed::not_tls;
}

}  // namespace

HelloReader::Outcome HelloReader::read(std::span<const uint8_t> bytes) {
  SLUICE_CHECK(bytes.size() >= position_);  // the prefix only grows
  for (;;) {
    Step step = Progress::go_on;
    if (record_left_ == 0) {
      step = read_record_header(bytes);
    } else if (message_header_bytes_ < message_header_.size()) {
      step = read_message_header(bytes);
    } else {
      step = read_message_body(bytes);
    }
    if (!step) return step.error();
    switch (*step) {
      case Progress::need_more:
        return NeedMore{};
      case Progress::go_on:
        break;
      case Progress::complete:
        return finish(bytes);
    }
  }
}

HelloReader::Step HelloReader::read_record_header(std::span<const uint8_t> bytes) {
  ByteReader in(bytes.subspan(position_));
  const ByteReader start = in;
  const auto type = in.u8();
  if (!type) return Progress::need_more;
  if (*type != kContentHandshake) {
    if (records_ > 0) return tl::unexpected(Malformed::interleaved_record);
    const auto reason = classify_first_bytes(start);
    if (!reason) return Progress::need_more;
    return tl::unexpected(*reason);
  }
  const auto major = in.u8();
  if (!major) return Progress::need_more;
  if (*major != kVersionMajor) return tl::unexpected(Malformed::bad_record_version);
  if (!in.u8())
    return Progress::need_more;  // minor: clients put 0, 1 or 3 there, and RFC 8446 says to ignore it
  const auto length = in.u16();
  if (!length) return Progress::need_more;
  if (*length == 0) return tl::unexpected(Malformed::empty_record);
  if (*length > kFragmentBytesMax) return tl::unexpected(Malformed::oversized_record);

  position_ += kRecordHeaderBytes;
  record_left_ = *length;
  ++records_;
  if (message_header_bytes_ < message_header_.size()) return Progress::go_on;
  // A ClientHello ends with its record (RFC 8446 section 5.1), so what follows cannot belong to it.
  if (record_left_ > body_bytes() - body_.size()) return tl::unexpected(Malformed::bytes_after_hello);
  // Before the message header is complete there can be at most four records, far from this limit.
  if (position_ + record_left_ > limits::hello_wire_bytes_max) {
    return tl::unexpected(Malformed::too_large_on_wire);
  }
  return Progress::go_on;
}

HelloReader::Step HelloReader::read_message_header(std::span<const uint8_t> bytes) {
  ByteReader in(bytes.subspan(position_));
  while (record_left_ > 0 && message_header_bytes_ < message_header_.size()) {
    const auto byte = in.u8();
    if (!byte) return Progress::need_more;
    if (message_header_bytes_ == 0 && *byte != kTypeClientHello) {
      return tl::unexpected(Malformed::not_client_hello);
    }
    message_header_[message_header_bytes_++] = *byte;
    ++position_;
    --record_left_;
  }
  if (message_header_bytes_ < message_header_.size())
    return Progress::go_on;  // the rest is in the next record

  const size_t body = body_bytes();
  if (message_header_.size() + body > limits::hello_bytes_max) return tl::unexpected(Malformed::too_large);
  if (record_left_ > body) return tl::unexpected(Malformed::bytes_after_hello);
  in_one_record_ = record_left_ == body;
  if (body == 0) return Progress::complete;
  if (!in_one_record_) body_.reserve(std::min(body, kReserveBytesMax));
  return Progress::go_on;
}

HelloReader::Step HelloReader::read_message_body(std::span<const uint8_t> bytes) {
  ByteReader in(bytes.subspan(position_));
  if (in_one_record_) return in.left() >= record_left_ ? Progress::complete : Progress::need_more;

  const auto fragment = in.bytes(std::min(in.left(), record_left_));
  SLUICE_CHECK(fragment.has_value());
  body_.insert(body_.end(), fragment->begin(), fragment->end());
  position_ += fragment->size();
  record_left_ -= fragment->size();
  if (record_left_ > 0) return Progress::need_more;
  return body_.size() == body_bytes() ? Progress::complete : Progress::go_on;
}

HelloReader::Outcome HelloReader::finish(std::span<const uint8_t> bytes) const {
  std::span<const uint8_t> body = body_;
  if (in_one_record_) body = bytes.subspan(position_, record_left_);
  Outcome outcome(std::in_place_type<ClientHello>);
  ClientHello& hello = *std::get_if<ClientHello>(&outcome);
  if (const auto reason = parse_body(ByteReader(body), hello)) return *reason;
  hello.message_bytes = message_header_.size() + body.size();
  hello.records = records_;
  hello.wire_bytes = position_ + record_left_;
  return outcome;
}

size_t HelloReader::body_bytes() const {
  ByteReader in(message_header_);
  const auto type = in.u8();
  const auto length = in.u24();
  SLUICE_CHECK(type.has_value() && length.has_value());
  return *length;
}

}  // namespace sluice::hello
