// Lookups: what sessions ask of other threads: the addresses of a name, and whether a password is right.
//
// Implemented by worker/worker.cc, and by tests/sim. The answer is put into Session::asked and comes as
// Answer::From::looked_up: later, never inside the call, and exactly once unless forget() comes before. One worker.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sluice::flow {

struct Session;

class Lookups {
 public:
  Lookups() = default;
  Lookups(const Lookups&) = delete;
  Lookups& operator=(const Lookups&) = delete;
  virtual ~Lookups() = default;

  /// Into Asked::addresses, with the port `port`; none: there is no such name, or no answer. False: too many wait.
  [[nodiscard]] virtual bool resolve(Session& session, const std::string& host, uint16_t port) = 0;
  /// Into Asked::password_is_right. `hash` is what the password is compared with, see config::Users. False: too many wait.
  [[nodiscard]] virtual bool check_password(Session& session, std::string_view password, const std::string& hash) = 0;
  /// The session ends: its answer, if one is due, is nobody's.
  virtual void forget(Session& session) = 0;
};

}  // namespace sluice::flow
