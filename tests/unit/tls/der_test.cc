#include "tls/der.h"

#include <doctest/doctest.h>

using namespace sluice;
using namespace sluice::tls;
using namespace sluice::tls::der;

namespace {

bool reads(const Bytes& bytes) {
  Reader reader(bytes);
  return reader.element().has_value() && reader.empty();
}

int64_t time_of(uint8_t tag, std::string_view text) {
  Writer out;
  out.element(tag, text);
  const Bytes bytes = out.take();
  return Reader(bytes).time().value_or(-1);
}

}  // namespace

TEST_CASE("lengths are definite and in the fewest octets") {
  CHECK(reads({0x04, 0x01, 0xff}));
  CHECK_FALSE(reads({0x04, 0x81, 0x01, 0xff}));
  CHECK_FALSE(reads({0x04, 0x82, 0x00, 0x01, 0xff}));
  CHECK_FALSE(reads({0x24, 0x80, 0x04, 0x01, 0xff, 0x00, 0x00}));
  CHECK_FALSE(reads({0x04, 0x02, 0xff}));
  CHECK_FALSE(reads({0x04}));
  CHECK_FALSE(reads({0x1f, 0x81, 0x01, 0x00}));
  Bytes longer{0x04, 0x81, 0x80};
  longer.resize(3 + 0x80);
  CHECK(reads(longer));
}

TEST_CASE("integers are in the fewest octets, booleans all ones or all zeros") {
  const auto integer = [](const Bytes& bytes) { return Reader(bytes).small_integer(); };
  CHECK(integer({0x02, 0x01, 0x00}) == 0u);
  CHECK(integer({0x02, 0x02, 0x00, 0x80}) == 128u);
  CHECK_FALSE(integer({0x02, 0x02, 0x00, 0x7f}).has_value());
  CHECK_FALSE(integer({0x02, 0x01, 0xff}).has_value());
  CHECK_FALSE(integer({0x02, 0x00}).has_value());
  const Bytes one{0x01, 0x01, 0x01};
  CHECK_FALSE(Reader(one).boolean().has_value());
}

TEST_CASE("a read that fails leaves the reader where it was") {
  const Bytes bytes{0x01, 0x01, 0xff};
  Reader reader(bytes);
  CHECK_FALSE(reader.integer().has_value());
  CHECK_FALSE(reader.time().has_value());
  CHECK_FALSE(reader.octet_bits().has_value());
  CHECK(reader.boolean() == true);
}

TEST_CASE("times are those of the calendar, in seconds and Z") {
  CHECK(time_of(utc_time_tag, "700101000000Z") == 0);
  CHECK(time_of(utc_time_tag, "491231235959Z") == 2524607999);
  CHECK(time_of(utc_time_tag, "500101000000Z") == -631152000);
  CHECK(time_of(generalized_time_tag, "20000229000000Z") == 951782400);
  CHECK(time_of(generalized_time_tag, "20500101000000Z") == 2524608000);
  for (const char* wrong : {"20010229000000Z", "20000001000000Z", "20001301000000Z", "20000132000000Z",
                            "20000101240000Z", "20000101006000Z", "20000101000060Z", "20000101000000",
                            "20000101000000.5Z", "20000101000000+0100", "2000010100000 Z"})
    CHECK_MESSAGE(time_of(generalized_time_tag, wrong) == -1, wrong);
  CHECK(time_of(utc_time_tag, "7001010000Z") == -1);
}

TEST_CASE("what is written is read again") {
  for (const int64_t time : {int64_t{0}, int64_t{-631152000}, int64_t{951782399}, int64_t{2524607999},
                             int64_t{2524608000}, int64_t{253402300799}}) {
    Writer out;
    out.time(time);
    CHECK(Reader(out.bytes()).time() == time);
  }
  for (const uint32_t number : {0u, 1u, 127u, 128u, 255u, 256u, 65536u, 0x7fffffffu}) {
    Writer out;
    out.integer(number);
    CHECK(Reader(out.bytes()).small_integer() == number);
  }
  for (const uint16_t bits : {uint16_t{0}, uint16_t{1}, uint16_t{0x60}, uint16_t{0x100}, uint16_t{0xffff}}) {
    Writer out;
    out.named_bits(bits);
    CHECK(Reader(out.bytes()).named_bits() == bits);
  }
  for (const size_t size : {0u, 1u, 127u, 128u, 255u, 256u, 65535u, 65536u}) {
    Writer out;
    out.element(octet_string_tag, Bytes(size, 7));
    Reader reader(out.bytes());
    const auto element = reader.element(octet_string_tag);
    REQUIRE(element.has_value());
    CHECK(element->content.size() == size);
    CHECK(reader.empty());
  }
}

TEST_CASE("a time that no certificate can have is moved to one that it can") {
  Writer out;
  out.time(int64_t{1} << 60);
  CHECK(Reader(out.bytes()).time() == 253402300799);
}

TEST_CASE("strings become UTF-8") {
  const Bytes latin{0xe9};
  CHECK(string_as_utf8(t61_string_tag, latin) == "é");
  const Bytes wide{0x01, 0x7d, 0xd8, 0x00, 0x41};
  CHECK(string_as_utf8(bmp_string_tag, wide) == "Ž\xef\xbf\xbd\xef\xbf\xbd");
  const Bytes emoji{0x00, 0x01, 0xf6, 0x00};
  CHECK(string_as_utf8(universal_string_tag, emoji) == "😀");
  CHECK_FALSE(string_as_utf8(octet_string_tag, latin).has_value());
}
