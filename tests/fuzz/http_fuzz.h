// What the two HTTP fuzz targets share: cuts that depend on the input alone, and what of a transcript must
// survive being written and read again.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/limits.h"
#include "fuzz/driver.h"
#include "http/reader.h"
#include "http/write.h"
#include "unit/http/transcript.h"

namespace sluice::http::testing {

// Byte by byte costs a call and an allocation per byte; past this many, pieces have to do.
inline constexpr size_t bytewise_bytes_max = 4096;

inline std::vector<size_t> some_cuts(std::string_view bytes) {
  uint64_t state = 0xcbf29ce484222325u;
  for (const char c : bytes) state = (state ^ static_cast<uint8_t>(c)) * 0x100000001b3u;  // FNV-1a
  std::vector<size_t> cuts;
  for (int i = 0; i < 6 && !bytes.empty(); ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    cuts.push_back(static_cast<size_t>(state >> 33) % bytes.size());
  }
  std::sort(cuts.begin(), cuts.end());
  return cuts;
}

inline void check_fields(const Headers& headers) {
  SLUICE_CHECK(headers.size() <= limits::http_headers_max);
  for (size_t i = 0; i < headers.size(); ++i) {
    const Header header = headers[i];
    SLUICE_CHECK(!header.name.empty() && header.known == name_of_field(header.name));
    for (const char c : header.name) SLUICE_CHECK(c > 0x20 && c < 0x7f && c != ':' && c != ',');
    for (const char c : header.value) SLUICE_CHECK(c == '\t' || static_cast<uint8_t>(c) >= 0x20);
    SLUICE_CHECK(header.value.empty() || (header.value.front() != ' ' && header.value.back() != ' ' &&
                                          header.value.front() != '\t' && header.value.back() != '\t'));
  }
}

/// Up to the last message that is complete.
inline Transcript complete_part(const Transcript& all) {
  Transcript part;
  size_t count = 0;
  bool is_until_close = false;
  for (size_t i = 0; i < all.lines.size(); ++i) {
    const std::string& line = all.lines[i];
    if (line.starts_with("head:")) {
      const std::string_view first = std::string_view(line).substr(0, line.find('\n'));
      is_until_close =
          first.find(" body=until_close close") != std::string_view::npos || first.ends_with(" upgraded");
    }
    const bool ends = line.starts_with("end:") || line.starts_with("interim:") || line.starts_with("raw:");
    if (ends || is_until_close) count = i + 1;
  }
  part.lines.assign(all.lines.begin(), all.lines.begin() + static_cast<std::ptrdiff_t>(count));
  return part;
}

/// The start line with its meaning, the fields that are no hop's, the bodies. Of a transcript that is
/// complete.
inline std::string essence(const Transcript& transcript) {
  std::string text;
  for (const std::string& line : transcript.lines) {
    if (line.starts_with("finish:") || line.starts_with("over:") || line.starts_with("refused:")) break;
    if (line.starts_with("undecided:")) continue;
    if (line.starts_with("end:")) {
      text += "end\n";
    } else if (line.starts_with("body:") || line.starts_with("raw:")) {
      text += line + "\n";
    } else {
      text += line.substr(0, line.find('\n')) + "\n";
    }
  }
  return text;
}

}  // namespace sluice::http::testing
