// Evaluator: which rows of a Policy hold for some Facts. The one place in which conditions are evaluated;
// Judge asks it for verdicts and explain() for reasons.
//
// Owns the scratch memory of an evaluation; belongs to one thread. evaluate() allocates nothing.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "rules/policy.h"

namespace sluice::rules {

enum class Truth : uint8_t { no, unknown, yes };

class Evaluator {
 public:
  explicit Evaluator(const Policy& policy);

  void evaluate(const Facts& facts);

  /// Of the last evaluate(): whether one condition of a row holds, and whether all do.
  [[nodiscard]] Truth condition(uint32_t row, Slot slot) const;
  [[nodiscard]] Truth row(uint32_t row) const;

  struct Match {
    RuleIndex rule = rule_none;  // rule_default: none matched
    bool unknown = false;        // an unknown was met at `rule` before any match
  };
  /// The first rule of a table that matches. `settled`: nothing more will become known, so what is unknown is
  /// never known, and such a condition does not hold.
  [[nodiscard]] Match first_tls(bool settled) const { return first(policy_->tls_, settled); }
  [[nodiscard]] Match first_access(bool settled) const { return first(policy_->access_, settled); }
  /// The same question for one rule.
  [[nodiscard]] Truth rule(const Rule& rule, bool settled) const;

 private:
  [[nodiscard]] Match first(const Policy::Table& table, bool settled) const;
  void hold(SetId groups);
  void hold_group(uint32_t group);
  void hold_texts(const Policy::Texts& texts, std::string_view text);
  void hold_schedules(const LocalTime& now);
  [[nodiscard]] std::span<uint64_t> rows(Slot slot) {
    return std::span(slots_).subspan(static_cast<size_t>(slot) * words_, words_);
  }
  [[nodiscard]] bool unknown(Slot slot) const { return (unknown_ >> static_cast<unsigned>(slot) & 1) != 0; }

  const Policy* policy_;
  size_t words_;
  uint32_t unknown_ = 0;         // bit per slot whose attribute is not known yet
  std::vector<uint64_t> slots_;  // per slot: rows whose condition on it holds, or that have none
  std::vector<uint64_t> yes_;    // rows of which every condition holds
  std::vector<uint64_t> maybe_;  // … or is unknown
  std::vector<uint64_t>
      schedule_rows_;  // of slot schedule, at scheduled_at_: the answer changes once a minute at most
  LocalTime scheduled_at_;
  bool scheduled_ = false;
};

}  // namespace sluice::rules
