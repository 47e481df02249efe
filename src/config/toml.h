// TOML text -> a tree of plain values that know where they stand. The only room door to toml++: nothing else
// includes it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "rules/policy.h"

namespace sluice::config {

struct Value;
struct Entry;

struct Key {
  std::string name;
  rules::Position position;
};

struct Table {
  std::vector<Entry> entries;  // in the order of the text
  [[nodiscard]] const Entry* find(std::string_view name) const;
};

struct Array {
  std::vector<Value> values;
};

/// A date or time, which no key here takes: kept only to say so.
struct OtherType {};

struct Value {
  std::variant<OtherType, bool, int64_t, double, std::string, Array, Table> is;
  rules::Position position;

  [[nodiscard]] const char* type() const;  // "a string", for messages
  /// As one would write it, on one line, at most `length_max` bytes with "…" where something was left out.
  [[nodiscard]] std::string to_string(size_t length_max = 100) const;
};

struct Entry {
  Key key;
  Value value;
};

struct SyntaxError {
  rules::Position position;
  std::string message;
};

/// The document's root table; nullopt with `error` set when it is not TOML 1.0.
[[nodiscard]] std::optional<Table> parse_toml(std::string_view text, SyntaxError& error);

}  // namespace sluice::config
