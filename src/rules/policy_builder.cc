#include "rules/policy_builder.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "base/check.h"

namespace sluice::rules {
namespace {

void set_bit(std::span<uint64_t> words, uint32_t bit) { words[bit / 64] |= uint64_t{1} << (bit % 64); }
void clear_bit(std::span<uint64_t> words, uint32_t bit) { words[bit / 64] &= ~(uint64_t{1} << (bit % 64)); }

uint32_t words_for(size_t rows) { return static_cast<uint32_t>((rows + 63) / 64); }

void insert_length(std::vector<uint8_t>& lengths, size_t length) {
  const auto place = std::lower_bound(lengths.begin(), lengths.end(), length);
  if (place == lengths.end() || *place != length) lengths.insert(place, static_cast<uint8_t>(length));
}

bool has_slot(const std::vector<RowCondition>& conditions, uint32_t slots) {
  return std::any_of(conditions.begin(), conditions.end(),
                     [&](const RowCondition& condition) { return (bit_of(condition.shown.slot) & slots) != 0; });
}

}  // namespace

GroupId PolicyBuilder::new_group(Slot slot) {
  SLUICE_CHECK(group_slots_.size() < HostTable::groups_max);
  group_slots_.push_back(slot);
  has_names_.push_back(false);
  has_networks_.push_back(false);
  return static_cast<GroupId>(group_slots_.size() - 1);
}

void PolicyBuilder::add_network(GroupId group, const Cidr& network) {
  const Slot slot = slot_of(group);
  SLUICE_CHECK(slot == Slot::client || slot == Slot::destination || slot == Slot::host || slot == Slot::url);
  has_networks_[group] = true;
  (slot == Slot::client ? clients_ : destinations_).add(network, group);
}

PolicyBuilder::Texts& PolicyBuilder::texts_of(Slot slot) {
  Texts* texts = nullptr;
  if (slot == Slot::client) texts = &interfaces_;
  if (slot == Slot::alpn) texts = &alpn_;
  if (slot == Slot::ja4) texts = &ja4_;
  if (slot == Slot::method) texts = &methods_;
  if (slot == Slot::user) texts = &users_;
  if (slot == Slot::mime) texts = &mimes_;
  if (slot == Slot::file_name) texts = &file_names_;
  SLUICE_CHECK(texts != nullptr);
  return *texts;
}

bool PolicyBuilder::add_text(GroupId group, std::string_view text) {
  Texts& texts = texts_of(slot_of(group));
  if (!text.ends_with('*') || text.size() == 1) return texts.exact.add(text, group);
  text.remove_suffix(1);
  insert_length(texts.prefix_lengths, text.size());
  return texts.prefixes.add(text, group);
}

bool PolicyBuilder::add_glob(GroupId group, std::string_view glob) {
  SLUICE_CHECK(slot_of(group) == Slot::file_name);
  std::string lower(glob);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  const size_t stars = static_cast<size_t>(std::count(lower.begin(), lower.end(), '*'));
  const bool is_plain = lower.find('?') == std::string::npos && lower.size() <= NameTable::name_bytes_max;
  if (is_plain && lower.size() > 1 && (stars == 0 || (stars == 1 && lower.ends_with('*')))) return add_text(group, lower);
  if (is_plain && stars == 1 && lower.size() > 1 && lower.starts_with('*')) {
    const std::string_view ending = std::string_view(lower).substr(1);
    insert_length(file_names_.suffix_lengths, ending.size());
    return file_names_.suffixes.add(ending, group);
  }
  file_name_regexes_.add(regex_of_glob(glob), true, group);
  return true;
}

void PolicyBuilder::add_regex(GroupId group, std::string_view regex) {
  const Slot slot = slot_of(group);
  SLUICE_CHECK(slot == Slot::user_agent || slot == Slot::url || slot == Slot::file_name);
  (slot == Slot::user_agent ? user_agents_ : slot == Slot::url ? url_regexes_ : file_name_regexes_)
      .add(regex, false, group);
}

bool PolicyBuilder::add_url(GroupId group, const UrlPattern& pattern) {
  SLUICE_CHECK(slot_of(group) == Slot::url);
  if (pattern.is_host() && pattern.address) {
    add_network(group, {*pattern.address, 128});
    return true;
  }
  if (pattern.path == UrlPattern::Path::none) has_names_[group] = true;
  if (pattern.is_host()) return add_host(group, pattern.host.kind, pattern.host.name);
  return urls_.add(pattern, group);
}

bool PolicyBuilder::add_link(GroupId group, const Link& link) {
  if (!link.network) return add_url(group, link.url);
  add_network(group, *link.network);
  return true;
}

void PolicyBuilder::set_links(Threat threat, RowCondition lists, size_t entries) {
  Links& links = links_[static_cast<size_t>(threat)];
  SLUICE_CHECK(links.lists.empty() && lists.shown.slot == Slot::url);
  links.lists.push_back(std::move(lists));
  links.entries = entries;
}

bool PolicyBuilder::add_hash(GroupId group, std::string_view bytes) {
  const Slot slot = slot_of(group);
  SLUICE_CHECK((slot == Slot::md5 && bytes.size() == 16) || (slot == Slot::sha256 && bytes.size() == 32));
  return (slot == Slot::md5 ? md5_ : sha256_).add(bytes, group);
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

// Bypass rules from row 0, each further table from the next whole word, except entries and link lists behind them.
std::vector<PolicyBuilder::Row> PolicyBuilder::number_rows(Policy& policy) {
  std::vector<Row> rows;
  const std::array<std::pair<std::vector<RuleSource>*, Policy::Table*>, 4> tables = {{{&bypass_, &policy.bypass_},
                                                                                      {&access_, &policy.access_},
                                                                                      {&protection_, &policy.protection_},
                                                                                      {&tls_, &policy.tls_}}};
  uint32_t next_word = 0;
  for (const auto& [sources, table] : tables) {
    table->first_word = next_word;
    table->words = words_for(sources->size());
    next_word += table->words;
  }
  uint32_t next_except = next_word * 64;
  for (const auto& [sources, table] : tables) {
    uint32_t next = table->first_word * 64;
    for (RuleSource& source : *sources) {
      rows.push_back({next, &source.when});
      Rule rule{std::move(source.name),
                source.action,
                source.inspect,
                std::move(source.redirect_to),
                source.threats,
                source.position,
                next,
                next_except,
                static_cast<uint32_t>(source.excepts.size())};
      for (const auto& except : source.excepts) rows.push_back({next_except++, &except});
      table->rules.push_back(std::move(rule));
      ++next;
    }
  }
  for (size_t i = 0; i < threat_count; ++i) {
    if (links_[i].lists.empty()) continue;
    rows.push_back({next_except, &links_[i].lists});
    policy.links_[i] = {next_except++, links_[i].entries};
    policy.has_links_ = true;
  }
  policy.words_ = (words_for(next_except) + row_words_step - 1) / row_words_step * row_words_step;
  return rows;
}

void PolicyBuilder::compile_rows(Policy& policy, const std::vector<Row>& rows) const {
  policy.rows_without_.assign(slot_count * policy.words_, ~uint64_t{0});
  for (Policy::HostRows* kind : {&policy.host_rows_, &policy.url_rows_}) {
    kind->naming_hosts.assign(policy.words_, 0);
    kind->naming_networks.assign(policy.words_, 0);
  }
  policy.connect_rows_.assign(policy.words_, ~uint64_t{0});
  std::vector<std::pair<GroupId, uint32_t>> pairs;
  std::vector<std::vector<const RowCondition*>> shown(size_t{policy.words_} * 64);
  for (const Row& row : rows) {
    uint32_t slots_seen = 0;
    for (const RowCondition& condition : *row.conditions) {
      const Slot slot = condition.shown.slot;
      SLUICE_CHECK((slots_seen & bit_of(slot)) == 0);
      slots_seen |= bit_of(slot);
      shown[row.number].push_back(&condition);
      policy.slots_used_ |= bit_of(slot);
      clear_bit(std::span(policy.rows_without_).subspan(static_cast<size_t>(slot) * policy.words_, policy.words_),
                row.number);
      if ((bit_of(slot) & content_slots) != 0) clear_bit(policy.connect_rows_, row.number);
      for (const GroupId group : condition.groups) {
        SLUICE_CHECK(slot_of(group) == slot);
        pairs.emplace_back(group, row.number);
        Policy::HostRows& kind = slot == Slot::url ? policy.url_rows_ : policy.host_rows_;
        if (slot != Slot::host && slot != Slot::url) continue;
        if (has_names_[group]) set_bit(kind.naming_hosts, row.number);
        if (has_networks_[group]) set_bit(kind.naming_networks, row.number);
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
  built.suffixes = texts.suffixes.build(policy.hash_, policy.sets_);
  built.suffix_lengths = texts.suffix_lengths;
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

void PolicyBuilder::build_sizes(Policy& policy) {
  std::sort(sizes_.begin(), sizes_.end(), [](const SizeRange& a, const SizeRange& b) {
    return std::pair(a.least, a.most) < std::pair(b.least, b.most);
  });
  for (const SizeRange& range : sizes_) {
    auto& all = policy.sizes_;
    if (all.empty() || all.back().least != range.least || all.back().most != range.most)
      all.push_back({range.least, range.most, set_empty});
    all.back().groups = policy.sets_.with(all.back().groups, range.group);
  }
}

// What the ClientHello is compared with.
void PolicyBuilder::build_hello(Policy& policy) {
  policy.alpn_ = build_texts(alpn_, policy);
  policy.ja4_ = build_texts(ja4_, policy);
  std::sort(versions_.begin(), versions_.end());
  for (const auto& [version, group] : versions_) {
    if (policy.versions_.empty() || policy.versions_.back().version != version)
      policy.versions_.push_back({version, set_empty});
    SetId& set = policy.versions_.back().groups;
    set = policy.sets_.with(set, group);
  }
  for (const Presence& presence : presences_) {
    auto& groups = presence.slot == Slot::sni ? policy.sni_ : policy.ech_;
    SetId& set = presence.present ? groups.present : groups.absent;
    set = policy.sets_.with(set, presence.group);
  }
}

// What requests, responses and their content are compared with.
void PolicyBuilder::build_message(Policy& policy) {
  SetPool& sets = policy.sets_;
  policy.methods_ = build_texts(methods_, policy);
  policy.users_ = build_texts(users_, policy);
  policy.mimes_ = build_texts(mimes_, policy);
  policy.file_names_ = build_texts(file_names_, policy);
  policy.urls_ = urls_.build(policy.hash_, sets);
  for (RegexSet* regexes : {&user_agents_, &url_regexes_, &file_name_regexes_}) regexes->build(sets);
  policy.user_agents_ = std::move(user_agents_);
  policy.url_regexes_ = std::move(url_regexes_);
  policy.file_name_regexes_ = std::move(file_name_regexes_);
  for (const auto& [type, group] : file_types_) {
    SetId& set = policy.file_types_[static_cast<size_t>(type)];
    set = sets.with(set, group);
  }
  for (const auto& [file_class, group] : file_classes_) {
    SetId& set = policy.file_classes_[static_cast<size_t>(file_class)];
    set = sets.with(set, group);
  }
  build_sizes(policy);
  for (const auto& [is_response, group] : directions_) {
    SetId& set = is_response ? policy.responses_ : policy.requests_;
    set = sets.with(set, group);
  }
  policy.md5_ = md5_.build(policy.hash_, sets);
  policy.sha256_ = sha256_.build(policy.hash_, sets);
}

// A rule of the other direction wants nothing of this body.
Needs PolicyBuilder::needs_of(const RuleSource& rule, bool is_response) const {
  for (const RowCondition& condition : rule.when) {
    if (condition.shown.slot != Slot::direction) continue;
    const bool meant = std::any_of(directions_.begin(), directions_.end(), [&](const auto& direction) {
      return direction.first == is_response &&
             std::find(condition.groups.begin(), condition.groups.end(), direction.second) != condition.groups.end();
    });
    if (!meant) return needs_nothing;
  }
  const auto any = [&](uint32_t slots) {
    return has_slot(rule.when, slots) || std::any_of(rule.excepts.begin(), rule.excepts.end(),
                                                     [&](const auto& except) { return has_slot(except, slots); });
  };
  return static_cast<Needs>((any(bit_of(Slot::file_type)) ? needs_prefix : 0) |
                            (any(bit_of(Slot::md5) | bit_of(Slot::sha256)) ? needs_whole_body : 0) |
                            (any(bit_of(Slot::size)) ? needs_size : 0));
}

std::shared_ptr<const Policy> PolicyBuilder::build() {
  auto policy = std::make_shared<Policy>();
  policy->decrypt_ = decrypt_;
  policy->tls_default_ = tls_default_;
  policy->access_default_allows_ = access_default_allows_;
  policy->protection_default_ = protection_default_;
  policy->https_page_ = https_page_;
  for (const auto* rules : {&bypass_, &access_}) {
    for (const RuleSource& rule : *rules) {
      policy->request_needs_ = static_cast<Needs>(policy->request_needs_ | needs_of(rule, false));
      policy->response_needs_ = static_cast<Needs>(policy->response_needs_ | needs_of(rule, true));
    }
  }
  // What is done with a link may hang on a request's own body; a response is none.
  for (const RuleSource& rule : protection_)
    if (std::any_of(links_.begin(), links_.end(), [](const Links& links) { return !links.lists.empty(); }))
      policy->request_needs_ = static_cast<Needs>(policy->request_needs_ | needs_of(rule, false));
  const std::vector<Row> rows = number_rows(*policy);
  compile_rows(*policy, rows);
  policy->group_slots_ = group_slots_;
  policy->can_bump_ = decrypt_ && (tls_default_ == Action::bump || https_page_ ||
                                   std::any_of(policy->tls_.rules.begin(), policy->tls_.rules.end(),
                                               [](const Rule& rule) { return rule.action == Action::bump; }));

  policy->hash_ = NameHash(seed_);
  policy->hosts_ = HostTable(hosts_.build(policy->hash_, policy->sets_), policy->hash_);
  policy->clients_ = clients_.build(policy->sets_);
  policy->destinations_ = destinations_.build(policy->sets_);
  policy->interfaces_ = build_texts(interfaces_, *policy);
  build_ports(*policy);
  build_hello(*policy);
  build_message(*policy);
  policy->schedules_ = std::move(schedules_);
  policy->sets_.seal();
  return policy;
}

}  // namespace sluice::rules
