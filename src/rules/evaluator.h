// Evaluator: which rows of a Policy hold for some Facts. The one place in which conditions are evaluated;
// Judge asks it for verdicts and explain() for reasons.
//
// Owns the scratch memory of an evaluation; belongs to one thread. evaluate() allocates nothing, except
// inside RE2 where a rule has a regular expression, and to remember what it has just looked up.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rules/policy.h"

namespace sluice::rules {

enum class Truth : uint8_t { no, unknown, yes };

class Evaluator {
 public:
  explicit Evaluator(const Policy& policy);

  /// `event` counts, whatever `facts.event` says.
  void evaluate(const Facts& facts, Event event);

  /// Of the last evaluate().
  [[nodiscard]] Event event() const { return event_; }
  /// Of the last evaluate(): whether one condition of a row holds by any reading, and whether all do by the first.
  [[nodiscard]] Truth condition(uint32_t row, Slot slot) const;
  [[nodiscard]] Truth row(uint32_t row) const;

  struct Match {
    RuleIndex rule = rule_none;  // rule_default: none matched
    bool unknown = false;        // an unknown was met at `rule` before any match
  };
  /// The first rule of a table that matches. `settled`: nothing more will become known, so what is unknown is
  /// never known, and such a condition does not hold; but see Content::unreadable.
  [[nodiscard]] Match first(TableKind table, bool settled) const { return first(table, settled, nullptr); }

  /// What was met above the rule that certainly matches.
  struct Unknowns {
    bool any = false;
    bool only_block = true;  // each of them would block
    std::array<bool, threat_count> may_block{};  // of the protection table, by Threat: what they say of it
    std::array<bool, threat_count> may_skip{};
    Needs needs = needs_nothing;
  };
  /// The same, but reads past rules that cannot be decided: adds them to `unknowns`, and goes on to the first
  /// that certainly matches.
  [[nodiscard]] Match first_certain(TableKind table, bool settled, Unknowns& unknowns) const {
    return first(table, settled, &unknowns);
  }
  /// Whether a link list of this class has what is asked for.
  [[nodiscard]] Truth listed(Threat threat) const;
  /// The same question for one rule.
  [[nodiscard]] Truth rule(const Rule& rule, bool settled) const;

 private:
  [[nodiscard]] const Policy::Table& table_of(TableKind table) const;
  [[nodiscard]] Match first(TableKind table, bool settled, Unknowns* unknowns) const;
  [[nodiscard]] Needs needs_of(const Rule& rule) const;
  [[nodiscard]] bool only_content_is_unknown(uint32_t row) const;
  /// A row by what a message may also be taken for.
  [[nodiscard]] Truth row_by_any(uint32_t row) const;

  void read_connection(const Facts& facts);
  void read_names(const Facts& facts);
  void read_hello(const Facts& facts);
  void read_user(const Facts& facts);
  void read_user_agent(std::string_view text);
  void read_link(const Facts& facts);
  template <class Sink>
  void find_link(const Facts& facts, Sink&& sink);
  void read_content(const Facts& facts);
  void read_file_name(std::string_view name);
  void read_hashes(std::span<const uint8_t> md5, std::span<const uint8_t> sha256);
  [[nodiscard]] bool read_other_readings(const Facts& facts);
  void read_types(const FileTypes& types);
  void read_size(const Content& content);
  void combine(std::vector<uint64_t>& yes, std::vector<uint64_t>& maybe) const;
  [[nodiscard]] bool is_message() const { return event_ == Event::request || event_ == Event::response; }

  void hold(SetId groups);
  void hold_group(uint32_t group) { add_rows(group, rows(policy_->group_slots_[group])); }
  void add_rows(uint32_t group, std::span<uint64_t> to) const;
  void hold_texts(const Policy::Texts& texts, std::string_view text);
  void hold_schedules(const LocalTime& now);
  /// To be added to; from then on held_rows() is this.
  [[nodiscard]] std::span<uint64_t> rows(Slot slot) {
    const auto own = std::span(slots_).subspan(static_cast<size_t>(slot) * words_, words_);
    if ((held_ & bit_of(slot)) == 0) begin_rows(slot, own);
    return own;
  }
  void begin_rows(Slot slot, std::span<uint64_t> own);
  /// Rows whose condition on it holds, or that have none.
  [[nodiscard]] std::span<const uint64_t> held_rows(Slot slot) const {
    if ((held_ & bit_of(slot)) == 0) return policy_->rows_without(slot);
    return std::span(slots_).subspan(static_cast<size_t>(slot) * words_, words_);
  }
  [[nodiscard]] bool uses(Slot slot) const { return policy_->uses(slot); }
  [[nodiscard]] bool unknown(Slot slot) const { return (unknown_ & bit_of(slot)) != 0; }
  /// Of a slot that is unknown: only rows in `possible` are (null: all).
  void set_unknown(Slot slot, const std::vector<uint64_t>* possible = nullptr) {
    unknown_ |= bit_of(slot);
    possible_[static_cast<size_t>(slot)] = possible == nullptr ? nullptr : possible->data();
  }
  void set_host_unknown(Slot slot, const Policy::HostRows& rows, bool host, bool destination,
                        std::vector<uint64_t>& both);

  const Policy* policy_;
  size_t words_;
  Event event_ = Event::connect;
  uint32_t evaluated_ = 0;  // bit per slot that the event has; of the others no condition holds
  uint32_t unknown_ = 0;    // bit per slot whose attribute is not known yet
  bool unreadable_ = false;
  uint32_t held_ = 0;       // bit per slot of which a condition holds: those have rows in slots_
  std::vector<uint64_t> slots_;  // per slot, see held_rows()
  std::vector<uint64_t> yes_;    // rows of which every condition holds
  std::vector<uint64_t> maybe_;  // … or is unknown
  bool has_others_ = false;      // the message may also be taken for something else: Facts::also_mimes …
  std::vector<uint64_t> yes_by_any_;  // … and then these are by any of it
  std::vector<uint64_t> maybe_by_any_;
  std::array<const uint64_t*, slot_count> possible_{};
  std::vector<uint64_t> possible_hosts_;  // what possible_ points to where the policy has no such rows
  std::vector<uint64_t> possible_urls_;
  std::vector<uint64_t> possible_sizes_;
  std::vector<uint64_t>
      schedule_rows_;  // of slot schedule, at scheduled_at_: the answer changes once a minute at most
  LocalTime scheduled_at_;
  bool scheduled_ = false;
  std::vector<int> regex_scratch_;

  /// What the expressions over user agents said of one. The clients of a network have few, and each says its own with every
  /// request; all the expressions cost some 0.5 us. Empty where the policy has none.
  struct Agent {
    std::string text;
    std::vector<SetId> matching;
    bool is_known = false;
  };
  static constexpr size_t agents_max = 64;  // with their texts 40 KiB at most
  std::vector<Agent> agents_;               // by hash

  /// The groups that the host and the URL of a request hold. Its response asks for the same, soon, as does whatever is fetched again.
  struct Link {
    std::string host;
    std::string url;
    std::vector<uint32_t> groups;
    bool is_known = false;
  };
  static constexpr size_t links_max = 128;
  // Of what is kept: together less than 1.5 KiB each.
  static constexpr size_t link_url_bytes_max = 512;
  static constexpr size_t link_groups_max = 64;
  std::vector<Link> links_;  // by hash
};

}  // namespace sluice::rules
