#include "flow/dialer.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>

#include "base/check.h"
#include "flow/session.h"

namespace sluice::flow {

std::vector<Endpoint> take_turns(const std::vector<Endpoint>& addresses) {
  std::vector<Endpoint> of_family[2];
  for (const Endpoint& endpoint : addresses) of_family[endpoint.address.is_v4() ? 1 : 0].push_back(endpoint);
  std::vector<Endpoint> order;
  if (addresses.empty()) return order;
  const size_t first = addresses.front().address.is_v4() ? 1 : 0;
  for (size_t i = 0; order.size() < addresses.size() && order.size() < limits::dial_addresses_max; ++i)
    for (const size_t family : {first, 1 - first})
      if (i < of_family[family].size() && order.size() < limits::dial_addresses_max) order.push_back(of_family[family][i]);
  return order;
}

Dialer::Dialer(Session& session, const std::vector<Endpoint>& addresses, bool speaks_first)
    : session_(session), addresses_(take_turns(addresses)), speaks_first_(speaks_first) {
  std::reverse(addresses_.begin(), addresses_.end());
  for (Attempt& attempt : attempts_) {
    attempt.op = {on_done, &attempt, false};
    attempt.session = &session;
  }
}

Dialer::~Dialer() {
  SLUICE_CHECK(is_idle());
  for (Attempt& attempt : attempts_)
    if (attempt.fd >= 0) session_.world->kernel.close(attempt.fd);
}

void Dialer::on_done(void* owner, int32_t result, uint32_t flags) {
  auto& attempt = *static_cast<Attempt*>(owner);
  Session& session = *attempt.session;
  Answer answer{Answer::From::dial, result, flags};
  answer.op = &attempt.op;
  resume(session, answer);  // may be the end of the Dialer
}

bool Dialer::is_idle() const {
  return std::none_of(attempts_.begin(), attempts_.end(), [](const Attempt& attempt) { return attempt.op.in_flight; });
}

void Dialer::drop(Attempt& attempt, int sys_errno) {
  if (sys_errno_ == 0) sys_errno_ = sys_errno;
  session_.world->kernel.close(std::exchange(attempt.fd, -1));
}

Dialer::State Dialer::begin() {
  if (addresses_.empty()) sys_errno_ = EADDRNOTAVAIL;
  return dial_next();
}

/// Dials until one is under way beside the others, or there is no address left.
Dialer::State Dialer::dial_next() {
  World& world = *session_.world;
  const config::Config& config = *session_.ruling->config;
  const auto free = std::find_if(attempts_.begin(), attempts_.end(), [](const Attempt& attempt) { return attempt.fd < 0 && !attempt.op.in_flight; });
  while (free != attempts_.end() && !addresses_.empty()) {
    const Endpoint to = addresses_.back();
    addresses_.pop_back();
    ++world.counters.dials;
    io::OriginSocket options;
    options.v6 = !to.address.is_v4();
    options.mark = config.gateway.own_mark;
    options.speaks_first = speaks_first_;
    const int fd = world.kernel.origin_socket(options);
    if (fd < 0) {
      count_failed_dial(world, -fd);
      if (sys_errno_ == 0) sys_errno_ = -fd;
      continue;
    }
    free->fd = fd;
    free->to = to;
    world.kernel.connect(free->op, fd, to);
    break;
  }
  next_us_ = addresses_.empty() ? UINT64_MAX : world.kernel.now_us() + limits::dial_stagger_ms * 1000ull;
  return settle();
}

Dialer::State Dialer::settle() {
  if (!is_idle()) return State::dialling;
  if (winner_ != nullptr) return State::connected;
  return cancelled_ || addresses_.empty() ? State::failed : State::dialling;
}

Dialer::State Dialer::on_time() {
  next_us_ = UINT64_MAX;
  return winner_ == nullptr && !cancelled_ ? dial_next() : settle();
}

Dialer::State Dialer::on_answer(const Answer& answer) {
  World& world = *session_.world;
  const auto found = std::find_if(attempts_.begin(), attempts_.end(), [&](const Attempt& attempt) { return &attempt.op == answer.op; });
  SLUICE_CHECK(found != attempts_.end());
  Attempt& attempt = *found;
  if (winner_ != nullptr || cancelled_) {
    drop(attempt, 0);
    return settle();
  }
  const int outcome = answer.result < 0 ? answer.result : world.kernel.connect_outcome(attempt.fd);
  if (outcome == -EINPROGRESS) {
    world.kernel.poll(attempt.op, attempt.fd, POLLOUT);
    return State::dialling;
  }
  if (outcome != 0) {
    count_failed_dial(world, -outcome);
    drop(attempt, -outcome);
    return addresses_.empty() ? settle() : dial_next();  // RFC 8305 section 5: a failure is not waited behind
  }
  winner_ = &attempt;
  next_us_ = UINT64_MAX;
  for (Attempt& other : attempts_)
    if (&other != winner_) world.kernel.cancel(other.op);
  return settle();
}

Dialer::Connection Dialer::take() {
  SLUICE_CHECK(winner_ != nullptr && is_idle());
  const auto index = static_cast<size_t>(winner_ - attempts_.data());
  return {std::exchange(attempts_[index].fd, -1), attempts_[index].to};
}

void Dialer::cancel() {
  cancelled_ = true;
  next_us_ = UINT64_MAX;
  for (Attempt& attempt : attempts_) session_.world->kernel.cancel(attempt.op);
}

}  // namespace sluice::flow
