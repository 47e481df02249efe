// What the kernel lets this process do, in words. For `sluice version`; opens and closes a ring and a socket.
#pragma once

#include <string>

namespace sluice::io {

[[nodiscard]] std::string liburing_version();
[[nodiscard]] std::string kernel_version();  // "Linux 6.12.1"
[[nodiscard]] std::string io_uring_state();  // "usable", or why not
[[nodiscard]] std::string transparent_state();  // IP_TRANSPARENT

}  // namespace sluice::io
