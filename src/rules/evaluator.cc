#include "rules/evaluator.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "base/embedded_v4.h"
#include "base/limits.h"

namespace sluice::rules {
namespace {

bool test(std::span<const uint64_t> words, uint32_t bit) { return (words[bit / 64] >> (bit % 64) & 1) != 0; }

bool same_minute(const LocalTime& a, const LocalTime& b) {
  return a.minute == b.minute && a.day == b.day && a.month == b.month && a.year == b.year &&
         a.weekday == b.weekday;
}

// As many words of a row set as are combined at once: SSE2 or NEON registers where there are some.
using RowWords = uint64_t __attribute__((vector_size(8 * row_words_step)));

// By reference: as a value it would be passed in registers that not every CPU has.
void load(RowWords& to, const uint64_t* words) { std::memcpy(&to, words, sizeof to); }

template <class Each>
void for_each_slot(uint32_t slots, Each&& each) {
  for (; slots != 0; slots &= slots - 1) each(static_cast<Slot>(__builtin_ctz(slots)));
}

/// A number that differs for most URLs or hosts: of its length, its host's beginning and its end.
size_t place_of(std::string_view text) {
  constexpr size_t word_bytes = 8;
  constexpr size_t words = 4;
  constexpr size_t scheme_bytes = 8;  // "https://"
  uint64_t sum = text.size();
  const auto add = [&](size_t at) {
    uint64_t word;
    std::memcpy(&word, text.data() + at, word_bytes);
    sum = (sum ^ word) * 0x9e3779b97f4a7c15u;
  };
  if (text.size() >= scheme_bytes + word_bytes) add(scheme_bytes);
  for (size_t i = 1; i <= words && text.size() >= i * word_bytes; ++i) add(text.size() - i * word_bytes);
  return static_cast<size_t>(sum >> 32);
}

/// "192.0.2.1", "2001:db8::1", "[2001:db8::1]"; hardly any name comes so far as the parser.
std::optional<IpAddress> address_literal(std::string_view host) {
  if (host.empty()) return std::nullopt;
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  const bool may_be =
      host.find(':') != std::string_view::npos || (!host.empty() && host.back() >= '0' && host.back() <= '9');
  return may_be ? IpAddress::parse(host) : std::nullopt;
}

}  // namespace

Evaluator::Evaluator(const Policy& policy)
    : policy_(&policy),
      words_(policy.words_),
      slots_(slot_count * words_),
      yes_(words_),
      maybe_(words_),
      yes_by_any_(words_),
      maybe_by_any_(words_),
      possible_hosts_(words_),
      possible_urls_(words_),
      possible_sizes_(words_),
      schedule_rows_(words_),
      agents_(policy.user_agents_.empty() ? 0 : agents_max),
      links_(policy.uses(Slot::host) || policy.uses(Slot::url) ? links_max : 0) {}

void Evaluator::add_rows(uint32_t group, std::span<uint64_t> to) const {
  if (const uint32_t set = policy_->group_sets_[group]; set != Policy::no_row_set) {
    for (size_t i = 0; i < words_; ++i) to[i] |= policy_->row_sets_[set + i];
    return;
  }
  for (const uint32_t row : policy_->rows_of(group)) to[row / 64] |= uint64_t{1} << (row % 64);
}

void Evaluator::begin_rows(Slot slot, std::span<uint64_t> own) {
  held_ |= bit_of(slot);
  const auto without = policy_->rows_without(slot);
  std::copy(without.begin(), without.end(), own.begin());
}

void Evaluator::hold(SetId groups) {
  for (const uint32_t group : policy_->sets_.of(groups)) hold_group(group);
}

void Evaluator::hold_texts(const Policy::Texts& texts, std::string_view text) {
  if (texts.empty() || text.empty()) return;
  if (!texts.exact.empty() && text.size() <= NameTable::name_bytes_max)
    hold(texts.exact.find(policy_->hash_.of(text), text));
  for (const uint8_t length : texts.prefix_lengths) {
    if (length > text.size()) break;
    const std::string_view front = text.substr(0, length);
    hold(texts.prefixes.find(policy_->hash_.of(front), front));
  }
  for (const uint8_t length : texts.suffix_lengths) {
    if (length > text.size()) break;
    const std::string_view back = text.substr(text.size() - length);
    hold(texts.suffixes.find(policy_->hash_.of(back), back));
  }
}

void Evaluator::hold_schedules(const LocalTime& now) {
  const std::span<uint64_t> held = rows(Slot::schedule);
  if (!scheduled_ || !same_minute(now, scheduled_at_)) {
    for (const auto& timed : policy_->schedules_)
      if (timed.schedule.contains(now)) hold_group(timed.group);
    std::copy(held.begin(), held.end(), schedule_rows_.begin());
    scheduled_at_ = now;
    scheduled_ = true;
  } else {
    std::copy(schedule_rows_.begin(), schedule_rows_.end(), held.begin());
  }
}

void Evaluator::evaluate(const Facts& facts, Event event) {
  const Policy& policy = *policy_;
  event_ = event;
  evaluated_ = policy.slots_used_ & (is_message() ? ~uint32_t{0} : ~content_slots);
  unknown_ = 0;
  unreadable_ = is_message() && facts.content.unreadable;
  held_ = 0;
  read_connection(facts);
  read_names(facts);
  read_hello(facts);
  if (uses(Slot::method)) hold_texts(policy.methods_, facts.method);
  if (uses(Slot::direction)) hold(event == Event::response ? policy.responses_ : policy.requests_);
  if (uses(Slot::user) || uses(Slot::user_agent)) read_user(facts);
  if (uses(Slot::host) || uses(Slot::url)) read_link(facts);
  has_others_ = false;
  if ((evaluated_ & content_slots) != 0) read_content(facts);
  combine(yes_, maybe_);
  if ((evaluated_ & content_slots) == 0 || !read_other_readings(facts)) return;
  has_others_ = true;
  combine(yes_by_any_, maybe_by_any_);
}

// The connect event's attributes. An interface that the kernel did not tell is never known: nothing holds.
void Evaluator::read_connection(const Facts& facts) {
  const Policy& policy = *policy_;
  if (uses(Slot::client)) {
    policy.clients_.find(facts.client, policy.sets_, [&](uint32_t group) { hold_group(group); });
    hold_texts(policy.interfaces_, facts.interface);
  }
  if (uses(Slot::port)) {
    const auto& starts = policy.ports_.starts;
    const auto after = std::upper_bound(starts.begin(), starts.end(), uint32_t{facts.destination.port});
    if (after != starts.begin()) hold(policy.ports_.sets[static_cast<size_t>(after - starts.begin()) - 1]);
  }
  if (uses(Slot::schedule)) hold_schedules(facts.now);
}

// Destination, and what is not known yet of it and of the host.
void Evaluator::read_names(const Facts& facts) {
  const Policy& policy = *policy_;
  const bool names = uses(Slot::host) || uses(Slot::url);
  if (!names && !uses(Slot::destination)) return;
  if (facts.destination_known == Known::yes) {
    const auto hold_now = [&](uint32_t group) { hold_group(group); };
    policy.destinations_.find(facts.destination.address, policy.sets_, hold_now);
    // An IPv4 address is the same place when it is reached through NAT64.
    if (const auto v4 = behind_nat64(facts.destination.address)) policy.destinations_.find(*v4, policy.sets_, hold_now);
  }
  const bool host = facts.host_known == Known::not_yet;
  const bool destination = facts.destination_known == Known::not_yet;
  if (destination) set_unknown(Slot::destination);
  if (!host && !destination) return;
  set_host_unknown(Slot::host, policy.host_rows_, host, destination, possible_hosts_);
  set_host_unknown(Slot::url, policy.url_rows_, host, destination, possible_urls_);
}

// A condition of addresses alone is not unknown because the host is, nor one of names because the address is.
void Evaluator::set_host_unknown(Slot slot, const Policy::HostRows& hosts, bool host, bool destination,
                                 std::vector<uint64_t>& both) {
  if (host && destination) {
    for (size_t i = 0; i < words_; ++i) both[i] = hosts.naming_hosts[i] | hosts.naming_networks[i];
    set_unknown(slot, &both);
  } else {
    set_unknown(slot, host ? &hosts.naming_hosts : &hosts.naming_networks);
  }
}

void Evaluator::read_hello(const Facts& facts) {
  const Policy& policy = *policy_;
  if (facts.hello_known == Known::not_yet) for_each_slot(hello_slots, [&](Slot slot) { set_unknown(slot); });
  if (facts.hello_known != Known::yes) return;
  hold(facts.sni_present ? policy.sni_.present : policy.sni_.absent);
  hold(facts.ech_present ? policy.ech_.present : policy.ech_.absent);
  if (uses(Slot::alpn))
    for (const std::string& protocol : facts.alpn) hold_texts(policy.alpn_, protocol);
  for (const auto& known : policy.versions_)
    if (std::find(facts.tls_versions.begin(), facts.tls_versions.end(), known.version) !=
        facts.tls_versions.end())
      hold(known.groups);
  if (uses(Slot::ja4)) hold_texts(policy.ja4_, facts.ja4);
}

void Evaluator::read_user(const Facts& facts) {
  const Policy& policy = *policy_;
  if (facts.user_known == Known::not_yet) set_unknown(Slot::user);
  if (facts.user_known == Known::yes) hold_texts(policy.users_, facts.user);
  if (facts.user_agent_known == Known::not_yet) set_unknown(Slot::user_agent);
  if (facts.user_agent_known == Known::yes && !policy.user_agents_.empty()) read_user_agent(facts.user_agent);
}

void Evaluator::read_user_agent(std::string_view text) {
  const auto ask = [&](auto&& sink) { policy_->user_agents_.find(text, regex_scratch_, sink); };
  if (text.size() > limits::user_agent_bytes_max) return ask([&](SetId groups) { hold(groups); });
  Agent& agent = agents_[policy_->hash_.of(text) % agents_max];
  if (!agent.is_known || agent.text != text) {
    agent.text = text;
    agent.matching.clear();
    ask([&](SetId groups) { agent.matching.push_back(groups); });
    agent.is_known = true;
  }
  for (const SetId groups : agent.matching) hold(groups);
}

// Host and URL.
void Evaluator::read_link(const Facts& facts) {
  const auto hold_now = [&](uint32_t group) { hold_group(group); };
  if (!is_message() || facts.host_known != Known::yes || facts.host.size() > HostHashes::host_bytes_max ||
      facts.url.size() > link_url_bytes_max)
    return find_link(facts, hold_now);
  // Without a rule over URLs there is none.
  Link& link = links_[place_of(facts.url.empty() ? facts.host : facts.url) % links_max];
  if (!link.is_known || link.url != facts.url || link.host != facts.host) {
    link.host = facts.host;
    link.url = facts.url;
    link.groups.clear();
    link.is_known = true;
    find_link(facts, [&](uint32_t group) {
      hold_group(group);
      link.is_known = link.is_known && link.groups.size() < link_groups_max;
      if (link.is_known) link.groups.push_back(group);
    });
    return;
  }
  std::for_each(link.groups.begin(), link.groups.end(), hold_now);
}

template <class Sink>
void Evaluator::find_link(const Facts& facts, Sink&& sink) {
  const Policy& policy = *policy_;
  const auto take = [&](SetId groups) {
    for (const uint32_t group : policy.sets_.of(groups)) sink(group);
  };
  if (facts.host_known == Known::yes) {
    policy.hosts_.find(facts.host, policy.sets_, sink);  // with the url patterns that are a host alone
    // A request may name an address, which need not be the one that it goes to. (An SNI that looks like one
    // is no address.)
    if (is_message() || facts.mode == Mode::explicit_proxy)
      if (const auto address = address_literal(facts.host)) {
        const auto sink_names = [&](uint32_t group) {
          if (policy.group_slots_[group] != Slot::destination) sink(group);
        };
        policy.destinations_.find(*address, policy.sets_, sink_names);
        if (const auto v4 = behind_nat64(*address)) policy.destinations_.find(*v4, policy.sets_, sink_names);
      }
  }
  if (!uses(Slot::url)) return;
  UrlParts url;
  if (is_message()) {
    if (UrlParts::split(facts.url, url)) policy.urls_.find(url, policy.hash_, policy.sets_, take);
    if (!facts.url.empty()) policy.url_regexes_.find(facts.url, regex_scratch_, take);
  } else if (facts.host_known == Known::yes) {
    // At a CONNECT patterns match as far as they have no path.
    url.host = facts.host;
    url.port = facts.destination.port;
    policy.urls_.find(url, policy.hash_, policy.sets_, take);
  }
}

void Evaluator::read_content(const Facts& facts) {
  const Policy& policy = *policy_;
  const Content& content = facts.content;
  if (uses(Slot::mime)) hold_texts(policy.mimes_, facts.mime);
  if (uses(Slot::file_name))
    for (const std::string_view name : facts.file_names) read_file_name(name);
  if (uses(Slot::file_type)) {
    if (content.type_known == Known::not_yet) set_unknown(Slot::file_type);
    if (content.type_known == Known::yes && content.types != nullptr) read_types(*content.types);
  }
  if (uses(Slot::size)) read_size(content);
  if (content.hashes_known == Known::not_yet) {
    set_unknown(Slot::md5);
    set_unknown(Slot::sha256);
  } else if (content.hashes_known == Known::yes && content.has_hashes) {
    read_hashes(content.md5, content.sha256);
  }
}

void Evaluator::read_hashes(std::span<const uint8_t> md5, std::span<const uint8_t> sha256) {
  const auto look_up = [&](const NameTable& table, std::span<const uint8_t> hash) {
    if (table.empty()) return;
    const std::string_view bytes(reinterpret_cast<const char*>(hash.data()), hash.size());
    hold(table.find(policy_->hash_.of(bytes), bytes));
  };
  look_up(policy_->md5_, md5);
  look_up(policy_->sha256_, sha256);
}

// What else the message may be taken for is held on top, so that of each slot everything holds that holds by
// any reading. False: there is nothing else.
bool Evaluator::read_other_readings(const Facts& facts) {
  const Content& content = facts.content;
  if (facts.also_mimes.empty() && facts.also_file_names.empty() && content.coded_types == nullptr &&
      !content.has_coded_hashes)
    return false;
  if (uses(Slot::mime))
    for (const std::string& mime : facts.also_mimes) hold_texts(policy_->mimes_, mime);
  if (uses(Slot::file_name))
    for (const std::string& name : facts.also_file_names) read_file_name(name);
  if (uses(Slot::file_type) && content.coded_types != nullptr) read_types(*content.coded_types);
  if (content.has_coded_hashes) read_hashes(content.coded_md5, content.coded_sha256);
  return true;
}

// Windows leaves dots and spaces at the end of a name away, so "setup.exe." is setup.exe. Of a long name both
// ends are read.
void Evaluator::read_file_name(std::string_view name) {
  constexpr size_t end_bytes = NameTable::name_bytes_max;
  while (!name.empty() && (name.back() == '.' || name.back() == ' ')) name.remove_suffix(1);
  if (name.empty()) return;
  std::array<char, 2 * end_bytes + 1> lower;
  const std::string_view front = name.size() <= 2 * end_bytes ? name : name.substr(0, end_bytes);
  const std::string_view back = name.substr(name.size() - std::min(name.size() - front.size(), end_bytes));
  size_t bytes = 0;
  for (const std::string_view part : {front, back}) {
    // Between the ends of a name that is cut stands a byte that no pattern holds, so that none matches over
    // the cut.
    if (part.data() == back.data() && !back.empty()) lower[bytes++] = '\0';
    for (const char c : part) lower[bytes++] = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  hold_texts(policy_->file_names_, {lower.data(), bytes});
  policy_->file_name_regexes_.find(name, regex_scratch_, [&](SetId groups) { hold(groups); });
}

// As FileTypeSet::matches: a type by name is also met as the container of another, a class is not.
void Evaluator::read_types(const FileTypes& types) {
  FileTypes containers;
  types.for_each([&](FileType type) {
    hold(policy_->file_types_[static_cast<size_t>(type)]);
    if (container_of(type) != type) containers.add(container_of(type));
  });
  types.for_each([&](FileType type) {
    if (!containers.has(type)) hold(policy_->file_classes_[static_cast<size_t>(class_of(type))]);
  });
}

void Evaluator::read_size(const Content& content) {
  constexpr uint64_t no_bound = ~uint64_t{0};
  if (content.size_known == Known::yes) {
    for (const auto& range : policy_->sizes_) {
      if (range.least > content.size) break;
      if (content.size <= range.most) hold(range.groups);
    }
    return;
  }
  if (content.size_known == Known::never) return;
  std::fill(possible_sizes_.begin(), possible_sizes_.end(), 0);
  for (const auto& range : policy_->sizes_) {
    if (content.size_at_least > range.most) continue;  // outgrown
    if (content.size_at_least >= range.least && range.most == no_bound) {
      hold(range.groups);
    } else {
      for (const uint32_t group : policy_->sets_.of(range.groups)) add_rows(group, possible_sizes_);
    }
  }
  set_unknown(Slot::size, &possible_sizes_);
}

// Word by word over all slots, a few words at once, so that what is found stays in registers.
void Evaluator::combine(std::vector<uint64_t>& yes_rows, std::vector<uint64_t>& maybe_rows) const {
  struct Maybe {
    const uint64_t* held;
    const uint64_t* possible;
  };
  std::array<const uint64_t*, slot_count> known;
  std::array<Maybe, slot_count> unknowns;
  size_t known_count = 0;
  size_t unknown_count = 0;
  for_each_slot(evaluated_, [&](Slot slot) {
    const uint64_t* const held = held_rows(slot).data();
    if (!unknown(slot)) {
      known[known_count++] = held;
    } else {
      unknowns[unknown_count++] = {held, possible_[static_cast<size_t>(slot)]};
    }
  });
  for (size_t at = 0; at < words_; at += row_words_step) {
    RowWords yes = ~RowWords{};
    RowWords held;
    RowWords possible;
    if (!is_message()) load(yes, &policy_->connect_rows_[at]);
    for (size_t i = 0; i < known_count; ++i) {
      load(held, known[i] + at);
      yes &= held;
    }
    RowWords maybe = yes;
    for (size_t i = 0; i < unknown_count; ++i) {
      load(held, unknowns[i].held + at);
      yes &= held;
      if (unknowns[i].possible == nullptr) continue;
      load(possible, unknowns[i].possible + at);
      maybe &= held | possible;
    }
    std::memcpy(&yes_rows[at], &yes, sizeof yes);
    std::memcpy(&maybe_rows[at], &maybe, sizeof maybe);
  }
}

Truth Evaluator::condition(uint32_t row, Slot slot) const {
  if (!uses(slot)) return Truth::yes;
  if ((evaluated_ & bit_of(slot)) == 0)
    return test(policy_->rows_without(slot), row) ? Truth::yes : Truth::no;
  if (test(held_rows(slot), row)) return Truth::yes;
  if (!unknown(slot)) return Truth::no;
  const uint64_t* const possible = possible_[static_cast<size_t>(slot)];
  return possible == nullptr || test({possible, words_}, row) ? Truth::unknown : Truth::no;
}

Truth Evaluator::row(uint32_t row) const {
  if (test(yes_, row)) return Truth::yes;
  return test(maybe_, row) ? Truth::unknown : Truth::no;
}

Truth Evaluator::row_by_any(uint32_t row) const {
  if (!has_others_) return this->row(row);
  if (test(yes_by_any_, row)) return Truth::yes;
  return test(maybe_by_any_, row) ? Truth::unknown : Truth::no;
}

bool Evaluator::only_content_is_unknown(uint32_t row) const {
  constexpr uint32_t decoded = bit_of(Slot::file_type) | bit_of(Slot::md5) | bit_of(Slot::sha256);
  bool only = true;
  for_each_slot(evaluated_ & unknown_ & ~decoded,
                [&](Slot slot) { only = only && condition(row, slot) != Truth::unknown; });
  return only;
}

Truth Evaluator::listed(Threat threat) const {
  const uint32_t links = policy_->links_[static_cast<size_t>(threat)].row;
  return links == Policy::no_row ? Truth::no : row(links);
}

// In doubt a rule that refuses matches, and one that does not (it allows; of the protection rules it may
// skip) does not.
Truth Evaluator::rule(const Rule& rule, bool settled) const {
  const bool refuses = rule.action == Action::block || rule.action == Action::redirect;
  Truth truth = refuses ? row_by_any(rule.row) : row(rule.row);
  for (uint32_t i = 0; i < rule.excepts_count && truth != Truth::no; ++i) {
    const uint32_t except = rule.excepts_first + i;
    switch (refuses ? row(except) : row_by_any(except)) {
      case Truth::yes:
        truth = Truth::no;
        break;
      case Truth::unknown:
        if (!settled)
          truth = Truth::unknown;
        else if (unreadable_ && !refuses && only_content_is_unknown(except))
          truth = Truth::no;
        break;
      case Truth::no:
        break;
    }
  }
  if (!settled || truth != Truth::unknown) return truth;
  // Content that cannot be read: what a rule forbids is not let through unseen.
  return unreadable_ && refuses && only_content_is_unknown(rule.row) ? Truth::yes : Truth::no;
}

Needs Evaluator::needs_of(const Rule& rule) const {
  Needs needs = needs_nothing;
  const auto add = [&](uint32_t row) {
    const auto is_unknown = [&](Slot slot) {
      return unknown(slot) && condition(row, slot) == Truth::unknown;
    };
    if (is_unknown(Slot::file_type)) needs |= needs_prefix;
    if (is_unknown(Slot::md5) || is_unknown(Slot::sha256)) needs |= needs_whole_body;
    if (is_unknown(Slot::size)) needs |= needs_size;
    if (is_unknown(Slot::destination) || is_unknown(Slot::host) || is_unknown(Slot::url))
      needs |= needs_destination;
  };
  const auto may_be = [&](uint32_t row) {
    return this->row(row) == Truth::unknown || row_by_any(row) == Truth::unknown;
  };
  if (may_be(rule.row)) add(rule.row);
  for (uint32_t i = 0; i < rule.excepts_count; ++i)
    if (may_be(rule.excepts_first + i)) add(rule.excepts_first + i);
  return needs;
}

const Policy::Table& Evaluator::table_of(TableKind table) const {
  switch (table) {
    case TableKind::bypass:
      return policy_->bypass_;
    case TableKind::access:
      return policy_->access_;
    case TableKind::protection:
      return policy_->protection_;
    case TableKind::tls:
      return policy_->tls_;
  }
  return policy_->tls_;
}

Evaluator::Match Evaluator::first(TableKind kind, bool settled, Unknowns* unknowns) const {
  const Policy::Table& table = table_of(kind);
  const std::vector<uint64_t>& yes = has_others_ ? yes_by_any_ : yes_;
  const std::vector<uint64_t>& maybe = has_others_ ? maybe_by_any_ : maybe_;
  const std::vector<uint64_t>& candidates = settled && !unreadable_ ? yes : maybe;
  for (size_t word = 0; word < table.words; ++word) {
    for (uint64_t bits = candidates[table.first_word + word]; bits != 0; bits &= bits - 1) {
      const size_t index = word * 64 + static_cast<size_t>(__builtin_ctzll(bits));
      if (index >= table.rules.size()) break;
      const Rule& candidate = table.rules[index];
      switch (rule(candidate, settled)) {
        case Truth::yes:
          return {static_cast<RuleIndex>(index), false};
        case Truth::unknown:
          if (unknowns == nullptr) return {static_cast<RuleIndex>(index), true};
          unknowns->any = true;
          unknowns->only_block = unknowns->only_block && candidate.action == Action::block;
          unknowns->needs |= needs_of(candidate);
          for (size_t i = 0; i < threat_count; ++i)
            (candidate.threats.actions[i] == ThreatAction::block ? unknowns->may_block
                                                                 : unknowns->may_skip)[i] = true;
          break;
        case Truth::no:
          break;
      }
    }
  }
  return {rule_default, false};
}

}  // namespace sluice::rules
