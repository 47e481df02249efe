// Content codings undone, however the bytes are cut, and what is wrong with them told.
#include "scan/decoder.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "unit/scan/coded.h"

using namespace sluice;
using namespace sluice::scan;
using namespace sluice::scan::testing;

namespace {

Codings codings(std::string_view field) {
  Codings all;
  REQUIRE(all.add_field(field));
  return all;
}

std::span<const uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

struct Decoded {
  std::string text;
  std::string fault;  // "" when it ended well
  bool operator==(const Decoded&) const = default;
};

/// In pieces of `step` bytes, through room for `room` bytes.
Decoded decode(std::string_view field, std::string_view coded, size_t step = SIZE_MAX, size_t room = 4096) {
  Decoder decoder(codings(field));
  Decoded result;
  std::vector<uint8_t> out(room);
  size_t at = 0;
  do {
    const std::vector<uint8_t> piece =
        [&] {  // of just that size, so that a sanitizer sees a read past its end
          const auto part = bytes_of(coded.substr(at, step));
          return std::vector<uint8_t>(part.begin(), part.end());
        }();
    at += piece.size();
    ByteReader in(piece);
    for (;;) {
      const Decoder::Step made = decoder.run(in, out);
      result.text.append(reinterpret_cast<const char*>(out.data()), made.made);
      if (made.status == Decoder::Status::failed) {
        result.fault = to_string(decoder.fault());
        CHECK(decoder.end() == decoder.fault());
        CHECK(decoder.run(in, out).status == Decoder::Status::failed);
        return result;
      }
      if (made.status == Decoder::Status::need_input) break;
      CHECK(made.made == room);
    }
    CHECK(in.empty());
  } while (at < coded.size());
  CHECK(decoder.bytes_taken() == coded.size());
  CHECK(decoder.bytes_made() == result.text.size());
  if (const auto fault = decoder.end()) result.fault = to_string(*fault);
  return result;
}

std::string sample(size_t size) {
  std::string text;
  uint32_t state = 1;
  while (text.size() < size) {
    state = state * 1664525 + 1013904223;
    text += state >> 30 == 0 ? std::string("the quick brown fox ")
                             : std::string(1, static_cast<char>(state >> 24));
  }
  text.resize(size);
  return text;
}

struct Coded {
  std::string_view field;
  std::string bytes;
};
std::vector<Coded> all_codings(std::string_view text) {
  return {{"gzip", gzipped(text)},
          {"deflate", deflated(text, MAX_WBITS)},
          {"deflate", deflated(text, -MAX_WBITS)},
          {"br", brotlied(text)},
          {"zstd", zstded(text)},
          {"gzip, br", brotlied(gzipped(text))},
          {"zstd, identity, x-gzip, deflate", deflated(gzipped(zstded(text)), MAX_WBITS)}};
}

}  // namespace

TEST_CASE("what Content-Encoding says") {
  CHECK(codings("").empty());
  CHECK(codings("identity").empty());
  CHECK(codings(" , ,").empty());
  const Codings two = codings("\tGZip , X-gzip");
  REQUIRE(two.size() == 2);
  CHECK(two[0] == Coding::gzip);
  CHECK(two[1] == Coding::gzip);
  Codings none;
  for (const char* unknown : {"compress", "gzip2", "gzip;q=1", "g zip", "dcb", "exi", "*", "br gzip"})
    CHECK_FALSE(Codings().add_field(unknown));
  CHECK(none.add_field("br"));
  CHECK(none.add_field("zstd, deflate"));
  CHECK_FALSE(none.add_field("gzip"));  // limits::content_codings_max
  static_assert(limits::content_codings_max == 3);
}

TEST_CASE("every coding decodes, cut at every byte and with any room") {
  const std::string text = sample(3000);
  for (const Coded& coded : all_codings(text)) {
    CAPTURE(coded.field);
    const Decoded whole{text, ""};
    CHECK(decode(coded.field, coded.bytes) == whole);
    CHECK(decode(coded.field, coded.bytes, 1) == whole);
    CHECK(decode(coded.field, coded.bytes, 1, 1) == whole);
    CHECK(decode(coded.field, coded.bytes, 7, 3000) == whole);
    CHECK(decode(coded.field, coded.bytes, SIZE_MAX, 1) == whole);
    for (size_t step = 2; step < 60; ++step)
      CHECK(decode(coded.field, coded.bytes, step, 61 - step) == whole);
  }
}

TEST_CASE("large bodies, and empty ones") {
  const std::string text = sample(3'000'000);
  for (const Coded& coded : all_codings(text)) {
    CAPTURE(coded.field);
    CHECK(decode(coded.field, coded.bytes, 16384, 16384) == Decoded{text, ""});
  }
  for (const Coded& coded : all_codings("")) {
    CAPTURE(coded.field);
    CHECK(decode(coded.field, coded.bytes, 1) == Decoded{"", ""});
    CHECK(decode(coded.field, "") == Decoded{"", ""});  // no body at all
  }
}

TEST_CASE("a body that is cut off is not at its end, wherever the cut is") {
  const std::string text = sample(300);
  for (const Coded& coded : all_codings(text)) {
    CAPTURE(coded.field);
    for (size_t size = 1; size < coded.bytes.size(); ++size) {
      CAPTURE(size);
      const Decoded part = decode(coded.field, coded.bytes.substr(0, size), 5);
      CHECK(part.fault == "truncated");
      CHECK(text.starts_with(part.text));
    }
  }
}

TEST_CASE("bytes that are not what the coding says") {
  const std::string html = "<!doctype html><p>not compressed at all</p>";
  for (const char* field : {"gzip", "deflate", "zstd", "gzip, zstd"}) {
    CAPTURE(field);
    CHECK(decode(field, html).fault == "malformed");
    CHECK(decode(field, html, 1).fault == "malformed");
  }
  CHECK(decode("br", html).fault != "");  // '<' begins something, for brotli
  std::string bad = gzipped(sample(300));
  bad[bad.size() - 5] = static_cast<char>(bad[bad.size() - 5] ^ 1);  // the checksum
  CHECK(decode("gzip", bad).fault == "malformed");
  CHECK(decode("gzip, br", brotlied(bad), 1).fault == "malformed");
}

TEST_CASE("several gzip members and zstd frames are one body; padding may follow, anything else is refused") {
  CHECK(decode("gzip", gzipped("one ") + gzipped("two"), 1) == Decoded{"one two", ""});
  CHECK(decode("gzip", gzipped("one ") + gzipped("two")) == Decoded{"one two", ""});
  CHECK(decode("gzip", gzipped("one") + std::string(10, '\0')) == Decoded{"one", ""});
  CHECK(decode("gzip", gzipped("one") + "\x1f") == Decoded{"one", ""});
  CHECK(decode("gzip", gzipped("one") + "\r\n", 1) == Decoded{"one", ""});
  CHECK(decode("gzip", gzipped("one") + "\x1f rubbish", 1).fault == "trailing");
  CHECK(decode("gzip", gzipped("one") + "rubbish").fault == "trailing");
  CHECK(decode("gzip", gzipped("one") + std::string(10, '\0') + "rubbish", 1).fault == "trailing");
  CHECK(decode("gzip", gzipped("one") + "\x1f\x8b rubbish", 1).fault == "malformed");
  CHECK(decode("gzip", gzipped("one ") + gzipped("two").substr(0, 12)).fault == "truncated");
  CHECK(decode("zstd", zstded("one ") + zstded("two"), 1) == Decoded{"one two", ""});
  CHECK(decode("zstd", zstded("one ") + "rubbish").fault == "malformed");
  for (const size_t step : {size_t{1}, SIZE_MAX}) {
    CHECK(decode("br", brotlied("one") + "rubbish", step).fault == "trailing");
    CHECK(decode("br", brotlied("one") + " \t\r\n", step) == Decoded{"one", ""});
    CHECK(decode("deflate", deflated("one", MAX_WBITS) + "rubbish", step).fault == "trailing");
    CHECK(decode("deflate", deflated("one", -MAX_WBITS) + "rubbish", step).fault == "trailing");
    CHECK(decode("deflate", deflated("one", MAX_WBITS) + std::string(10, '\0'), step) == Decoded{"one", ""});
    CHECK(decode("gzip, br", brotlied(gzipped("one") + "rubbish"), step).fault == "trailing");
    // A stream that is over with the bytes by which it was recognised.
    CHECK(decode("deflate", std::string("\x03\0", 2) + "rubbish", step).fault == "trailing");
    CHECK(decode("deflate, gzip", gzipped(std::string("\x03\0", 2) + "rubbish"), step).fault == "trailing");
    CHECK(decode("deflate, gzip", gzipped(std::string("\x03\0", 2)), step) == Decoded{"", ""});
  }
}

TEST_CASE("calls without input change nothing") {
  for (const Coded& coded : all_codings(sample(1000))) {
    Decoder decoder(codings(coded.field));
    std::vector<uint8_t> out(100'000);
    ByteReader none;
    for (int i = 0; i < 50; ++i) CHECK(decoder.run(none, out).status == Decoder::Status::need_input);
    ByteReader in(bytes_of(coded.bytes));
    CHECK(decoder.run(in, out).made == 1000);
    for (int i = 0; i < 50; ++i) CHECK(decoder.run(none, out).status == Decoder::Status::need_input);
    CHECK_FALSE(decoder.end().has_value());
  }
}

TEST_CASE("a bomb is stopped, a large body that compresses well is not before the limit") {
  const std::string zeros(sluice::limits::decoded_free_bytes + (4U << 20), '\0');
  CHECK(decode("gzip", gzipped(zeros), 1024, 65536).fault == "bomb");
  CHECK(decode("br", brotlied(zeros), 1024, 65536).fault == "bomb");
  CHECK(decode("zstd", zstded(zeros), 1024, 65536).fault == "bomb");
  // What lies between two codings counts, too: the inner one ends at once and ignores the rest.
  CHECK(decode("gzip, gzip", gzipped(gzipped("x") + zeros), 1024, 65536).fault == "bomb");
  const Decoded small =
      decode("gzip", gzipped(std::string_view(zeros).substr(0, sluice::limits::decoded_free_bytes)), SIZE_MAX,
             65536);
  CHECK(small.fault == "");
  CHECK(small.text.size() == sluice::limits::decoded_free_bytes);
}

TEST_CASE("a window larger than the web allows is refused, memory is counted and bounded") {
  std::string wide(ZSTD_compressBound(1 << 20), '\0');
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, sluice::limits::zstd_window_log_max + 1);
  ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
  const std::string text = sample(1 << 20);
  ZSTD_inBuffer input{text.data(), text.size(), 0};
  ZSTD_outBuffer output{wide.data(), wide.size(), 0};
  ZSTD_compressStream2(context, &output, &input,
                       ZSTD_e_continue);  // so that the size is not known in the frame's head
  while (ZSTD_compressStream2(context, &output, &input, ZSTD_e_end) != 0) {
  }
  wide.resize(output.pos);
  ZSTD_freeCCtx(context);
  CHECK(decode("zstd", wide).fault == "malformed");

  for (const Coded& coded : all_codings(text)) {
    CAPTURE(coded.field);
    Decoder decoder(codings(coded.field));
    CHECK(decoder.bytes_held() == 0);
    ByteReader in(bytes_of(coded.bytes));
    std::vector<uint8_t> out(1000);
    CHECK(decoder.run(in, out).status == Decoder::Status::output_full);
    CHECK(decoder.bytes_held() > 1000);
    CHECK(decoder.bytes_held() < codings(coded.field).size() * sluice::limits::decoder_window_bytes_max);
    Decoder moved = std::move(decoder);
    CHECK(moved.run(in, out).status == Decoder::Status::output_full);
  }
}
