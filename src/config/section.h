// Section: one table of rules.toml, read key by key. Whatever is wrong becomes a Problem with the place, the
// allowed values and, for a misspelt name, the nearest right one; reading goes on, so that all problems come
// at once.
//
// Refers to the table and the problems; lives inside one load.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/problems.h"
#include "config/toml.h"

namespace sluice::config {

/// Something that is allowed to be written, but not in this version.
struct NotYet {
  std::string_view name;
  std::string_view why;
};

class Section {
 public:
  /// `path` is how the section is called in messages: "gateway", "tls.rules"; empty for the document.
  Section(const Table& table, std::string path, rules::Position position, Problems& problems)
      : table_(&table), path_(std::move(path)), position_(position), problems_(&problems) {}

  /// Each leaves `target` alone when the key is absent or wrong.
  void boolean(std::string_view key, bool& target);
  template <class Integer>
  void integer(std::string_view key, int64_t least, int64_t most, Integer& target) {
    if (const auto value = integer_value(key, least, most)) target = static_cast<Integer>(*value);
  }
  void duration(std::string_view key, uint64_t least_ms, uint64_t most_ms, uint32_t& target_ms);
  void size(std::string_view key, uint64_t least, uint64_t most, uint64_t& target);
  template <class Enum>
  void choice(std::string_view key, std::initializer_list<std::pair<std::string_view, Enum>> choices,
              Enum& target) {
    std::vector<std::string_view> names;
    for (const auto& [name, value] : choices) names.push_back(name);
    if (const auto index = choice_index(key, names)) target = (choices.begin() + *index)->second;
  }

  /// The value of a key that the caller reads itself; null when absent.
  [[nodiscard]] const Value* value(std::string_view key);
  /// The same, of one type; another type is a problem.
  [[nodiscard]] const std::string* string(std::string_view key);
  [[nodiscard]] const Array* array(std::string_view key);
  [[nodiscard]] const Table* table(std::string_view key);

  /// Every key that was not asked for above is a problem: one of `not_yet`, or a misspelling of what was
  /// asked for.
  void finish(std::span<const NotYet> not_yet = {});

  [[nodiscard]] std::string full(std::string_view key) const;  // "tls.decrypt"
  [[nodiscard]] rules::Position position() const { return position_; }
  [[nodiscard]] Problems& problems() { return *problems_; }

 private:
  [[nodiscard]] std::optional<int64_t> integer_value(std::string_view key, int64_t least, int64_t most);
  [[nodiscard]] std::optional<size_t> choice_index(std::string_view key,
                                                   std::span<const std::string_view> names);
  template <class T>
  [[nodiscard]] const T* typed(std::string_view key, std::string_view wanted, bool has_remedy = true);

  const Table* table_;
  std::string path_;
  rules::Position position_;
  Problems* problems_;
  std::vector<std::string_view> asked_;
};

}  // namespace sluice::config
