// Bodies with a Content-Encoding, for tests.
#pragma once

#include <brotli/encode.h>
#include <zlib.h>
#include <zstd.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"

namespace sluice::scan::testing {

/// window_bits: 15 + 16 gzip, 15 zlib, -15 bare deflate.
inline std::string deflated(std::string_view text, int window_bits) {
  z_stream stream{};
  SLUICE_CHECK(deflateInit2(&stream, 9, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  SLUICE_CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(out.size() - stream.avail_out);
  deflateEnd(&stream);
  return out;
}
inline std::string gzipped(std::string_view text) { return deflated(text, MAX_WBITS + 16); }

inline std::string brotlied(std::string_view text) {
  size_t size = BrotliEncoderMaxCompressedSize(text.size()) + 64;
  std::string out(size, '\0');
  SLUICE_CHECK(BrotliEncoderCompress(5, 22, BROTLI_MODE_GENERIC, text.size(),
                                     reinterpret_cast<const uint8_t*>(text.data()), &size,
                                     reinterpret_cast<uint8_t*>(out.data())) == BROTLI_TRUE);
  out.resize(size);
  return out;
}

inline std::string zstded(std::string_view text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  const size_t size = ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3);
  SLUICE_CHECK(ZSTD_isError(size) == 0);
  out.resize(size);
  return out;
}

}  // namespace sluice::scan::testing
