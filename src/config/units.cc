#include "config/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <vector>

namespace sluice::config {
namespace {

struct Unit {
  std::string_view name;
  uint64_t factor;
};
constexpr std::array<Unit, 5> duration_units = {
    {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}}};
constexpr std::array<Unit, 4> size_units = {
    {{"B", 1}, {"KiB", 1u << 10}, {"MiB", 1u << 20}, {"GiB", 1u << 30}}};

std::optional<uint64_t> parse_with_unit(std::string_view text, std::span<const Unit> units) {
  uint64_t number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure != std::errc{}) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  if (text.starts_with(' ')) text.remove_prefix(1);
  for (const Unit& unit : units) {
    if (text != unit.name) continue;
    if (number > std::numeric_limits<uint64_t>::max() / unit.factor) return std::nullopt;
    return number * unit.factor;
  }
  return std::nullopt;
}

const Unit& largest_exact(uint64_t value, std::span<const Unit> units) {
  size_t best = 0;
  for (size_t i = 1; i < units.size(); ++i)
    if (value != 0 && value % units[i].factor == 0) best = i;
  return units[best];
}

// Edits (insert, delete, replace, swap of neighbours) from one word to the other: optimal string alignment.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replace = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, replace});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

}  // namespace

std::optional<uint64_t> parse_duration_ms(std::string_view text) {
  return parse_with_unit(text, duration_units);
}

std::string duration_to_string(uint64_t ms) {
  if (ms == 0) return "0s";
  const Unit& unit = largest_exact(ms, duration_units);
  return fmt::format("{}{}", ms / unit.factor, unit.name);
}

std::optional<uint64_t> parse_size_bytes(std::string_view text) { return parse_with_unit(text, size_units); }

std::string size_to_string(uint64_t bytes) {
  const Unit& unit = largest_exact(bytes, size_units);
  return fmt::format("{} {}", bytes / unit.factor, unit.name);
}

std::string_view nearest(std::string_view text, std::span<const std::string_view> names) {
  constexpr size_t text_bytes_max = 64;  // the distance costs the product of the lengths
  if (text.size() > text_bytes_max) return {};
  std::string_view best;
  size_t best_distance = text.size() < 4 ? 1 : text.size() / 3;
  for (const std::string_view name : names) {
    const size_t edits = distance(text, name);
    if (edits < best_distance || (edits == best_distance && best.empty())) {
      best = name;
      best_distance = edits;
    }
  }
  return best;
}

std::string quoted_choices(std::span<const std::string_view> names) {
  std::string text;
  for (size_t i = 0; i < names.size(); ++i) {
    if (i > 0) text += i + 1 == names.size() ? " or " : ", ";
    text += fmt::format("\"{}\"", names[i]);
  }
  return text;
}

}  // namespace sluice::config
