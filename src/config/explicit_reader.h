// [explicit] -> Explicit: where clients that are configured for a proxy connect, and who they must be.
#pragma once

#include <functional>

#include <cstdint>

#include "config/config.h"
#include "config/rules_reader.h"
#include "config/section.h"

namespace sluice::config {

void read_explicit(Section& section, const RulesReader& rules, const ReadFile& read_file,
                   const Gateway& gateway, Explicit& explicit_proxy);

/// An htpasswd file: `name:hash` in each line, `#` begins a comment line. Hashes are those that crypt(3) knows and
/// nobody can turn back quickly: bcrypt ($2y$, $2a$, $2b$) and SHA-crypt ($5$, $6$). Every fault is reported with its
/// line (from 1); what is good is returned.
[[nodiscard]] Users parse_users(std::string_view text,
                                const std::function<void(uint32_t line, std::string message)>& report);

}  // namespace sluice::config
