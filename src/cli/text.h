// Small things about text that several commands need. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::cli {

/// "1 rule", "1,204 rules".
[[nodiscard]] std::string counted(size_t count, std::string_view what);

/// "h2,http/1.1" -> its parts; the empty text has none.
[[nodiscard]] std::vector<std::string> split_list(std::string_view text);

/// By the first bytes of a file: "gzip", "xz", "zstd", "bzip2"; null when it is not compressed.
[[nodiscard]] const char* compression_of(std::string_view first_bytes);

}  // namespace sluice::cli
