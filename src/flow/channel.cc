#include "flow/channel.h"

#include <cerrno>
#include <utility>

#include "base/check.h"
#include "base/give_back.h"

namespace sluice::flow {

Channel::~Channel() {
  world_->relay_memory_bytes -= counted_;
  give_back_output();
}

tls::Engine* Channel::engine() {
  if (auto* origin = std::get_if<tls::OriginEngine>(&engine_)) return origin;
  return std::get_if<tls::ClientEngine>(&engine_);
}

std::vector<uint8_t>& Channel::output() {
  if (out_.capacity() == 0 && !world_->spare_outputs.empty()) {
    out_ = std::move(world_->spare_outputs.back());
    world_->spare_outputs.pop_back();
  }
  return out_;
}

void Channel::give_back_output() {
  if (out_.capacity() >= limits::spare_output_bytes_min && out_.capacity() <= limits::spare_output_bytes_max &&
      world_->spare_outputs.size() < limits::spare_outputs_max) {
    out_.clear();
    world_->spare_outputs.push_back(std::move(out_));
  }
  give_back(out_);
  out_sent_ = 0;
}

bool Channel::write(std::span<const uint8_t> plain) {
  if (plain.empty()) return true;
  if (tls::Engine* const secure = engine()) return secure->write(plain, output()) == tls::Status::ok;
  std::vector<uint8_t>& out = output();
  out.insert(out.end(), plain.begin(), plain.end());
  return true;
}

void Channel::end_writing() {
  if (ending_) return;
  ending_ = true;
  // Fails only when TLS has failed already; then the alert says more.
  if (tls::Engine* const secure = engine()) (void)secure->close_notify(output());
}

Channel::Flush Channel::flush(int& sys_errno) {
  if (fd_ < 0) return Flush::done;
  blocked_ = false;
  while (out_sent_ < out_.size()) {
    const ssize_t sent = world_->kernel.send_now(fd_, std::span<const uint8_t>(out_).subspan(out_sent_));
    if (sent == -EINTR) continue;
    if (sent == -EAGAIN || sent == -ENOBUFS) {
      blocked_ = true;
      break;
    }
    if (sent < 0) {
      sys_errno = static_cast<int>(-sent);
      return Flush::failed;
    }
    out_sent_ += static_cast<size_t>(sent);
    sent_bytes_ += static_cast<uint64_t>(sent);
  }
  world_->relay_memory_bytes -= counted_;
  counted_ = out_.size() - out_sent_;
  world_->relay_memory_bytes += counted_;
  if (!blocked_) {
    give_back_output();
    if (ending_ && !fin_sent_) {
      fin_sent_ = true;
      world_->kernel.shutdown_write(fd_);
    }
    return Flush::done;
  }
  if (world_->relay_memory_bytes > world_->relay_memory_max_bytes) {
    ++world_->counters.relay_memory_limit_hits;
    world_->relay_memory_bytes -= std::exchange(counted_, 0);
    give_back(out_);
    out_sent_ = 0;
    return Flush::no_memory;
  }
  // What waits gets a block of its size, so that what is counted is what is held.
  if (out_sent_ > 0 || out_.capacity() > out_.size() * 2) {
    std::vector<uint8_t> rest(out_.begin() + static_cast<ptrdiff_t>(out_sent_), out_.end());
    give_back_output();
    out_ = std::move(rest);
  }
  return Flush::blocked;
}

Channel::Read Channel::read(std::span<const uint8_t>& wire, std::span<const uint8_t>& plain) {
  tls::Engine* const secure = engine();
  if (secure == nullptr) {
    plain = wire;
    wire = {};
    return plain.empty() ? Read::want_input : Read::bytes;
  }
  size_t count = 0;
  switch (secure->read(wire, world_->plain, count, output())) {
    case tls::Status::ok: plain = std::span<const uint8_t>(world_->plain).first(count); return Read::bytes;
    case tls::Status::want_input: return Read::want_input;
    case tls::Status::closed: return Read::closed;
    case tls::Status::failed: return Read::failed;
  }
  SLUICE_CHECK(false);
}

}  // namespace sluice::flow
