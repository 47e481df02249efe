// Which decompressors are linked. Pure. (zlib.h defines zlib_version as a macro: hence the names.)
#pragma once

#include <string>

namespace sluice::scan {

[[nodiscard]] std::string version_of_zlib();    // "1.2.13"
[[nodiscard]] std::string version_of_brotli();  // "1.0.9"
[[nodiscard]] std::string version_of_zstd();    // "1.5.4"

}  // namespace sluice::scan
