#include "config/section.h"

#include <fmt/format.h>

#include <algorithm>
#include <type_traits>

#include "config/remedy.h"
#include "config/units.h"

namespace sluice::config {
namespace {

template <class T>
constexpr Wanted wanted_of() {
  if constexpr (std::is_same_v<T, bool>) return Wanted::boolean;
  if constexpr (std::is_same_v<T, int64_t>) return Wanted::integer;
  if constexpr (std::is_same_v<T, Array>) return Wanted::array;
  if constexpr (std::is_same_v<T, Table>) return Wanted::table;
  return Wanted::string;
}

// A number that would be one of the words, had it quotes: min_version = 1.2.
bool is_written_as(const Value& value, std::span<const std::string_view> names) {
  return std::find(names.begin(), names.end(), value.to_string()) != names.end();
}

}  // namespace

std::string Section::full(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

const Value* Section::value(std::string_view key) {
  asked_.push_back(key);
  const auto* entry = table_->find(key);
  return entry == nullptr ? nullptr : &entry->value;
}

template <class T>
const T* Section::typed(std::string_view key, std::string_view wanted, bool has_remedy) {
  const Value* found = value(key);
  if (found == nullptr) return nullptr;
  const T* content = std::get_if<T>(&found->is);
  if (content == nullptr)
    problems_->error(found->position, fmt::format("{} must be {}, not {}{}", full(key), wanted, found->type(),
                                                  has_remedy ? type_remedy(path_, key, wanted_of<T>(), *found) : ""));
  return content;
}

const std::string* Section::string(std::string_view key) { return typed<std::string>(key, "a string"); }
const Array* Section::array(std::string_view key) { return typed<Array>(key, "a list"); }
const Table* Section::table(std::string_view key) { return typed<Table>(key, "a table"); }

void Section::boolean(std::string_view key, bool& target) {
  if (const bool* found = typed<bool>(key, "true or false")) target = *found;
}

std::optional<int64_t> Section::integer_value(std::string_view key, int64_t least, int64_t most) {
  const int64_t* found = typed<int64_t>(key, fmt::format("a whole number from {} to {}", least, most));
  if (found == nullptr) return std::nullopt;
  if (*found >= least && *found <= most) return *found;
  problems_->error(table_->find(key)->value.position,
                   fmt::format("{} must be from {} to {}, not {}", full(key), least, most, *found));
  return std::nullopt;
}

void Section::duration(std::string_view key, uint64_t least_ms, uint64_t most_ms, uint32_t& target_ms) {
  const std::string* text =
      typed<std::string>(key, "a duration like \"500ms\", \"10s\", \"5m\", \"1h\" or \"7d\", in quotes", false);
  if (text == nullptr) return;
  const auto at = table_->find(key)->value.position;
  const auto ms = parse_duration_ms(*text);
  if (!ms) {
    problems_->error(
        at, fmt::format("{}: '{}' is not a duration; write a whole number and a unit: \"500ms\", \"10s\", "
                        "\"5m\", \"1h\" or \"7d\"",
                        full(key), *text));
  } else if (*ms < least_ms || *ms > most_ms) {
    problems_->error(at, fmt::format("{} must be from \"{}\" to \"{}\", not \"{}\"", full(key),
                                     duration_to_string(least_ms), duration_to_string(most_ms), *text));
  } else {
    target_ms = static_cast<uint32_t>(*ms);
  }
}

void Section::size(std::string_view key, uint64_t least, uint64_t most, uint64_t& target) {
  const std::string* text = typed<std::string>(key, "a size like \"64 KiB\", \"100 MiB\" or \"1 GiB\"", false);
  if (text == nullptr) return;
  const auto at = table_->find(key)->value.position;
  const auto bytes = parse_size_bytes(*text);
  if (!bytes) {
    problems_->error(
        at, fmt::format("{}: '{}' is not a size; write a whole number and a unit: \"512 B\", \"64 KiB\", "
                        "\"100 MiB\" or \"1 GiB\"",
                        full(key), *text));
  } else if (*bytes < least || *bytes > most) {
    problems_->error(at, fmt::format("{} must be from \"{}\" to \"{}\", not \"{}\"", full(key),
                                     size_to_string(least), size_to_string(most), *text));
  } else {
    target = *bytes;
  }
}

std::optional<size_t> Section::choice_index(std::string_view key, std::span<const std::string_view> names) {
  const std::string choices = quoted_choices(names);
  const Value* written = value(key);
  const std::string* text = typed<std::string>(key, choices, written != nullptr && is_written_as(*written, names));
  if (text == nullptr) return std::nullopt;
  const auto found = std::find(names.begin(), names.end(), *text);
  if (found != names.end()) return static_cast<size_t>(found - names.begin());
  std::string remedy = word_remedy(path_, key, *text, names);
  if (const std::string_view near = nearest(*text, names); remedy.empty() && !near.empty())
    remedy = fmt::format(": did you mean \"{}\"?", near);
  problems_->error(table_->find(key)->value.position,
                   fmt::format("{} must be {}, not \"{}\"{}", full(key), choices, *text, remedy));
  return std::nullopt;
}

void Section::finish(std::span<const NotYet> not_yet) {
  std::vector<std::string_view> known;  // some keys are asked for twice
  for (const std::string_view name : asked_)
    if (std::find(known.begin(), known.end(), name) == known.end()) known.push_back(name);
  for (const Entry& entry : table_->entries) {
    const Key& key = entry.key;
    if (std::find(asked_.begin(), asked_.end(), key.name) != asked_.end()) continue;
    const auto later =
        std::find_if(not_yet.begin(), not_yet.end(), [&](const NotYet& n) { return n.name == key.name; });
    if (later != not_yet.end()) {
      problems_->error(key.position, fmt::format("{}: {}", full(key.name), later->why));
      continue;
    }
    const std::string here = path_.empty() ? "at the top of the file" : fmt::format("in {}", path_);
    const auto report = [&](const std::string& remedy) {
      problems_->error(key.position, fmt::format("unknown key '{}' {}{}", key.name, here, remedy));
    };
    if (const std::string remedy = key_remedy(path_, key.name); !remedy.empty()) {
      report(remedy);
      continue;
    }
    std::vector<std::string_view> names(known);
    for (const NotYet& later_key : not_yet) names.push_back(later_key.name);
    const std::string_view near = nearest(key.name, names);
    report(near.empty() ? fmt::format("; known are {}", fmt::join(known, ", ")) : fmt::format(": did you mean '{}'?", near));
  }
}

}  // namespace sluice::config
