// `sluice version`: what this program is, what it is linked with, and what the machine lets it do.
#pragma once

#include <string>

namespace sluice::cli {

/// Some lines of text. Asks the kernel: opens and closes a ring and a socket.
[[nodiscard]] std::string version_text();

}  // namespace sluice::cli
