// Errors as values: what went wrong, whose side it is, and the errno. Text is made where it is printed.
//
// Nothing here owns anything; every type is trivially copyable.
#pragma once

#include <cstdint>
#include <tl/expected.hpp>

namespace sluice {

/// Whose fault or whose doing something is. On call, this is the first question.
enum class Side : uint8_t { none, client, origin, gateway };

[[nodiscard]] constexpr const char* to_string(Side side) {
  switch (side) {
    case Side::none: return "none";
    case Side::client: return "client";
    case Side::origin: return "origin";
    case Side::gateway: return "gateway";
  }
  return "?";
}

enum class ErrorCode : uint8_t {
  system,       // a system call failed: see sys_errno
  limit,        // a limit of base/limits.h was reached
  invalid,      // the bytes or the value are not what they must be
  unsupported,  // the kernel or the build lacks something
};

struct Error {
  ErrorCode code = ErrorCode::system;
  Side side = Side::none;
  int sys_errno = 0;
};

template <class T = void>
using Result = tl::expected<T, Error>;

[[nodiscard]] inline tl::unexpected<Error> fail(ErrorCode code, Side side, int sys_errno = 0) {
  return tl::unexpected<Error>(Error{code, side, sys_errno});
}

}  // namespace sluice
