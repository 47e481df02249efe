#include "config/toml.h"

#include <fmt/format.h>

#include <algorithm>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#define TOML_ENABLE_FORMATTERS 0
// Its assertions abort on documents: 3.3 asserts that a table header begins with a key character, where
// `[!x]` does not. Past them it reports such a thing as an error.
#define TOML_ASSERT(expression) static_assert(true)
#include <toml++/toml.h>
#pragma GCC diagnostic pop

namespace sluice::config {
namespace {

rules::Position position_of(const toml::source_region& region) {
  return {region.begin.line, region.begin.column};
}

// Nesting is bounded by toml++ (TOML_MAX_NESTED_VALUES), so recursion is too.
Value convert(const toml::node& node) {
  Value value;
  value.position = position_of(node.source());
  if (const auto* boolean = node.as_boolean()) {
    value.is = boolean->get();
  } else if (const auto* integer = node.as_integer()) {
    value.is = int64_t{integer->get()};
  } else if (const auto* number = node.as_floating_point()) {
    value.is = number->get();
  } else if (const auto* text = node.as_string()) {
    value.is = text->get();
  } else if (const auto* array = node.as_array()) {
    Array converted;
    for (const toml::node& element : *array) converted.values.push_back(convert(element));
    value.is = std::move(converted);
  } else if (const auto* table = node.as_table()) {
    Table converted;
    for (const auto& [key, element] : *table)
      converted.entries.emplace_back(Key{std::string(key.str()), position_of(key.source())},
                                     convert(element));
    std::sort(converted.entries.begin(), converted.entries.end(), [](const auto& a, const auto& b) {
      return std::pair(a.first.position.line, a.first.position.column) <
             std::pair(b.first.position.line, b.first.position.column);
    });
    value.is = std::move(converted);
  }
  return value;
}

void append(const Value& value, std::string& text, size_t length_max) {
  if (text.size() > length_max) return;
  if (const auto* boolean = std::get_if<bool>(&value.is)) {
    text += *boolean ? "true" : "false";
  } else if (const auto* integer = std::get_if<int64_t>(&value.is)) {
    text += fmt::to_string(*integer);
  } else if (const auto* number = std::get_if<double>(&value.is)) {
    text += fmt::to_string(*number);
  } else if (const auto* string = std::get_if<std::string>(&value.is)) {
    text += '"' + *string + '"';
  } else if (const auto* array = std::get_if<Array>(&value.is)) {
    text += '[';
    for (size_t i = 0; i < array->values.size() && text.size() <= length_max; ++i) {
      if (i > 0) text += ", ";
      append(array->values[i], text, length_max);
    }
    text += ']';
  } else if (const auto* table = std::get_if<Table>(&value.is)) {
    text += "{ ";
    for (size_t i = 0; i < table->entries.size() && text.size() <= length_max; ++i) {
      if (i > 0) text += ", ";
      text += table->entries[i].first.name + " = ";
      append(table->entries[i].second, text, length_max);
    }
    text += " }";
  } else {
    text += "a date or time";
  }
}

}  // namespace

const std::pair<Key, Value>* Table::find(std::string_view name) const {
  for (const auto& entry : entries)
    if (entry.first.name == name) return &entry;
  return nullptr;
}

const char* Value::type() const {
  struct Names {
    const char* operator()(const OtherType&) const { return "a date or time"; }
    const char* operator()(bool) const { return "true or false"; }
    const char* operator()(int64_t) const { return "a whole number"; }
    const char* operator()(double) const { return "a number with a fraction"; }
    const char* operator()(const std::string&) const { return "a string"; }
    const char* operator()(const Array&) const { return "a list"; }
    const char* operator()(const Table&) const { return "a table"; }
  };
  return std::visit(Names{}, is);
}

std::string Value::to_string(size_t length_max) const {
  std::string text;
  append(*this, text, length_max);
  if (text.size() <= length_max) return text;
  size_t end = length_max;
  while (end > 0 && (static_cast<uint8_t>(text[end]) & 0xc0) == 0x80) --end;  // not inside a UTF-8 sequence
  text.resize(end);
  return text + "…";
}

std::optional<Table> parse_toml(std::string_view text, SyntaxError& error) {
  const toml::parse_result result = toml::parse(text);
  if (!result) {
    error.position = position_of(result.error().source());
    error.message = result.error().description();
    return std::nullopt;
  }
  Value root = convert(result.table());
  return std::move(std::get<Table>(root.is));
}

}  // namespace sluice::config
