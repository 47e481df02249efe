// Random HTTP through step exchange, plain and bumped, in every order of events that the fake kernel can
// produce: pipelined requests, every framing, upgrades, blocked hosts, slow readers, and ends of every kind
// at every moment. What must hold is said in Round::check.
//
//   SIM_SEED=n       replays the round that a failure named (with SIM_ROUNDS=1); default: a fresh one,
//   printed. A bumped round
//                    replays up to the length of its signatures, which are random.
//   SIM_ROUNDS=n     how many rounds
//   SIM_VERBOSE=1    what the rounds came across

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <optional>
#include <random>
#include <span>

#include "base/limits.h"
#include "sim/house.h"
#include "sim/lab.h"

namespace sluice::sim {
namespace {

using record::CloseReason;
using tls::Status;

std::string text_of(std::span<const uint8_t> bytes) { return {bytes.begin(), bytes.end()}; }
Bytes bytes_of(std::string_view text) { return {text.begin(), text.end()}; }

// --- what is said
// ----------------------------------------------------------------------------------------------------

enum class Framing : uint8_t { none, length, chunked, until_close };

struct Message {
  Framing framing = Framing::none;
  std::string body;
  std::string wire;  // as its author says it
};

struct Transaction {
  Message request;
  Message response;
  std::string method;
  uint16_t status = 200;
  bool blocked =
      false;  // the gateway answers: 403 by the rules, or 421 as the certificate is for another host
  bool upgrades = false;  // the last of its connection
  bool granted = false;   // with 101
};

std::string random_body(Random& random, size_t size) { return text_of(pattern(random.next(), size)); }

size_t random_size(Random& random) {
  if (random.chance(0.2)) return 0;
  if (random.chance(0.7)) return random.between(1, 3'000);
  return random.between(3'000, 120'000);
}

/// The header fields and the body, framed.
std::string framed(Random& random, const Message& message) {
  switch (message.framing) {
    case Framing::none:
      return "\r\n";
    case Framing::until_close:
      return "\r\n" + message.body;
    case Framing::length:
      return "Content-Length: " + std::to_string(message.body.size()) + "\r\n\r\n" + message.body;
    case Framing::chunked:
      break;
  }
  std::string wire = "Transfer-Encoding: chunked\r\n\r\n";
  for (size_t at = 0; at < message.body.size();) {
    const size_t size =
        random.between(1, std::min<size_t>(message.body.size() - at, random.chance(0.3) ? 10 : 20'000));
    std::array<char, 32> head{};
    std::snprintf(head.data(), head.size(), "%zx%s\r\n", size, random.chance(0.1) ? ";x=y" : "");
    wire += head.data() + message.body.substr(at, size) + "\r\n";
    at += size;
  }
  return wire + "0\r\n" + (random.chance(0.2) ? "X-Trailer: t\r\n" : "") + "\r\n";
}

void make_request(Random& random, Transaction& one, size_t number) {
  one.method = random.pick<const char*>({"GET", "GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS"});
  const bool has_body = one.method == "POST" || one.method == "PUT";
  if (has_body) one.request.framing = random.chance(0.5) ? Framing::length : Framing::chunked;
  if (has_body) one.request.body = random_body(random, random_size(random));
  one.blocked = random.chance(0.05);
  one.request.wire = one.method + " /" + std::to_string(number) +
                     " HTTP/1.1\r\nHost: " + (one.blocked ? "block.test" : "www.example.test") + "\r\n";
  if (one.upgrades) one.request.wire += "Connection: Upgrade\r\nUpgrade: websocket\r\n";
  one.request.wire += framed(random, one.request);
}

void make_response(Random& random, Transaction& one, bool is_last) {
  one.status = random.pick<uint16_t>({200, 200, 200, 404, 500, 204, 304});
  const bool bodiless = one.method == "HEAD" || one.status == 204 || one.status == 304;
  if (one.granted) one.status = 101;
  if (!one.granted && one.status != 204 && one.status != 304)
    one.response.framing = random.pick({Framing::length, Framing::chunked});
  if (is_last && !bodiless && !one.granted && random.chance(0.3)) one.response.framing = Framing::until_close;
  if (one.response.framing != Framing::none && !bodiless)
    one.response.body = random_body(random, random_size(random));
  std::string& wire = one.response.wire;
  if (!one.granted && random.chance(0.1)) wire += "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
  wire += "HTTP/1.1 " + std::to_string(one.status) + " Said\r\n";
  if (one.granted) wire += "Connection: Upgrade\r\nUpgrade: websocket\r\n";
  std::string rest = framed(random, one.response);
  if (bodiless && one.response.framing == Framing::chunked) rest = "Transfer-Encoding: chunked\r\n\r\n";
  wire += rest;
}

// --- what is heard
// ---------------------------------------------------------------------------------------------------

/// A message out of a stream, read by other means than the gateway's. `head` is empty while it has not come.
struct Heard {
  std::string head;
  std::string body;
  bool complete = false;
  bool until_close = false;

  [[nodiscard]] uint16_t status() const {
    return static_cast<uint16_t>(std::atoi(head.substr(9, 3).c_str()));
  }
};

/// Reads messages from growing text. What is not well-formed is a complaint.
class Ear {
 public:
  std::vector<Heard> messages;  // the last may be incomplete
  std::string raw;              // behind an upgrade
  std::string complaint;
  bool is_raw = false;

  /// `bodiless`: whether the message with that number and head has no body, whatever its head says.
  template <class Bodiless>
  void hear(std::string_view more, Bodiless bodiless) {
    text_ += more;
    while (step(bodiless)) {
    }
  }

 private:
  template <class Bodiless>
  bool step(Bodiless bodiless) {
    if (is_raw) {
      raw += std::exchange(text_, {});
      return false;
    }
    if (messages.empty() || messages.back().complete) {
      if (text_.empty()) return false;
      messages.emplace_back();
    }
    Heard& now = messages.back();
    return now.head.empty() ? read_head(now, bodiless) : read_body(now);
  }

  template <class Bodiless>
  bool read_head(Heard& now, Bodiless bodiless) {
    const size_t end = text_.find("\r\n\r\n");
    if (end == std::string::npos) return false;
    now.head = text_.substr(0, end + 4);
    text_.erase(0, end + 4);
    const bool is_response = now.head.starts_with("HTTP/1.1 ");
    if (is_response && now.status() == 101) {
      now.complete = is_raw = true;
      return true;
    }
    if (is_response && now.status() < 200) {  // interim: of no message
      messages.pop_back();
      return true;
    }
    length_ = 0;
    chunked_ = now.head.find("ransfer-Encoding: chunked\r\n") != std::string::npos;
    const size_t length = now.head.find("ontent-Length: ");
    const bool has_length = length != std::string::npos;
    if (has_length) length_ = std::strtoull(now.head.c_str() + length + 15, nullptr, 10);
    if (chunked_ && has_length) complaint = "two framings in one head";
    if (bodiless(messages.size() - 1, now)) {
      now.complete = true;
    } else if (is_response && !chunked_ && !has_length) {
      now.until_close = true;
    } else if (!chunked_ && length_ == 0) {
      now.complete = true;
    }
    return true;
  }

  bool read_body(Heard& now) {
    if (text_.empty()) return false;
    if (now.until_close) {
      now.body += std::exchange(text_, {});
      return false;
    }
    if (chunked_ && length_ == 0) return read_chunk_line(now);
    const size_t count = std::min(length_, text_.size());
    now.body += text_.substr(0, count);
    text_.erase(0, count);
    length_ -= count;
    if (length_ == 0 && !chunked_) now.complete = true;
    if (length_ == 0 && chunked_) behind_chunk_ = true;
    return true;
  }

  bool read_chunk_line(Heard& now) {
    if (behind_chunk_) {
      if (text_.size() < 2) return false;
      if (!text_.starts_with("\r\n")) complaint = "a chunk that is longer than it says";
      text_.erase(0, 2);
      behind_chunk_ = false;
      return true;
    }
    const size_t end = text_.find("\r\n");
    if (end == std::string::npos) return false;
    length_ = std::strtoull(text_.c_str(), nullptr, 16);
    if (length_ > 0) {
      text_.erase(0, end + 2);
      return true;
    }
    // The last chunk, with its trailers, up to the empty line.
    const size_t over = text_.find("\r\n\r\n", end);
    if (over == std::string::npos) return false;
    text_.erase(0, over + 4);
    now.complete = true;
    return true;
  }

  std::string text_;
  size_t length_ = 0;
  bool chunked_ = false;
  bool behind_chunk_ = false;
};

// --- one end of a connection
// -----------------------------------------------------------------------------------------

enum class End : uint8_t { clean, cut, reset, vanish, never };

/// A socket with TLS or without: says and hears text, at a pace of its own.
struct Line {
  Random* random = nullptr;
  Connection* at = nullptr;
  tls::Engine* engine = nullptr;  // null: plain
  size_t piece_max = 70'000;
  size_t read_max = 300'000;
  uint64_t pause_max_us = 0;
  uint64_t next_us = 0;

  Bytes in, out;
  std::string to_say;  // until the handshake is complete
  bool complete = false;
  bool heard_close = false;  // close_notify, or FIN of a plain one
  bool failed = false;
  std::optional<End> end;  // once all has been said
  bool ended = false;

  void say(std::string_view text) {
    if (!complete || text.empty()) {
      to_say += text;
      return;
    }
    if (engine == nullptr)
      out.insert(out.end(), text.begin(), text.end());
    else if (!failed && engine->write(bytes_of(text), out) != Status::ok)
      failed = true;
  }

  /// Sends some, or ends. False: nothing to do.
  bool speak() {
    if (ended) return false;
    if (at->got_reset() || at->refuse_bytes()) return ended = true;
    if (!out.empty()) {
      const size_t count =
          at->send(std::span<const uint8_t>(out).first(random->between(1, std::min(out.size(), piece_max))));
      out.erase(out.begin(), out.begin() + static_cast<ptrdiff_t>(count));
      return count > 0;
    }
    if (!end || !to_say.empty() || *end == End::never) return false;
    if (*end == End::clean && engine != nullptr && complete && !failed && !notified_) {
      notified_ = true;
      if (engine->close_notify(out) == Status::ok) return true;
    }
    finish_now(*end);
    return true;
  }

  void finish_now(End how) {
    ended = true;
    ended_how = how;
    switch (how) {
      case End::clean:
      case End::cut:
        random->chance(0.5) ? at->finish() : at->close();
        break;
      case End::reset:
        at->reset();
        break;
      case End::vanish:
        at->vanish(ETIMEDOUT);
        break;
      case End::never:
        break;
    }
  }
  std::optional<End> ended_how;

  /// Hears some: appends to `text`. False: there was nothing.
  bool listen(std::string& text) {
    if (at->sent_reset() || at->vanished()) return false;  // nobody is there any more
    const Bytes come = at->read(random->between(1, read_max));
    bool moved = !come.empty();
    if (engine == nullptr) {
      complete = true;
      text.append(come.begin(), come.end());
    } else {
      in.insert(in.end(), come.begin(), come.end());
      moved = decrypt(text) || moved;
    }
    if (complete && !to_say.empty()) {
      say(std::exchange(to_say, {}));
      moved = true;
    }
    if (engine == nullptr && !heard_close && at->got_fin()) heard_close = moved = true;
    return moved;
  }

 private:
  bool decrypt(std::string& text) {
    std::span<const uint8_t> input(in);
    bool moved = false;
    if (!complete && !failed) {
      const size_t before = out.size();
      const Status status = engine->handshake(input, out);
      complete = status == Status::ok;
      failed = status == Status::failed || status == Status::closed;
      moved = complete || out.size() != before;
    }
    std::array<uint8_t, tls::plain_bytes_max> record{};
    while (complete && !heard_close && !failed) {
      size_t count = 0;
      const Status status = engine->read(input, record, count, out);
      text.append(record.begin(), record.begin() + static_cast<ptrdiff_t>(count));
      heard_close = status == Status::closed;
      failed = status == Status::failed;
      moved = moved || status != Status::want_input;
      if (status != Status::ok) break;
    }
    in.erase(in.begin(), in.begin() + static_cast<ptrdiff_t>(in.size() - input.size()));
    return moved;
  }
  bool notified_ = false;
};

// --- one connection
// --------------------------------------------------------------------------------------------------

struct Story {
  bool bumped = false;
  std::vector<Transaction> transactions;
  std::string raw_up, raw_down;  // behind a granted upgrade
  size_t pipelined = 1;
  // Ends by itself at that moment (a count of what the Line has done), wherever it is.
  size_t client_ends_at = SIZE_MAX, origin_ends_at = SIZE_MAX;
  End client_end = End::clean, origin_end = End::clean;
  size_t outside_end_at = SIZE_MAX;
  bool calm = true;  // everybody behaves: everything must arrive

  // --- as it goes ---
  std::optional<tls::OriginEngine> client_engine;
  std::optional<tls::ClientEngine> origin_engine;
  Line client, origin;
  Ear client_ear, origin_ear;
  size_t asked = 0;               // requests that the client has said
  std::vector<size_t> to_origin;  // transactions that the origin is to get, in order
  size_t answered = 0;            // of to_origin, by the origin
  bool raw_said_up = false, raw_said_down = false;
  bool origin_spoke_until_close = false;
  size_t client_acts = 0, origin_acts = 0;
  bool ended_from_outside = false;

  [[nodiscard]] bool client_has_all() const {
    size_t whole = 0;
    for (const Heard& heard : client_ear.messages) whole += heard.complete ? 1 : 0;
    return whole == transactions.size();
  }
};

Story make_story(Random& random) {
  Story story;
  story.bumped = random.chance(0.4);
  const size_t count = random.chance(0.3) ? 1 : random.between(2, 14);
  const bool upgrades = random.chance(0.2);
  for (size_t i = 0; i < count; ++i) {
    Transaction one;
    const bool is_last = i + 1 == count;
    one.upgrades = upgrades && is_last;
    one.granted = one.upgrades && random.chance(0.7);
    make_request(random, one, i);
    if (one.blocked && one.upgrades) one.granted = false;
    if (one.granted && one.method == "HEAD") one.granted = false;
    make_response(random, one, is_last);
    story.transactions.push_back(std::move(one));
  }
  if (story.transactions.back().granted) {
    story.raw_up = random_body(random, random_size(random));
    story.raw_down = random_body(random, random_size(random));
  }
  story.pipelined = random.pick<size_t>({1, 1, 2, 5, 20});
  if (random.chance(0.5)) return story;
  story.calm = false;
  const auto some_end = [&] {
    return random.pick({End::clean, End::cut, End::cut, End::reset, End::vanish, End::never});
  };
  if (random.chance(0.6)) story.client_end = some_end();
  if (random.chance(0.6)) story.origin_end = some_end();
  if (random.chance(0.5)) story.client_ends_at = random.below(random.pick({20u, 200u}));
  if (random.chance(0.5)) story.origin_ends_at = random.below(random.pick({20u, 200u}));
  if (random.chance(0.1)) story.outside_end_at = random.below(3'000);
  return story;
}

/// What the client does when something has changed.
void client_thinks(Story& story) {
  Line& line = story.client;
  const size_t heard = story.client_ear.messages.size();
  const size_t whole = heard - (heard > 0 && !story.client_ear.messages.back().complete ? 1 : 0);
  while (story.asked < story.transactions.size() && story.asked < whole + story.pipelined && !line.end) {
    const Transaction& next = story.transactions[story.asked];
    // Nothing is pipelined behind what decides how the rest is to be read.
    if (next.upgrades && whole < story.asked) break;
    line.say(next.request.wire);
    ++story.asked;
  }
  if (story.client_ear.is_raw && !std::exchange(story.raw_said_up, true)) line.say(story.raw_up);
  const bool raw_done = !story.client_ear.is_raw || story.client_ear.raw.size() == story.raw_down.size();
  if (!line.end && ((story.client_has_all() && raw_done) || line.heard_close)) line.end = story.client_end;
}

/// What the origin does when something has changed.
void origin_thinks(Story& story) {
  Line& line = story.origin;
  const auto& heard = story.origin_ear.messages;
  while (story.answered < story.to_origin.size() && story.answered < heard.size() &&
         heard[story.answered].complete && !line.end) {
    const Transaction& now = story.transactions[story.to_origin[story.answered++]];
    line.say(now.response.wire);
    if (now.response.framing == Framing::until_close) {
      line.end = story.origin_end;
      story.origin_spoke_until_close = true;
    }
    if (now.granted) story.origin_ear.is_raw = true;
    if (now.granted && !std::exchange(story.raw_said_down, true)) line.say(story.raw_down);
  }
  if (!line.end && line.heard_close) line.end = story.origin_end;
}

// --- a round
// ---------------------------------------------------------------------------------------------------------

struct Tally {
  record::Counters counters;
  uint64_t sessions = 0, steps = 0, responses = 0;
};

class Round {
 public:
  explicit Round(uint64_t seed) : lab_(seed, 64), random_(lab_.random) { configure(); }

  /// "" or what went wrong.
  std::string run(Tally& tally) {
    const size_t count = random_.chance(0.6) ? 1 : random_.between(2, 3);
    for (size_t i = 0; i < count; ++i) begin(make_story(random_));
    live();
    tally.counters += lab_.counters;
    tally.sessions += count;
    tally.steps += step_;
    for (const Story& story : stories_) tally.responses += story.client_ear.messages.size();
    if (problems_.empty()) check();
    return problems_;
  }

 private:
  void problem(const std::string& what) { problems_ += what + "\n"; }

  void configure() {
    config::Config& config = lab_.config();
    config.gateway.http_ports = {80};
    config.limits.connect_timeout_ms = 20'000;
    config.limits.hello_timeout_ms = 20'000;
    config.limits.idle_timeout_ms = 60'000;
    config.limits.half_closed_timeout_ms = 20'000;
    rules::PolicyBuilder builder(3);
    builder.set_tls_default(rules::Action::bump);
    const rules::GroupId group = builder.new_group(rules::Slot::host);
    SLUICE_CHECK(builder.add_host(group, rules::HostPattern::Kind::exact, "block.test"));
    rules::RuleSource rule;
    rule.name = "no";
    rule.action = rules::Action::block;
    rule.when.push_back({{rules::Slot::host, "block.test", {}}, {group}});
    builder.add_access_rule(rule);
    config.policy = builder.build();
    auto made = flow::Bumper::create(*house().shared);
    SLUICE_CHECK(made.has_value());
    bumper_ = std::move(*made);
    lab_.bump_with(*bumper_, house().material);
    lab_.may_dial_twice = true;
    if (random_.chance(0.1))
      lab_.world.relay_memory_max_bytes = random_.pick<uint64_t>({0, 1'000, 20'000, 200'000});
    if (random_.chance(0.2)) lab_.kernel.buffers_max = random_.between(1, 3);
    Chaos& chaos = lab_.kernel.chaos;
    const auto often = [this] { return random_.chance(0.5) ? 0.0 : random_.pick({0.01, 0.1, 0.5}); };
    chaos.reorder = random_.chance(0.8) ? 0.5 : 0;
    chaos.short_receive = often();
    chaos.short_send = often();
    chaos.send_eagain = often() / 2;
    chaos.send_enobufs = often() / 5;
    chaos.eintr = often() / 5;
    chaos.no_buffer = often() / 2;
    chaos.spurious_poll = often() / 20;
    chaos.early_connect = often() / 5;
    chaos.cancel_loses = random_.pick({0.0, 0.5, 1.0});
  }

  void choose_pace(Line& line) {
    line.random = &random_;
    line.piece_max = random_.pick<size_t>({37, 1'460, 20'000, 70'000});
    line.read_max = random_.pick<size_t>({900, 20'000, 300'000});
    if (random_.chance(0.3)) line.pause_max_us = random_.pick<uint64_t>({50, 2'000});
    line.at->inbox_max = random_.pick<size_t>({2'000, 40'000, 256 * 1024});
    line.at->outbox_max = random_.pick<size_t>({2'000, 40'000, 256 * 1024});
  }

  void begin(Story made) {
    Story& story = stories_.emplace_back(std::move(made));
    for (size_t i = 0; i < story.transactions.size(); ++i)
      if (!story.transactions[i].blocked) story.to_origin.push_back(i);
    if (story.bumped) {
      static constexpr std::array<std::string_view, 1> alpn = {"http/1.1"};
      story.client_engine.emplace(house().far.client_side({.sni = "www.example.test", .alpn = alpn}));
      story.origin_engine.emplace(house().far.server_side("http/1.1"));
      story.client.engine = &*story.client_engine;
      story.origin.engine = &*story.origin_engine;
    }
    story.client.at = &lab_.begin(endpoint(story.bumped ? "203.0.113.7:443" : "203.0.113.7:80"));
    choose_pace(story.client);
  }

  void meet_origins() {
    for (Story& story : stories_) {
      Connection* const origin = lab_.origin_of(*story.client.at);
      if (story.origin.at != nullptr || origin == nullptr || !origin->established()) continue;
      story.origin.at = origin;
      choose_pace(story.origin);
    }
  }

  bool act(Story& story, bool as_client) {
    Line& line = as_client ? story.client : story.origin;
    if (line.at == nullptr || line.next_us > lab_.kernel.now_us()) return false;
    size_t& acts = as_client ? story.client_acts : story.origin_acts;
    if (!line.ended && acts >= (as_client ? story.client_ends_at : story.origin_ends_at)) {
      line.finish_now(as_client ? story.client_end : story.origin_end);
      return true;
    }
    std::string text;
    bool moved = random_.chance(0.5) ? line.listen(text) || line.speak() : line.speak() || line.listen(text);
    if (as_client) {
      story.client_ear.hear(text, [&](size_t number, const Heard& heard) {
        const bool is_head =
            number < story.transactions.size() && story.transactions[number].method == "HEAD";
        return is_head || heard.status() == 204 || heard.status() == 304;
      });
      client_thinks(story);
    } else {
      story.origin_ear.hear(text, [](size_t, const Heard&) { return false; });
      origin_thinks(story);
    }
    if (!moved) return false;
    ++acts;
    if (line.pause_max_us > 0) line.next_us = lab_.kernel.now_us() + random_.below(line.pause_max_us + 1);
    return true;
  }

  bool act() {
    const size_t first = random_.below(stories_.size() * 2);
    for (size_t i = 0; i < stories_.size() * 2; ++i) {
      const size_t at = (first + i) % (stories_.size() * 2);
      if (act(stories_[at / 2], at % 2 == 0)) return true;
    }
    return false;
  }

  bool one_thing() {
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

  void advance_to(uint64_t at_us) {
    if (at_us > lab_.kernel.now_us()) lab_.kernel.advance(at_us - lab_.kernel.now_us());
    lab_.timers.advance(lab_.kernel.now_us());
  }

  bool jump() {
    const uint64_t now_us = lab_.kernel.now_us();
    uint64_t next_us = std::min(lab_.timers.next_us(), lab_.kernel.next_us());
    for (const Story& story : stories_)
      for (const Line* line : {&story.client, &story.origin})
        if (line->at != nullptr && line->next_us > now_us) next_us = std::min(next_us, line->next_us);
    if (next_us == UINT64_MAX) return false;
    advance_to(next_us);
    return true;
  }

  void end_from_outside() {
    for (Story& story : stories_) {
      if (step_ != story.outside_end_at) continue;
      if (flow::Session* session = lab_.session_of(*story.client.at); session != nullptr) {
        story.ended_from_outside = true;
        flow::end(*session, CloseReason::stopped);
      }
    }
  }

  void live() {
    for (step_ = 0;; ++step_) {
      if (step_ > 2'000'000) return problem("it does not end: something goes round in circles");
      end_from_outside();
      const bool busy = one_thing();
      meet_origins();
      if (step_ % 16 == 0)
        if (const std::string complaints = lab_.complaints(); !complaints.empty()) return problem(complaints);
      if (!busy && !jump()) return;
    }
  }

  // --- what must hold ---

  void check() {
    if (const std::string verdict = lab_.verdict(); !verdict.empty()) problem(verdict);
    for (size_t i = 0; i < stories_.size(); ++i) {
      const Story& story = stories_[i];
      const Record* record = lab_.record_of(*story.client.at);
      const std::string before = problems_;
      if (record == nullptr) {
        problem("no record");
        continue;
      }
      check_requests(story);
      check_responses(story);
      check_calm(story, *record);
      if (problems_ != before)
        problem("  … in session " + std::to_string(i) + (story.bumped ? " (bumped)" : " (plain)") +
                ", closed as " + record::to_string(record->close) + " " + record->detail + ", " +
                std::to_string(story.transactions.size()) + " transactions, client heard " +
                std::to_string(story.client_ear.messages.size()) + ", origin " +
                std::to_string(story.origin_ear.messages.size()));
    }
  }

  /// The origin got the requests that are not blocked, in their order, with their bodies; the last may be
  /// cut, and then the end is no clean one.
  void check_requests(const Story& story) {
    const auto& heard = story.origin_ear.messages;
    if (!story.origin_ear.complaint.empty()) problem("at the origin: " + story.origin_ear.complaint);
    if (heard.size() > story.to_origin.size()) return problem("the origin got more requests than were said");
    for (size_t i = 0; i < heard.size(); ++i) {
      const size_t number = story.to_origin[i];
      const Transaction& said = story.transactions[number];
      const std::string line = said.method + " /" + std::to_string(number) + " HTTP/1.1\r\n";
      if (!heard[i].head.empty() && !heard[i].head.starts_with(line))
        problem("the origin got another request than was due");
      if (number >= story.asked) problem("the origin got a request that was not said");
      compare(heard[i], said.request, "request " + std::to_string(number));
    }
    if (!story.raw_up.starts_with(story.origin_ear.raw))
      problem("the origin got other bytes behind the upgrade");
    const bool cut = !heard.empty() && !heard.back().complete;
    const bool had_answered = story.origin.ended;  // then nothing more is owed to it
    if (cut && story.origin.heard_close && !had_answered)
      problem("a clean end for the origin in the middle of a request");
    if (story.origin_ear.is_raw && story.origin.heard_close &&
        story.origin_ear.raw.size() < story.raw_up.size() && !story.origin.ended &&
        story.client.ended_how != End::clean && story.bumped)
      problem("a clean end for the origin behind an upgrade that the client has cut");
  }

  /// The client got the responses in order, as the origin said them or by a page of ours; the last may be
  /// cut, and then the end is no clean one.
  void check_responses(const Story& story) {
    const auto& heard = story.client_ear.messages;
    if (!story.client_ear.complaint.empty()) problem("at the client: " + story.client_ear.complaint);
    if (heard.size() > story.asked) return problem("the client got more responses than it had asked for");
    for (size_t i = 0; i < heard.size(); ++i) {
      if (heard[i].head.empty()) continue;
      const Transaction& said = story.transactions[i];
      const std::string name = "response " + std::to_string(i);
      if (said.blocked) {
        if (heard[i].status() != (story.bumped ? 421 : 403))
          problem(name + " should be a page of ours, and is " + std::to_string(heard[i].status()));
        continue;
      }
      if (heard[i].status() != said.status) {
        problem(name + " has status " + std::to_string(heard[i].status()) + ", not " +
                std::to_string(said.status));
        continue;
      }
      compare(heard[i], said.response, name);
      check_until_close(story, heard[i], said, name);
    }
    if (!story.raw_down.starts_with(story.client_ear.raw))
      problem("the client got other bytes behind the upgrade");
    const bool cut = !heard.empty() && !heard.back().complete && !heard.back().until_close;
    if (cut && story.client.heard_close) problem("a clean end for the client in the middle of a response");
  }

  /// Where only the end tells that it is whole: a clean end only if the origin's was one.
  void check_until_close(const Story& story, const Heard& heard, const Transaction& said,
                         const std::string& name) {
    if (!heard.until_close || !story.client.heard_close) return;
    const bool whole = heard.body.size() == said.response.body.size();
    // Without TLS nobody can tell a FIN that cuts from one that ends.
    const bool looked_whole =
        !story.bumped && (story.origin.ended_how == End::cut || story.origin.ended_how == End::clean);
    if (!whole && !looked_whole) problem(name + " ended cleanly and is not whole");
    if (story.origin.ended_how != End::clean && !looked_whole)
      problem(name + " ended cleanly, its origin did not");
  }

  void compare(const Heard& heard, const Message& said, const std::string& name) {
    if (!said.body.starts_with(heard.body))
      problem("the body of " + name + " differs");
    else if (heard.complete && heard.body.size() != said.body.size() && said.framing != Framing::until_close)
      problem(name + " seems complete with " + std::to_string(heard.body.size()) + " of " +
              std::to_string(said.body.size()));
  }

  void check_calm(const Story& story, const Record& record) {
    if (!story.calm || record.close == CloseReason::overload) return;
    // A page of ours may be the last word on its connection.
    size_t due = story.transactions.size();
    for (size_t i = 0; i < story.transactions.size() && due == story.transactions.size(); ++i)
      if (story.transactions[i].blocked) due = i + 1;
    if (story.client_ear.messages.size() < due ||
        !std::all_of(story.client_ear.messages.begin(), story.client_ear.messages.end(),
                     [](const Heard& h) { return h.complete || h.until_close; }))
      problem("everybody behaved, but not every response arrived");
    if (due == story.transactions.size() &&
        (story.client_ear.raw != story.raw_down || story.origin_ear.raw != story.raw_up))
      problem("everybody behaved, but not everything arrived behind the upgrade");
    if (record.close != CloseReason::finished && due == story.transactions.size() &&
        !story.transactions.back().blocked)
      problem("everybody behaved, but it did not finish");
  }

  std::unique_ptr<flow::Bumper> bumper_;  // outlives the sessions
  Lab lab_;
  Random& random_;
  std::deque<Story> stories_;
  size_t step_ = 0;
  std::string problems_;
};

uint64_t from_environment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 0) : otherwise;
}

}  // namespace

TEST_CASE(
    "random HTTP in random order: what arrives is what was said, a cut is a cut, nothing is leaked or left "
    "hanging") {
  const uint64_t seed = from_environment("SIM_SEED", std::random_device{}());
  const uint64_t rounds = from_environment("SIM_ROUNDS", 500);
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
                       ", steps " + std::to_string(tally.steps) + ", responses " +
                       std::to_string(tally.responses) + '\n';
    record::for_each(tally.counters,
                     [&](std::string_view name, std::string_view, std::string_view, uint64_t value) {
                       if (value != 0) text += "  " + std::string(name) + ' ' + std::to_string(value) + '\n';
                     });
    MESSAGE(text);
  }
}

}  // namespace sluice::sim
