// What the gateway would do with one connection: the Judge's decisions at both events, and what [tls] and [http]
// make of them (flow/road.h). The same steps as flow/decide, without the connection.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/ip.h"
#include "config/config.h"
#include "hello/client_hello.h"
#include "rules/facts.h"
#include "rules/judge.h"

namespace sluice::cli {

/// The client says nothing until hello_timeout.
struct Silence {};
/// What it says is not known here: only what the connect event decides can be told.
struct Unseen {};
/// HTTP in clear: what belongs to a port of gateway.http_ports, and is not TLS on any other.
struct PlainHttp {};
/// Not HTTP, and more is not known.
struct NotHttp {};
using FirstBytes = std::variant<Unseen, Silence, PlainHttp, NotHttp, hello::Malformed, hello::ClientHello>;

/// What a client that is configured for a proxy has asked for, as far as a log tells: never its User-Agent.
struct Asked {
  std::string host;  // as flow/asked.h has it
  std::string user;  // empty: nobody was asked
  /// False: whether it was a CONNECT cannot be told, or it was none; then no connect event was judged.
  bool is_connect = true;
};

struct Connection {
  Endpoint client;
  Endpoint destination;   // with the unspecified address: only its port is known
  std::string interface;  // empty: not known
  rules::LocalTime now;
  FirstBytes first_bytes;
  std::string ja4;  // empty: computed from a ClientHello that has cipher suites
  std::optional<Asked> asked;  // absent: transparent mode
};

struct Verdict {
  rules::Decision at_connect;
  rules::Decision at_hello;                    // when at_connect is peek and the first bytes are known
  rules::Action action = rules::Action::peek;  // peek: cannot be told, unless `passes_http`
  bool passes_http = false;                    // plain HTTP: each request is judged for itself
  bool closes = false;                         // the connection is closed and nothing is sent to the origin
  std::string by;  // `tls rule "Banks"`, `tls.default_action`, `tls.require_sni` …
  /// Not empty: the kernel leaves the connection alone, and all the above is what would be if it did not.
  std::string not_redirected;
};
/// As in the log; "allow" of plain HTTP that passes, "?" of what cannot be told, "not-redirected".
[[nodiscard]] std::string shown_action(const Verdict& verdict);

/// What becomes of the requests inside a connection that is redirected.
enum class Requests : uint8_t {
  read,    // the rules are asked about each
  paged,   // S26: the connection is blocked, and each gets the block page
  unread,  // a tunnel, or not HTTP for the gateway, or closed
  untold,
};
[[nodiscard]] Requests requests_of(const config::Config& config, const Connection& connection, const Verdict& verdict);

/// Whether what goes there is taken for plain HTTP.
[[nodiscard]] bool is_http_port(const config::Config& config, const Endpoint& destination);

/// The facts of an event. They view into `connection` and `ja4`.
[[nodiscard]] rules::Facts connect_facts(const Connection& connection);
[[nodiscard]] rules::Facts hello_facts(const Connection& connection, std::string_view ja4);
/// The fingerprint that the rules see; empty without a ClientHello.
[[nodiscard]] std::string fingerprint_of(const Connection& connection);

[[nodiscard]] Verdict verdict_of(rules::Judge& judge, const config::Config& config, const Connection& connection);

/// A wall-clock time in the time zone of this process (TZ).
[[nodiscard]] rules::LocalTime local_time(int64_t time_us);
/// "2026-11-21 09:00" or "2026-11-21T09:00"; nullopt when it is not a time of the calendar.
[[nodiscard]] std::optional<rules::LocalTime> parse_local_time(std::string_view text);

}  // namespace sluice::cli
