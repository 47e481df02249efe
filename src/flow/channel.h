// Channel: one side of a connection whose bytes we read: a socket, and the TLS on it if there is any. Steps bump and exchange
// have one towards the client and one towards the origin.
//
// Owns the TLS engine, and the wire bytes that its socket has not taken yet; not the socket. While nothing waits for the
// socket it holds no buffer: what is being written lies in one that the worker lends (World::spare_outputs). One worker.
#pragma once

#include <cstdint>
#include <span>
#include <variant>
#include <vector>

#include "base/result.h"
#include "flow/world.h"
#include "tls/engine.h"

namespace sluice::flow {

class Channel {
 public:
  Channel(World& world, Side side, int fd) : world_(&world), side_(side), fd_(fd) {}
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  [[nodiscard]] Side side() const { return side_; }
  [[nodiscard]] int fd() const { return fd_; }
  /// Created with fd -1, it keeps what is written until it has a socket.
  void open(int fd) { fd_ = fd; }

  // --- TLS ---
  void secure(tls::OriginEngine engine) { engine_.emplace<tls::OriginEngine>(std::move(engine)); }
  void secure(tls::ClientEngine engine) { engine_.emplace<tls::ClientEngine>(std::move(engine)); }
  [[nodiscard]] tls::Engine* engine();  // null: plain
  [[nodiscard]] tls::OriginEngine* origin_engine() { return std::get_if<tls::OriginEngine>(&engine_); }

  // --- writing ---
  /// Where an engine appends wire bytes; flush() sends them.
  [[nodiscard]] std::vector<uint8_t>& output();
  /// Encrypts (or copies) `plain` to the output. False: TLS has failed, which only happens for lack of memory.
  [[nodiscard]] bool write(std::span<const uint8_t> plain);
  /// Nothing more will be written: close_notify now, FIN as soon as everything before has been sent.
  void end_writing();
  [[nodiscard]] bool has_ended_writing() const { return ending_; }

  enum class Flush : uint8_t { done, blocked, failed, no_memory };
  /// Sends what the socket takes. done: also when there is no socket yet. blocked: wait for POLLOUT. failed: `sys_errno` is set. no_memory: what
  /// waited is gone.
  [[nodiscard]] Flush flush(int& sys_errno);
  [[nodiscard]] bool is_blocked() const { return blocked_; }
  [[nodiscard]] bool has_output() const { return !out_.empty(); }
  [[nodiscard]] size_t waiting_bytes() const { return out_.size() - out_sent_; }
  [[nodiscard]] uint64_t sent_bytes() const { return sent_bytes_; }

  // --- reading ---
  enum class Read : uint8_t {
    bytes,
    want_input,
    closed,  // the peer said that it ends (close_notify)
    failed,  // see engine()->failure(); the alert is in the output
  };
  /// The next plain bytes of `wire`, taken from its front. `plain` is `wire` itself, or lies in World::plain until the
  /// next read of any channel.
  [[nodiscard]] Read read(std::span<const uint8_t>& wire, std::span<const uint8_t>& plain);

 private:
  void give_back_output();

  World* world_;
  Side side_;
  bool blocked_ = false;
  bool ending_ = false;
  bool fin_sent_ = false;
  int fd_;
  std::variant<std::monostate, tls::OriginEngine, tls::ClientEngine> engine_;
  std::vector<uint8_t> out_;
  size_t out_sent_ = 0;
  uint64_t counted_ = 0;  // of out_, as relay memory
  uint64_t sent_bytes_ = 0;
};

}  // namespace sluice::flow
