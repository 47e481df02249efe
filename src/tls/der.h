// DER (X.690, section 10): a reader that refuses what is not DER, and a writer. Pure; any thread.
//
// The reader views bytes that it does not own. It goes by ByteReader, one element at a time and without
// recursion, so nesting costs no stack. The writer owns its buffer and fills it from the end towards the
// front, which is how every length is known when it is written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_reader.h"

namespace sluice::tls {

using Bytes = std::vector<uint8_t>;
/// Bytes that somebody else owns, mostly one DER element with its header.
using ByteView = std::span<const uint8_t>;

namespace der {

/// Identifier octets (X.690, 8.1.2), those with a tag number below 31 alone: certificates use no others.
enum Tag : uint8_t {
  boolean_tag = 0x01,
  integer_tag = 0x02,
  bit_string_tag = 0x03,
  octet_string_tag = 0x04,
  null_tag = 0x05,
  oid_tag = 0x06,
  utf8_string_tag = 0x0c,
  numeric_string_tag = 0x12,
  printable_string_tag = 0x13,
  t61_string_tag = 0x14,
  ia5_string_tag = 0x16,
  utc_time_tag = 0x17,
  generalized_time_tag = 0x18,
  visible_string_tag = 0x1a,
  universal_string_tag = 0x1c,
  bmp_string_tag = 0x1e,
  sequence_tag = 0x30,
  set_tag = 0x31,
};
/// [number], primitive as of an IMPLICIT string, or constructed as of an EXPLICIT or IMPLICIT SEQUENCE.
[[nodiscard]] constexpr uint8_t context(uint8_t number) { return static_cast<uint8_t>(0x80 | number); }
[[nodiscard]] constexpr uint8_t context_constructed(uint8_t number) {
  return static_cast<uint8_t>(0xa0 | number);
}

struct Element {
  uint8_t tag = 0;
  ByteView content;
  ByteView whole;  // with identifier and length
};

/// Reads elements one after the other. A read that fails leaves the reader where it was.
class Reader {
 public:
  Reader() = default;
  explicit Reader(ByteView bytes) : bytes_(bytes) {}

  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  /// Whether an element with this tag comes next.
  [[nodiscard]] bool is_next(uint8_t tag) const { return !bytes_.empty() && bytes_.rest()[0] == tag; }
  /// Any element. Nothing for an indefinite or padded length, a tag number past 30, or one past the end.
  [[nodiscard]] std::optional<Element> element();
  /// The same, when it has this tag.
  [[nodiscard]] std::optional<Element> element(uint8_t tag);
  /// The inside of a constructed element.
  [[nodiscard]] std::optional<Reader> inside(uint8_t tag);

  [[nodiscard]] std::optional<bool> boolean();
  /// The content octets of an INTEGER, shortest form; the sign is the first bit.
  [[nodiscard]] std::optional<ByteView> integer(uint8_t tag = integer_tag);
  /// An INTEGER from 0 to 2^31 - 1.
  [[nodiscard]] std::optional<uint32_t> small_integer(uint8_t tag = integer_tag);
  /// A BIT STRING of whole octets.
  [[nodiscard]] std::optional<ByteView> octet_bits();
  /// A BIT STRING of named bits: bit 0 is the most significant of the first octet, and of the result the
  /// least. Bits past 15 are ignored.
  [[nodiscard]] std::optional<uint16_t> named_bits(uint8_t tag = bit_string_tag);
  /// UTCTime or GeneralizedTime as RFC 5280, 4.1.2.5 has them: in seconds and "Z". Seconds since 1970.
  [[nodiscard]] std::optional<int64_t> time();

 private:
  ByteReader bytes_;
};

/// A string type of ASN.1 as UTF-8: T61 read as Latin-1, as everybody does; what does not decode becomes
/// U+FFFD. Nothing for a tag that is no string.
[[nodiscard]] std::optional<std::string> string_as_utf8(uint8_t tag, ByteView content);

/// Writes DER from the last element to the first: what is written later stands before it. `wrap` puts a
/// header around everything since a mark.
///
///     Writer out;
///     const size_t mark = out.mark();
///     out.integer(2); out.integer(1);
///     out.wrap(sequence_tag, mark);      // SEQUENCE { 1, 2 }
class Writer {
 public:
  Writer() = default;
  /// Room for so many octets is made at once.
  explicit Writer(size_t expected_bytes) : buffer_(expected_bytes) {}

  [[nodiscard]] size_t mark() const { return size_; }
  void wrap(uint8_t tag, size_t mark);

  /// Bytes as they are, mostly an element that was written or read elsewhere.
  void raw(ByteView bytes);
  void element(uint8_t tag, ByteView content);
  void element(uint8_t tag, std::string_view content);
  void boolean(bool value);
  void integer(uint32_t value);
  /// A magnitude, big-endian: leading zeros are dropped, one is put in front when the first bit is set.
  void unsigned_integer(ByteView magnitude);
  void oid(ByteView content) { element(oid_tag, content); }
  /// A BIT STRING of whole octets.
  void octet_bits(ByteView bits);
  /// A BIT STRING of named bits (bit 0 is the least significant of `bits`), without trailing zeros as DER
  /// wants it.
  void named_bits(uint16_t bits);
  /// UTCTime until 2049, GeneralizedTime from then on (RFC 5280, 4.1.2.5). Years 1950 to 9999; others are
  /// moved in.
  void time(int64_t unix_s);

  /// What was written so far. Valid until the next write.
  [[nodiscard]] ByteView bytes() const { return ByteView(buffer_).last(size_); }
  /// Forgets and overwrites all that was written, for keys.
  void wipe();
  [[nodiscard]] Bytes take() const {
    return {buffer_.end() - static_cast<std::ptrdiff_t>(size_), buffer_.end()};
  }

 private:
  uint8_t* make_room(size_t count);

  Bytes buffer_;
  size_t size_ = 0;  // the last so many octets of buffer_
};

}  // namespace der
}  // namespace sluice::tls
