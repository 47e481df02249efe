// The origin role: answers ClientHellos by the script (script.h), in one thread with one epoll.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <vector>

#include "bench/net.h"
#include "bench/script.h"

namespace bench {

class Origin {
 public:
  explicit Origin(const sockaddr_in& listen_on)
      : flight_(records(flight_bytes, 22)),
        tickets_(records(tickets_bytes, 23)),
        answer_(records(answer_bytes, 23)),
        bulk_(256 * 1024, 0xb1) {  // stays in the CPU's cache: the copy out of it is not what we measure
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    set_option(listener_, SOL_SOCKET, SO_REUSEADDR, 1);
    set_option(listener_, IPPROTO_TCP, TCP_NODELAY, 1);  // inherited by accepted sockets
    if (bind(listener_, reinterpret_cast<const sockaddr*>(&listen_on), sizeof listen_on) != 0) fail("bind");
    if (listen(listener_, 65535) != 0) fail("listen");
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = nullptr;  // the listener
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, listener_, &event) != 0) fail("epoll_ctl");
  }

  [[noreturn]] void run() {
    std::vector<epoll_event> events(512);
    while (true) {
      const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
      if (count < 0 && errno != EINTR) fail("epoll_wait");
      for (int i = 0; i < count; ++i) {
        auto* connection = static_cast<Connection*>(events[static_cast<size_t>(i)].data.ptr);
        if (connection == nullptr) {
          accept_all();
        } else if (!serve(*connection)) {
          close(connection->fd);
          delete connection;
        }
      }
    }
  }

 private:
  enum class Step : uint8_t { hello, client_flight, requests, stream };
  struct Connection {
    int fd = -1;
    Step step = Step::hello;
    Flow flow = Flow::talk;
    size_t seen = 0;  // bytes of this step's input
  };

  void accept_all() {
    while (true) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) {
        if (would_block(fd) || errno == ECONNABORTED) return;
        fail("accept");
      }
      auto* connection = new Connection{.fd = fd};
      epoll_event event{};
      event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
      event.data.ptr = connection;
      if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl");
    }
  }

  /// Until the socket would block; false when the connection is over. Edge-triggered: must exhaust the
  /// socket.
  bool serve(Connection& c) {
    uint8_t buffer[4096];
    while (c.step != Step::stream) {
      const ssize_t got = recv(c.fd, buffer, std::min(sizeof buffer, wanted(c)), 0);
      if (would_block(got)) return true;
      if (got <= 0) return false;
      if (c.step == Step::hello && c.seen <= flow_offset && c.seen + static_cast<size_t>(got) > flow_offset) {
        c.flow = static_cast<Flow>(buffer[flow_offset - c.seen]);
      }
      c.seen += static_cast<size_t>(got);
      if (wanted(c) == 0 && !answer(c)) return false;
    }
    return stream(c);
  }

  static size_t wanted(const Connection& c) {
    switch (c.step) {
      case Step::hello:
        return hello_bytes - c.seen;
      case Step::client_flight:
        return client_flight_bytes - c.seen;
      case Step::requests:
        return request_bytes - c.seen;
      case Step::stream:
        return 0;
    }
    return 0;
  }

  bool answer(Connection& c) {
    c.seen = 0;
    switch (c.step) {
      case Step::hello:
        if (c.flow == Flow::stream) {
          c.step = Step::stream;
          return true;
        }
        c.step = Step::client_flight;
        return send_all(c, flight_);
      case Step::client_flight:
        c.step = Step::requests;
        return send_all(c, tickets_);
      case Step::requests:
        return send_all(c, answer_);
      case Step::stream:
        return true;
    }
    return false;
  }

  /// Answers are far smaller than a socket's send buffer, so a short send means that something is broken.
  static bool send_all(const Connection& c, const std::vector<uint8_t>& bytes) {
    return send(c.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
  }

  /// Ends when the send buffer is full, which bounds a turn; false when the client has gone.
  bool stream(const Connection& c) {
    while (true) {
      const ssize_t sent = send(c.fd, bulk_.data(), bulk_.size(), MSG_NOSIGNAL);
      if (would_block(sent)) return true;
      if (sent <= 0) return false;
    }
  }

  std::vector<uint8_t> flight_, tickets_, answer_, bulk_;
  int listener_ = -1;
  int epoll_ = -1;
};

}  // namespace bench
