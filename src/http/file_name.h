// What a message calls the file in it: by Content-Disposition, or by the last segment of the URL's path. Pure; any thread.
#pragma once

#include <string>
#include <string_view>

#include "http/headers.h"

namespace sluice::http {

/// The file name in Content-Disposition (RFC 6266): `filename*` (RFC 8187; UTF-8 or ISO-8859-1), else `filename`, quoted or not.
/// As UTF-8 (a plain `filename` as it came), without the folders in front of it, as browsers save it. Empty: none, or none that
/// can be read.
[[nodiscard]] std::string file_name_of(const Headers& headers);

/// The last segment of a URL's path, with everything percent-encoded undone: "a b.exe" of "http://x/y/a%20b.exe?z". Empty when the
/// path ends in '/'.
[[nodiscard]] std::string file_name_in(std::string_view url);

}  // namespace sluice::http
