// What a message calls the file in it: by Content-Disposition, or by the last segment of the URL's path. Pure; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "http/headers.h"

namespace sluice::http {

/// The file name in Content-Disposition (RFC 6266): `filename*` (RFC 8187; UTF-8 or ISO-8859-1), else `filename`, quoted or not.
/// As UTF-8 (a plain `filename` as it came), without the folders in front of it, as browsers save it. Empty: none, none that
/// can be read, or several that programs choose from differently (two fields or two parameters of one name).
///
/// `others`: every other name that some program may save it under: `filename` beside `filename*`, with percent-encoding and encoded
/// words (RFC 2047) undone as Chromium and Firefox do, put together of its parts (RFC 2231), the name before a slash at its end, and
/// all of several.
[[nodiscard]] std::string file_name_of(const Headers& headers, std::vector<std::string>& others);

/// The last segment of a URL's path, with everything percent-encoded undone: "a b.exe" of "http://x/y/a%20b.exe?z". Empty when the
/// path ends in '/'.
[[nodiscard]] std::string file_name_in(std::string_view url);

}  // namespace sluice::http
