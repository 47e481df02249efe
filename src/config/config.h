// rules.toml as values: TOML text -> const Config, or every error with line and column.
//
// A Config is immutable once loaded and shared by all threads. Durations are milliseconds, sizes bytes.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip.h"
#include "base/origin_problem.h"
#include "rules/policy.h"

namespace sluice::config {

enum class Severity : uint8_t { warning, error };

struct Problem {
  Severity severity = Severity::error;
  std::string file;
  uint32_t line = 0;    // from 1; 0: the file as a whole
  uint32_t column = 0;  // from 1
  std::string message;  // what is wrong, and what is allowed

  [[nodiscard]] std::string to_string() const;  // "FILE:LINE:COLUMN: error: message"
};

enum class ClientSource : uint8_t { gateway, client };
enum class WhenDown : uint8_t { open, closed };
enum class Quic : uint8_t { reject, pass };
enum class TerminateWith : uint8_t { reset, alert };
enum class NonTls : uint8_t { terminate, tunnel };
enum class LeafKeyKind : uint8_t { ec, rsa };             // P-256, RSA-2048
enum class WhenNotBumpable : uint8_t { tunnel, terminate };  // tls.client_cert, tls.unsupported
enum class NonHttp : uint8_t { terminate, tunnel };
enum class LogFormat : uint8_t { json, cef, key_value };

struct Gateway {
  uint16_t tproxy_port = 12345;
  std::vector<uint16_t> tls_ports = {443};
  std::vector<uint16_t> http_ports;  // plain HTTP; none of them is in tls_ports
  uint32_t workers = 0;  // 0: one per CPU that the process may use
  ClientSource client_source = ClientSource::gateway;
  // kernel-setup reads these; the daemon only needs `mark`.
  std::vector<std::string> lan_interfaces;  // traffic forwarded from these is redirected; a trailing * is a wildcard
  bool own_traffic = false;                 // redirect the router's own connections as well
  bool ipv6 = true;
  Quic quic = Quic::reject;
  WhenDown when_down = WhenDown::open;
  std::vector<Cidr> exempt_clients;
  std::vector<Cidr> exempt_destinations;
  uint32_t mark = 0x5300;          // on redirected packets, under mark_mask
  uint32_t own_mark = 0x5400;      // SO_MARK of the daemon's own sockets, under mark_mask
  uint32_t mark_mask = 0xff00;
  uint32_t route_table = 5300;
  uint32_t rule_priority = 5300;
};

/// What is done with a connection whose origin certificate has a problem (S12), mildest first.
enum class InvalidAction : uint8_t { allow, tunnel, untrusted, page, terminate };
[[nodiscard]] const char* to_string(InvalidAction action);

/// [tls.invalid_origin].
struct InvalidOrigin {
  /// By OriginProblem.
  std::array<InvalidAction, origin_problem_count> actions = {
      InvalidAction::terminate, InvalidAction::untrusted, InvalidAction::untrusted, InvalidAction::untrusted,
      InvalidAction::untrusted, InvalidAction::untrusted, InvalidAction::untrusted};

  [[nodiscard]] InvalidAction action_for(OriginProblem problem) const {
    return actions[static_cast<size_t>(problem)];
  }
  /// With several problems the strictest action wins; `allow` without any.
  [[nodiscard]] InvalidAction action_for(OriginProblems problems) const;
};

/// A file that a key names, and where, so that its faults can be told with the place.
struct FileName {
  std::string path;  // absolute, or relative to the current directory
  rules::Position position;
};

using Fingerprint = std::array<uint8_t, 32>;  // SHA-256 of a certificate's DER

struct Tls {
  bool decrypt = true;
  TerminateWith terminate_with = TerminateWith::reset;
  NonTls non_tls = NonTls::terminate;
  bool require_sni = false;
  // What follows is for bump alone. The files are read by control/load_config, into a tls::Material.
  std::optional<FileName> ca_cert;
  std::optional<FileName> ca_key;
  LeafKeyKind leaf_key = LeafKeyKind::ec;
  bool system_roots = true;
  std::vector<FileName> extra_roots;
  std::vector<FileName> intermediates;
  bool fetch_intermediates = false;
  std::vector<Cidr> fetch_intermediates_from;  // besides public addresses, and there on any port
  std::vector<FileName> crl_files;
  std::vector<Fingerprint> trusted_origins;
  WhenNotBumpable client_cert = WhenNotBumpable::tunnel;
  WhenNotBumpable unsupported = WhenNotBumpable::tunnel;
  uint16_t min_version = 0x0303;  // towards clients and origins: 0x0303 or 0x0304
  InvalidOrigin invalid_origin;
};

enum class BlockedConnect : uint8_t { close, status };

/// Who may use the explicit proxy: names and crypt(3) hashes of an htpasswd file.
using Users = std::map<std::string, std::string, std::less<>>;

/// [explicit]: clients that are configured for a proxy.
struct Explicit {
  std::vector<Endpoint> listen;
  std::shared_ptr<const Users> users;  // null: nobody is asked who he is
  std::string realm = "Sluice";
  BlockedConnect blocked_connect = BlockedConnect::close;  // status: a 403 without a body before (S23)
  bool local_destinations = false;                         // the gateway's own addresses, loopback, link-local
};

struct Http {
  NonHttp non_http = NonHttp::terminate;
  /// What of a body may be kept back until its verdict, for one message. A small one is held whole.
  uint64_t hold_limit_bytes = uint64_t{1} << 20;
};

/// [page] (S31).
struct Page {
  std::string text;    // the template, whole, its macros checked; empty: the built-in page
  std::string server;  // %SERVER%; empty: the host name
};

struct Limits {
  uint32_t hello_timeout_ms = 10'000;
  uint32_t connect_timeout_ms = 10'000;
  uint32_t idle_timeout_ms = 3'600'000;
  uint32_t half_closed_timeout_ms = 300'000;
  uint32_t drain_timeout_ms = 30'000;
  uint32_t keepalive_ms = 120'000;      // idle time before the first TCP keepalive probe, both sides; 0: off
  uint32_t connections_max = 0;         // over all workers; 0: what the descriptor limit allows
  uint64_t relay_memory_max = 64 << 20; // bytes waiting for slow receivers, over all workers
};

struct Log {
  LogFormat format = LogFormat::json;
  std::string to = "stdout";  // "stdout", "journald" or an absolute path
};

struct Config {
  std::string file;
  Gateway gateway;
  Tls tls;
  Explicit explicit_proxy;
  Http http;
  Page page;
  Limits limits;
  Log log;
  std::shared_ptr<const rules::Policy> policy;
  std::vector<std::string> list_files;  // that "@…" names anywhere, as paths
};

struct Loaded {
  std::shared_ptr<const Config> config;  // null when any problem is an error
  std::vector<Problem> problems;         // in file order, warnings included
};

/// Reads a file, whole; nullopt with `error` set to the reason ("No such file or directory").
using ReadFile = std::function<std::optional<std::string>(const std::string& path, std::string& error)>;

/// THE SWITCH of issue 3: false refuses what the data path cannot do yet: the action "bump" and gateway.http_ports.
inline constexpr bool bump_is_ready = true;

/// Pure: all files are read through `read_file`. Paths are relative to the directory of `file`.
/// Every problem is found in one go. `hash_seed` keys the hash tables against chosen collisions.
/// The files of the CA, roots and CRLs are not read here: control/load_config does.
[[nodiscard]] Loaded load(const std::string& file, const ReadFile& read_file, uint64_t hash_seed,
                          bool may_bump = bump_is_ready);

}  // namespace sluice::config
