#include "scan/about.h"

#include <cstdint>

#include <brotli/decode.h>
#include <fmt/format.h>
#include <zlib.h>
#include <zstd.h>

namespace sluice::scan {

std::string version_of_zlib() { return zlibVersion(); }

std::string version_of_brotli() {
  const uint32_t version = BrotliDecoderVersion();  // 8 bits, 12 and 12
  return fmt::format("{}.{}.{}", version >> 24, version >> 12 & 0xfff, version & 0xfff);
}

std::string version_of_zstd() { return ZSTD_versionString(); }

}  // namespace sluice::scan
