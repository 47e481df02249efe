#include "rules/evaluator.h"

#include <algorithm>

namespace sluice::rules {
namespace {

constexpr uint32_t bit_of(Slot slot) { return 1u << static_cast<unsigned>(slot); }
constexpr uint32_t hello_slots = bit_of(Slot::sni) | bit_of(Slot::ech) | bit_of(Slot::alpn) |
                                 bit_of(Slot::tls_version) | bit_of(Slot::ja4);

bool test(std::span<const uint64_t> words, uint32_t bit) { return (words[bit / 64] >> (bit % 64) & 1) != 0; }

bool same_minute(const LocalTime& a, const LocalTime& b) {
  return a.minute == b.minute && a.day == b.day && a.month == b.month && a.year == b.year &&
         a.weekday == b.weekday;
}

}  // namespace

Evaluator::Evaluator(const Policy& policy)
    : policy_(&policy),
      words_(policy.words_),
      slots_(slot_count * words_),
      yes_(words_),
      maybe_(words_),
      schedule_rows_(words_) {}

void Evaluator::hold_group(uint32_t group) {
  const std::span<uint64_t> held = rows(policy_->group_slots_[group]);
  if (const uint32_t set = policy_->group_sets_[group]; set != Policy::no_row_set) {
    for (size_t i = 0; i < words_; ++i) held[i] |= policy_->row_sets_[set + i];
    return;
  }
  for (const uint32_t row : policy_->rows_of(group)) held[row / 64] |= uint64_t{1} << (row % 64);
}

void Evaluator::hold(SetId groups) {
  for (const uint32_t group : policy_->sets_.of(groups)) hold_group(group);
}

void Evaluator::hold_texts(const Policy::Texts& texts, std::string_view text) {
  if (texts.empty() || text.empty() || text.size() > NameTable::name_bytes_max) return;
  if (!texts.exact.empty()) hold(texts.exact.find(policy_->hash_.of(text), text));
  for (const uint8_t length : texts.prefix_lengths) {
    if (length > text.size()) break;
    const std::string_view front = text.substr(0, length);
    hold(texts.prefixes.find(policy_->hash_.of(front), front));
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

void Evaluator::evaluate(const Facts& facts) {
  const Policy& policy = *policy_;
  for (uint32_t slots = policy.slots_used_; slots != 0; slots &= slots - 1) {
    const auto slot = static_cast<Slot>(__builtin_ctz(slots));
    const auto without = policy.rows_without(slot);
    std::copy(without.begin(), without.end(), rows(slot).begin());
  }
  const auto uses = [&](Slot slot) { return (policy.slots_used_ & bit_of(slot)) != 0; };

  // The connect event's attributes. An interface that the kernel did not tell is never known: nothing holds.
  if (uses(Slot::client)) {
    policy.clients_.find(facts.client, policy.sets_, [&](uint32_t group) { hold_group(group); });
    hold_texts(policy.interfaces_, facts.interface);
  }
  if (uses(Slot::destination) || uses(Slot::host))
    policy.destinations_.find(facts.destination.address, policy.sets_,
                              [&](uint32_t group) { hold_group(group); });
  if (uses(Slot::port)) {
    const auto& starts = policy.ports_.starts;
    const auto after = std::upper_bound(starts.begin(), starts.end(), uint32_t{facts.destination.port});
    if (after != starts.begin()) hold(policy.ports_.sets[static_cast<size_t>(after - starts.begin()) - 1]);
  }
  if (uses(Slot::schedule)) hold_schedules(facts.now);

  unknown_ = 0;
  if (facts.host_known == Known::yes && uses(Slot::host))
    policy.hosts_.find(facts.host, policy.sets_, [&](uint32_t group) { hold_group(group); });
  if (facts.host_known == Known::not_yet) unknown_ |= bit_of(Slot::host);

  if (facts.hello_known == Known::not_yet) unknown_ |= hello_slots;
  if (facts.hello_known == Known::yes) {
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

  std::fill(yes_.begin(), yes_.end(), ~uint64_t{0});
  std::fill(maybe_.begin(), maybe_.end(), ~uint64_t{0});
  for (uint32_t slots = policy.slots_used_; slots != 0; slots &= slots - 1) {
    const auto slot = static_cast<Slot>(__builtin_ctz(slots));
    const auto held = rows(slot);
    if (!unknown(slot)) {
      for (size_t i = 0; i < words_; ++i) {
        yes_[i] &= held[i];
        maybe_[i] &= held[i];
      }
    } else {
      for (size_t i = 0; i < words_; ++i) yes_[i] &= held[i];
      if (slot == Slot::host)  // a host condition of addresses alone is not unknown
        for (size_t i = 0; i < words_; ++i) maybe_[i] &= held[i] | policy.rows_naming_hosts_[i];
    }
  }
}

Truth Evaluator::condition(uint32_t row, Slot slot) const {
  if ((policy_->slots_used_ & bit_of(slot)) == 0) return Truth::yes;
  if (test(std::span(slots_).subspan(static_cast<size_t>(slot) * words_, words_), row)) return Truth::yes;
  if (!unknown(slot) || (slot == Slot::host && !test(policy_->rows_naming_hosts_, row))) return Truth::no;
  return Truth::unknown;
}

Truth Evaluator::row(uint32_t row) const {
  if (test(yes_, row)) return Truth::yes;
  return test(maybe_, row) ? Truth::unknown : Truth::no;
}

Truth Evaluator::rule(const Rule& rule, bool settled) const {
  Truth truth = row(rule.row);
  for (uint32_t i = 0; i < rule.excepts_count && truth != Truth::no; ++i) {
    switch (row(rule.excepts_first + i)) {
      case Truth::yes:
        truth = Truth::no;
        break;
      case Truth::unknown:
        if (!settled) truth = Truth::unknown;
        break;
      case Truth::no:
        break;
    }
  }
  return settled && truth == Truth::unknown ? Truth::no : truth;
}

Evaluator::Match Evaluator::first(const Policy::Table& table, bool settled) const {
  const std::vector<uint64_t>& candidates = settled ? yes_ : maybe_;
  for (size_t word = 0; word < table.words; ++word) {
    for (uint64_t bits = candidates[table.first_word + word]; bits != 0; bits &= bits - 1) {
      const size_t index = word * 64 + static_cast<size_t>(__builtin_ctzll(bits));
      if (index >= table.rules.size()) break;
      switch (rule(table.rules[index], settled)) {
        case Truth::yes:
          return {static_cast<RuleIndex>(index), false};
        case Truth::unknown:
          return {static_cast<RuleIndex>(index), true};
        case Truth::no:
          break;
      }
    }
  }
  return {rule_default, false};
}

}  // namespace sluice::rules
