// worker::SessionPool and worker::Listener against the fake kernel.

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <set>

#include "sim/lab.h"
#include "worker/listener.h"

namespace sluice::sim {
namespace {

/// A listening socket that nobody outside can reach (an unnamed AF_UNIX address), for the calls that a
/// Listener makes itself; what accept_many answers comes from the fake.
struct RealListener {
  RealListener() {
    fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(fd >= 0);
    address.sun_family = AF_UNIX;
    REQUIRE(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(sa_family_t)) ==
            0);  // the kernel names it
    length = sizeof address;
    REQUIRE(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0);
    REQUIRE(::listen(fd, 16) == 0);
  }
  [[nodiscard]] int connect() const {
    const int client = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(::connect(client, reinterpret_cast<const sockaddr*>(&address), length) == 0);
    return client;
  }

  int fd = -1;
  sockaddr_un address{};
  socklen_t length = 0;
};

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

struct Fixture {
  Fixture()
      : random(1),
        kernel(random),
        timers(kernel.now_us()),
        listener(kernel, timers, counters, real.fd, [this](int fd) { admitted.push_back(fd); },
                 [this](int fd) {
                   refused.push_back(fd);
                   kernel.close_with_reset(fd);
                 }) {
    kernel.add_listener(real.fd);
  }
  void settle() {
    for (int guard = 0; guard < 1'000 && (kernel.execute_one() || kernel.deliver()); ++guard) continue;
  }
  void pass_ms(uint64_t ms) {
    for (uint64_t i = 0; i < ms; ++i) {
      kernel.advance(1'000);
      timers.advance(kernel.now_us());
      settle();
    }
  }
  void close() {
    listener.close();
    settle();
    CHECK(listener.closed());
    CHECK_FALSE(is_open(real.fd));
    CHECK(kernel.leftovers() == "");
    CHECK(kernel.complaints().empty());
    CHECK(timers.next_us() == UINT64_MAX);
  }

  Random random;
  FakeKernel kernel;
  io::TimerWheel timers;
  record::Counters counters;
  RealListener real;
  std::vector<int> admitted;
  std::vector<int> refused;
  worker::Listener listener;
};

}  // namespace

TEST_CASE("SessionPool: at the limit the last slot, one past it none; slots come back fresh") {
  Lab lab;
  worker::SessionPool pool(130);
  std::set<flow::Session*> taken;
  for (int i = 0; i < 130; ++i) {
    flow::Session* session = pool.take();
    REQUIRE(session != nullptr);
    session->id = 77;
    session->replay.resize(100);
    taken.insert(session);
  }
  CHECK(taken.size() == 130);
  CHECK(pool.open() == 130);
  CHECK(pool.take() == nullptr);
  pool.give(**taken.begin());
  flow::Session* again = pool.take();
  REQUIRE(again != nullptr);
  CHECK(again->id == 0);
  CHECK(again->replay.empty());
  CHECK(again->client_fd == -1);
  CHECK(pool.take() == nullptr);
  pool.set_max(131);
  CHECK(pool.take() != nullptr);
  // Each open one is visited once, and may end meanwhile.
  std::set<flow::Session*> visited;
  pool.for_each([&](flow::Session& session) {
    CHECK(visited.insert(&session).second);
    pool.give(session);
  });
  CHECK(visited.size() == 131);
  CHECK(pool.open() == 0);
}

TEST_CASE("SessionPool: every open session is ended by a stop, wherever it is") {
  Lab lab;
  lab.config().tls.terminate_with = config::TerminateWith::alert;
  std::vector<Connection*> clients;
  for (const char* sni : {"www.example.test", "terminate.test", "block.test", "tunnel.test"})
    for (int i = 0; i < 5; ++i) {
      Connection& client = lab.begin();
      if (i > 0) client.send(client_hello(sni));
      clients.push_back(&client);
    }
  lab.settle();
  lab.pool.for_each([](flow::Session& session) { flow::end(session, record::CloseReason::stopped); });
  lab.pass_ms(3'000);  // alerts that were on their way have their time
  for (const Connection* client : clients) CHECK(lab.record_of(*client) != nullptr);
  CHECK(lab.verdict() == "");
}

TEST_CASE("Listener: every accepted descriptor is admitted; a multishot that ends is begun again") {
  Fixture at;
  at.listener.begin();
  at.kernel.offer(at.real.fd, 11, false);
  at.kernel.offer(at.real.fd, 12, false);
  at.kernel.offer(at.real.fd, 13, true);  // the last of this multishot
  at.kernel.offer(at.real.fd, 14, false);
  at.settle();
  CHECK(at.admitted == std::vector<int>{11, 12, 13, 14});
  CHECK(at.counters.connections_accepted == 4);
  at.kernel.offer(at.real.fd, -ECONNABORTED, true);  // a client that left the queue: not even worth counting
  at.kernel.offer(at.real.fd, -EINTR, true);
  at.kernel.offer(at.real.fd, 15, false);
  at.settle();
  CHECK(at.admitted.back() == 15);
  CHECK(at.kernel.in_flight() == 1);
  at.close();
}

TEST_CASE("Listener: an error that may persist is counted and tried again after a pause") {
  Fixture at;
  at.listener.begin();
  at.kernel.offer(at.real.fd, -ENOMEM, true);
  at.kernel.offer(at.real.fd, 16, false);
  at.settle();
  CHECK(at.counters.accept_errors == 1);
  CHECK(at.admitted.empty());
  CHECK(at.kernel.in_flight() == 0);
  at.pass_ms(150);
  CHECK(at.admitted == std::vector<int>{16});
  at.close();
}

TEST_CASE(
    "Listener: out of descriptors, who comes is refused at once, and accepting goes on when there are some "
    "again") {
  Fixture at;
  at.listener.begin();
  at.kernel.offer(at.real.fd, -EMFILE, true);
  at.settle();
  CHECK(at.counters.fd_limit_hits == 1);
  CHECK(at.kernel.in_flight() == 1);  // it waits for somebody to come
  const int client = at.real.connect();
  at.kernel.set_readable(at.real.fd, true);
  REQUIRE(at.kernel.execute_one());
  at.kernel.set_readable(at.real.fd, false);
  at.settle();
  CHECK(at.kernel.foreign_resets().size() == 1);
  CHECK(at.refused.size() == 1);
  CHECK(at.counters.connections_accepted == 1);
  CHECK(at.admitted.empty());
  char byte = 0;
  CHECK(::recv(client, &byte, 1, MSG_DONTWAIT) <= 0);  // closed: the client knows
  CHECK_FALSE((::recv(client, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN));
  ::close(client);
  SUBCASE("there are descriptors again") {
    at.kernel.offer(at.real.fd, 17, false);
    at.pass_ms(150);
    CHECK(at.admitted == std::vector<int>{17});
    CHECK(at.kernel.in_flight() == 1);  // the accept alone
  }
  SUBCASE("there are still none: it refuses and tries in turn, for as long as it takes") {
    for (int i = 0; i < 5; ++i) {
      at.kernel.offer(at.real.fd, -EMFILE, true);
      at.pass_ms(150);
    }
    CHECK(at.counters.fd_limit_hits == 6);
    CHECK(at.kernel.in_flight() >= 1);
    at.kernel.offer(at.real.fd, 18, false);
    at.pass_ms(300);
    CHECK(at.admitted == std::vector<int>{18});
  }
  SUBCASE("it is told to close meanwhile") {}
  at.close();
}

TEST_CASE("Listener: close in every state, and an accept that races with it is not lost") {
  for (const double loses : {0.0, 1.0}) {
    Fixture at;
    at.kernel.chaos.cancel_loses = loses;
    at.listener.begin();
    at.kernel.offer(at.real.fd, 19, false);
    at.listener.close();
    CHECK_FALSE(at.listener.closed());  // the kernel still has it
    at.settle();
    CHECK(at.admitted.size() == (loses > 0 ? 1 : 0));
    at.close();
  }
  Fixture paused;
  paused.listener.begin();
  paused.kernel.offer(paused.real.fd, -ENOMEM, true);
  paused.settle();
  paused.close();
}

}  // namespace sluice::sim
