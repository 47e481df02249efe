// Talk: a client and an origin that speak plain HTTP through the gateway of a Lab.
#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/limits.h"
#include "config/config.h"
#include "sim/lab.h"

namespace sluice::sim {

using record::CloseReason;

/// The rules of a rules.toml that has only them.
inline std::shared_ptr<const rules::Policy> policy_of(std::string_view toml) {
  const config::Loaded loaded = config::load(
      "rules.toml",
      [toml](const std::string&, std::string&) { return std::optional<std::string>(std::string(toml)); }, 7);
  for (const auto& problem : loaded.problems) CAPTURE(problem.message);
  REQUIRE(loaded.config != nullptr);
  return loaded.config->policy;
}

inline Bytes bytes(std::string_view from) { return {from.begin(), from.end()}; }
inline std::string text(const Bytes& from) { return {from.begin(), from.end()}; }

inline size_t count_of(std::string_view in, std::string_view what) {
  size_t count = 0;
  for (size_t at = in.find(what); at != std::string_view::npos; at = in.find(what, at + what.size())) ++count;
  return count;
}

/// A client and an origin that talk HTTP over port 80.
struct Talk {
  /// `rules`: TOML, in place of the lab's rules; empty: those.
  explicit Talk(std::string_view first = "", std::string_view rules = "", uint64_t hold_limit = 1 << 20) {
    lab.config().gateway.http_ports = {80};
    lab.config().http.hold_limit_bytes = hold_limit;
    if (!rules.empty()) lab.config().policy = policy_of(rules);
    client = &lab.begin(endpoint("203.0.113.7:80"));
    if (!first.empty()) say(first);
  }
  Connection& origin() {
    Connection* connection = lab.origin_of(*client);
    REQUIRE(connection != nullptr);
    return *connection;
  }
  void say(std::string_view what) {
    CHECK(client->send(bytes(what)) == what.size());
    lab.settle();
  }
  void answer(std::string_view what) {
    CHECK(origin().send(bytes(what)) == what.size());
    lab.settle();
  }
  /// What has come since the last time.
  std::string at_origin() { return is_dialled() ? text(origin().read(10'000'000)) : std::string(); }
  bool is_dialled() { return lab.origin_of(*client) != nullptr; }
  std::string at_client() { return text(client->read(10'000'000)); }
  /// The session is over and nothing is left.
  CloseReason reason() {
    lab.settle();
    CHECK(lab.verdict() == "");
    REQUIRE(lab.record_of(*client) != nullptr);
    return lab.record_of(*client)->close;
  }
  /// Both ends leave in order.
  CloseReason end() {
    client->finish();
    lab.settle();
    if (Connection* connection = lab.origin_of(*client); connection != nullptr) connection->finish();
    lab.settle();
    return reason();
  }
  const std::vector<RequestRecord>& requests() { return lab.requests_of(*client); }

  Lab lab;
  Connection* client = nullptr;
};

inline constexpr std::string_view get = "GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n";
inline constexpr std::string_view ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
inline constexpr std::string_view upgrade =
    "GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
inline constexpr std::string_view switching =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

inline std::string get_of(std::string_view path) {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: a.test\r\n\r\n";
}
inline std::string ok_of(std::string_view body) {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

}  // namespace sluice::sim
