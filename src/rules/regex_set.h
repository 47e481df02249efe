// RegexSet: many regular expressions (RE2) over one text at once -> the groups of those that match.
//
// Unanchored. A '.' stands for any byte, a line feed too, and a text may be any bytes: what is not UTF-8
// cannot slip past. Built once, immutable afterwards and shared by all threads; RE2 keeps its automata behind
// locks of its own and may allocate.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "rules/set_pool.h"

namespace re2 {
class RE2;
}

namespace sluice::rules {

/// False with `error` set when `pattern` is no regular expression that RE2 takes.
[[nodiscard]] bool check_regex(std::string_view pattern, std::string& error);

/// What a glob stands for: '*' any bytes, '?' one byte, everything else itself; the whole text must match.
[[nodiscard]] std::string regex_of_glob(std::string_view glob);

class RegexSet {
 public:
  RegexSet();
  ~RegexSet();
  RegexSet(RegexSet&&) noexcept;
  RegexSet& operator=(RegexSet&&) noexcept;

  /// Before build(). `pattern` has passed check_regex(); an equal one is compiled once.
  void add(std::string_view pattern, bool ignore_case, uint32_t group);
  void build(SetPool& sets);

  [[nodiscard]] bool empty() const { return patterns_.empty(); }
  [[nodiscard]] size_t size() const { return patterns_.size(); }

  /// Calls sink(SetId) for the groups of every pattern that matches. `scratch` is the caller's, so that it is
  /// not allocated anew.
  template <class Sink>
  void find(std::string_view text, std::vector<int>& scratch, Sink&& sink) const {
    if (patterns_.empty()) return;
    match(text, scratch);
    for (const int pattern : scratch) sink(patterns_[static_cast<size_t>(pattern)].groups);
  }

 private:
  struct Pattern {
    std::string text;  // with its flags in front
    std::vector<uint32_t> added;
    SetId groups = set_empty;
    std::unique_ptr<re2::RE2> alone;  // only where there is no automaton for all
  };
  struct Automaton;

  void match(std::string_view text, std::vector<int>& matching) const;

  std::vector<Pattern> patterns_;
  std::unique_ptr<Automaton> all_;
};

}  // namespace sluice::rules
