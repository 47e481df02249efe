// Engine: one TLS connection between two byte queues. No sockets: the caller brings wire bytes and takes wire
// bytes away, so two engines joined in memory are a whole connection, and tests need nothing else.
//
// An OriginEngine is the TLS client towards the origin, a ClientEngine the TLS server towards the client.
// Both own one WOLFSSL and nothing else that matters: between calls no wire byte of the caller's is
// remembered, and record buffers are given back as soon as a record is done. An engine belongs to one thread,
// that of its context, and must not outlive it.
//
// Every call takes `input`, the wire bytes that have come, and removes from its front what it consumed; and
// `output`, to whose end it appends wire bytes for the peer. Always flush `output`, also after `failed`: the
// alert is in it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tls/chain.h"
#include "tls/early_data.h"
#include "tls/tickets.h"

struct WOLFSSL;
struct WOLFSSL_SESSION;

namespace sluice::tls {

class ClientContext;
class OriginContext;

using Bytes = std::vector<uint8_t>;

/// The plain text that one record may hold (RFC 8446, section 5.1).
inline constexpr size_t plain_bytes_max = 16384;

enum class Status : uint8_t {
  ok,          // handshake: complete; read: `count` bytes; write, close_notify: done
  want_input,  // nothing more without more wire bytes; all of `input` has been consumed
  closed,      // the peer's close_notify has come: nothing will be read any more, writing is still possible
  failed,      // over; see failure(). Nothing can be read or written any more
};

/// Why an engine failed. Rows: engine_fault.def (name, text for people).
enum class Fault : uint8_t {
#define SLUICE_ENGINE_FAULT(name, text) name,
#include "tls/engine_fault.def"
#undef SLUICE_ENGINE_FAULT
};
[[nodiscard]] const char* name_of(Fault fault);  // "peer_alert", stable, for logs
[[nodiscard]] const char* text_of(Fault fault);  // a sentence for people, without a full stop

/// The name of an AlertDescription (RFC 8446, section 6), "unknown_ca"; "alert" for numbers that have none.
[[nodiscard]] const char* alert_name(uint8_t description);

struct Failure {
  Fault fault = Fault::none;
  uint8_t alert = 0;     // the AlertDescription that came, if fault is peer_alert
  int wolfssl_code = 0;  // for the debug log
};

enum class Version : uint8_t { unknown, tls12, tls13 };
[[nodiscard]] const char* to_string(Version version);  // "1.2", as logs have it

/// What was agreed on. The texts live as long as the engine, or for ever.
struct Agreed {
  Version version = Version::unknown;
  const char* cipher = "";  // IANA's name
  const char* group = "";   // the key exchange, "X25519MLKEM768"; empty when a TLS 1.2 session was resumed
  std::string_view alpn;    // empty: none
  bool resumed = false;
};

class Engine {
 public:
  Engine(Engine&&) noexcept;
  Engine& operator=(Engine&&) noexcept;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  ~Engine();

  /// Goes on with the handshake as far as `input` allows. `closed`: the peer gave up with a close_notify. After
  /// ClientEngine::Answer::retry_group the first call brings the ClientHello and nothing else.
  [[nodiscard]] Status handshake(std::span<const uint8_t>& input, Bytes& output);

  /// Decrypts at most one record of application data into `plain`, which should have room for
  /// `plain_bytes_max`: what does not fit stays in the engine, and costs memory, until the next call. With
  /// `ok`, `count` is above 0. May append to `output` (an answer to a KeyUpdate, an alert). Only after the
  /// handshake.
  [[nodiscard]] Status read(std::span<const uint8_t>& input, std::span<uint8_t> plain, size_t& count,
                            Bytes& output);

  /// Encrypts all of `plain`: records of at most `plain_bytes_max` each. `ok` or `failed`. Only after the
  /// handshake.
  [[nodiscard]] Status write(std::span<const uint8_t> plain, Bytes& output);

  /// Says that nothing more will be written. `ok`, or `failed` when the connection has failed.
  [[nodiscard]] Status close_notify(Bytes& output);

  /// The wire has ended (EOF). `closed` if the peer had said so by close_notify, else `failed`: truncated.
  /// Call it only when a call has returned `want_input` or `closed`, so that no byte is left unread.
  [[nodiscard]] Status end_of_input();

  [[nodiscard]] bool is_complete() const { return state_.complete; }
  [[nodiscard]] const Failure& failure() const { return state_.failure; }
  /// Only after the handshake.
  [[nodiscard]] Agreed agreed() const;

 protected:
  /// What callbacks of wolfSSL find out during a call.
  struct State {
    Failure failure;
    bool complete = false;
    bool peer_closed = false;
    bool client_certificate_asked = false;
    bool ticket_came = false;
    uint8_t ticket_depth = 0;  // how many resumptions led to this connection
    TicketBinding ticket_binding{};
    std::shared_ptr<Chain> chain;
  };

  explicit Engine(WOLFSSL* ssl) : ssl_(ssl) {}

  WOLFSSL* ssl_ = nullptr;
  State state_;
  std::unique_ptr<EarlyDataSkipper> early_data_;  // until the second ClientHello, of a client that sends some

 private:
  friend struct EngineCallbacks;
  struct Wire;

  Status negotiate(std::span<const uint8_t>& input, Bytes& output);
  Status skip_early_data(std::span<const uint8_t>& input, Bytes& output);

  template <class Call>
  Status tls_call(std::span<const uint8_t>& input, Bytes& output, Call call);
  Status classify(int result, Bytes& output, size_t output_before);
  Fault fault_of(int code, uint8_t& alert) const;
};

/// A session that an origin may resume: opaque, with the secrets in it. Owns a reference; one thread.
class OriginSession {
 public:
  OriginSession() = default;
  explicit OriginSession(WOLFSSL_SESSION* session) : session_(session) {}
  OriginSession(OriginSession&& other) noexcept : session_(other.session_) { other.session_ = nullptr; }
  OriginSession& operator=(OriginSession&& other) noexcept;
  OriginSession(const OriginSession&) = delete;
  OriginSession& operator=(const OriginSession&) = delete;
  ~OriginSession();

  explicit operator bool() const { return session_ != nullptr; }
  [[nodiscard]] WOLFSSL_SESSION* get() const { return session_; }

 private:
  WOLFSSL_SESSION* session_ = nullptr;
};

class OriginEngine : public Engine {
 public:
  struct Offer {
    std::string_view sni = {};                    // a DNS name; empty (also for an address): no SNI is sent
    std::span<const std::string_view> alpn = {};  // in order of preference; empty: no ALPN extension
    const OriginSession* resume = nullptr;        // read during create() alone
    bool post_quantum = false;  // also a key share for X25519MLKEM768 (about 60 µs): when the client sent one
  };

  /// Fails only for lack of memory, or an SNI or ALPN name that is too long for TLS.
  [[nodiscard]] static Result<OriginEngine> create(const OriginContext& context, const Offer& offer);

  /// What the origin sent. Any chain is accepted here: judging it is the caller's. Null before it has come,
  /// and when the session was resumed.
  [[nodiscard]] std::shared_ptr<const Chain> chain() const {
    return state_.chain && !state_.chain->certificates.empty() ? state_.chain : nullptr;
  }

  /// A session to resume later, if one has come since the last call: look after the handshake, and after each
  /// read (TLS 1.3 sends tickets then).
  [[nodiscard]] OriginSession take_session();

 private:
  using Engine::Engine;
};

class ClientEngine : public Engine {
 public:
  struct Answer {
    std::span<const uint8_t>
        leaf_chain;  // DER certificates one behind the other, the leaf first; read during create()
    std::string_view alpn = {};  // the one protocol that the origin chose; empty: none
    bool client_order = false;   // of cipher suites; otherwise ours counts, AES first
    uint16_t retry_group = 0;    // the client sends early data: see tls/early_data.h; 0: it does not
    TicketBinding ticket_binding{};  // a client whose ticket was given under another gets a full handshake
  };

  /// Fails for lack of memory, or when `leaf_chain` is no certificate.
  [[nodiscard]] static Result<ClientEngine> create(const ClientContext& context, const Answer& answer);

 private:
  using Engine::Engine;
};

}  // namespace sluice::tls
