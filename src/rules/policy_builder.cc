#include "rules/policy_builder.h"

#include <algorithm>

#include "base/check.h"

namespace sluice::rules {
namespace {

void set_bit(std::span<uint64_t> words, uint32_t bit) { words[bit / 64] |= uint64_t{1} << (bit % 64); }
void clear_bit(std::span<uint64_t> words, uint32_t bit) { words[bit / 64] &= ~(uint64_t{1} << (bit % 64)); }

uint32_t words_for(size_t rows) { return static_cast<uint32_t>((rows + 63) / 64); }

}  // namespace

GroupId PolicyBuilder::new_group(Slot slot) {
  SLUICE_CHECK(group_slots_.size() < HostTable::groups_max);
  group_slots_.push_back(slot);
  has_names_.push_back(false);
  return static_cast<GroupId>(group_slots_.size() - 1);
}

void PolicyBuilder::add_network(GroupId group, const Cidr& network) {
  const Slot slot = slot_of(group);
  SLUICE_CHECK(slot == Slot::client || slot == Slot::destination || slot == Slot::host);
  (slot == Slot::client ? clients_ : destinations_).add(network, group);
}

PolicyBuilder::Texts& PolicyBuilder::texts_of(Slot slot) {
  SLUICE_CHECK(slot == Slot::client || slot == Slot::alpn || slot == Slot::ja4);
  if (slot == Slot::client) return interfaces_;
  return slot == Slot::alpn ? alpn_ : ja4_;
}

bool PolicyBuilder::add_text(GroupId group, std::string_view text) {
  Texts& texts = texts_of(slot_of(group));
  if (!text.ends_with('*') || text.size() == 1) return texts.exact.add(text, group);
  text.remove_suffix(1);
  const auto length = static_cast<uint8_t>(text.size());
  auto place = std::lower_bound(texts.prefix_lengths.begin(), texts.prefix_lengths.end(), length);
  if (place == texts.prefix_lengths.end() || *place != length) texts.prefix_lengths.insert(place, length);
  return texts.prefixes.add(text, group);
}

void PolicyBuilder::add_ports(GroupId group, uint16_t first, uint16_t last) {
  SLUICE_CHECK(slot_of(group) == Slot::port && first <= last);
  ports_.push_back({first, last, group});
}

void PolicyBuilder::add_presence(GroupId group, bool present) {
  const Slot slot = slot_of(group);
  SLUICE_CHECK(slot == Slot::sni || slot == Slot::ech);
  presences_.push_back({slot, present, group});
}

// Access rules from row 0, TLS rules from the next whole word, except entries behind them.
std::vector<PolicyBuilder::Row> PolicyBuilder::number_rows(Policy& policy) {
  std::vector<Row> rows;
  policy.access_.first_word = 0;
  policy.access_.words = words_for(access_.size());
  policy.tls_.first_word = policy.access_.words;
  policy.tls_.words = words_for(tls_.size());
  uint32_t next_except = (policy.tls_.first_word + policy.tls_.words) * 64;
  const auto number = [&](std::vector<RuleSource>& sources, Policy::Table& table) {
    uint32_t next = table.first_word * 64;
    for (RuleSource& source : sources) {
      rows.push_back({next, &source.when});
      Rule rule{std::move(source.name),
                source.action,
                source.inspect,
                std::move(source.redirect_to),
                ThreatActions{},
                source.position,
                next,
                next_except,
                static_cast<uint32_t>(source.excepts.size())};
      for (const auto& except : source.excepts) rows.push_back({next_except++, &except});
      table.rules.push_back(std::move(rule));
      ++next;
    }
  };
  number(access_, policy.access_);
  number(tls_, policy.tls_);
  policy.words_ = words_for(next_except);
  return rows;
}

void PolicyBuilder::compile_rows(Policy& policy, const std::vector<Row>& rows) const {
  policy.rows_without_.assign(slot_count * policy.words_, ~uint64_t{0});
  policy.rows_naming_hosts_.assign(policy.words_, 0);
  std::vector<std::pair<GroupId, uint32_t>> pairs;
  std::vector<std::vector<const RowCondition*>> shown(size_t{policy.words_} * 64);
  for (const Row& row : rows) {
    uint32_t slots_seen = 0;
    for (const RowCondition& condition : *row.conditions) {
      const auto slot = static_cast<uint32_t>(condition.shown.slot);
      SLUICE_CHECK((slots_seen >> slot & 1) == 0);
      slots_seen |= 1u << slot;
      shown[row.number].push_back(&condition);
      if (condition.shown.slot == Slot::method)
        continue;  // CONNECT: holds in every event that these tables see
      policy.slots_used_ |= 1u << slot;
      clear_bit(std::span(policy.rows_without_).subspan(slot * policy.words_, policy.words_), row.number);
      for (const GroupId group : condition.groups) {
        SLUICE_CHECK(slot_of(group) == condition.shown.slot);
        pairs.emplace_back(group, row.number);
        if (has_names_[group]) set_bit(policy.rows_naming_hosts_, row.number);
      }
    }
  }
  std::sort(pairs.begin(), pairs.end());
  pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
  policy.group_row_starts_.assign(group_slots_.size() + 1, 0);
  for (const auto& [group, row] : pairs) ++policy.group_row_starts_[group + 1];
  for (size_t i = 1; i < policy.group_row_starts_.size(); ++i)
    policy.group_row_starts_[i] += policy.group_row_starts_[i - 1];
  for (const auto& [group, row] : pairs) policy.group_rows_.push_back(row);

  // A row set costs words_ operations, single rows one each.
  policy.group_sets_.assign(group_slots_.size(), Policy::no_row_set);
  for (GroupId group = 0; group < group_slots_.size(); ++group) {
    const auto single = policy.rows_of(group);
    if (single.size() <= policy.words_) continue;
    policy.group_sets_[group] = static_cast<uint32_t>(policy.row_sets_.size());
    policy.row_sets_.resize(policy.row_sets_.size() + policy.words_);
    for (const uint32_t row : single)
      set_bit(std::span(policy.row_sets_).subspan(policy.group_sets_[group]), row);
  }

  policy.row_conditions_.push_back(0);
  for (const auto& conditions : shown) {
    for (const RowCondition* condition : conditions) policy.conditions_.push_back(condition->shown);
    policy.row_conditions_.push_back(static_cast<uint32_t>(policy.conditions_.size()));
  }
}

Policy::Texts PolicyBuilder::build_texts(Texts& texts, Policy& policy) const {
  Policy::Texts built;
  built.exact = texts.exact.build(policy.hash_, policy.sets_);
  built.prefixes = texts.prefixes.build(policy.hash_, policy.sets_);
  built.prefix_lengths = texts.prefix_lengths;
  return built;
}

// Cuts the ports into ranges with the same groups: a sweep over where groups begin and end.
void PolicyBuilder::build_ports(Policy& policy) const {
  if (ports_.empty()) return;
  struct Edge {
    uint32_t port;
    GroupId group;
    int change;
  };
  std::vector<Edge> edges;
  for (const PortRange& range : ports_) {
    edges.push_back({range.first, range.group, +1});
    edges.push_back({uint32_t{range.last} + 1, range.group, -1});
  }
  std::sort(edges.begin(), edges.end(), [](const Edge& a, const Edge& b) { return a.port < b.port; });
  std::map<GroupId, int> open;
  for (size_t i = 0; i < edges.size();) {
    const uint32_t port = edges[i].port;
    for (; i < edges.size() && edges[i].port == port; ++i)
      if ((open[edges[i].group] += edges[i].change) == 0) open.erase(edges[i].group);
    SetId set = set_empty;
    for (const auto& [group, count] : open) set = policy.sets_.with(set, group);
    policy.ports_.starts.push_back(port);
    policy.ports_.sets.push_back(set);
  }
}

std::shared_ptr<const Policy> PolicyBuilder::build() {
  auto policy = std::make_shared<Policy>();
  policy->decrypt_ = decrypt_;
  policy->tls_default_ = tls_default_;
  policy->access_default_allows_ = access_default_allows_;
  const std::vector<Row> rows = number_rows(*policy);
  compile_rows(*policy, rows);
  policy->group_slots_ = group_slots_;
  policy->can_bump_ = decrypt_ && (tls_default_ == Action::bump ||
                                   std::any_of(policy->tls_.rules.begin(), policy->tls_.rules.end(),
                                               [](const Rule& rule) { return rule.action == Action::bump; }));

  policy->hash_ = NameHash(seed_);
  policy->hosts_ = HostTable(hosts_.build(policy->hash_, policy->sets_), policy->hash_);
  policy->clients_ = clients_.build(policy->sets_);
  policy->destinations_ = destinations_.build(policy->sets_);
  policy->interfaces_ = build_texts(interfaces_, *policy);
  policy->alpn_ = build_texts(alpn_, *policy);
  policy->ja4_ = build_texts(ja4_, *policy);
  build_ports(*policy);
  std::sort(versions_.begin(), versions_.end());
  for (const auto& [version, group] : versions_) {
    if (policy->versions_.empty() || policy->versions_.back().version != version)
      policy->versions_.push_back({version, set_empty});
    SetId& set = policy->versions_.back().groups;
    set = policy->sets_.with(set, group);
  }
  for (const Presence& presence : presences_) {
    auto& groups = presence.slot == Slot::sni ? policy->sni_ : policy->ech_;
    SetId& set = presence.present ? groups.present : groups.absent;
    set = policy->sets_.with(set, presence.group);
  }
  policy->schedules_ = std::move(schedules_);
  policy->sets_.seal();
  return policy;
}

}  // namespace sluice::rules
