// Lab: a World around a FakeKernel, a table of rules that has every verdict in it, and the means to run
// sessions.
//
//   destination      rule at the connect event          SNI              rule at the hello event
//   198.51.100.1     access: block                      block.test       access: block
//   198.51.100.2     access: redirect                   redirect.test    access: redirect
//   198.51.100.3     TLS: tunnel, nothing is read       terminate.test   TLS: terminate
//   anything else    peek                               tunnel.test      TLS: tunnel
//                                                       anything else    TLS: tunnel-sni (the default)
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "flow/bumper.h"
#include "flow/lookups.h"
#include "flow/session.h"
#include "rules/policy_builder.h"
#include "sim/fake_kernel.h"
#include "tls/digest.h"
#include "unit/hello/hello_builder.h"
#include "worker/session_pool.h"

namespace sluice::sim {

/// A record with its texts.
struct Record {
  uint64_t id = 0;
  std::string sni, host, alpn, ja4, action, tls_rule, access_rule, origin_cert, scan, detail;
  std::optional<std::array<uint8_t, 32>> origin_fingerprint;
  uint64_t bytes_up = 0;
  uint64_t bytes_down = 0;
  bool has_peek = false;
  bool has_connect = false;
  bool has_origin_handshake = false;
  bool has_client_handshake = false;
  uint64_t total_us = 0;
  record::CloseReason close = record::CloseReason::finished;
};

/// The record of a request with its texts.
struct RequestRecord {
  uint64_t id = 0;
  std::string method, url, mime, action, bypass_rule, access_rule, protection_rule, scan, threat;
  std::optional<uint16_t> status;
  uint64_t bytes_up = 0;
  uint64_t bytes_down = 0;
  uint64_t total_us = 0;
};

[[nodiscard]] std::shared_ptr<const rules::Policy> lab_policy(bool decrypt);
/// `count` bytes that tell their place: a byte lost, doubled or moved changes what follows.
[[nodiscard]] Bytes pattern(uint64_t seed, size_t count);
[[nodiscard]] Bytes client_hello(std::string_view sni);
[[nodiscard]] Endpoint endpoint(const char* text);

class Lab final : flow::RecordSink, flow::Interfaces, flow::Lookups {
 public:
  explicit Lab(uint64_t seed = 1, uint32_t sessions_max = 64);
  ~Lab() override;

  /// Before the first session.
  config::Config& config() { return *config_; }

  /// What a reload of the file does.
  void reload(const std::function<void(config::Config&)>& change);

  /// A client has connected and its session begins. The session may be over when this returns.
  Connection& begin(const Endpoint& destination);
  Connection& begin() { return begin(endpoint("203.0.113.7:443")); }
  /// The same to the port of the explicit proxy.
  Connection& begin_explicit();
  /// The session of a client; nullptr once it has ended.
  [[nodiscard]] flow::Session* session_of(const Connection& client);
  /// The socket that was dialled for it; nullptr before that.
  [[nodiscard]] Connection* origin_of(const Connection& client);
  /// nullptr: no record yet. More than one is a complaint.
  [[nodiscard]] const Record* record_of(const Connection& client);
  /// The records of its requests so far, in the order in which they were written. One that comes after the
  /// connection's own, or with another id, is a complaint.
  [[nodiscard]] const std::vector<RequestRecord>& requests_of(const Connection& client);
  [[nodiscard]] const std::vector<Endpoint>& dialled() const { return kernel.dialled(); }

  /// Lets everything happen that can happen without time passing.
  void settle();
  /// Lets time pass, timer by timer, and everything that it brings about.
  void pass_ms(uint64_t ms);
  /// What is wrong with the world now that every session should have ended; "" when nothing is.
  [[nodiscard]] std::string verdict();
  /// Complaints so far, and bounds that must hold at any moment.
  [[nodiscard]] std::string complaints() const;

  Random random;
  FakeKernel kernel;
  io::TimerWheel timers;
  record::Counters counters;
  worker::SessionPool pool;
  flow::World world;
  uint64_t sessions_begun = 0;
  /// What bumping needs; before the first session. The caller owns the Bumper.
  void bump_with(flow::Bumper& bumper, std::shared_ptr<const tls::Material> material);

  /// A bump that retreats dials a second time; origin_of() is the last.
  bool may_dial_twice = false;
  // What lookups answer to explicit clients, in settle(); while they are held, nothing.
  std::map<std::string, std::vector<IpAddress>> names;
  std::string right_password;
  bool lookups_held = false;
  bool lookups_full = false;  // no more are taken
  std::vector<std::string> looked_up;
  /// The dials of explicit clients; by default they succeed at once.
  std::function<DialOutcome(const Endpoint& to)> on_explicit_dial;
  /// The socket of the last dial to it.
  std::map<Endpoint, Connection*> explicit_origins;

  /// What becomes of a dial; by default it succeeds at once.
  std::function<DialOutcome(const io::Accepted& about)> on_dial;

 private:
  void write(const record::ConnectionRecord& record) override;
  void write(const record::RequestRecord& record) override;
  [[nodiscard]] bool resolve(flow::Session& session, const std::string& host, uint16_t port) override;
  [[nodiscard]] bool check_password(flow::Session& session, std::string_view password, const std::string& hash) override;
  void forget(flow::Session& session) override { lookups_due_.erase(&session); }
  [[nodiscard]] bool answer_one_lookup();
  Connection& begin_session(bool is_explicit, const Endpoint& destination);
  [[nodiscard]] std::string_view name(uint32_t index) override { return index == 0 ? "" : "lan0"; }

  std::shared_ptr<config::Config> config_;
  std::shared_ptr<const tls::Material> material_;
  std::list<flow::Ruling> rulings_;  // the last one is current
  // By the client's port, which is the connection's number.
  std::map<uint16_t, flow::Session*> sessions_;
  std::map<int, uint16_t> ports_;  // by the client's descriptor
  std::map<uint16_t, Connection*> origins_;
  std::map<uint16_t, Record> records_;
  std::map<uint16_t, std::vector<RequestRecord>> requests_;
  std::map<uint16_t, Endpoint> destinations_;
  std::map<flow::Session*, std::function<void(flow::Asked&)>> lookups_due_;
  std::vector<std::string> complaints_;
  uint16_t next_port_ = 1;
};

}  // namespace sluice::sim
