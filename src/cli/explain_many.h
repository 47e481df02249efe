// `sluice explain --pcap` and `--log`: one line for each connection in a capture or an access log, or with a
// second configuration only those that it would treat differently.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "cli/explain_request.h"
#include "cli/verdict.h"
#include "config/config.h"
#include "rules/judge.h"

namespace sluice::cli {

struct Seen {
  Connection connection;
  int64_t time_us = 0;
  uint64_t id = 0;   // in a log
  std::string note;  // why there is no ClientHello, or what is special about it; may be empty
};

/// A request gets what only its connection's line tells: destination, interface, and who the user is.
void join(LoggedRequest& logged, const Connection& connection);

/// Judges connections and writes their lines, separated by single spaces:
/// DATE TIME CLIENT DESTINATION ACTION SNI JA4 BY [(NOTE)]. An absent SNI or JA4 is "-", an action that
/// cannot be told
/// "?". With a second configuration: ACTION->ACTION and BY -> BY, for connections of which it changes the
/// action, as far as both can be told.
class Report {
 public:
  using Print = std::function<void(std::string_view line)>;

  /// `against` may be null.
  Report(std::shared_ptr<const config::Config> config, std::shared_ptr<const config::Config> against,
         Print print);

  void add(const Seen& seen);
  /// A request of the log; its line: DATE TIME CLIENT METHOD URL ACTION BY. With its connection (may be null), the action of that
  /// where it means that the request is never read.
  void add(const LoggedRequest& logged, const Connection* connection = nullptr);
  /// "12 connections: 9 tunnel-sni, 3 terminate" or "2 of 12 connections would change (of 1 connection it
  /// cannot be told)".
  [[nodiscard]] std::string summary() const;

 private:
  struct Side {
    std::shared_ptr<const config::Config> config;
    rules::Judge judge;
  };
  static Side side_of(std::shared_ptr<const config::Config> config);
  struct Answer {
    std::string action;
    std::string by;
  };
  static Answer answer_of(Side& side, const Connection& connection);
  static Answer answer_of(Side& side, const Request& request, const Connection* connection);

  Side now_;
  std::optional<Side> against_;
  Print print_;
  size_t connections_ = 0;
  size_t requests_ = 0;
  size_t changes_ = 0;
  size_t untold_connections_ = 0;  // what they hang on is not in the log or the capture
  size_t untold_requests_ = 0;
  std::map<std::string, size_t> by_action_;
};

/// A line of our access log in JSON -> what it tells of the connection; nullopt with `error` set when it is
/// not one, or with `error` empty when it tells of a request, whose connection has a line of its own. The log
/// keeps only the best TLS version that the client offered.
[[nodiscard]] std::optional<Seen> read_log_line(std::string_view line, std::string& error);

/// What a file is whose first line is not of our access log in JSON, and what to do; empty: nothing is known of it.
[[nodiscard]] std::string what_log_is(std::string_view first_line);

/// "2026-11-21T18:00:00.123456Z", as record/format writes it, in microseconds since 1970.
[[nodiscard]] std::optional<int64_t> parse_log_time(std::string_view text);

/// "1.3" -> 0x0304; nullopt for anything but 1.0 to 1.3.
[[nodiscard]] std::optional<uint16_t> parse_tls_version(std::string_view text);

}  // namespace sluice::cli
