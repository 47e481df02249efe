#include "rules/regex_set.h"

#include <fmt/format.h>
#include <re2/re2.h>
#include <re2/set.h>

#include <algorithm>

#include "base/check.h"
#include "base/give_back.h"
#include "base/limits.h"

namespace sluice::rules {
namespace {

// Latin-1: RE2 then takes every byte as it is. In UTF-8, '.' would not match a byte that is none, and a rule
// could be evaded. Patterns may be written in UTF-8 all the same: their letters are the same bytes.
RE2::Options options() {
  RE2::Options options;
  options.set_encoding(RE2::Options::EncodingLatin1);
  options.set_dot_nl(true);
  options.set_log_errors(false);
  options.set_never_capture(true);
  options.set_max_mem(limits::regex_memory_bytes);
  return options;
}

}  // namespace

struct RegexSet::Automaton {
  Automaton() : set(options(), RE2::UNANCHORED) {}
  RE2::Set set;
};

bool check_regex(std::string_view pattern, std::string& error) {
  if (pattern.size() > limits::regex_bytes_max) {
    error = fmt::format("the regular expression has {} bytes; at most {} are allowed", pattern.size(),
                        limits::regex_bytes_max);
    return false;
  }
  const RE2 regex(re2::StringPiece(pattern.data(), pattern.size()), options());
  if (!regex.ok()) {
    error = fmt::format("not a regular expression (RE2 syntax): {}", regex.error());
    return false;
  }
  return true;
}

std::string regex_of_glob(std::string_view glob) {
  std::string regex = "^";
  for (const char c : glob) {
    if (c == '*') {
      regex += ".*";
    } else if (c == '?') {
      regex += '.';
    } else {
      regex += RE2::QuoteMeta(re2::StringPiece(&c, 1));
    }
  }
  return regex + "$";
}

RegexSet::RegexSet() = default;
RegexSet::~RegexSet() = default;
RegexSet::RegexSet(RegexSet&&) noexcept = default;
RegexSet& RegexSet::operator=(RegexSet&&) noexcept = default;

void RegexSet::add(std::string_view pattern, bool ignore_case, uint32_t group) {
  std::string text = (ignore_case ? "(?i)" : "") + std::string(pattern);
  Pattern& added = patterns_.emplace_back();
  added.text = std::move(text);
  added.added.push_back(group);
}

void RegexSet::build(SetPool& sets) {
  // Equal patterns of several rules become one.
  std::sort(patterns_.begin(), patterns_.end(),
            [](const Pattern& a, const Pattern& b) { return a.text < b.text; });
  std::vector<Pattern> different;
  for (Pattern& pattern : patterns_) {
    if (different.empty() || different.back().text != pattern.text)
      different.push_back(std::move(pattern));
    else
      different.back().added.push_back(pattern.added.front());
  }
  patterns_ = std::move(different);
  if (patterns_.empty()) return;

  all_ = std::make_unique<Automaton>();
  bool is_good = true;
  for (Pattern& pattern : patterns_) {
    for (const uint32_t group : pattern.added) pattern.groups = sets.with(pattern.groups, group);
    give_back(pattern.added);
    is_good = is_good && all_->set.Add(pattern.text, nullptr) >= 0;
  }
  is_good = is_good && all_->set.Compile();
  // An automaton that does not fit its memory says "no match"; so it is asked once whether it works.
  if (is_good) {
    RE2::Set::ErrorInfo info{};
    std::vector<int> matching;
    is_good = all_->set.Match("", &matching, &info) || info.kind == RE2::Set::kNoError;
  }
  if (!is_good) all_.reset();
  // One by one: slower, never wrong.
  for (Pattern& pattern : patterns_) {
    pattern.alone = std::make_unique<RE2>(pattern.text, options());
    SLUICE_CHECK(pattern.alone->ok());
  }
}

void RegexSet::match(std::string_view text, std::vector<int>& matching) const {
  matching.clear();
  const re2::StringPiece piece(text.data(), text.size());
  if (all_) {
    RE2::Set::ErrorInfo info{};
    if (all_->set.Match(piece, &matching, &info) || info.kind == RE2::Set::kNoError) return;
    matching.clear();
  }
  for (size_t i = 0; i < patterns_.size(); ++i)
    if (RE2::PartialMatch(piece, *patterns_[i].alone)) matching.push_back(static_cast<int>(i));
}

}  // namespace sluice::rules
