// A 128-bit integer: GCC and Clang have one on every 64-bit target, ISO C++ has not.
#pragma once

namespace sluice::rules {
__extension__ using uint128 = unsigned __int128;
}  // namespace sluice::rules
