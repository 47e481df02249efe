#include "tls/der.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace sluice::tls::der {
namespace {

constexpr uint32_t length_octets_max = 3;  // 16 MiB: more than any certificate may have

/// X.690, 8.1.3 and 10.1: definite, in the fewest octets.
std::optional<size_t> read_length(ByteReader& bytes) {
  const auto first = bytes.u8();
  if (!first) return std::nullopt;
  if (*first < 0x80) return *first;
  const uint32_t octets = *first & 0x7fu;
  if (octets == 0 || octets > length_octets_max) return std::nullopt;  // 0: indefinite
  size_t length = 0;
  for (uint32_t i = 0; i < octets; ++i) {
    const auto octet = bytes.u8();
    if (!octet) return std::nullopt;
    length = length << 8 | *octet;
  }
  const size_t least = octets == 1 ? 0x80 : size_t{1} << (8 * (octets - 1));
  if (length < least) return std::nullopt;
  return length;
}

/// Days since 1970-01-01 in the Gregorian calendar (H. Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms").
int64_t days_from_civil(int64_t year, unsigned month, unsigned day) {
  year -= month <= 2;
  const int64_t era = (year >= 0 ? year : year - 399) / 400;
  const auto year_of_era = static_cast<unsigned>(year - era * 400);
  const unsigned day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  const unsigned day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146097 + static_cast<int64_t>(day_of_era) - 719468;
}

struct Civil {
  int64_t year = 0;
  unsigned month = 0;
  unsigned day = 0;
};
Civil civil_from_days(int64_t days) {
  days += 719468;
  const int64_t era = (days >= 0 ? days : days - 146096) / 146097;
  const auto day_of_era = static_cast<unsigned>(days - era * 146097);
  const unsigned year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const unsigned shifted = (5 * day_of_year + 2) / 153;
  const unsigned month = shifted < 10 ? shifted + 3 : shifted - 9;
  const int64_t year = static_cast<int64_t>(year_of_era) + era * 400 + (month <= 2);
  return {year, month, day_of_year - (153 * shifted + 2) / 5 + 1};
}

unsigned days_in(int64_t year, unsigned month) {
  static constexpr unsigned days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return month == 2 && leap ? 29 : days[month - 1];
}

std::optional<unsigned> two_digits(ByteReader& text) {
  const auto pair = text.bytes(2);
  if (!pair) return std::nullopt;
  const unsigned tens = (*pair)[0] - unsigned{'0'};
  const unsigned ones = (*pair)[1] - unsigned{'0'};
  if (tens > 9 || ones > 9) return std::nullopt;
  return tens * 10 + ones;
}

std::optional<int64_t> read_time(int64_t century, bool two_digit_year, ByteReader text) {
  const auto year_digits = two_digits(text);
  const auto month = two_digits(text);
  const auto day = two_digits(text);
  const auto hour = two_digits(text);
  const auto minute = two_digits(text);
  const auto second = two_digits(text);
  if (!second || text.u8() != uint8_t{'Z'} || !text.empty()) return std::nullopt;
  int64_t year = century * 100 + *year_digits;
  if (two_digit_year) year = 1900 + *year_digits + (*year_digits < 50 ? 100 : 0);
  if (*month < 1 || *month > 12 || *day < 1 || *day > days_in(year, *month)) return std::nullopt;
  if (*hour > 23 || *minute > 59 || *second > 59) return std::nullopt;
  return days_from_civil(year, *month, *day) * 86400 + *hour * 3600 + *minute * 60 + *second;
}

void append_utf8(std::string& text, uint32_t code) {
  const auto add = [&](uint32_t octet) { text += static_cast<char>(static_cast<uint8_t>(octet)); };
  if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) code = 0xfffd;
  if (code < 0x80) return add(code);
  if (code < 0x800) {
    add(0xc0 | code >> 6);
  } else {
    if (code < 0x10000) {
      add(0xe0 | code >> 12);
    } else {
      add(0xf0 | code >> 18);
      add(0x80 | (code >> 12 & 0x3f));
    }
    add(0x80 | (code >> 6 & 0x3f));
  }
  add(0x80 | (code & 0x3f));
}

/// Characters of a fixed width (1, 2 or 4 octets). What is left over at the end becomes U+FFFD.
std::string widened(ByteReader content, size_t width) {
  std::string text;
  while (!content.empty()) {
    const auto character = content.bytes(std::min(width, content.left()));
    uint32_t code = 0;
    for (const uint8_t octet : *character) code = code << 8 | octet;
    append_utf8(text, character->size() == width ? code : 0xfffd);
  }
  return text;
}

}  // namespace

std::optional<Element> Reader::element() {
  ByteReader ahead = bytes_;
  const auto tag = ahead.u8();
  if (!tag || (*tag & 0x1f) == 0x1f) return std::nullopt;
  const auto length = read_length(ahead);
  if (!length) return std::nullopt;
  const auto content = ahead.bytes(*length);
  if (!content) return std::nullopt;
  const ByteView whole = bytes_.rest().first(bytes_.left() - ahead.left());
  bytes_ = ahead;
  return Element{*tag, *content, whole};
}

std::optional<Element> Reader::element(uint8_t tag) { return is_next(tag) ? element() : std::nullopt; }

std::optional<Reader> Reader::inside(uint8_t tag) {
  const auto found = element(tag);
  if (!found) return std::nullopt;
  return Reader(found->content);
}

std::optional<bool> Reader::boolean() {
  Reader ahead = *this;
  const auto found = ahead.element(boolean_tag);
  // X.690, 11.1: TRUE is all ones.
  if (!found || found->content.size() != 1) return std::nullopt;
  const uint8_t value = found->content[0];
  if (value != 0 && value != 0xff) return std::nullopt;
  *this = ahead;
  return value != 0;
}

std::optional<ByteView> Reader::integer(uint8_t tag) {
  Reader ahead = *this;
  const auto found = ahead.element(tag);
  if (!found || found->content.empty()) return std::nullopt;
  const ByteView content = found->content;
  if (content.size() > 1) {
    // X.690, 8.3.2: the first nine bits are not all the same.
    const bool first_bit = (content[1] & 0x80) != 0;
    if ((content[0] == 0 && !first_bit) || (content[0] == 0xff && first_bit)) return std::nullopt;
  }
  *this = ahead;
  return content;
}

std::optional<uint32_t> Reader::small_integer(uint8_t tag) {
  Reader ahead = *this;
  const auto content = ahead.integer(tag);
  if (!content || content->size() > 4 || ((*content)[0] & 0x80) != 0) return std::nullopt;
  uint32_t value = 0;
  for (const uint8_t octet : *content) value = value << 8 | octet;
  *this = ahead;
  return value;
}

std::optional<ByteView> Reader::octet_bits() {
  Reader ahead = *this;
  const auto found = ahead.element(bit_string_tag);
  if (!found || found->content.empty() || found->content[0] != 0) return std::nullopt;
  *this = ahead;
  return found->content.subspan(1);
}

std::optional<uint16_t> Reader::named_bits(uint8_t tag) {
  Reader ahead = *this;
  const auto found = ahead.element(tag);
  if (!found || found->content.empty()) return std::nullopt;
  const uint8_t unused = found->content[0];
  const ByteView octets = found->content.subspan(1);
  if (unused > 7 || (octets.empty() && unused != 0)) return std::nullopt;
  // X.690, 11.2.1: unused bits are zero. (11.2.2, no trailing zero bits, is broken by some certificates that
  // everybody accepts.)
  if (!octets.empty() && (octets.back() & ((1u << unused) - 1)) != 0) return std::nullopt;
  uint16_t bits = 0;
  for (size_t bit = 0; bit < 16 && bit / 8 < octets.size(); ++bit)
    if ((octets[bit / 8] & (0x80 >> (bit % 8))) != 0) bits = static_cast<uint16_t>(bits | 1u << bit);
  *this = ahead;
  return bits;
}

std::optional<int64_t> Reader::time() {
  Reader ahead = *this;
  const auto found = ahead.element();
  if (!found) return std::nullopt;
  ByteReader text(found->content);
  std::optional<int64_t> value;
  if (found->tag == utc_time_tag) {
    value = read_time(0, true, text);
  } else if (found->tag == generalized_time_tag) {
    if (const auto century = two_digits(text)) value = read_time(*century, false, text);
  }
  if (value) *this = ahead;
  return value;
}

std::optional<std::string> string_as_utf8(uint8_t tag, ByteView content) {
  // UTF-8 and the subsets of ASCII. Not checked here: whoever shows it passes it through printable().
  for (const uint8_t same :
       {utf8_string_tag, printable_string_tag, ia5_string_tag, numeric_string_tag, visible_string_tag})
    if (tag == same) return std::string(as_text(content));
  if (tag == t61_string_tag) return widened(ByteReader(content), 1);
  if (tag == bmp_string_tag) return widened(ByteReader(content), 2);
  if (tag == universal_string_tag) return widened(ByteReader(content), 4);
  return std::nullopt;
}

uint8_t* Writer::make_room(size_t count) {
  if (buffer_.size() - size_ < count) {
    Bytes larger(std::max<size_t>(2 * buffer_.size(), 2048) + count);
    if (size_ > 0) std::memcpy(larger.data() + larger.size() - size_, bytes().data(), size_);
    const size_t kept = size_;
    wipe();  // it may hold a key
    size_ = kept;
    buffer_ = std::move(larger);
  }
  size_ += count;
  return buffer_.data() + (buffer_.size() - size_);
}

void Writer::wipe() {
  if (!buffer_.empty()) explicit_bzero(buffer_.data(), buffer_.size());
  size_ = 0;
}

void Writer::wrap(uint8_t tag, size_t mark) {
  SLUICE_CHECK(mark <= size_);
  const size_t length = size_ - mark;
  SLUICE_CHECK(length < size_t{1} << (8 * length_octets_max));
  if (length < 0x80) {
    uint8_t* const out = make_room(2);
    out[0] = tag;
    out[1] = static_cast<uint8_t>(length);
    return;
  }
  const size_t octets = length < 0x100 ? 1 : length < 0x10000 ? 2 : 3;
  uint8_t* const out = make_room(2 + octets);
  out[0] = tag;
  out[1] = static_cast<uint8_t>(0x80 | octets);
  for (size_t i = 0; i < octets; ++i) out[2 + i] = static_cast<uint8_t>(length >> (8 * (octets - 1 - i)));
}

void Writer::raw(ByteView bytes) {
  if (!bytes.empty()) std::memcpy(make_room(bytes.size()), bytes.data(), bytes.size());
}

void Writer::element(uint8_t tag, ByteView content) {
  const size_t start = mark();
  raw(content);
  wrap(tag, start);
}

void Writer::element(uint8_t tag, std::string_view content) {
  element(tag, ByteView(reinterpret_cast<const uint8_t*>(content.data()), content.size()));
}

void Writer::boolean(bool value) {
  const uint8_t octet = value ? 0xff : 0;
  element(boolean_tag, ByteView(&octet, 1));
}

void Writer::integer(uint32_t value) {
  const uint8_t octets[] = {static_cast<uint8_t>(value >> 24), static_cast<uint8_t>(value >> 16),
                            static_cast<uint8_t>(value >> 8), static_cast<uint8_t>(value)};
  unsigned_integer(octets);
}

void Writer::unsigned_integer(ByteView magnitude) {
  while (!magnitude.empty() && magnitude[0] == 0) magnitude = magnitude.subspan(1);
  const size_t start = mark();
  raw(magnitude);
  if (magnitude.empty() || (magnitude[0] & 0x80) != 0) *make_room(1) = 0;
  wrap(integer_tag, start);
}

void Writer::octet_bits(ByteView bits) {
  const size_t start = mark();
  raw(bits);
  *make_room(1) = 0;
  wrap(bit_string_tag, start);
}

void Writer::named_bits(uint16_t bits) {
  uint8_t content[3] = {};
  size_t used = 0;
  for (size_t bit = 0; bit < 16; ++bit) {
    if ((bits & 1u << bit) == 0) continue;
    content[1 + bit / 8] = static_cast<uint8_t>(content[1 + bit / 8] | 0x80 >> (bit % 8));
    used = bit + 1;
  }
  content[0] = static_cast<uint8_t>((8 - used % 8) % 8);
  element(bit_string_tag, ByteView(content, 1 + (used + 7) / 8));
}

void Writer::time(int64_t unix_s) {
  const int64_t earliest = days_from_civil(1950, 1, 1) * 86400;
  const int64_t latest = days_from_civil(9999, 12, 31) * 86400 + 86399;
  unix_s = std::clamp(unix_s, earliest, latest);
  int64_t days = unix_s / 86400;
  int64_t second = unix_s % 86400;
  if (second < 0) {
    second += 86400;
    --days;
  }
  const Civil date = civil_from_days(days);
  char text[16];
  size_t length = 0;
  const auto put = [&](int64_t number) {
    text[length++] = static_cast<char>('0' + number / 10);
    text[length++] = static_cast<char>('0' + number % 10);
  };
  const bool is_short = date.year < 2050;
  if (!is_short) put(date.year / 100);
  put(date.year % 100);
  put(date.month);
  put(date.day);
  put(second / 3600);
  put(second / 60 % 60);
  put(second % 60);
  text[length++] = 'Z';
  element(is_short ? utc_time_tag : generalized_time_tag, std::string_view(text, length));
}

}  // namespace sluice::tls::der
