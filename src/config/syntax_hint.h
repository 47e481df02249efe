// What to write where a text is not TOML: the parser says what it met, this says what was probably meant. Pure.
#pragma once

#include <string>
#include <string_view>

#include "rules/policy.h"

namespace sluice::config {

/// `message` is the parser's, `at` its place (line and column from 1, the column in characters). "; write \"eth1\", in
/// quotes", or an empty text when nothing is known to be better.
[[nodiscard]] std::string syntax_hint(std::string_view text, rules::Position at, std::string_view message);

}  // namespace sluice::config
