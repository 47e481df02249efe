// Host patterns (S20): `example.com` that name only, `*.example.com` every name under it, `.example.com`
// both.
//
// Pure; nothing is kept.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/host_name.h"

namespace sluice::rules {

struct HostPattern {
  enum class Kind : uint8_t { exact, below, both };
  Kind kind = Kind::exact;
  std::string name;  // lower case, A-labels, no dot in front or behind; 1 to 253 bytes

  bool operator==(const HostPattern&) const = default;
  [[nodiscard]] std::string to_string() const;

  /// On failure `error` says what is wrong and what would be right. Address literals are not host patterns:
  /// the caller tries Cidr::parse first.
  [[nodiscard]] static std::optional<HostPattern> parse(std::string_view text, std::string& error);
  /// The same into a pattern that is used again and again, for lists of a million lines.
  [[nodiscard]] static bool parse_into(std::string_view text, HostPattern& pattern, std::string& error);
};

}  // namespace sluice::rules
