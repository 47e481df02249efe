// Random connections through the gateway, thousands per run, in every order of events that the fake kernel
// can produce.
//
//   SIM_SEED=n     replays the round that a failure named (with SIM_ROUNDS=1); default: a fresh one, printed
//   SIM_ROUNDS=n   how many rounds
//   SIM_VERBOSE=1  what the rounds came across

#include <doctest/doctest.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <deque>
#include <random>
#include <set>
#include <span>

#include "sim/lab.h"

namespace sluice::sim {
namespace {

using record::CloseReason;

constexpr Bytes::value_type alert[] = {21, 3, 3, 0, 2, 2, 49};

// --- what the two ends intend
// ----------------------------------------------------------------------------------------

enum class End : uint8_t { fin, close, reset, vanish, never };

struct Intent {
  Bytes bytes;        // all that it would send
  size_t end_at = 0;  // it ends behind so many of them
  End end = End::fin;
  int vanish_errno = ETIMEDOUT;
  uint64_t end_by_us =
      UINT64_MAX;              // … or at this time, wherever it is (from the beginning of its connection)
  bool end_after_fin = false;  // ends only when the other side has
  size_t speak_after = 0;      // first bytes only when it has received so many
  size_t chunk_max = 1500;
  uint64_t pause_max_us = 0;
  size_t stall_at = SIZE_MAX;  // pauses once, so long, when it has sent so many
  uint64_t stall_us = 0;
  size_t read_max = 4096;
  uint64_t read_pause_max_us = 0;
  size_t read_stops_at = SIZE_MAX;
};

/// One end of a connection, doing what it intends.
class Actor {
 public:
  Actor(Connection& at, const Intent& intent, const Bytes& expected, Random& random, uint64_t now_us)
      : connection(at),
        intent_(intent),
        expected_(expected),
        random_(random),
        begun_us_(now_us),
        next_send_us_(now_us),
        next_read_us_(now_us) {}

  /// Does one thing. False: nothing can be done now.
  bool act(uint64_t now_us) {
    if (random_.chance(0.5)) return speak(now_us) || listen(now_us);
    return listen(now_us) || speak(now_us);
  }

  /// When it may be able to act again without anybody else's doing.
  [[nodiscard]] uint64_t next_us(uint64_t now_us) const {
    uint64_t at_us = UINT64_MAX;
    if (!ended_ && next_send_us_ > now_us) at_us = next_send_us_;
    if (!ended_ && end_by() > now_us) at_us = std::min(at_us, end_by());
    if (connection.readable() > 0 && next_read_us_ > now_us) at_us = std::min(at_us, next_read_us_);
    return at_us;
  }

  Connection& connection;
  size_t received = 0;
  bool as_expected = true;  // a prefix of what the other end sent
  Bytes first;              // the first few bytes received
  uint64_t first_sent_us = UINT64_MAX;
  bool reset_in_time = false;  // it reset the connection while the gateway had it

 private:
  [[nodiscard]] uint64_t end_by() const {
    return intent_.end_by_us == UINT64_MAX ? UINT64_MAX : begun_us_ + intent_.end_by_us;
  }

  bool speak(uint64_t now_us) {
    if (ended_) return false;
    if (connection.got_reset()) {
      ended_ = true;
      return true;
    }
    if (now_us >= end_by()) return end();
    if (now_us < next_send_us_ || received < intent_.speak_after) return false;
    if (sent_ >= intent_.end_at)
      return (!intent_.end_after_fin || connection.got_fin()) && intent_.end != End::never && end();
    size_t most = std::min(intent_.end_at - sent_, intent_.chunk_max);
    if (sent_ < intent_.stall_at) most = std::min(most, intent_.stall_at - sent_);
    const size_t count = connection.send(std::span(intent_.bytes).subspan(sent_, random_.between(1, most)));
    if (count == 0) return connection.got_reset();
    if (sent_ == 0) first_sent_us = now_us;
    sent_ += count;
    next_send_us_ = now_us + random_.below(intent_.pause_max_us + 1);
    if (sent_ == intent_.stall_at) next_send_us_ += intent_.stall_us;
    return true;
  }

  bool end() {
    ended_ = true;
    switch (intent_.end) {
      case End::fin:
        connection.finish();
        break;
      case End::close:
        connection.close();
        break;
      case End::reset:
        reset_in_time = !connection.closed_by_gateway() && !connection.got_reset();
        connection.reset();
        break;
      case End::vanish:
        connection.vanish(intent_.vanish_errno);
        break;
      case End::never:
        break;
    }
    return true;
  }

  bool listen(uint64_t now_us) {
    if (connection.refuse_bytes()) {
      ended_ = true;
      return true;
    }
    if (connection.readable() == 0 || now_us < next_read_us_ || received >= intent_.read_stops_at)
      return false;
    const Bytes bytes = connection.read(random_.between(1, intent_.read_max));
    if (bytes.empty()) return false;
    as_expected =
        as_expected && received + bytes.size() <= expected_.size() &&
        std::equal(bytes.begin(), bytes.end(), expected_.begin() + static_cast<ptrdiff_t>(received));
    if (first.size() < 16)
      first.insert(first.end(), bytes.begin(), bytes.begin() + std::min<ptrdiff_t>(16, ssize(bytes)));
    received += bytes.size();
    next_read_us_ = now_us + random_.below(intent_.read_pause_max_us + 1);
    return true;
  }

  const Intent& intent_;
  const Bytes& expected_;
  Random& random_;
  uint64_t begun_us_;
  uint64_t next_send_us_;
  uint64_t next_read_us_;
  size_t sent_ = 0;
  bool ended_ = false;
};

// --- one connection
// --------------------------------------------------------------------------------------------------

/// What the rules say of it, known by construction.
enum class Verdict : uint8_t { dials, forbidden, silent, not_tls };

struct Story {
  Endpoint destination;
  Verdict verdict = Verdict::dials;
  std::set<std::string> actions;  // that its record may show
  Intent client;
  Intent origin;
  DialOutcome dial;
  bool calm = false;              // both ends behave: everything must arrive and end in order
  size_t end_at_step = SIZE_MAX;  // flow::end() comes then
  bool ended_from_outside = false;
  uint64_t begun_us = 0;
  Connection* client_connection = nullptr;
  std::unique_ptr<Actor> client_actor;
  std::unique_ptr<Actor> origin_actor;
};

void choose_pace(Random& random, Intent& intent) {
  const size_t size = intent.bytes.size();
  intent.chunk_max = size > 30'000 ? random.between(4'000, 70'000)
                                   : random.pick<size_t>({1 + size / 200, 100, 1460, 20'000});
  if (random.chance(0.5)) intent.pause_max_us = random.pick<uint64_t>({50, 500, 5'000});
  intent.read_max =
      size > 30'000 || random.chance(0.7) ? random.between(2'000, 300'000) : random.between(50, 2'000);
  if (random.chance(0.3)) intent.read_pause_max_us = random.pick<uint64_t>({100, 2'000});
}

size_t choose_size(Random& random) {
  if (random.chance(0.15)) return 0;
  if (random.chance(0.6)) return random.between(1, 4'000);
  if (random.chance(0.8)) return random.between(4'000, 150'000);
  return random.between(150'000, 1'500'000);
}

/// The client's first bytes, and what follows from them.
Bytes choose_opening(Random& random, const config::Config& config, Story& story) {
  const auto is = [&story](Verdict verdict, std::set<std::string> actions) {
    story.verdict = verdict;
    story.actions = std::move(actions);
  };
  const bool tunnels_non_tls = config.tls.non_tls == config::NonTls::tunnel;
  switch (random.below(14)) {
    case 0:
      is(Verdict::forbidden, {"terminate"});
      return client_hello("terminate.test");
    case 1:
      is(Verdict::forbidden, {"block"});
      return client_hello("block.test");
    case 2:
      is(Verdict::forbidden, {"redirect"});
      return client_hello("redirect.test");
    case 3:
      is(Verdict::dials, {"tunnel"});
      return client_hello("tunnel.test");
    case 4:
      is(config.tls.require_sni ? Verdict::forbidden : Verdict::dials, {"tunnel-sni"});
      return client_hello("");
    case 5:
    case 6: {
      is(Verdict::dials, {"tunnel-sni"});
      const Bytes whole = hello::testing::HelloBuilder::chromium("www.example.test").message();
      return hello::testing::in_records(whole, random.between(1, 400));
    }
    case 7: {
      is(tunnels_non_tls ? Verdict::not_tls : Verdict::forbidden,
         {tunnels_non_tls ? "tunnel" : "tunnel-sni"});
      const std::string_view text =
          random.pick<std::string_view>({"GET / HTTP/1.1\r\n\r\n", "SSH-2.0-x\r\n", "\x01\x02\x03"});
      return {text.begin(), text.end()};
    }
    case 8: {  // begins like TLS, is a ServerHello
      is(Verdict::forbidden, {"tunnel-sni"});
      return hello::testing::record(22, 0x0301, hello::testing::handshake(2, pattern(7, 60)));
    }
    case 9: {  // never complete
      is(Verdict::forbidden, {"tunnel-sni"});
      Bytes hello = client_hello("terminate.test");
      hello.resize(random.between(1, hello.size() - 1));
      story.client.end_at = hello.size();
      return hello;
    }
    case 10:
      is(tunnels_non_tls ? Verdict::silent : Verdict::forbidden, {tunnels_non_tls ? "tunnel" : "tunnel-sni"});
      return {};
    default:
      is(Verdict::dials, {"tunnel-sni"});
      return client_hello("www.example.test");
  }
}

void choose_destination(Random& random, const config::Config& config, Story& story) {
  story.destination = endpoint(random.chance(0.5) ? "203.0.113.7:443" : "[2001:db8::7]:443");
  if (!config.tls.decrypt) {
    story.verdict = Verdict::dials;
    story.actions = {"tunnel"};
  }
  switch (random.below(12)) {
    case 0:
      story.destination = endpoint("198.51.100.1:443");
      story.verdict = Verdict::forbidden;
      story.actions = {"block"};
      break;
    case 1:
      story.destination = endpoint("198.51.100.2:443");
      story.verdict = Verdict::forbidden;
      story.actions = {"redirect"};
      break;
    case 2:
    case 3:
      story.destination = endpoint("198.51.100.3:443");
      story.verdict = Verdict::dials;
      story.actions = {"tunnel"};
      break;
    default:
      break;
  }
}

DialOutcome choose_dial(Random& random) {
  DialOutcome outcome;
  if (random.chance(0.9)) return outcome;
  outcome.never = random.chance(0.2);
  outcome.result =
      random.pick({-ECONNREFUSED, -EHOSTUNREACH, -ENETUNREACH, -ETIMEDOUT, -ECONNRESET, -EADDRNOTAVAIL, 0});
  return outcome;
}

/// Breaks what choose_story() has made in order.
void make_trouble(Random& random, const config::Config& config, Intent& intent) {
  intent.end =
      random.pick({End::fin, End::close, End::close, End::reset, End::reset, End::vanish, End::never});
  intent.vanish_errno = random.pick({ETIMEDOUT, EHOSTUNREACH});
  if (random.chance(0.4)) intent.end_at = random.below(intent.end_at + 1);
  if (random.chance(0.3)) intent.end_by_us = random.pick<uint64_t>({0, 1'000, 20'000, 3'000'000});
  if (random.chance(0.2)) intent.read_stops_at = random.pick<size_t>({0, 10, 5'000, 100'000});
  if (random.chance(0.2)) {
    intent.stall_at = random.below(intent.end_at + 1);
    intent.stall_us = 1000ull * random.pick({10u, 800u, config.limits.half_closed_timeout_ms,
                                             config.limits.idle_timeout_ms}) +
                      1;
  }
}

Story choose_story(Random& random, const config::Config& config) {
  Story story;
  story.client.end_at = SIZE_MAX;
  story.client.bytes = choose_opening(random, config, story);
  choose_destination(random, config, story);
  const bool may_speak = story.client.end_at == SIZE_MAX && story.verdict != Verdict::silent;
  if (may_speak) {
    const Bytes body = pattern(random.next(), choose_size(random));
    story.client.bytes.insert(story.client.bytes.end(), body.begin(), body.end());
  }
  story.client.end_at = story.client.bytes.size();
  story.origin.bytes = pattern(random.next(), choose_size(random));
  story.origin.end_at = story.origin.bytes.size();
  choose_pace(random, story.client);
  choose_pace(random, story.origin);
  // Slow readers are not so slow that a time limit ends what they read.
  story.client.read_max = std::max(story.client.read_max, story.origin.bytes.size() / 100);
  story.origin.read_max = std::max(story.origin.read_max, story.client.bytes.size() / 100);
  if (random.chance(0.3)) story.origin.speak_after = random.below(story.client.bytes.size() + 1);
  if (random.chance(0.3))
    story.origin.end_after_fin = true;
  else if (random.chance(0.3))
    story.client.end_after_fin = true;

  story.calm = random.chance(0.5);
  if (!story.calm) {
    make_trouble(random, config, random.chance(0.5) ? story.client : story.origin);
    if (random.chance(0.3)) make_trouble(random, config, random.chance(0.5) ? story.client : story.origin);
    story.dial = choose_dial(random);
    if (random.chance(0.15)) story.end_at_step = random.pick<size_t>({random.below(40), random.below(4'000)});
  } else if (random.chance(0.3)) {
    // A long pause before the last byte, within the idle limit: the end that follows is an end in order.
    story.client.stall_at = story.client.end_at;
    story.client.stall_us = config.limits.idle_timeout_ms * 700ull;
    story.origin.end_after_fin = true;
    story.client.end_after_fin = false;
  }
  if (story.verdict == Verdict::silent || story.client.bytes.empty()) {
    // Waits for the gateway to lose patience, or ends before.
    story.client.stall_at = 0;
    story.client.stall_us = 0;
    if (random.chance(0.7)) story.client.end = random.pick({End::never, End::fin, End::reset});
    story.calm = false;
  }
  return story;
}

// --- a round
// ---------------------------------------------------------------------------------------------------------

struct Tally {
  record::Counters counters;
  uint64_t sessions = 0;
  uint64_t steps = 0;
};

class Round {
 public:
  explicit Round(uint64_t seed) : lab_(seed, 64), random_(lab_.random) { configure(); }

  /// "" or what went wrong.
  std::string run(Tally& tally) {
    const size_t count = random_.chance(0.5) ? 1 : random_.between(2, 6);
    for (size_t i = 0; i < count; ++i) waiting_.push_back(choose_story(random_, lab_.config()));
    for (size_t i = 0; i < count; ++i)
      if (random_.chance(0.7)) begin_next();
    live();
    tally.counters += lab_.counters;
    tally.sessions += count;
    tally.steps += step_;
    if (problems_.empty()) check();
    return problems_;
  }

 private:
  void problem(const std::string& what) { problems_ += what + "\n"; }

  void configure() {
    config::Config& config = lab_.config();
    config.tls.decrypt = !random_.chance(0.1);
    config.tls.require_sni = random_.chance(0.5);
    config.tls.terminate_with =
        random_.chance(0.5) ? config::TerminateWith::alert : config::TerminateWith::reset;
    config.tls.non_tls = random_.chance(0.5) ? config::NonTls::tunnel : config::NonTls::terminate;
    config.limits.hello_timeout_ms = 20'000;
    config.limits.connect_timeout_ms = 3'000;
    config.limits.idle_timeout_ms = static_cast<uint32_t>(random_.pick({6'000, 20'000}));
    config.limits.half_closed_timeout_ms = static_cast<uint32_t>(random_.pick({2'000, 6'000, 30'000}));
    if (random_.chance(0.1))
      lab_.world.relay_memory_max_bytes = random_.pick<uint64_t>({0, 1'000, 20'000, 200'000});
    if (random_.chance(0.2)) lab_.kernel.pipes_max = random_.below(3);
    if (random_.chance(0.2)) lab_.kernel.buffers_max = random_.between(1, 3);
    lab_.kernel.pipe_bytes = random_.pick({4'096u, 65'536u, 262'144u});
    Chaos& chaos = lab_.kernel.chaos;
    const auto often = [this] { return random_.chance(0.5) ? 0.0 : random_.pick({0.01, 0.1, 0.5}); };
    chaos.reorder = random_.chance(0.8) ? 0.5 : 0;
    chaos.short_receive = often();
    chaos.short_send = often();
    chaos.short_fill = often();
    chaos.send_eagain = often() / 2;
    chaos.send_enobufs = often() / 5;
    chaos.eintr = often() / 5;
    chaos.no_buffer = often() / 2;
    chaos.spurious_poll = often() / 20;
    chaos.pipe_denied = often();
    chaos.early_connect = often() / 5;
    chaos.cancel_loses = random_.pick({0.0, 0.5, 1.0});
    lab_.on_dial = [this](const io::Accepted& about) { return running_.at(about.client.port - 1u).dial; };
  }

  void begin_next() {
    running_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
    Story& story = running_.back();
    story.begun_us = lab_.kernel.now_us();
    if (story.dial.result != 0 || random_.chance(0.3))
      story.dial.at_us = story.begun_us + random_.pick<uint64_t>({0, 30'000, 1'000'000, 5'000'000});
    if (story.calm) story.dial.at_us = std::min(story.dial.at_us, story.begun_us + 30'000);
    story.client_connection = &lab_.begin(story.destination);
    choose_buffers(*story.client_connection);
    story.client_actor = std::make_unique<Actor>(*story.client_connection, story.client, story.origin.bytes,
                                                 random_, story.begun_us);
  }

  void choose_buffers(Connection& connection) {
    connection.inbox_max = random_.pick<size_t>({2'000, 40'000, 256 * 1024, 1 << 20});
    connection.outbox_max = random_.pick<size_t>({2'000, 40'000, 256 * 1024, 1 << 20});
  }

  /// Origins appear when their connection is made.
  void meet_origins() {
    for (Story& story : running_) {
      if (story.origin_actor) continue;
      Connection* origin = lab_.origin_of(*story.client_connection);
      if (origin == nullptr || !origin->established()) continue;
      choose_buffers(*origin);
      story.origin_actor =
          std::make_unique<Actor>(*origin, story.origin, story.client.bytes, random_, lab_.kernel.now_us());
    }
  }

  bool act() {
    const size_t first = random_.below(running_.size() * 2);
    for (size_t i = 0; i < running_.size() * 2; ++i) {
      const size_t at = (first + i) % (running_.size() * 2);
      Actor* actor = at % 2 == 0 ? running_[at / 2].client_actor.get() : running_[at / 2].origin_actor.get();
      if (actor != nullptr && actor->act(lab_.kernel.now_us())) return true;
    }
    return false;
  }

  void advance_to(uint64_t at_us) {
    if (at_us > lab_.kernel.now_us()) lab_.kernel.advance(at_us - lab_.kernel.now_us());
    lab_.timers.advance(lab_.kernel.now_us());
  }

  /// Time passes only when nothing else can happen. False: nothing ever will.
  bool jump() {
    const uint64_t now_us = lab_.kernel.now_us();
    uint64_t next_us = std::min(lab_.timers.next_us(), lab_.kernel.next_us());
    for (const Story& story : running_) {
      next_us = std::min(next_us, story.client_actor->next_us(now_us));
      if (story.origin_actor) next_us = std::min(next_us, story.origin_actor->next_us(now_us));
    }
    if (next_us == UINT64_MAX) return false;
    advance_to(next_us);
    return true;
  }

  void end_from_outside() {
    for (Story& story : running_) {
      if (step_ != story.end_at_step) continue;
      if (flow::Session* session = lab_.session_of(*story.client_connection); session != nullptr) {
        story.ended_from_outside = true;
        flow::end(*session, random_.chance(0.5) ? CloseReason::drain_timeout : CloseReason::stopped);
      }
    }
  }

  bool one_thing() {
    if (!waiting_.empty() && (running_.empty() || random_.chance(0.01))) {
      begin_next();
      return true;
    }
    const size_t choice = random_.below(3);
    for (size_t i = 0; i < 3; ++i) switch ((choice + i) % 3) {
        case 0:
          if (lab_.kernel.execute_one()) return true;
          break;
        case 1:
          if (lab_.kernel.deliver()) return true;
          break;
        case 2:
          if (act()) return true;
          break;
      }
    return false;
  }

  void live() {
    for (step_ = 0;; ++step_) {
      if (step_ > 3'000'000) return problem("it does not end: something goes round in circles");
      end_from_outside();
      bool busy = one_thing();
      meet_origins();
      if (random_.chance(0.05)) {
        advance_to(lab_.kernel.now_us() + random_.below(300));
        busy = true;
      }
      if (const std::string complaints = lab_.complaints(); !complaints.empty()) return problem(complaints);
      if (busy || jump()) continue;
      if (waiting_.empty()) return;
      begin_next();
    }
  }

  void check() {
    if (const std::string verdict = lab_.verdict(); !verdict.empty()) problem(verdict);
    for (const Story& story : running_) {
      const Record* record = lab_.record_of(*story.client_connection);
      if (record == nullptr)
        problem("no record");
      else
        check(story, *record);
    }
  }

  void check(const Story& story, const Record& record) {
    const std::string before = problems_;
    const Connection& client = *story.client_connection;
    const Connection* origin = lab_.origin_of(client);
    if (origin != nullptr && !origin->established()) origin = nullptr;
    check_bytes(story, record, client, origin);
    check_ends(story, record, client, origin);
    check_verdict(story, record, client);
    check_reason(story, record, client, origin);
    if (problems_ != before)
      problem("  … in the session closed as " + std::string(record::to_string(record.close)) + ' ' +
              record.detail);
  }

  void check_bytes(const Story& story, const Record& record, const Connection& client,
                   const Connection* origin) {
    const Actor& at_client = *story.client_actor;
    // A client that leaves may have read a part of it.
    const bool was_alerted = origin == nullptr && at_client.received <= sizeof alert &&
                             std::equal(alert, alert + at_client.received, std::begin(at_client.first));
    const bool alert_was_sent = origin == nullptr && client.bytes_taken() == sizeof alert;
    if (!at_client.as_expected && !was_alerted)
      problem("the client received something else than the origin sent");
    if (story.origin_actor && !story.origin_actor->as_expected)
      problem("the origin received something else than the client sent");
    if (record.bytes_up != (origin != nullptr ? origin->bytes_taken() : 0)) problem("bytes_up is wrong");
    if (record.bytes_down != (alert_was_sent ? 0 : client.bytes_taken())) problem("bytes_down is wrong");
  }

  void check_ends(const Story& story, const Record& record, const Connection& client,
                  const Connection* origin) {
    // FIN comes behind the last byte, and only when the other side has sent FIN.
    if (origin != nullptr && origin->gateway_finished() &&
        !(client.sent_fin() && origin->bytes_taken() == client.bytes_sent()))
      problem("the origin was told that the client had finished, and it had not");
    if (origin != nullptr && client.gateway_finished() &&
        !(origin->sent_fin() && client.bytes_taken() == origin->bytes_sent()))
      problem("the client was told that the origin had finished, and it had not");
    const bool may_finish =
        record.close == CloseReason::client_closed_early || client.bytes_taken() == sizeof alert;
    if (origin == nullptr && client.gateway_finished() && !may_finish)
      problem("a clean end for a client that had no origin");

    if (record.close == CloseReason::finished) {
      // An origin that has sent FIN and resets what comes afterwards may go unnoticed: no call reports it.
      if (origin == nullptr || client.got_reset() || origin->got_reset())
        problem("finished, but not in order");
    } else if (origin != nullptr && client.gateway_finished() && origin->gateway_finished() &&
               !client.sent_reset() && !client.vanished() && !origin->sent_reset() && !origin->vanished()) {
      problem("a clean end for both, but the record knows nothing of it");
    }
    // An origin that resets: what it sent before arrives before the reset does.
    // (One that resets before the dial has been looked at counts as a failed dial.)
    const bool was_relayed =
        record.close == CloseReason::origin_reset && origin != nullptr && record.has_connect;
    if (was_relayed && !story.ended_from_outside && !client.sent_reset() && !client.vanished() &&
        story.client.read_stops_at == SIZE_MAX && story.client.end != End::close &&
        story.client_actor->received != origin->bytes_sent())
      problem("bytes that the origin sent before its reset never reached the client");

    const bool gets_through =
        story.calm && story.verdict != Verdict::forbidden && record.close != CloseReason::overload;
    if (!gets_through) return;
    if (record.close != CloseReason::finished) problem("both ends behaved, but it did not finish");
    if (story.origin_actor == nullptr || story.origin_actor->received != story.client.bytes.size() ||
        story.client_actor->received != story.origin.bytes.size())
      problem("both ends behaved, but not everything arrived: up " +
              arrived(story.origin_actor.get(), story.client.bytes) + ", down " +
              arrived(story.client_actor.get(), story.origin.bytes));
  }

  [[nodiscard]] static std::string arrived(const Actor* actor, const Bytes& all) {
    return std::to_string(actor != nullptr ? actor->received : 0) + " of " + std::to_string(all.size());
  }

  void check_verdict(const Story& story, const Record& record, const Connection& client) {
    const Connection* dialled = lab_.origin_of(client);
    if (dialled != nullptr && record.action != "tunnel" && record.action != "tunnel-sni")
      problem("dialled for " + record.action);
    if (!record.action.empty() && !story.actions.contains(record.action)) {
      // A hello that was not there in time counts as silence, one that was there in part as incomplete.
      if (record.close != CloseReason::hello_timeout && record.close != CloseReason::client_closed_early &&
          story.client_actor->first_sent_us < story.begun_us + lab_.config().limits.hello_timeout_ms * 900ull)
        problem("action " + record.action + " was not expected");
    }
    if (story.verdict == Verdict::forbidden && dialled != nullptr &&
        story.client_actor->first_sent_us < story.begun_us + lab_.config().limits.hello_timeout_ms * 900ull)
      problem("a forbidden connection was dialled");
  }

  void check_reason(const Story& story, const Record& record, const Connection& client,
                    const Connection* origin) {
    const config::Limits& limits = lab_.config().limits;
    const auto must = [&](bool holds) {
      if (!holds) problem(std::string("the close reason does not fit what happened"));
    };
    // Connected, and gone before the gateway looked: that is a failed dial.
    const bool gone_at_once = origin != nullptr && origin->vanished() && !record.has_connect;
    const auto lasted_ms = [&](uint64_t ms) { must(record.total_us >= ms * 1000); };
    switch (record.close) {
      case CloseReason::finished:
        return must(client.sent_fin() && origin != nullptr && origin->sent_fin());
      case CloseReason::client_reset:
        return must(client.sent_reset());
      case CloseReason::origin_reset:
        return must(story.dial.result == -ECONNRESET || (origin != nullptr && origin->sent_reset()));
      case CloseReason::client_vanished:
        return must(client.vanished());
      case CloseReason::origin_vanished:
        return must(origin != nullptr && origin->vanished());
      case CloseReason::client_closed_early:
        return must(client.sent_fin() && origin == nullptr);
      case CloseReason::hello_timeout:
        return lasted_ms(limits.hello_timeout_ms);
      case CloseReason::hello_malformed:
      case CloseReason::hello_too_large:
      case CloseReason::non_tls:
      case CloseReason::sni_missing:
      case CloseReason::rule_terminate:
      case CloseReason::rule_block:
      case CloseReason::rule_redirect:
      case CloseReason::threat_block:
        return must(story.verdict == Verdict::forbidden);
      case CloseReason::origin_refused:
        return must(story.dial.result == -ECONNREFUSED);
      case CloseReason::origin_unreachable:
        return must(story.dial.result == -EHOSTUNREACH || story.dial.result == -ENETUNREACH || gone_at_once);
      case CloseReason::origin_connect_timeout:
        if (story.dial.result != -ETIMEDOUT && !gone_at_once) lasted_ms(limits.connect_timeout_ms);
        return;
      case CloseReason::idle_timeout:
        return lasted_ms(limits.idle_timeout_ms);
      case CloseReason::half_closed_timeout:
        return lasted_ms(std::min(limits.half_closed_timeout_ms, limits.idle_timeout_ms));
      case CloseReason::overload:
        return must(lab_.counters.relay_memory_limit_hits > 0);
      case CloseReason::drain_timeout:
      case CloseReason::stopped:
        return must(story.ended_from_outside);
      case CloseReason::gateway_error:
        return must(story.dial.result == -EADDRNOTAVAIL);
      case CloseReason::loop:
        return must(false);
      // Nothing is bumped here, and nothing is read as HTTP.
      case CloseReason::origin_tls_failed:
      case CloseReason::origin_handshake_timeout:
      case CloseReason::origin_cert_invalid:
      case CloseReason::client_cert_required:
      case CloseReason::origin_truncated:
      case CloseReason::client_rejected_certificate:
      case CloseReason::client_tls_failed:
      case CloseReason::client_handshake_timeout:
      case CloseReason::client_truncated:
      case CloseReason::client_left:
      case CloseReason::request_refused:
      case CloseReason::response_refused:
      case CloseReason::proxy_auth_required:
    case CloseReason::local_destination:
    case CloseReason::origin_unresolved:
    case CloseReason::misdirected:
      case CloseReason::non_http:
        return must(false);
    }
  }

  Lab lab_;
  Random& random_;
  std::deque<Story> waiting_;
  std::deque<Story> running_;  // in the order in which they began: client ports count from 1
  size_t step_ = 0;
  std::string problems_;
};

uint64_t from_environment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 0) : otherwise;
}

}  // namespace

TEST_CASE("random connections in random order: nothing is lost, forbidden, leaked or left hanging") {
  const uint64_t seed = from_environment("SIM_SEED", std::random_device{}());
  const uint64_t rounds = from_environment("SIM_ROUNDS", 4'000);
  Tally tally;
  int failures = 0;
  for (uint64_t i = 0; i < rounds && failures < 3; ++i) {
    const std::string problems = Round(seed + i).run(tally);
    if (problems.empty()) continue;
    ++failures;
    FAIL_CHECK("SIM_SEED=" << seed + i << " SIM_ROUNDS=1\n" << problems);
  }
  if (std::getenv("SIM_VERBOSE") != nullptr) {
    std::string text = "seed " + std::to_string(seed) + ", sessions " + std::to_string(tally.sessions) +
                       ", steps " + std::to_string(tally.steps) + '\n';
    record::for_each(tally.counters,
                     [&](std::string_view name, std::string_view, std::string_view, uint64_t value) {
                       text += "  " + std::string(name) + ' ' + std::to_string(value) + '\n';
                     });
    MESSAGE(text);
  }
}

}  // namespace sluice::sim
