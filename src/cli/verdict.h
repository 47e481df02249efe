// What the gateway would do with one connection: the Judge's decisions at both events, and what [tls] makes
// of them (flow/road.h). The same steps as flow/decide, without the connection.
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
using FirstBytes = std::variant<Unseen, Silence, hello::Malformed, hello::ClientHello>;

struct Connection {
  Endpoint client;
  Endpoint destination;
  std::string interface;  // empty: not known
  rules::LocalTime now;
  FirstBytes first_bytes;
  std::string ja4;  // empty: computed from a ClientHello that has cipher suites
};

struct Verdict {
  rules::Decision at_connect;
  rules::Decision at_hello;                    // when at_connect is peek and the first bytes are known
  rules::Action action = rules::Action::peek;  // peek: cannot be told, because the first bytes are unseen
  bool closes = false;                         // the connection is closed and nothing is sent to the origin
  std::string by;  // `tls rule "Banks"`, `tls.default_action`, `tls.require_sni` …
};

/// The facts of an event. They view into `connection` and `ja4`.
[[nodiscard]] rules::Facts connect_facts(const Connection& connection);
[[nodiscard]] rules::Facts hello_facts(const Connection& connection, std::string_view ja4);
/// The fingerprint that the rules see; empty without a ClientHello.
[[nodiscard]] std::string fingerprint_of(const Connection& connection);

[[nodiscard]] Verdict verdict_of(rules::Judge& judge, const config::Tls& tls, const Connection& connection);

/// A wall-clock time in the time zone of this process (TZ).
[[nodiscard]] rules::LocalTime local_time(int64_t time_us);
/// "2026-11-21 09:00" or "2026-11-21T09:00"; nullopt when it is not a time of the calendar.
[[nodiscard]] std::optional<rules::LocalTime> parse_local_time(std::string_view text);

}  // namespace sluice::cli
