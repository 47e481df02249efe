// Bumped connections, with real TLS engines as the client and the origin behind the fake kernel.

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <variant>

#include "base/limits.h"
#include "flow/client_refusal.h"
#include "sim/house.h"
#include "sim/lab.h"
#include "unit/hello/hello_builder.h"
#include "unit/tls/raw_peer.h"

namespace sluice::sim {
namespace {

using record::CloseReason;
using tls::Status;

/// A TLS peer at the far end of a connection.
struct Peer {
  Connection* at = nullptr;
  tls::Engine* engine = nullptr;
  Bytes in, out, plain;
  size_t piece = 0;  // at most so many bytes are sent at a time
  bool complete = false;
  bool closed = false;
  bool failed = false;

  /// Reads, thinks, sends. False: nothing happened.
  bool pump() {
    bool moved = false;
    const Bytes come = at->read(1'000'000);
    moved = !come.empty();
    in.insert(in.end(), come.begin(), come.end());
    std::span<const uint8_t> input(in);
    if (!complete && !failed) {
      const Status status = engine->handshake(input, out);
      complete = status == Status::ok;
      failed = status == Status::failed;
      moved = moved || complete;
    }
    std::array<uint8_t, tls::plain_bytes_max> record{};
    while (complete && !closed && !failed) {
      size_t count = 0;
      const Status status = engine->read(input, record, count, out);
      if (status == Status::ok)
        plain.insert(plain.end(), record.begin(), record.begin() + static_cast<ptrdiff_t>(count));
      closed = status == Status::closed;
      failed = status == Status::failed;
      if (status != Status::ok) break;
    }
    in.erase(in.begin(), in.begin() + static_cast<ptrdiff_t>(in.size() - input.size()));
    const size_t most = piece == 0 ? out.size() : std::min(piece, out.size());
    const size_t sent = at->send(std::span(out).first(most));
    out.erase(out.begin(), out.begin() + static_cast<ptrdiff_t>(sent));
    return moved || sent > 0;
  }
  void write(std::string_view text) { CHECK(engine->write(tls::testing::bytes_of(text), out) == Status::ok); }
  [[nodiscard]] std::string said() { return {plain.begin(), plain.end()}; }
};

/// Origins whose certificates are from a CA that the gateway trusts, so that they can end. (Those of the house are trusted
/// whatever they are.)
struct DatedOrigins {
  DatedOrigins() {
    REQUIRE(tls::start_tls_library().has_value());
    auto made = tls::ClientContext::create(key.private_der(), tls::testing::some_ticket_keys());
    REQUIRE(made.has_value());
    context.emplace(std::move(*made));
    *material = *house().material;
    tls::TrustBuilder trust;
    CHECK(trust.add_roots(tls::testing::read_text(tls::testing::data_file("authorities/p256.pem")), now_s).count == 1);
    material->trust = trust.build();
  }
  /// A chain for www.example.test that is good until then.
  [[nodiscard]] Bytes chain_until(int64_t end_s) const {
    tls::MintRequest request;
    request.name = "www.example.test";
    request.now = end_s - limits::leaf_lifetime_s + limits::leaf_backdate_s;
    request.serial = tls::random_serial();
    auto leaf = tls::mint_for_page(*material->authority, key, request);
    REQUIRE(leaf.has_value());
    REQUIRE(leaf->not_after == end_s);
    return leaf->chain;
  }

  static constexpr int64_t now_s = 1'800'000'000;  // the lab's
  tls::LeafKey key = tls::LeafKey::generate(tls::LeafKeyKind::p256);
  std::optional<tls::ClientContext> context;
  std::shared_ptr<tls::Material> material = std::make_shared<tls::Material>();
};

struct Bump {
  /// `dated`: the origins are these, and `chain` is what the first one shows.
  explicit Bump(std::string_view sni = "www.example.test", const tls::OriginSession* resume = nullptr,
                const DatedOrigins* dated = nullptr, const Bytes& chain = {})
      : origins(dated), origin_chain(chain) {
    rules::PolicyBuilder builder(7);
    builder.set_tls_default(rules::Action::bump);
    const rules::GroupId raw = builder.new_group(rules::Slot::host);
    CHECK(builder.add_host(raw, rules::HostPattern::Kind::exact, "raw.test"));
    rules::RuleSource rule;
    rule.name = "raw";
    rule.action = rules::Action::bump;
    rule.inspect = false;
    rule.when.push_back({{rules::Slot::host, "raw.test", {}}, {raw}});
    builder.add_tls_rule(rule);
    lab.config().policy = builder.build();
    auto made = flow::Bumper::create(*house().shared);
    REQUIRE(made.has_value());
    bumper = std::move(*made);
    lab.bump_with(*bumper, origins != nullptr ? origins->material : house().material);
    lab.may_dial_twice = true;
    begin(sni, resume);
  }
  void begin(std::string_view sni, const tls::OriginSession* resume = nullptr) {
    static constexpr std::array<std::string_view, 1> alpn = {"http/1.1"};
    client_engine.emplace(house().far.client_side({.sni = sni, .alpn = alpn, .resume = resume}));
    if (origins == nullptr) {
      origin_engine.emplace(house().far.server_side("http/1.1"));
    } else {
      auto made = tls::ClientEngine::create(*origins->context, {origin_chain, "http/1.1"});
      REQUIRE(made.has_value());
      origin_engine.emplace(std::move(*made));
    }
    client = Peer();
    origin = Peer();
    client.engine = &*client_engine;
    origin.engine = &*origin_engine;
    client.at = &lab.begin();
    lab.settle();
  }
  /// Lets everybody do what they can, `most` times.
  void run(int most = 100'000) {
    for (int i = 0; i < most; ++i) {
      bool moved = client.pump();
      lab.settle();
      if (origin.at == nullptr) origin.at = lab.origin_of(*client.at);
      if (origin.at != nullptr && speaks) moved = origin.pump() || moved;
      lab.settle();
      if (!moved) return;
    }
  }
  CloseReason reason() {
    lab.settle();
    CHECK(lab.verdict() == "");
    REQUIRE(lab.record_of(*client.at) != nullptr);
    return lab.record_of(*client.at)->close;
  }
  void talk() {
    client.write("GET /x HTTP/1.1\r\nHost: www.example.test\r\n\r\n");
    run();
    CHECK(origin.said() == "GET /x HTTP/1.1\r\nHost: www.example.test\r\n\r\n");
    origin.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    run();
    CHECK(client.said() == "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  }
  /// The client's hello is under way, and the origin's side of the connection is there and silent.
  void begin_with_a_silent_origin() {
    speaks = false;
    run();
    REQUIRE(origin.at != nullptr);
  }
  /// So long that the client is watched.
  void let_it_be_watched() { lab.pass_ms(limits::dial_unwatched_ms + 50); }
  CloseReason end() {
    CHECK(client.engine->close_notify(client.out) == Status::ok);
    run();
    client.at->finish();
    run();
    origin.at->close();
    lab.pass_ms(limits::linger_ms + 100);
    return reason();
  }
  /// A whole connection, `later_s` after the one before. Whether it was resumed with the origin.
  bool visit(int64_t later_s, const char* origin_cert) {
    lab.world.wall_us += later_s * 1'000'000;
    begin("www.example.test");
    return finish_visit(origin_cert);
  }
  bool finish_visit(const char* origin_cert) {
    run();
    talk();
    const bool resumed = origin.engine->agreed().resumed;
    CHECK(end() == CloseReason::finished);
    CHECK(lab.record_of(*client.at)->action == "bump");
    CHECK(lab.record_of(*client.at)->origin_cert == origin_cert);
    return resumed;
  }

  const DatedOrigins* origins;
  Bytes origin_chain;
  std::unique_ptr<flow::Bumper> bumper;  // outlives the sessions
  Lab lab;
  std::optional<tls::OriginEngine> client_engine;
  std::optional<tls::ClientEngine> origin_engine;
  Peer client, origin;
  bool speaks = true;  // the origin
};

}  // namespace

TEST_CASE("bump: full handshakes, a request, an end in order; the record tells all of it") {
  Bump bump;
  bump.run();
  CHECK(bump.client.complete);
  CHECK(bump.origin.complete);
  CHECK(bump.client.engine->agreed().alpn == "http/1.1");
  bump.talk();
  CHECK(bump.end() == CloseReason::finished);
  const Record& record = *bump.lab.record_of(*bump.client.at);
  CHECK(record.action == "bump");
  CHECK(record.origin_cert == "trusted_origin");
  CHECK(record.has_origin_handshake);
  CHECK(record.has_client_handshake);
  REQUIRE(bump.lab.requests_of(*bump.client.at).size() == 1);
  CHECK(bump.lab.requests_of(*bump.client.at)[0].url == "https://www.example.test/x");
}

TEST_CASE("bump: while nothing is said, a connection holds no buffer") {
  for (const char* sni : {"www.example.test", "raw.test"}) {
    CAPTURE(sni);
    Bump bump(sni);
    bump.run();
    bump.talk();
    flow::Session* const session = bump.lab.session_of(*bump.client.at);
    REQUIRE(session != nullptr);
    CHECK(session->replay.capacity() == 0);
    const auto* exchange = std::get_if<flow::ExchangeRoom>(&session->room);
    flow::Pair& pair = exchange != nullptr ? *exchange->pair : *std::get<flow::BumpRoom>(session->room).pair;
    bump.lab.world.spare_outputs.clear();  // which would be lent to whoever asks for an output
    CHECK(pair.client.output().capacity() == 0);
    CHECK(pair.origin.output().capacity() == 0);
    (void)bump.end();
  }
}

TEST_CASE("bump: the second connection resumes on both sides") {
  Bump bump;
  bump.run();
  bump.talk();
  const tls::OriginSession session = bump.client_engine->take_session();
  REQUIRE(bool(session));
  CHECK(bump.end() == CloseReason::finished);
  bump.begin("www.example.test", &session);
  bump.run();
  bump.talk();
  CHECK(bump.client.engine->agreed().resumed);
  CHECK(bump.origin.engine->agreed().resumed);
  CHECK(bump.end() == CloseReason::finished);
  CHECK(bump.lab.counters.bump_resumed_client == 1);
  CHECK(bump.lab.counters.bump_resumed_origin == 1);
}

TEST_CASE("bump: an origin's session is resumed only while its old chain is good; then its new one is seen") {
  const DatedOrigins dated;
  Bump bump("www.example.test", nullptr, &dated, dated.chain_until(DatedOrigins::now_s + 3600));
  CHECK_FALSE(bump.finish_visit("ok"));
  CHECK(bump.visit(1800, "ok"));
  // The old one has ended. The origin has a new one, and could still resume.
  bump.origin_chain = dated.chain_until(DatedOrigins::now_s + 30 * 86400);
  CHECK_FALSE(bump.visit(3600, "ok"));
  CHECK(bump.visit(1, "ok"));
  CHECK(bump.lab.counters.bump_resumed_origin == 2);
}

TEST_CASE("bump: no session of a bad origin is kept, so a good certificate counts at once") {
  const DatedOrigins dated;
  Bump bump("www.example.test", nullptr, &dated, dated.chain_until(DatedOrigins::now_s - 3600));
  CHECK_FALSE(bump.finish_visit("expired"));
  CHECK(bump.bumper->sessions.size() == 0);
  CHECK_FALSE(bump.visit(1, "expired"));
  bump.origin_chain = dated.chain_until(DatedOrigins::now_s + 86400);
  CHECK_FALSE(bump.visit(1, "ok"));
  CHECK(bump.visit(1, "ok"));
}

TEST_CASE("bump: a day after the full handshake comes another, however often the session was renewed") {
  Bump bump;
  CHECK_FALSE(bump.finish_visit("trusted_origin"));
  CHECK(bump.visit(12 * 3600, "trusted_origin"));
  CHECK(bump.visit(11 * 3600, "trusted_origin"));
  CHECK_FALSE(bump.visit(3600, "trusted_origin"));
  CHECK(bump.visit(23 * 3600, "trusted_origin"));
}

namespace {

/// Whether the ClientHello that lies at the origin offers a session (pre_shared_key, RFC 8446 section 4.2.11), which it reads.
bool offers_session(Connection& at) {
  const Bytes wire = at.read(100'000);
  hello::HelloReader reader;
  const auto outcome = reader.read(wire);
  const auto* const hello = std::get_if<hello::ClientHello>(&outcome);
  REQUIRE(hello != nullptr);
  constexpr uint16_t pre_shared_key = 41;
  return std::find(hello->extensions.begin(), hello->extensions.end(), pre_shared_key) != hello->extensions.end();
}

/// What an origin does that cannot do with what it got.
void fail(Connection& at, int how) {
  const Bytes alert = {21, 3, 3, 0, 2, 2, 40};
  const Bytes nonsense = pattern(3, 100);
  switch (how) {
    case 0: (void)at.send(nonsense); break;
    case 1: (void)at.send(alert); break;
    case 2: at.finish(); break;
    default: at.reset(); break;
  }
}

/// Client and origin speak with each other from here on: the origin's own certificate arrives.
void check_tunnel(Bump& bump, Connection& origin) {
  bump.origin.at = &origin;
  bump.speaks = true;
  bump.run();
  CHECK(bump.client.complete);
  bump.client.write("any bytes");
  bump.run();
  CHECK(bump.origin.said() == "any bytes");
  CHECK(bump.end() == CloseReason::finished);
  CHECK(bump.lab.record_of(*bump.client.at)->action == "tunnel");
  CHECK(bump.lab.counters.bump_retreats == 1);
}

}  // namespace

TEST_CASE("bump: an origin that fails over a session of ours is bumped with a full handshake") {
  for (const int how : {0, 1, 2, 3}) {
    CAPTURE(how);
    Bump bump;
    CHECK_FALSE(bump.finish_visit("trusted_origin"));
    bump.begin("www.example.test");
    bump.begin_with_a_silent_origin();
    Connection* const first = bump.origin.at;
    REQUIRE(offers_session(*first));
    fail(*first, how);
    bump.lab.settle();
    Connection* const second = bump.lab.origin_of(*bump.client.at);
    REQUIRE(second != first);
    CHECK(first->closed_by_gateway());
    bump.origin.at = second;
    bump.speaks = true;
    CHECK_FALSE(bump.finish_visit("trusted_origin"));
    CHECK(bump.lab.counters.bump_retreats == 0);
    CHECK(bump.lab.counters.bump_resumed_origin == 0);
    CHECK(bump.visit(1, "trusted_origin"));
  }
}

TEST_CASE("bump: an origin that fails over a session and over a full handshake is tried no third time: a tunnel") {
  for (const int how : {0, 1, 2, 3}) {
    CAPTURE(how);
    Bump bump;
    CHECK_FALSE(bump.finish_visit("trusted_origin"));
    bump.begin("www.example.test");
    bump.begin_with_a_silent_origin();
    Connection* const first = bump.origin.at;
    REQUIRE(offers_session(*first));
    fail(*first, how);
    bump.lab.settle();
    Connection* const second = bump.lab.origin_of(*bump.client.at);
    REQUIRE(second != first);
    CHECK_FALSE(offers_session(*second));
    fail(*second, how);
    bump.lab.settle();
    Connection* const third = bump.lab.origin_of(*bump.client.at);
    REQUIRE(third != second);
    check_tunnel(bump, *third);
  }
}

TEST_CASE("bump: an origin that is silent to a session of ours is not offered it again") {
  Bump bump;
  CHECK_FALSE(bump.finish_visit("trusted_origin"));
  bump.begin("www.example.test");
  bump.begin_with_a_silent_origin();
  REQUIRE(offers_session(*bump.origin.at));
  bump.lab.pass_ms(bump.lab.config().limits.connect_timeout_ms + 3'000);
  CHECK(bump.reason() == CloseReason::origin_handshake_timeout);
  bump.speaks = true;
  CHECK_FALSE(bump.visit(1, "trusted_origin"));
}

TEST_CASE("bump: everything in pieces of one byte, three bytes, a hundred") {
  for (const size_t piece : {1u, 3u, 100u}) {
    Bump bump;
    bump.client.piece = bump.origin.piece = piece;
    bump.run();
    CHECK(bump.client.complete);
    bump.talk();
    CHECK(bump.end() == CloseReason::finished);
  }
}

TEST_CASE(
    "bump: an origin that answers with nonsense, an alert, an end or a reset gets the hello through a "
    "tunnel") {
  for (const int how : {0, 1, 2, 3}) {
    CAPTURE(how);
    Bump bump;
    bump.speaks = false;
    bump.run();
    REQUIRE(bump.origin.at != nullptr);
    Connection* const first = bump.origin.at;
    fail(*first, how);
    bump.lab.settle();
    Connection* const second = bump.lab.origin_of(*bump.client.at);
    REQUIRE(second != nullptr);
    REQUIRE(second != first);
    CHECK(first->closed_by_gateway());
    check_tunnel(bump, *second);
  }
}

TEST_CASE("bump: tls.unsupported = terminate ends it with the reason") {
  Bump bump;
  bump.speaks = false;
  bump.lab.config().tls.unsupported = config::WhenNotBumpable::terminate;
  bump.run();
  bump.origin.at->finish();
  bump.lab.settle();
  bump.client.at->close();
  bump.lab.pass_ms(limits::linger_ms + 100);
  CHECK(bump.reason() == CloseReason::origin_tls_failed);
}

TEST_CASE("bump: a client that refuses our certificate, by an alert, an end or a reset") {
  for (const int how : {0, 1, 2}) {
    // wolfSSL 5.7.2 takes an alert in clear for a damaged record.
    if (how == 0 && LIBWOLFSSL_VERSION_HEX < 0x05009000) continue;
    Bump bump;
    // The origin's handshake, without the client hearing of its own.
    for (int i = 0; i < 20 && bump.client.at->readable() == 0; ++i) {
      if (i == 0) (void)bump.client.pump();
      bump.lab.settle();
      bump.origin.at = bump.lab.origin_of(*bump.client.at);
      (void)bump.origin.pump();
      bump.lab.settle();
    }
    REQUIRE(bump.client.at->readable() > 0);
    const Bytes unknown_ca = {21, 3, 3, 0, 2, 2, 48};
    switch (how) {
      case 0:
        (void)bump.client.at->send(unknown_ca);
        break;
      case 1:
        bump.client.at->finish();
        break;
      case 2:
        bump.client.at->reset();
        break;
    }
    bump.lab.settle();
    bump.client.at->close();
    bump.lab.pass_ms(limits::linger_ms + 100);
    CHECK(bump.reason() == CloseReason::client_rejected_certificate);
    CHECK(bump.lab.counters.client_rejected_certificate == 1);
  }
}

namespace {

enum class Leaving : uint8_t { close_notify, fin, reset };

void leave(Bump& bump, Leaving how) {
  switch (how) {
    case Leaving::close_notify:
      CHECK(bump.client.engine->close_notify(bump.client.out) == Status::ok);
      (void)bump.client.pump();
      bump.client.at->close();
      break;
    case Leaving::fin:
      bump.client.at->close();
      break;
    case Leaving::reset:
      bump.client.at->reset();
      break;
  }
  bump.lab.settle();
}

/// The close reason, when the origin has left as well.
CloseReason reason_at_last(Bump& bump) {
  bump.run();
  bump.origin.at->close();
  bump.lab.pass_ms(limits::linger_ms + 100);
  return bump.reason();
}

}  // namespace

TEST_CASE("bump: a client that leaves without a word refuses our certificate if it does so in time") {
  for (const Leaving how : {Leaving::close_notify, Leaving::fin, Leaving::reset})
    for (const bool in_time : {true, false}) {
      CAPTURE(static_cast<int>(how));
      CAPTURE(in_time);
      Bump bump;
      bump.run();
      REQUIRE(bump.client.complete);
      bump.lab.pass_ms(in_time ? limits::refusal_ms - 1 : limits::refusal_ms);
      leave(bump, how);
      const CloseReason otherwise = how == Leaving::reset ? CloseReason::client_reset : CloseReason::finished;
      CHECK(reason_at_last(bump) == (in_time ? CloseReason::client_rejected_certificate : otherwise));
      CHECK(bump.lab.counters.client_rejected_certificate == (in_time ? 1 : 0));
      CHECK(bump.lab.record_of(*bump.client.at)->detail == (in_time ? "closed_unused" : ""));
      CHECK(bump.origin.said().empty());
    }
}

TEST_CASE("bump: the reset of a client that refuses meets our tickets on their way out") {
  Bump bump;
  for (int i = 0; i < 20 && !bump.client.complete; ++i) {
    (void)bump.client.pump();  // the last time, its Finished
    if (bump.client.complete) break;
    bump.lab.settle();
    bump.origin.at = bump.lab.origin_of(*bump.client.at);
    if (bump.origin.at != nullptr) (void)bump.origin.pump();
    bump.lab.settle();
  }
  REQUIRE(bump.client.complete);
  bump.client.at->reset();
  CHECK(reason_at_last(bump) == CloseReason::client_rejected_certificate);
  CHECK(bump.lab.record_of(*bump.client.at)->detail == "closed_unused");
  CHECK(bump.lab.counters.client_rejected_certificate == 1);
  CHECK(bump.lab.counters.bump_handshakes == 1);
}

TEST_CASE("bump: a client that has spoken, or that resumes, refuses nothing when it leaves") {
  for (const Leaving how : {Leaving::close_notify, Leaving::fin, Leaving::reset}) {
    CAPTURE(static_cast<int>(how));
    Bump bump;
    bump.run();
    bump.talk();
    const tls::OriginSession session = bump.client_engine->take_session();
    REQUIRE(bool(session));
    leave(bump, how);
    const CloseReason expected = how == Leaving::reset ? CloseReason::client_reset : CloseReason::finished;
    CHECK(reason_at_last(bump) == expected);
    bump.begin("www.example.test", &session);
    bump.run();
    REQUIRE(bump.client.engine->agreed().resumed);
    leave(bump, how);
    CHECK(reason_at_last(bump) == expected);
    CHECK(bump.lab.counters.client_rejected_certificate == 0);
  }
}

TEST_CASE("bump: alerts behind the handshake that do not speak of certificates are failures of TLS") {
  Bump bump;
  bump.run();
  const Bytes nonsense = {23, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20};
  bump.client.in = nonsense;  // it answers bad_record_mac
  bump.run();
  bump.client.at->close();
  CHECK(reason_at_last(bump) == CloseReason::client_tls_failed);
  CHECK(bump.lab.record_of(*bump.client.at)->detail == "bad_record_mac");
  CHECK(bump.lab.counters.client_rejected_certificate == 0);
}

TEST_CASE("bump: inspect = false, a client that only listens is no refusal, however it leaves and however soon") {
  for (const Leaving how : {Leaving::close_notify, Leaving::fin, Leaving::reset}) {
    CAPTURE(static_cast<int>(how));
    Bump bump("raw.test");
    bump.run();
    bump.origin.write("220 hello\r\n");
    bump.run();
    CHECK(bump.client.said() == "220 hello\r\n");
    leave(bump, how);
    if (how == Leaving::close_notify) {
      bump.run();
      CHECK(bump.origin.closed);
      CHECK(bump.origin.engine->close_notify(bump.origin.out) == Status::ok);
    }
    const CloseReason expected = how == Leaving::close_notify ? CloseReason::finished
                                 : how == Leaving::fin        ? CloseReason::client_truncated
                                                              : CloseReason::client_reset;
    CHECK(reason_at_last(bump) == expected);
    CHECK(bump.lab.counters.client_rejected_certificate == 0);
  }
}

TEST_CASE("bump: inspect = false, a client that half-closes before a byte gets all that the origin says") {
  Bump bump("raw.test");
  bump.run();
  CHECK(bump.client.engine->close_notify(bump.client.out) == Status::ok);
  bump.run();
  CHECK(bump.origin.closed);
  for (const char* line : {"220 hello\r\n", "221 and good bye\r\n"}) {
    bump.lab.pass_ms(limits::refusal_ms / 2);
    bump.origin.write(line);
    bump.run();
  }
  CHECK(bump.origin.engine->close_notify(bump.origin.out) == Status::ok);
  bump.run();
  CHECK(bump.client.said() == "220 hello\r\n221 and good bye\r\n");
  CHECK(bump.client.closed);
  bump.client.at->close();
  CHECK(reason_at_last(bump) == CloseReason::finished);
  CHECK(bump.lab.counters.client_rejected_certificate == 0);
}

TEST_CASE("bump: inspect = false, a client that leaves before anybody has said a word refuses our certificate") {
  for (const Leaving how : {Leaving::fin, Leaving::reset}) {
    CAPTURE(static_cast<int>(how));
    Bump bump("raw.test");
    bump.run();
    leave(bump, how);
    CHECK(reason_at_last(bump) == CloseReason::client_rejected_certificate);
    CHECK(bump.lab.counters.client_rejected_certificate == 1);
  }
}

TEST_CASE("some alerts are about our certificate, the others are not (S14)") {
  std::vector<std::string_view> refusals;
  for (int alert = 0; alert < 256; ++alert)
    if (flow::refuses_certificate({tls::Fault::peer_alert, static_cast<uint8_t>(alert), 0}))
      refusals.emplace_back(tls::alert_name(static_cast<uint8_t>(alert)));
  CHECK(refusals == std::vector<std::string_view>{"bad_certificate", "unsupported_certificate",
                                                  "certificate_revoked", "certificate_expired",
                                                  "certificate_unknown", "unknown_ca"});
  CHECK(!flow::refuses_certificate({tls::Fault::bad_message, 48, 0}));
}

TEST_CASE("bump: a response until close is whole with close_notify and cut off without") {
  for (const bool whole : {true, false}) {
    Bump bump;
    bump.run();
    bump.client.write("GET / HTTP/1.1\r\nHost: www.example.test\r\n\r\n");
    bump.run();
    bump.origin.write("HTTP/1.1 200 OK\r\n\r\nsomething");
    bump.run();
    if (whole) CHECK(bump.origin.engine->close_notify(bump.origin.out) == Status::ok);
    (void)bump.origin.pump();
    bump.origin.at->finish();
    bump.lab.settle();
    (void)bump.client.pump();
    CHECK(bump.client.said().ends_with("something"));
    CHECK(bump.client.closed == whole);
    bump.client.at->close();
    bump.lab.pass_ms(limits::reset_after_delivery_ms + 100);
    CHECK(bump.reason() == (whole ? CloseReason::finished : CloseReason::origin_truncated));
  }
}

TEST_CASE("bump: inspect = false relays any bytes, ends them by close_notify, each way by itself") {
  Bump bump("raw.test");
  bump.run();
  CHECK(bump.client.complete);
  bump.origin.write("220 hello\r\n");
  bump.run();
  CHECK(bump.client.said() == "220 hello\r\n");
  bump.client.write("no HTTP");
  CHECK(bump.client.engine->close_notify(bump.client.out) == Status::ok);
  bump.run();
  CHECK(bump.origin.said() == "no HTTP");
  CHECK(bump.origin.closed);
  bump.origin.write("last words");
  CHECK(bump.origin.engine->close_notify(bump.origin.out) == Status::ok);
  bump.run();
  CHECK(bump.client.said() == "220 hello\r\nlast words");
  CHECK(bump.client.closed);
  bump.client.at->close();
  bump.origin.at->close();
  bump.lab.pass_ms(limits::linger_ms + 100);
  CHECK(bump.reason() == CloseReason::finished);
}

TEST_CASE("bump: silence in each stage ends with its own reason") {
  Bump origin_silent;
  origin_silent.speaks = false;
  origin_silent.run();
  origin_silent.lab.pass_ms(origin_silent.lab.config().limits.connect_timeout_ms + 3'000);
  CHECK(origin_silent.reason() == CloseReason::origin_handshake_timeout);
  Bump client_silent;
  (void)client_silent.client.pump();
  for (int i = 0; i < 10; ++i) {
    client_silent.lab.settle();
    client_silent.origin.at = client_silent.lab.origin_of(*client_silent.client.at);
    if (client_silent.origin.at != nullptr) (void)client_silent.origin.pump();
  }
  client_silent.lab.pass_ms(client_silent.lab.config().limits.hello_timeout_ms + 3'000);
  CHECK(client_silent.reason() == CloseReason::client_handshake_timeout);
}

TEST_CASE("bump: a reset of either side, or flow::end, after every few bytes: nothing is left over") {
  for (const int how : {0, 1, 2, 3, 4})
    for (int step = 0; step < 90; ++step) {
      CAPTURE(how);
      CAPTURE(step);
      Bump bump;
      bump.client.piece = bump.origin.piece = 60;
      bump.run(step);
      Connection* const origin = bump.lab.origin_of(*bump.client.at);
      switch (how) {
        case 0:
          bump.client.at->reset();
          break;
        case 1:
          bump.client.at->close();
          break;
        case 2:
          if (origin != nullptr) origin->reset();
          break;
        case 3:
          if (origin != nullptr) origin->close();
          break;
        case 4:
          if (flow::Session* session = bump.lab.session_of(*bump.client.at))
            flow::end(*session, CloseReason::stopped);
          break;
      }
      bump.lab.settle();
      (void)bump.client.at->read(100'000);
      bump.client.at->close();
      bump.lab.pass_ms(100'000);
      if (bump.lab.session_of(*bump.client.at) != nullptr)
        bump.lab.pass_ms(bump.lab.config().limits.idle_timeout_ms);
      (void)bump.reason();
    }
}

TEST_CASE(
    "bump: a client that goes during the origin's handshake is noticed long before the origin's time is up") {
  for (const bool watched_already : {false, true})
    for (const int how : {0, 1, 2, 3}) {
      CAPTURE(watched_already);
      CAPTURE(how);
      Bump bump;
      bump.begin_with_a_silent_origin();
      if (watched_already) bump.let_it_be_watched();
      switch (how) {
        case 0:
          bump.client.at->finish();
          break;
        case 1:
          bump.client.at->close();
          break;
        case 2:
          bump.client.at->reset();
          break;
        case 3:
          bump.client.at->vanish(ETIMEDOUT);
          break;
      }
      bump.let_it_be_watched();
      CHECK(bump.origin.at->closed_by_gateway());
      const CloseReason expected = how < 2    ? CloseReason::client_closed_early
                                   : how == 2 ? CloseReason::client_reset
                                              : CloseReason::client_vanished;
      CHECK(bump.reason() == expected);
      CHECK(bump.lab.counters.client_rejected_certificate == 0);
    }
}

TEST_CASE("bump: a slow origin's handshake goes on as if nobody had watched the client") {
  for (const double loses : {0.0, 1.0}) {
    Bump bump;
    bump.lab.kernel.chaos.cancel_loses = loses;
    bump.begin_with_a_silent_origin();
    for (int i = 0; i < 4; ++i) bump.let_it_be_watched();
    const uint64_t polls = bump.lab.kernel.polls;
    bump.lab.pass_ms(1'000);
    CHECK(bump.lab.kernel.polls - polls < 10);
    bump.speaks = true;
    bump.run();
    CHECK(bump.client.complete);
    bump.talk();
    CHECK(bump.end() == CloseReason::finished);
  }
}

TEST_CASE("bump: a client that goes in the very moment in which its watch ends") {
  for (const double loses : {0.0, 1.0})
    for (const bool resets : {false, true}) {
      CAPTURE(loses);
      CAPTURE(resets);
      Bump bump;
      bump.lab.kernel.chaos.cancel_loses = loses;
      bump.begin_with_a_silent_origin();
      bump.let_it_be_watched();
      bump.speaks = true;
      // All of the origin's flight is there; its last piece and the client's end are met in one round.
      for (int i = 0; i < 10 && bump.lab.counters.verdict_cache_hits == 0 && bump.client.at->readable() == 0;
           ++i) {
        (void)bump.origin.pump();
        if (i == 0) resets ? bump.client.at->reset() : bump.client.at->finish();
        bump.lab.settle();
      }
      bump.client.at->close();
      bump.let_it_be_watched();
      bump.lab.pass_ms(limits::linger_ms + 100);
      const CloseReason reason = bump.reason();
      CHECK((reason == CloseReason::client_closed_early || reason == CloseReason::client_reset ||
             reason == CloseReason::client_rejected_certificate));
    }
}

TEST_CASE(
    "bump: an origin that asks for a certificate, at once or after the client has been watched: a tunnel") {
  for (const bool tls12 : {false, true})
    for (const bool slow : {false, true}) {
      CAPTURE(tls12);
      CAPTURE(slow);
      Bump bump;
      bump.begin_with_a_silent_origin();
      if (slow) bump.let_it_be_watched();
      const tls::testing::RawContext context(tls::testing::Role::server,
                                             {.tls12_only = tls12, .asks_certificate = true},
                                             house().far.leaf.key, house().far.leaf.chain);
      tls::testing::RawPeer asks(context);
      Connection* const first = bump.origin.at;
      asks.input = first->read(100'000);
      CHECK(asks.handshake() == 0);
      CHECK(first->send(asks.output) == asks.output.size());
      bump.lab.settle();
      Connection* const second = bump.lab.origin_of(*bump.client.at);
      REQUIRE(second != first);
      CHECK(first->closed_by_gateway());
      bump.origin.at = second;
      bump.speaks = true;
      bump.run();
      CHECK(bump.client.complete);
      CHECK(bump.origin.complete);
      CHECK(bump.end() == CloseReason::finished);
      CHECK(bump.lab.record_of(*bump.client.at)->action == "tunnel");
    }
}

TEST_CASE("bump: tls.client_cert = terminate ends it with the reason") {
  Bump bump;
  bump.lab.config().tls.client_cert = config::WhenNotBumpable::terminate;
  bump.begin_with_a_silent_origin();
  const tls::testing::RawContext context(tls::testing::Role::server, {.asks_certificate = true},
                                         house().far.leaf.key, house().far.leaf.chain);
  tls::testing::RawPeer asks(context);
  asks.input = bump.origin.at->read(100'000);
  CHECK(asks.handshake() == 0);
  CHECK(bump.origin.at->send(asks.output) == asks.output.size());
  bump.lab.settle();
  bump.client.at->close();
  bump.lab.pass_ms(limits::linger_ms + 100);
  CHECK(bump.reason() == CloseReason::client_cert_required);
}

TEST_CASE("bump: a hello in records of one byte, of seven, of a hundred is bumped") {
  for (const size_t fragment : {1u, 7u, 100u}) {
    CAPTURE(fragment);
    Bump bump;
    std::span<const uint8_t> nothing;
    CHECK(bump.client.engine->handshake(nothing, bump.client.out) == Status::want_input);
    const auto message = std::span<const uint8_t>(bump.client.out).subspan(5);
    bump.client.out = hello::testing::in_records(message, fragment);
    bump.run();
    CHECK(bump.client.complete);
    CHECK(bump.client.engine->agreed().alpn == "http/1.1");
    bump.talk();
    CHECK(bump.end() == CloseReason::finished);
  }
}

TEST_CASE(
    "bump: a client that ends without close_notify: what the origin is told depends on where that was") {
  struct Case {
    const char* about;
    std::string_view sni;
    std::string_view request;
    std::string_view response;
    bool cut_request;
    CloseReason reason;
  };
  constexpr std::string_view switching =
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
  const std::array<Case, 5> cases = {{
      {"between requests", "www.example.test", "GET / HTTP/1.1\r\nHost: www.example.test\r\n\r\n",
       "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false, CloseReason::finished},
      {"in a head", "www.example.test", "GET / HTTP/1.1\r\nHost: www.exa", "", true,
       CloseReason::client_truncated},
      {"in a body of known length", "www.example.test",
       "POST / HTTP/1.1\r\nHost: www.example.test\r\nContent-Length: 10\r\n\r\n12345", "", true,
       CloseReason::client_truncated},
      {"behind an upgrade", "www.example.test",
       "GET / HTTP/1.1\r\nHost: www.example.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
       switching, true, CloseReason::client_left},
      {"where nothing is inspected", "raw.test", "some bytes", "others", true, CloseReason::client_truncated},
  }};
  for (const Case& one : cases) {
    CAPTURE(one.about);
    Bump bump(one.sni);
    bump.run();
    bump.client.write(one.request);
    bump.run();
    if (!one.response.empty()) bump.origin.write(one.response);
    bump.run();
    bump.client.at->close();
    bump.run();
    CHECK(bump.origin.closed == !one.cut_request);  // close_notify
    bump.origin.at->close();
    bump.lab.pass_ms(limits::linger_ms + 100);
    CHECK(bump.reason() == one.reason);
  }
}

}  // namespace sluice::sim
