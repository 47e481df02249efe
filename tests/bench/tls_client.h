// A real TLS client: many HTTPS connections in a closed loop, in one thread with one epoll, over OpenSSL.
//
// The client role of the bump measures (docs/bench.md). Keys and ciphers are the same for every gateway:
// X25519 first, AES-128-GCM. It does not verify certificates, which would only cost its own CPU; `check` in
// tls_load.cc does. Answers must carry a Content-Length. Not thread-safe; SSL objects and sockets belong to
// their Connection.
#pragma once

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/net.h"

namespace bench {

struct FreeTls {
  void operator()(SSL_CTX* p) const { SSL_CTX_free(p); }
  void operator()(SSL* p) const { SSL_free(p); }
  void operator()(SSL_SESSION* p) const { SSL_SESSION_free(p); }
  void operator()(X509* p) const { X509_free(p); }
};
template <typename T>
using TlsPtr = std::unique_ptr<T, FreeTls>;

/// X25519 and AES-128-GCM under TLS 1.3 or, where the gateway cannot (or `version_max` forbids it), TLS 1.2.
inline TlsPtr<SSL_CTX> make_client_context(int version_max = TLS1_3_VERSION) {
  TlsPtr<SSL_CTX> context(SSL_CTX_new(TLS_client_method()));
  if (!context || SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION) != 1 ||
      SSL_CTX_set_max_proto_version(context.get(), version_max) != 1 ||
      SSL_CTX_set_ciphersuites(context.get(), "TLS_AES_128_GCM_SHA256") != 1 ||
      SSL_CTX_set_cipher_list(context.get(), "ECDHE+AESGCM:!AES256") != 1 ||
      SSL_CTX_set1_groups_list(context.get(), "X25519:P-256") != 1) {
    fail("TLS context");
  }
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
  SSL_CTX_set_read_ahead(context.get(), 1);  // one recv() per record instead of two
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS);
  return context;
}

/// SNI `name`, ALPN http/1.1, socket `fd`.
inline TlsPtr<SSL> make_client_tls(SSL_CTX& context, const std::string& name, int fd) {
  static constexpr uint8_t alpn[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  TlsPtr<SSL> ssl(SSL_new(&context));
  // SSL_set_alpn_protos alone returns 0 for success.
  if (!ssl || SSL_set_tlsext_host_name(ssl.get(), name.c_str()) != 1 ||
      SSL_set_alpn_protos(ssl.get(), alpn, sizeof alpn) != 0 || SSL_set_fd(ssl.get(), fd) != 1) {
    fail("TLS connection");
  }
  return ssl;
}

/// A GET as a browser would send it, about 300 bytes.
inline std::string https_request(const std::string& host, const std::string& path) {
  return "GET " + path + " HTTP/1.1\r\nHost: " + host +
         "\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
         "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8\r\n"
         "Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: identity\r\n\r\n";
}

/// What the client must know of an answer's head.
struct AnswerHead {
  uint64_t body_bytes = 0;
  bool closes = false;          // "Connection: close"
  bool origin_resumed = false;  // "X-Origin: r …", the origin's own word on its handshake with the gateway
};

namespace detail {

inline bool same_word(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return (x | 0x20) == (y | 0x20); });
}

}  // namespace detail

/// `text` is a whole head with its empty line; nullopt unless it is a 200 with a Content-Length.
inline std::optional<AnswerHead> parse_head(std::string_view text) {
  if (!text.starts_with("HTTP/1.1 200")) return std::nullopt;
  AnswerHead head;
  bool has_length = false;
  for (size_t at = text.find("\r\n"); at + 4 < text.size();) {
    const size_t end = text.find("\r\n", at + 2);
    const std::string_view line = text.substr(at + 2, end - at - 2);
    const size_t colon = line.find(':');
    const std::string_view name = line.substr(0, colon);
    std::string_view value = colon == std::string_view::npos ? "" : line.substr(colon + 1);
    while (value.starts_with(' ')) value.remove_prefix(1);
    if (detail::same_word(name, "content-length")) {
      const char* last = value.data() + value.size();
      has_length = std::from_chars(value.data(), last, head.body_bytes).ptr == last;
    } else if (detail::same_word(name, "connection")) {
      head.closes = detail::same_word(value, "close");
    } else if (detail::same_word(name, "x-origin")) {
      head.origin_resumed = value.starts_with('r');
    }
    at = end;
  }
  if (!has_length) return std::nullopt;
  return head;
}

enum class TlsLoad : uint8_t {
  conns,     // full handshake, one request, close; then the next connection
  resumed,   // the same, with the session of an earlier connection to that name
  requests,  // requests one after the other on each connection
  bulk,      // the same for a large answer, whose bytes are counted as they come
  hold,      // one request, then idle
  bare,      // no request, idle
};

struct TlsCounters {
  uint64_t connections = 0;     // that served their first answer (bare: handshakes)
  uint64_t client_resumed = 0;  // of these: abbreviated handshake between client and gateway
  uint64_t origin_resumed = 0;  // of these: abbreviated handshake between gateway and origin
  uint64_t answers = 0;
  uint64_t bytes = 0;       // of bodies
  uint64_t reconnects = 0;  // requests, bulk: the gateway ended the connection after an answer
  uint64_t failures = 0;
  const char* last_failure = "";
};

class TlsClient {
 public:
  TlsClient(TlsLoad load, const Targets& targets, const std::string& path, int version_max = TLS1_3_VERSION)
      : load_(load), targets_(targets), context_(make_client_context(version_max)), sessions_(targets.count) {
    const std::string port = ":" + std::to_string(ntohs(targets.first.sin_port));
    for (uint32_t i = 0; i < targets.count; ++i) {
      requests_.push_back(https_request(name_of(targets, i) + port, path));
    }
    // Sessions are kept here and nowhere else.
    SSL_CTX_set_session_cache_mode(context_.get(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_set_app_data(context_.get(), this);
    SSL_CTX_sess_set_new_cb(context_.get(), keep_session);
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    buffer_.resize(64 * 1024);
  }
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;
  ~TlsClient() {
    for (const Connection& c : connections_) {
      if (c.fd >= 0) close(c.fd);
    }
    close(epoll_);
  }

  /// Grows to `count` connections; they are opened at most `opening_max` at a time.
  void resize(size_t count) {
    connections_.reserve(connections_max);  // events carry pointers into this vector
    wanted_ = std::min(count, connections_max);
    open_more();
  }

  [[nodiscard]] const TlsCounters& counters() const { return counters_; }
  [[nodiscard]] bool all_established() const { return connections_.size() == wanted_ && opening_ == 0; }

  /// Serves events until `deadline_s`, or until `all_established()` when asked to. False after too many
  /// failures.
  [[nodiscard]] bool run_until(double deadline_s, bool stop_when_established = false) {
    std::vector<epoll_event> events(512);
    while (!(stop_when_established && all_established())) {
      const double left_s = deadline_s - now_s();
      if (left_s <= 0) break;
      const int wait_ms = unfinished_.empty() ? static_cast<int>(left_s * 1000) + 1 : 0;
      const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), wait_ms);
      if (count < 0 && errno != EINTR) fail("epoll_wait");
      std::vector<Connection*> turn = std::exchange(unfinished_, {});
      for (int i = 0; i < count; ++i) {
        turn.push_back(static_cast<Connection*>(events[static_cast<size_t>(i)].data.ptr));
      }
      for (Connection* c : turn) serve(*c);
      if (counters_.failures > failures_max) return false;
    }
    return true;
  }

 private:
  enum class Step : uint8_t { connecting, handshake, head, body, idle };
  struct Connection {
    int fd = -1;
    TlsPtr<SSL> ssl;
    Step step = Step::connecting;
    uint32_t target = 0;
    bool established = false;
    AnswerHead head;
    uint64_t body_left = 0;
    std::string head_text;
  };
  static constexpr size_t connections_max = 30'000;
  static constexpr size_t opening_max = 64;
  static constexpr uint64_t failures_max = 200;
  static constexpr size_t head_bytes_max = 8192;
  static constexpr uint64_t turn_bytes_max = 1 << 20;  // so that one fast stream does not starve the others

  /// OpenSSL asks whether we keep the session (1) or it may be freed (0).
  static int keep_session(SSL* ssl, SSL_SESSION* session) {
    auto* self = static_cast<TlsClient*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
    if (self->load_ != TlsLoad::resumed) return 0;
    const auto* connection = static_cast<const Connection*>(SSL_get_app_data(ssl));
    self->sessions_[connection->target % self->targets_.count].reset(session);
    return 1;
  }

  void open_more() {
    while (connections_.size() < wanted_ && opening_ < opening_max) {
      connections_.emplace_back();
      start(connections_.back());
    }
  }

  void start(Connection& c) {
    c = Connection();
    c.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    c.target = next_target_++;
    if (c.fd < 0) fail("socket");
    set_option(c.fd, IPPROTO_TCP, TCP_NODELAY, 1);
    ++opening_;
    const sockaddr_in address = targets_.at(c.target);
    if (connect(c.fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
        errno != EINPROGRESS) {
      fail("connect");
    }
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    event.data.ptr = &c;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, c.fd, &event) != 0) fail("epoll_ctl");
  }

  void finish(Connection& c) {
    std::erase(unfinished_, &c);
    if (!c.established) --opening_;
    c.ssl.reset();
    close(c.fd);
    c.fd = -1;
  }

  void failed(Connection& c, const char* why) {
    ERR_clear_error();
    finish(c);
    counters_.last_failure = why;
    if (++counters_.failures <= failures_max) start(c);
  }

  /// Says goodbye as a browser does, and begins anew.
  void replace(Connection& c) {
    SSL_shutdown(c.ssl.get());
    finish(c);
    start(c);
  }

  void serve(Connection& c) {
    if (c.fd < 0) return;
    if (c.step == Step::connecting && !connected(c)) return;
    if (c.step == Step::handshake && !handshake(c)) return;
    read_answers(c);
  }

  bool connected(Connection& c) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(c.fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return failed(c, "connect"), false;
    sockaddr_in peer{};
    size = sizeof peer;
    if (getpeername(c.fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0)
      return false;  // not yet: a spurious event
    const uint32_t index = c.target % targets_.count;
    c.ssl = make_client_tls(*context_, name_of(targets_, index), c.fd);
    SSL_set_app_data(c.ssl.get(), &c);
    if (load_ == TlsLoad::resumed && sessions_[index]) SSL_set_session(c.ssl.get(), sessions_[index].get());
    SSL_set_connect_state(c.ssl.get());
    c.step = Step::handshake;
    return true;
  }

  bool handshake(Connection& c) {
    const int result = SSL_do_handshake(c.ssl.get());
    if (result != 1) {
      if (SSL_get_error(c.ssl.get(), result) != SSL_ERROR_WANT_READ) failed(c, "handshake");
      return false;
    }
    if (load_ != TlsLoad::bare) return send_request(c);
    c.step = Step::idle;
    established(c);
    return true;
  }

  void established(Connection& c) {
    c.established = true;
    --opening_;
    ++counters_.connections;
    counters_.client_resumed += static_cast<uint64_t>(SSL_session_reused(c.ssl.get()));
    counters_.origin_resumed += c.head.origin_resumed;
    open_more();
  }

  bool send_request(Connection& c) {
    const std::string& request = requests_[c.target % targets_.count];
    c.step = Step::head;
    c.head_text.clear();
    const int size = static_cast<int>(request.size());
    if (SSL_write(c.ssl.get(), request.data(), size) == size) return true;
    failed(c, "request not sent");
    return false;
  }

  /// Until the socket has no more, the turn is over, or the connection was replaced.
  void read_answers(Connection& c) {
    const SSL* ssl = c.ssl.get();
    for (uint64_t seen = 0; c.ssl.get() == ssl;) {
      if (seen >= turn_bytes_max) return unfinished_.push_back(&c);
      const int got = SSL_read(c.ssl.get(), buffer_.data(), static_cast<int>(buffer_.size()));
      if (got <= 0) {
        const bool waits = SSL_get_error(c.ssl.get(), got) == SSL_ERROR_WANT_READ;
        if (!waits)
          failed(c, c.step == Step::idle ? "an idle connection was closed" : "closed before its answer");
        return;
      }
      seen += static_cast<uint64_t>(got);
      take(c, std::string_view(buffer_.data(), static_cast<size_t>(got)));
    }
  }

  void take(Connection& c, std::string_view bytes) {
    if (c.step == Step::head) {
      const size_t before = c.head_text.size();
      c.head_text.append(bytes.substr(0, head_bytes_max));
      const size_t end = c.head_text.find("\r\n\r\n");
      if (end == std::string::npos) {
        if (c.head_text.size() >= head_bytes_max) failed(c, "an endless head");
        return;
      }
      const auto head = parse_head(std::string_view(c.head_text).substr(0, end + 4));
      if (!head) return failed(c, "not a 200 with a length");
      c.head = *head;
      c.body_left = head->body_bytes;
      c.step = Step::body;
      bytes.remove_prefix(end + 4 - before);
      if (load_ == TlsLoad::bulk && !c.established) established(c);  // the first answer of many seconds
    }
    if (c.step != Step::body || bytes.size() > c.body_left) return failed(c, "bytes that nobody asked for");
    c.body_left -= bytes.size();
    counters_.bytes += bytes.size();
    if (c.body_left == 0) answered(c);
  }

  void answered(Connection& c) {
    ++counters_.answers;
    if (!c.established) established(c);
    switch (load_) {
      case TlsLoad::conns:
      case TlsLoad::resumed:
        return replace(c);
      case TlsLoad::requests:
      case TlsLoad::bulk:
        if (c.head.closes) return ++counters_.reconnects, replace(c);
        send_request(c);
        return;
      case TlsLoad::hold:
        c.step = Step::idle;
        return;
      case TlsLoad::bare:
        return;
    }
  }

  TlsLoad load_;
  Targets targets_;
  TlsPtr<SSL_CTX> context_;
  std::vector<TlsPtr<SSL_SESSION>> sessions_;  // the newest of each name
  std::vector<std::string> requests_;          // of each name
  std::vector<char> buffer_;
  std::vector<Connection> connections_;
  std::vector<Connection*> unfinished_;  // their turn ended before their bytes
  size_t wanted_ = 0;
  size_t opening_ = 0;  // connections that are not established
  uint32_t next_target_ = 0;
  TlsCounters counters_;
  int epoll_ = -1;
};

}  // namespace bench
