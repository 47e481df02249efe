// Session: one client connection from accept to close. Its step table is the reader's map:
//
//   decide -> peek -> decide -> connect -> splice -> finish
//                                       -> bump -> exchange -> finish     (TLS is terminated; the HTTP inside is read)
//                  -> exchange -> connect -> exchange -> finish          (plain HTTP: dialled once a request may pass)
//   ask -> resolve -> decide -> …    of a client that is configured for a proxy; for it, dial stands in place of connect
//   ask -> exchange -> resolve -> dial -> exchange -> ask -> …           (its requests in clear, each for a host of its own)
//
// decide runs twice: at the connect event (then it may lead straight to connect) and, after peek, at the hello event.
// Every path ends in finish, the only place that closes, counts and logs. Each step is a function in a file of its own
// that returns Next; its state is an alternative of `room`, so that no step can read another's fields.
//
// A session belongs to one worker and never migrates. Its memory is a pooled slot that is used again only after finish
// has joined every Op (nothing in flight) and closed both sockets.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "flow/asked.h"
#include "flow/channel.h"
#include "flow/dialer.h"
#include "flow/world.h"
#include "hello/client_hello.h"
#include "io/op.h"
#include "io/timer_wheel.h"
#include "tls/chain.h"
#include "tls/origin_verdict.h"

namespace sluice::flow {

enum class Step : uint8_t { ask, resolve, decide, peek, connect, dial, splice, bump, exchange, finish };
[[nodiscard]] const char* to_string(Step step);

/// What a step function wants next: run the step that is now in `session.step`; wait for an answer; or end.
enum class Next : uint8_t { go, wait, close };

enum class Direction : uint8_t { up, down };  // up: client to origin

/// What a waiting step was waiting for. nullptr where an Answer is expected means: the step has just been entered.
struct Answer {
  enum class From : uint8_t { up, down, client_writable, origin_writable, timer, dial, looked_up };
  From from = From::timer;
  int32_t result = 0;
  uint32_t flags = 0;
  const io::Op* op = nullptr;  // dial: which one
};

/// How the client learns of the end.
// linger: in order, and what the client still sends is read for a while, so that no reset overtakes our last words.
enum class Farewell : uint8_t { in_order, reset, alert, linger, reset_after_delivery };

/// Bytes that the receiver could not take yet.
struct Spill {
  std::unique_ptr<uint8_t[]> bytes;
  uint32_t size = 0;
  uint32_t sent = 0;
};

/// What the log says of the ClientHello, kept small: an idle tunnel holds it for its whole life.
struct Seen {
  std::string names;  // SNI, then ALPN protocols joined with commas
  uint16_t sni_bytes = 0;
  uint16_t version_max = 0;
  bool ech = false;
  bool post_quantum = false;      // offers a key share of X25519MLKEM768
  bool prefers_chacha20 = false;  // to AES: it has no instructions for that
  bool early_data = false;        // offered, and follows the hello
  uint16_t retry_group = 0;       // with early_data: what to ask for, so that it can be dropped; 0: there is nothing
  bool one_record = true;         // the hello came in a single record
  uint32_t hello_wire_bytes = 0;  // of the replay, the records that hold the hello
  hello::Ja4 ja4{};

  [[nodiscard]] std::string_view sni() const { return std::string_view(names).substr(0, sni_bytes); }
  [[nodiscard]] std::string_view alpn() const { return std::string_view(names).substr(sni_bytes); }
};

/// What is known of a connection once it is bumped: for the log, and for what is asked of requests inside.
struct Bumped {
  std::shared_ptr<const tls::OriginVerdict> verdict;
  uint32_t origin_handshake_us = UINT32_MAX;  // UINT32_MAX: it did not happen
  uint32_t client_handshake_us = UINT32_MAX;
  // To keep a session that the origin sends later (TLS 1.3), with what it was begun with, and when that was.
  std::shared_ptr<const tls::Chain> chain;
  std::string alpn_offer;
  int64_t chain_came_s = 0;
};

/// Both sides of a connection whose bytes are read, and the waits for them to become writable (their reads are Session::up
/// and Session::down).
struct Pair {
  Pair(World& world, int client_fd, int origin_fd)
      : client(world, Side::client, client_fd), origin(world, Side::origin, origin_fd) {}
  Channel client;
  Channel origin;
  io::Op client_write;
  io::Op origin_write;
  // The receiver is full and has sent FIN (see Relay::Waiting::paused): the timer asks again.
  bool client_paused = false;
  bool origin_paused = false;
};
struct Handshakes;  // bump.cc
struct Exchange;    // exchange.cc
struct HandshakesDeleter { void operator()(Handshakes* handshakes) const; };
struct ExchangeDeleter { void operator()(Exchange* exchange) const; };

struct PeekRoom {
  hello::HelloReader reader;
};

struct Asking;  // ask.cc
struct AskingDeleter { void operator()(Asking* asking) const; };
struct AskRoom {
  std::unique_ptr<Asking, AskingDeleter> asking;
};

struct DialRoom {
  std::unique_ptr<Dialer> dialer;
  uint64_t begun_us = 0;
  uint64_t give_up_us = 0;
  uint64_t watch_us = 0;      // from when on the client is watched
  bool watches = false;
  bool is_connected = false;  // what is left to do is to stop watching the client
  int failed_errno = 0;       // not 0: the same, behind a dial that has come to nothing
  bool gave_up = false;       // what is left to do is to wait for the dials
};

struct ConnectRoom {
  uint64_t begun_us = 0;
  uint64_t give_up_us = 0;
  bool connected = false;  // what is left to do is to stop watching the client
};

/// One direction of a relay.
struct Relay {
  // paused: the receiver is full and has sent FIN. io_uring answers any poll of it at once (it always asks for RDHUP), so
  // the timer asks again.
  enum class Waiting : uint8_t { nothing, receive, readable, writable, paused };

  uint64_t bytes = 0;  // delivered to the receiver's socket
  io::Pipe* pipe = nullptr;
  Spill spill;
  Waiting waiting = Waiting::nothing;
  uint8_t full_reads = 0;   // in a row
  uint8_t small_reads = 0;  // in a row, while splicing
  bool splices = false;
  uint8_t pipe_denied = 0;  // copies to make before a pipe is asked for again
  bool source_ended = false;  // FIN received
  bool ended = false;         // and passed on, behind all bytes; or the receiver is gone
  int receiver_errno = 0;     // why the receiver is gone
};

struct SpliceRoom {
  Relay up;
  Relay down;
  // Both sockets are O_NONBLOCK and are waited for with poll: set once, when a direction first streams (FACTS: a ring
  // receive on such a socket answers -EAGAIN instead of waiting).
  bool nonblocking = false;
  bool kept_alive = false;  // the origin's socket has its keepalive options, or needs none
  uint64_t begun_us = 0;
};

struct BumpRoom {
  std::unique_ptr<Pair> pair;
  std::unique_ptr<Handshakes, HandshakesDeleter> handshakes;
};

struct ExchangeRoom {
  std::unique_ptr<Pair> pair;
  std::unique_ptr<Exchange, ExchangeDeleter> exchange;
};

struct FinishRoom {
  enum class Stage : uint8_t { joining, lingering, delivering };
  std::unique_ptr<Pair> pair;      // its Ops may be in flight
  std::unique_ptr<Dialer> dialer;  // likewise
  Stage stage = Stage::joining;
  uint64_t give_up_us = 0;
};

struct Session {
  World* world = nullptr;
  Ruling* ruling = nullptr;
  Session* next = nullptr;  // the worker's list of open sessions
  Session* previous = nullptr;

  int client_fd = -1;
  int origin_fd = -1;
  // What this session waits for: at most one thing on either side of the relay. While it peeks, `up` reads the client;
  // while it connects, `down` is the connect.
  io::Op up;
  io::Op down;
  io::Timer timer;
  uint64_t accepted_us = 0;
  uint64_t active_us = 0;  // last progress

  uint64_t id = 0;
  int64_t accepted_wall_us = 0;
  io::Accepted about;
  rules::Decision decision;
  std::unique_ptr<hello::ClientHello> hello;  // from peek to decide only
  std::unique_ptr<Seen> seen;                 // from decide to finish
  std::unique_ptr<Asked> asked;               // null: transparent; else from ask to finish
  std::unique_ptr<Bumped> bumped;             // from bump to finish
  std::unique_ptr<ExchangeRoom> parked;       // step exchange, while others fetch the origin that it wants
  std::vector<uint8_t> replay;                // what was peeked and is still owed to the origin; counted as relay memory
  uint64_t bytes_up = 0;
  uint64_t bytes_down = 0;
  uint32_t peek_us = UINT32_MAX;     // UINT32_MAX: it did not happen
  uint32_t connect_us = UINT32_MAX;

  Step step = Step::decide;
  Farewell farewell = Farewell::in_order;
  record::CloseReason close_reason = record::CloseReason::finished;
  const char* detail = "";  // static text
  const char* retreat_reason = nullptr;  // why it is a tunnel, though it was to be bumped; static text
  bool is_http = false;    // it came to one of http_ports
  // How peek ended: a hello, or why there is none. (is_http: HTTP, or what is no HTTP.)
  bool peeked = false;
  bool speaks_http = false;
  bool silent = false;
  bool hello_incomplete = false;
  std::variant<std::monostate, hello::Malformed> malformed;
  bool resumes_no_more = false;  // the origin failed over a session of ours, and gets a full handshake in its place

  std::variant<std::monostate, AskRoom, PeekRoom, ConnectRoom, DialRoom, SpliceRoom, BumpRoom, ExchangeRoom, FinishRoom> room;
};

/// Begins a session for an accepted connection: from here on, the session owns `client_fd`.
void begin(World& world, Ruling& ruling, Session& session, int client_fd, const io::Accepted& about);
/// The same for a connection to the explicit proxy.
void begin_explicit(World& world, Ruling& ruling, Session& session, int client_fd, const io::Accepted& about);
/// What a session waited for has come.
void resume(Session& session, const Answer& answer);
/// Ends a session from outside (drain, stop): the client and the origin are reset.
void end(Session& session, record::CloseReason reason);

// --- for the steps ---
Next ask(Session& session, const Answer* answer);
Next resolve(Session& session, const Answer* answer);
Next decide(Session& session, const Answer* answer);
Next peek(Session& session, const Answer* answer);
Next connect(Session& session, const Answer* answer);
Next dial(Session& session, const Answer* answer);
Next splice(Session& session, const Answer* answer);
Next bump(Session& session, const Answer* answer);
Next exchange(Session& session, const Answer* answer);
Next finish(Session& session, const Answer* answer);

/// A dial that came to nothing: counted, and what that is.
void count_failed_dial(World& world, int sys_errno);
[[nodiscard]] record::CloseReason reason_of_dial(int sys_errno);
/// What follows once the origin is there.
[[nodiscard]] Step step_behind_connect(const Session& session);
/// Bytes of the client that are still owed to the origin are kept in `replay`, and count as relay memory. False: no room.
[[nodiscard]] bool keep_for_replay(Session& session, std::span<const uint8_t> bytes);
/// Of a CONNECT to a name, before that is looked up: `close` when the rules forbid it already.
[[nodiscard]] Next refuse_by_name(Session& session);
/// An explicit client that has asked for CONNECT hears that it is granted, unless it has. False: it is gone.
[[nodiscard]] bool establish(Session& session);
/// The last thing that an explicit client hears: a page with that status, or the status alone when `sentence` is empty.
Next answer_in_words(Session& session, uint16_t status, std::string_view sentence, record::CloseReason reason);
/// A pair of channels over the session's two sockets, whose Ops answer to it.
std::unique_ptr<Pair> make_pair(Session& session);
/// Enters step exchange with both channels ready, or, in clear, without an origin: it is dialled when a request may pass. `client_wire` and `origin_wire`: what has been read of each already.
/// `page` not empty: nothing is asked of the origin; every request is answered with that sentence.
Next begin_exchange(Session& session, std::unique_ptr<Pair> pair, std::span<const uint8_t> client_wire,
                    std::span<const uint8_t> origin_wire, std::string page = {});
/// A parked exchange's origin is about to be dialled: at those addresses alone that the rules allow its request, if it hangs on them.
Next exchange_before_dial(Session& session);
/// The parked exchange cannot have its origin: its client hears why, and that is the end.
Next exchange_without_origin(Session& session, uint16_t status, std::string_view sentence, record::CloseReason reason);
/// The connection ends: writes the records of requests that have no whole response, and gives back what was held.
void leave_exchange(Session& session);
/// Keeps a session that the origin has sent since the last look, so that the next connection may resume it; of an origin that
/// is not good, none: its next connection shall bring the certificates that it has then.
void keep_origin_session(Session& session, tls::OriginEngine& engine);
/// What the client calls the origin: by the SNI, else in its CONNECT (S4). Empty: it has said no more than the address. Valid as
/// long as the session's `seen` and `asked`.
[[nodiscard]] std::string_view name_from_client(const Session& session);
/// What the rules see of a session at its connect event.
[[nodiscard]] rules::Facts connect_facts(Session& session);

/// Ends the waiting of a session that is in finish already: its reason stays, its client is reset.
void hurry(Session& session);

/// Where a step says how the connection ends: `return close(session, …)`.
Next close(Session& session, record::CloseReason reason, Farewell farewell, const char* detail = "");
/// The same for an error of a peer's socket: what it means depends on the errno and on whose socket it is.
Next peer_failed(Session& session, Side side, int sys_errno);
/// Whether an errno says that the peer's host stopped answering.
[[nodiscard]] bool is_vanished(int sys_errno);
/// For the steps that pass bytes on: how long nothing may pass, and when the origin's socket gets its keepalive options (most
/// connections end before: four system calls less for each).
[[nodiscard]] uint64_t quiet_limit_us(const Session& session, bool half_closed);
[[nodiscard]] uint64_t keep_alive_at_us(const Session& session, uint64_t begun_us);
[[nodiscard]] uint64_t hello_timeout_us(const Session& session);
/// The name of an errno ("ECONNREFUSED"), static.
[[nodiscard]] const char* errno_name(int sys_errno);

}  // namespace sluice::flow
