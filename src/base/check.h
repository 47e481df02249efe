// Assertions of our own invariants. They stay on in release builds: a gateway that is wrong about itself must stop,
// not guess. Never used on what a peer sends: that is an error value.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace sluice {
[[noreturn]] inline void check_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "sluice: internal error: %s:%d: CHECK(%s) failed\n", file, line, expression);
  std::abort();
}
}  // namespace sluice

#define SLUICE_CHECK(expression) \
  (static_cast<bool>(expression) ? static_cast<void>(0) : ::sluice::check_failed(#expression, __FILE__, __LINE__))
