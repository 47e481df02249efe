// Dialer: connects to the first address of a host that answers (Happy Eyeballs, RFC 8305). Addresses of both families take
// turns; when one fails the next is dialled at once, when one is slow the next is dialled beside it after
// limits::dial_stagger_ms.
//
// Owns the Ops and the sockets of its dials until one has won. Whoever owns a Dialer passes its answers on (From::dial), and
// the time; and lets it go only when is_idle(). One worker.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/ip.h"
#include "base/limits.h"
#include "io/op.h"

namespace sluice::flow {

struct Session;
struct Answer;

class Dialer {
 public:
  /// `speaks_first`: see io::OriginSocket.
  Dialer(Session& session, const std::vector<Endpoint>& addresses, bool speaks_first);
  ~Dialer();
  Dialer(const Dialer&) = delete;
  Dialer& operator=(const Dialer&) = delete;

  enum class State : uint8_t {
    dialling,   // answers are waited for, and perhaps next_us()
    connected,  // take() has the socket; no Op is in flight
    failed,     // sys_errno() says why; no Op is in flight
  };
  [[nodiscard]] State begin();
  [[nodiscard]] State on_answer(const Answer& answer);
  /// next_us() has come.
  [[nodiscard]] State on_time();
  /// When the next address is to be dialled beside the others; UINT64_MAX: there is none, or one has won.
  [[nodiscard]] uint64_t next_us() const { return next_us_; }

  /// The socket becomes the caller's.
  struct Connection {
    int fd = -1;
    Endpoint to;
  };
  [[nodiscard]] Connection take();
  /// Of the first dial that failed: it was the address that was preferred.
  [[nodiscard]] int sys_errno() const { return sys_errno_; }

  /// Gives up: cancels what is in flight. Answers still come, until is_idle().
  void cancel();
  [[nodiscard]] bool is_idle() const;

 private:
  struct Attempt {
    io::Op op;
    Session* session = nullptr;
    int fd = -1;
    Endpoint to;
  };

  static void on_done(void* owner, int32_t result, uint32_t flags);
  [[nodiscard]] State dial_next();
  [[nodiscard]] State settle();
  void drop(Attempt& attempt, int sys_errno);

  Session& session_;
  std::vector<Endpoint> addresses_;  // still to be tried, the next one last
  std::array<Attempt, limits::dials_at_once_max> attempts_;
  uint64_t next_us_ = UINT64_MAX;
  int sys_errno_ = 0;
  const Attempt* winner_ = nullptr;
  bool cancelled_ = false;
  bool speaks_first_;
};

/// The order of RFC 8305 section 4: as given, but the two families take turns. At most limits::dial_addresses_max.
[[nodiscard]] std::vector<Endpoint> take_turns(const std::vector<Endpoint>& addresses);

}  // namespace sluice::flow
