// The client role: many connections in a closed loop, in one thread with one epoll; latencies with plain
// blocking sockets. Every connection begins with a ClientHello that names its origin address:
// o<N>.bench.example.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <string>
#include <vector>

#include "bench/net.h"
#include "bench/script.h"

namespace bench {

enum class Load : uint8_t {
  conns,     // hello, flight, Finished, tickets, close; then the next connection
  requests,  // the same, then requests one after the other on the same connection
  bulk,      // hello, then bytes from the origin as fast as they come
  hold,      // the same as conns, but stays open, idle
};

struct Counters {
  uint64_t connections = 0;  // completed up to the tickets (bulk: up to the first byte)
  uint64_t requests = 0;
  uint64_t bytes = 0;  // of bulk streams
  uint64_t failures = 0;
};

class Client {
 public:
  Client(Load load, const Targets& targets) : load_(load), targets_(targets) {
    const Flow flow = load == Load::bulk ? Flow::stream : Flow::talk;
    for (uint32_t i = 0; i < targets.count; ++i) hellos_.push_back(client_hello(name_of(targets, i), flow));
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    discard_.resize(1 << 20);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() {
    for (const Slot& slot : slots_) {
      if (slot.fd >= 0) close(slot.fd);
    }
    close(epoll_);
  }

  /// Grows to `count` connections; they are opened at most `opening_max` at a time.
  void resize(size_t count) {
    slots_.reserve(100'000);  // events carry pointers into this vector
    wanted_ = std::min(count, slots_.capacity());
    open_more();
  }

  [[nodiscard]] const Counters& counters() const { return counters_; }
  [[nodiscard]] bool all_established() const { return slots_.size() == wanted_ && opening_ == 0; }

  /// Serves events until `deadline_s`, or until `all_established()` when asked to. False after too many
  /// failures.
  [[nodiscard]] bool run_until(double deadline_s, bool stop_when_established = false) {
    std::vector<epoll_event> events(512);
    while (!(stop_when_established && all_established())) {
      const double left_s = deadline_s - now_s();
      if (left_s <= 0) break;
      const int wait_ms = static_cast<int>(left_s * 1000) + 1;
      const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), wait_ms);
      if (count < 0 && errno != EINTR) fail("epoll_wait");
      for (int i = 0; i < count; ++i) serve(*static_cast<Slot*>(events[static_cast<size_t>(i)].data.ptr));
      if (counters_.failures > failures_max) return false;
    }
    return true;
  }

 private:
  enum class Step : uint8_t { connecting, flight, tickets, answer, stream, idle };
  struct Slot {
    int fd = -1;
    Step step = Step::connecting;
    size_t seen = 0;  // bytes of this step's input
    uint32_t target = 0;
  };
  static constexpr size_t opening_max = 256;
  static constexpr uint64_t failures_max = 1000;

  void open_more() {
    while (slots_.size() < wanted_ && opening_ < opening_max) {
      slots_.emplace_back();
      start(slots_.back());
    }
  }

  void start(Slot& slot) {
    slot = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), .target = next_target_++};
    if (slot.fd < 0) fail("socket");
    set_option(slot.fd, IPPROTO_TCP, TCP_NODELAY, 1);
    ++opening_;
    const sockaddr_in address = targets_.at(slot.target);
    if (connect(slot.fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
        errno != EINPROGRESS) {
      fail("connect");
    }
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    event.data.ptr = &slot;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, slot.fd, &event) != 0) fail("epoll_ctl");
  }

  void restart(Slot& slot) {
    close(slot.fd);
    start(slot);
  }

  void failed(Slot& slot) {
    if (is_opening(slot)) --opening_;
    if (++counters_.failures <= failures_max) {
      restart(slot);
    } else {
      close(slot.fd);
      slot.fd = -1;
    }
  }

  static bool is_opening(const Slot& slot) {
    return slot.step == Step::connecting || slot.step == Step::flight || slot.step == Step::tickets;
  }

  void established(Slot& slot) {
    --opening_;
    ++counters_.connections;
    switch (load_) {
      case Load::conns:
        restart(slot);
        break;
      case Load::requests:
        send_request(slot);
        break;
      case Load::bulk:
        slot.step = Step::stream;
        break;
      case Load::hold:
        slot.step = Step::idle;
        break;
    }
    open_more();
  }

  void send_request(Slot& slot) {
    slot.step = Step::answer;
    slot.seen = 0;
    send_or_fail(slot, request_);
  }

  bool send_or_fail(Slot& slot, const std::vector<uint8_t>& bytes) {
    if (send(slot.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()))
      return true;
    failed(slot);
    return false;
  }

  void serve(Slot& slot) {
    switch (slot.step) {
      case Step::connecting:
        connected(slot);
        break;
      case Step::flight:
      case Step::tickets:
      case Step::answer:
        read_script(slot);
        break;
      case Step::stream:
        read_stream(slot);
        break;
      case Step::idle: {
        uint8_t byte = 0;
        if (!would_block(recv(slot.fd, &byte, 1, 0))) failed(slot);
        break;
      }
    }
  }

  void connected(Slot& slot) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(slot.fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return failed(slot);
    const auto& hello = hellos_[slot.target % targets_.count];
    // Before the connection stands, send() says EAGAIN: a spurious event.
    const ssize_t sent = send(slot.fd, hello.data(), hello.size(), MSG_NOSIGNAL);
    if (would_block(sent)) return;
    if (sent != static_cast<ssize_t>(hello.size())) return failed(slot);
    slot.step = Step::flight;
  }

  static size_t wanted_bytes(const Slot& slot) {
    switch (slot.step) {
      case Step::flight:
        return flight_bytes;
      case Step::tickets:
        return tickets_bytes;
      case Step::answer:
        return answer_bytes;
      case Step::connecting:
      case Step::stream:
      case Step::idle:
        return 0;
    }
    return 0;
  }

  void read_script(Slot& slot) {
    if (load_ == Load::bulk) return established(slot), read_stream(slot);
    const int fd = slot.fd;
    while (slot.fd == fd) {  // until it would block, or the connection was replaced
      const size_t left = wanted_bytes(slot) - slot.seen;
      const ssize_t got = recv(slot.fd, discard_.data(), left, 0);
      if (would_block(got)) return;
      if (got <= 0) return failed(slot);
      slot.seen += static_cast<size_t>(got);
      // A read that emptied the socket need not be repeated: the next bytes only come after our own.
      if (slot.seen == wanted_bytes(slot)) return step_done(slot);
    }
  }

  void step_done(Slot& slot) {
    if (slot.step == Step::flight) {
      slot.step = Step::tickets;
      slot.seen = 0;
      send_or_fail(slot, client_flight_);
    } else if (slot.step == Step::tickets) {
      established(slot);
    } else {
      ++counters_.requests;
      send_request(slot);
    }
  }

  /// MSG_TRUNC drops the bytes inside the kernel: a client that costs next to nothing.
  void read_stream(Slot& slot) {
    while (true) {
      const ssize_t got = recv(slot.fd, discard_.data(), discard_.size(), MSG_TRUNC);
      if (would_block(got)) return;
      if (got <= 0) return failed(slot);
      counters_.bytes += static_cast<uint64_t>(got);
    }
  }

  Load load_;
  Targets targets_;
  std::vector<std::vector<uint8_t>> hellos_;
  std::vector<uint8_t> client_flight_ = records(client_flight_bytes, 20);
  std::vector<uint8_t> request_ = records(request_bytes, 23);
  std::vector<uint8_t> discard_;
  std::vector<Slot> slots_;
  size_t wanted_ = 0;
  size_t opening_ = 0;  // slots between connect and established
  uint32_t next_target_ = 0;
  Counters counters_;
  int epoll_ = -1;
};

/// One blocking connection, for latencies and for checking that a name passes or is closed.
class Probe {
 public:
  explicit Probe(const sockaddr_in& address, const std::string& sni) : hello_(client_hello(sni, Flow::talk)) {
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd_ < 0) fail("socket");
    const timeval limit{.tv_sec = 5, .tv_usec = 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    set_option(fd_, IPPROTO_TCP, TCP_NODELAY, 1);
    begun_s_ = now_s();
    connected_ = connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;
  ~Probe() { close(fd_); }

  /// The whole handshake; seconds from before connect to the first byte of the origin's flight, or < 0.
  [[nodiscard]] double handshake() {
    if (!connected_ || !put(hello_)) return -1;
    const ssize_t first = recv(fd_, buffer_, flight_bytes, 0);
    if (first <= 0) return -1;
    const double first_byte_s = now_s() - begun_s_;
    if (!get(flight_bytes - static_cast<size_t>(first)) || !put(client_flight_) || !get(tickets_bytes))
      return -1;
    return first_byte_s;
  }

  /// Seconds from before the request to the whole answer, or < 0.
  [[nodiscard]] double request() {
    const double begun_s = now_s();
    return put(request_) && get(answer_bytes) ? now_s() - begun_s : -1;
  }

 private:
  bool put(const std::vector<uint8_t>& bytes) {
    return send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
  }
  bool get(size_t count) {
    return count == 0 || recv(fd_, buffer_, count, MSG_WAITALL) == static_cast<ssize_t>(count);
  }

  std::vector<uint8_t> hello_;
  std::vector<uint8_t> client_flight_ = records(client_flight_bytes, 20);
  std::vector<uint8_t> request_ = records(request_bytes, 23);
  uint8_t buffer_[flight_bytes];
  int fd_ = -1;
  bool connected_ = false;
  double begun_s_ = 0;
};

}  // namespace bench
