// What a person writes: durations, sizes, and names that are nearly right. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace sluice::config {

/// "500ms", "10s", "5m", "1h", "7d" in milliseconds: a whole number and a unit, with or without a space
/// between.
[[nodiscard]] std::optional<uint64_t> parse_duration_ms(std::string_view text);
[[nodiscard]] std::string duration_to_string(uint64_t ms);

/// "512", "64 KiB", "100 MiB", "1 GiB" in bytes.
[[nodiscard]] std::optional<uint64_t> parse_size_bytes(std::string_view text);
[[nodiscard]] std::string size_to_string(uint64_t bytes);

/// The name that `text` was probably meant to be; empty when none is near.
[[nodiscard]] std::string_view nearest(std::string_view text, std::span<const std::string_view> names);

/// `"a", "b" or "c"`.
[[nodiscard]] std::string quoted_choices(std::span<const std::string_view> names);

}  // namespace sluice::config
