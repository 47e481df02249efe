// World: what a worker lends to its sessions. One per worker, used by its thread only.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/limits.h"
#include "config/config.h"
#include "hello/client_hello.h"
#include "io/kernel.h"
#include "io/timer_wheel.h"
#include "record/connection_record.h"
#include "record/counters.h"
#include "record/request_record.h"
#include "rules/judge.h"
#include "tls/material.h"
#include "tls/origin_verdict.h"

namespace sluice::flow {

/// One loaded rules.toml, as one worker sees it. A session keeps the Ruling that it started with, but each further request of an
/// explicit client's kept connection gets the current one. A Ruling that is no longer that goes when a session ends and nobody
/// has it any more. Counted without atomics: it never leaves its worker.
struct Ruling {
  explicit Ruling(std::shared_ptr<const config::Config> loaded, std::shared_ptr<const tls::Material> bump_material = nullptr)
      : config(std::move(loaded)), material(std::move(bump_material)), judge(config->policy) {}

  std::shared_ptr<const config::Config> config;
  std::shared_ptr<const tls::Material> material;  // null: nothing is bumped
  rules::Judge judge;
  uint32_t sessions = 0;
};

/// Takes the record of every connection that ends, and before it that of every request inside.
class RecordSink {
 public:
  RecordSink() = default;
  RecordSink(const RecordSink&) = delete;
  RecordSink& operator=(const RecordSink&) = delete;
  virtual ~RecordSink() = default;
  virtual void write(const record::ConnectionRecord& record) = 0;
  virtual void write(const record::RequestRecord& record) = 0;
};

/// Interface names by index; "" when there is no such interface (any more).
class Interfaces {
 public:
  Interfaces() = default;
  Interfaces(const Interfaces&) = delete;
  Interfaces& operator=(const Interfaces&) = delete;
  virtual ~Interfaces() = default;
  [[nodiscard]] virtual std::string_view name(uint32_t index) = 0;
};

struct Bumper;
class Lookups;
struct Session;

/// Texts of a message that the rules' facts refer to while it is judged.
struct JudgingTexts {
  std::string url;
  std::string host;
  std::string mime;
  std::string disposition_name;
  std::string url_name;
  std::vector<std::string> also_mimes;
  std::vector<std::string> also_file_names;

  void clear() {
    for (std::string* text : {&url, &host, &mime, &disposition_name, &url_name}) text->clear();
    also_mimes.clear();
    also_file_names.clear();
  }
};

struct World {
  io::Kernel& kernel;
  io::TimerWheel& timers;
  RecordSink& records;
  Interfaces& interfaces;
  record::Counters& counters;

  hello::Sha256 sha256;            // for JA4

  Ruling* ruling = nullptr;        // the current one

  uint16_t listener_port = 0;      // a connection *to* it was not redirected to it

  uint64_t next_id = 1;
  uint64_t id_step = 1;            // workers count id, id + step, …: unique over all of them
  int64_t wall_us = 0;             // since 1970-01-01 UTC; the worker sets it once per round
  rules::LocalTime local{};        // the same, in the local time zone
  uint64_t relay_memory_bytes = 0; // waiting for slow receivers now
  uint64_t relay_memory_max_bytes = 64 << 20;
  uint64_t streamed_wakeups = 0;   // directions that moved bytes through a pipe; the worker batches by it
  // Where bytes are copied through that are too few to splice. Never holds anything between two calls.
  std::array<uint8_t, limits::relay_copy_bytes> scratch{};

  // --- for connections whose bytes are read ---
  Bumper* bumper = nullptr;               // null: nothing is bumped
  std::array<uint8_t, 16384> plain{};     // one record, decrypted; until the next read of any channel
  JudgingTexts judging{};                 // of the message that is being judged; kept for its memory alone
  std::string gathered{};                 // plain bytes on their way to one channel; empty between two calls
  std::vector<std::vector<uint8_t>> spare_outputs{};  // empty, with memory

  std::string host_name{};  // of this machine, for block pages; page.server goes before it

  // --- for clients that are configured for a proxy ---
  Lookups* lookups = nullptr;
  std::string via{};  // what we call ourselves in Via (RFC 9110 section 7.6.3), so that a loop is noticed

  /// A verdict has just been made that lacks an issuer, and the ruling of its session wants such to be fetched
  /// (tls.fetch_intermediates). Null: nobody fetches.
  void (*on_missing_issuer)(World& world, const Ruling& ruling, const tls::OriginVerdict& verdict) = nullptr;

  /// The session has ended and let go of everything; its memory may be used again.
  void (*on_session_end)(World& world, Session& session) = nullptr;
  void* owner = nullptr;
};

}  // namespace sluice::flow
