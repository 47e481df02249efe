#include "sim/lab.h"

#include <algorithm>

#include "base/check.h"

namespace sluice::sim {
namespace {

using rules::Action;
using rules::GroupId;
using rules::RowCondition;
using rules::RuleSource;
using rules::Slot;

RuleSource rule(const char* name, Action action, Slot slot, GroupId group) {
  RuleSource source;
  source.name = name;
  source.action = action;
  if (action == Action::redirect) source.redirect_to = "https://portal.test/";
  source.when.push_back(RowCondition{{slot, name, {}}, {group}});
  return source;
}

GroupId network(rules::PolicyBuilder& builder, const char* cidr) {
  const GroupId group = builder.new_group(Slot::destination);
  builder.add_network(group, *Cidr::parse(cidr));
  return group;
}

GroupId host(rules::PolicyBuilder& builder, const char* name) {
  const GroupId group = builder.new_group(Slot::host);
  SLUICE_CHECK(builder.add_host(group, rules::HostPattern::Kind::exact, name));
  return group;
}

}  // namespace

std::shared_ptr<const rules::Policy> lab_policy(bool decrypt) {
  rules::PolicyBuilder builder(42);
  builder.set_decrypt(decrypt);
  builder.add_access_rule(
      rule("no-address", Action::block, Slot::destination, network(builder, "198.51.100.1")));
  builder.add_access_rule(
      rule("portal-address", Action::redirect, Slot::destination, network(builder, "198.51.100.2")));
  builder.add_access_rule(rule("no-name", Action::block, Slot::host, host(builder, "block.test")));
  builder.add_access_rule(rule("portal-name", Action::redirect, Slot::host, host(builder, "redirect.test")));
  builder.add_tls_rule(
      rule("by-address", Action::tunnel, Slot::destination, network(builder, "198.51.100.3")));
  builder.add_tls_rule(rule("no-tls", Action::terminate, Slot::host, host(builder, "terminate.test")));
  builder.add_tls_rule(rule("by-name", Action::tunnel, Slot::host, host(builder, "tunnel.test")));
  return builder.build();
}

Bytes pattern(uint64_t seed, size_t count) {
  Random random(seed);
  Bytes bytes(count);
  for (size_t i = 0; i < count; i += 8) {
    const uint64_t word = random.next();
    for (size_t j = 0; j < 8 && i + j < count; ++j) bytes[i + j] = static_cast<uint8_t>(word >> (8 * j));
  }
  return bytes;
}

Bytes client_hello(std::string_view sni) {
  hello::testing::HelloBuilder builder;
  if (!sni.empty()) builder.sni(sni);
  return builder.alpn({"h2", "http/1.1"}).versions({0x0304, 0x0303}).wire();
}

Endpoint endpoint(const char* text) { return *Endpoint::parse(text); }

Lab::Lab(uint64_t seed, uint32_t sessions_max)
    : random(seed),
      kernel(random),
      timers(kernel.now_us()),
      pool(sessions_max),
      world{kernel, timers, *this, *this, counters, tls::sha256},
      config_(std::make_shared<config::Config>()) {
  world.owner = this;
  world.lookups = this;
  world.via = "sluice-test";
  world.wall_us = 1'800'000'000'000'000;
  world.on_session_end = [](flow::World& ended_in, flow::Session& session) {
    auto& self = *static_cast<Lab*>(ended_in.owner);
    if (self.sessions_.erase(session.about.client.port) != 1)
      self.complaints_.push_back("a session ended twice");
    self.pool.give(session);
  };
  kernel.on_dial = [this](void* owner, const Endpoint& to, Connection& connection) {
    const bool is_session = std::any_of(sessions_.begin(), sessions_.end(), [&](const auto& entry) { return entry.second == owner; });
    if (!is_session) {
      explicit_origins[to] = &connection;
      return on_explicit_dial ? on_explicit_dial(to) : DialOutcome{};
    }
    const auto& about = static_cast<flow::Session*>(owner)->about;
    if (to != about.destination)
      complaints_.push_back("a dial to " + to.to_string() + " instead of the original destination");
    if (!origins_.insert_or_assign(about.client.port, &connection).second && !may_dial_twice)
      complaints_.push_back("two dials for one session");
    return on_dial ? on_dial(about) : DialOutcome{};
  };
}

Lab::~Lab() = default;

void Lab::bump_with(flow::Bumper& bumper, std::shared_ptr<const tls::Material> material) {
  world.bumper = &bumper;
  material_ = std::move(material);
}

Connection& Lab::begin(const Endpoint& destination) { return begin_session(false, destination); }

Connection& Lab::begin_explicit() { return begin_session(true, endpoint("192.0.2.1:3128")); }

bool Lab::resolve(flow::Session& session, const std::string& host, uint16_t port) {
  if (lookups_full) return false;
  looked_up.push_back(host);
  lookups_due_[&session] = [this, host, port](flow::Asked& asked) {
    asked.addresses.clear();
    for (const IpAddress& address : names[host]) asked.addresses.push_back({address, port});
  };
  return true;
}

bool Lab::check_password(flow::Session& session, std::string_view password, const std::string& /*hash*/) {
  if (lookups_full) return false;
  lookups_due_[&session] = [is_right = password == right_password](flow::Asked& asked) { asked.password_is_right = is_right; };
  return true;
}

bool Lab::answer_one_lookup() {
  if (lookups_held || lookups_due_.empty()) return false;
  auto [session, answer] = *lookups_due_.begin();
  lookups_due_.erase(lookups_due_.begin());
  answer(*session->asked);
  flow::resume(*session, {flow::Answer::From::looked_up, 0, 0, nullptr});
  return true;
}

void Lab::reload(const std::function<void(config::Config&)>& change) {
  config_ = std::make_shared<config::Config>(*config_);
  change(*config_);
  world.ruling = &rulings_.emplace_back(config_, material_);
  while (rulings_.front().sessions == 0 && rulings_.size() > 1) rulings_.pop_front();
}

Connection& Lab::begin_session(bool is_explicit, const Endpoint& destination) {
  if (rulings_.empty()) {
    if (!config_->policy) config_->policy = lab_policy(config_->tls.decrypt);
    world.ruling = &rulings_.emplace_back(config_, material_);
  }
  const uint16_t port = next_port_++;
  Connection& client = kernel.accepted();
  flow::Session* session = pool.take();
  SLUICE_CHECK(session != nullptr);
  sessions_[port] = session;
  ports_[client.fd()] = port;
  if (!is_explicit) destinations_[port] = destination;
  ++sessions_begun;
  const io::Accepted about{{*IpAddress::parse("192.0.2.10"), port}, destination, 1};
  (is_explicit ? flow::begin_explicit : flow::begin)(world, rulings_.back(), *session, client.fd(), about);
  return client;
}

flow::Session* Lab::session_of(const Connection& client) {
  const auto at = sessions_.find(ports_.at(client.fd()));
  return at == sessions_.end() ? nullptr : at->second;
}

Connection* Lab::origin_of(const Connection& client) {
  const auto at = origins_.find(ports_.at(client.fd()));
  return at == origins_.end() ? nullptr : at->second;
}

const Record* Lab::record_of(const Connection& client) {
  const auto at = records_.find(ports_.at(client.fd()));
  return at == records_.end() ? nullptr : &at->second;
}

const std::vector<RequestRecord>& Lab::requests_of(const Connection& client) {
  return requests_[ports_.at(client.fd())];
}

void Lab::settle() {
  // Far more than any directed test needs: past this, something goes round in circles.
  for (int guard = 0; guard < 1'000'000; ++guard)
    if (!kernel.execute_one() && !kernel.deliver() && !answer_one_lookup()) return;
  complaints_.push_back("settle(): it never settles");
}

void Lab::pass_ms(uint64_t ms) {
  const uint64_t until_us = kernel.now_us() + ms * 1000;
  settle();
  while (kernel.now_us() < until_us) {
    const uint64_t next_us = std::min({timers.next_us(), kernel.next_us(), until_us});
    kernel.advance(std::max(next_us, kernel.now_us()) - kernel.now_us());
    timers.advance(kernel.now_us());
    settle();
  }
}

void Lab::write(const record::ConnectionRecord& from) {
  Record record;
  record.id = from.id;
  record.sni = from.sni;
  record.host = from.host;
  record.alpn = from.alpn;
  record.ja4 = from.ja4;
  record.action = from.action;
  record.tls_rule = from.tls_rule;
  record.access_rule = from.access_rule;
  record.origin_cert = from.origin_cert;
  record.origin_fingerprint = from.origin_fingerprint;
  record.scan = from.scan;
  record.detail = from.detail;
  record.bytes_up = from.bytes_up;
  record.bytes_down = from.bytes_down;
  record.has_peek = from.peek_us.has_value();
  record.has_connect = from.connect_us.has_value();
  record.has_origin_handshake = from.origin_handshake_us.has_value();
  record.has_client_handshake = from.client_handshake_us.has_value();
  record.total_us = from.total_us;
  record.close = from.close;
  if (!records_.emplace(from.client.port, record).second) complaints_.push_back("two records of one session");
  const auto destination = destinations_.find(from.client.port);
  const bool is_explicit = destination == destinations_.end();
  if (!is_explicit && from.destination != destination->second)
    complaints_.push_back("a record with a wrong destination");
  if (from.mode != (is_explicit ? "explicit" : "transparent") || from.interface != "lan0")
    complaints_.push_back("a record with a wrong mode or interface");
  for (const RequestRecord& request : requests_[from.client.port])
    if (request.id != from.id) complaints_.push_back("the record of a request with another connection's id");
}

void Lab::write(const record::RequestRecord& from) {
  RequestRecord record;
  record.id = from.id;
  record.method = from.method;
  record.url = from.url;
  record.mime = from.mime;
  record.action = from.action;
  record.bypass_rule = from.bypass_rule;
  record.access_rule = from.access_rule;
  record.protection_rule = from.protection_rule;
  record.scan = from.scan;
  record.threat = from.threat;
  record.status = from.status;
  record.bytes_up = from.bytes_up;
  record.bytes_down = from.bytes_down;
  record.total_us = from.total_us;
  requests_[from.client.port].push_back(std::move(record));
  if (records_.contains(from.client.port))
    complaints_.push_back("the record of a request after its connection's");
}

std::string Lab::complaints() const {
  std::string text;
  for (const std::string& complaint : kernel.complaints()) text += complaint + "; ";
  for (const std::string& complaint : complaints_) text += complaint + "; ";
  if (world.relay_memory_bytes > world.relay_memory_max_bytes) text += "relay memory is past its limit; ";
  if (kernel.pipes_out() > kernel.pipes_max) text += "more pipes are out than there are; ";
  return text;
}

std::string Lab::verdict() {
  std::string text = complaints() + kernel.leftovers();
  if (pool.open() != 0) text += std::to_string(pool.open()) + " sessions open; ";
  for (const flow::Ruling& ruling : rulings_)
    if (ruling.sessions != 0) text += "ruling.sessions is " + std::to_string(ruling.sessions) + "; ";
  if (world.relay_memory_bytes != 0)
    text += "relay_memory_bytes is " + std::to_string(world.relay_memory_bytes) + "; ";
  if (timers.next_us() != UINT64_MAX) text += "a timer runs; ";
  if (records_.size() != sessions_begun) text += "not one record per session; ";
  if (counters.connections_finished != sessions_begun) text += "connections_finished is wrong; ";
  uint64_t closed = 0;
  for (const uint64_t count : counters.closed) closed += count;
  if (closed != sessions_begun) text += "the counters of close reasons do not add up; ";
  if (counters.action_tunnel + counters.action_tunnel_sni + counters.action_bump + counters.action_terminate +
          counters.action_block + counters.action_redirect + counters.action_none !=
      sessions_begun)
    text += "the counters of actions do not add up; ";
  // Steps bump and exchange write anew what they read.
  const bool only_relays = world.bumper == nullptr && config_->gateway.http_ports.empty() && counters.requests == 0;
  if (only_relays && counters.bytes_copied + counters.bytes_spliced != counters.bytes_up + counters.bytes_down)
    text += "bytes copied and spliced are not bytes up and down; ";
  return text;
}

}  // namespace sluice::sim
