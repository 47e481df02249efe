// [page] of rules.toml: the template of block pages; and the check of texts with macros (S31), which `to` of
// redirects needs as well.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/macro_text.h"
#include "config/config.h"
#include "config/rules_reader.h"
#include "config/section.h"

namespace sluice::config {

/// What is wrong with a text with macros, in a sentence with the nearest right name: "there is no macro
/// %HOTS%; did you mean %HOST%?". `fault` is what find_macro_fault() found.
[[nodiscard]] std::string macro_problem(const MacroFault& fault);

/// What is wrong with `to` of a redirect: that it is no http or https URL, has characters that no URL has, or
/// a macro that there is not. Empty: nothing.
[[nodiscard]] std::optional<std::string> redirect_problem(std::string_view to);

/// Reads the template, too.
void read_page(Section& section, const RulesReader& rules, const ReadFile& read_file, Page& page);

}  // namespace sluice::config
