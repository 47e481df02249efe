// The keys of [tls] and [http] that decrypting needs: sections of rules.toml -> config::Tls, config::Http.
//
// Reads no files: those that the keys name are read by control/load_config.
#pragma once

#include <optional>
#include <string_view>

#include "config/config.h"
#include "config/rules_reader.h"
#include "config/section.h"

namespace sluice::config {

/// 64 hexadecimal digits, in either case, with or without colons between the bytes (as `openssl x509
/// -fingerprint -sha256` and browsers show them).
[[nodiscard]] std::optional<Fingerprint> parse_fingerprint(std::string_view text);

void read_bump(Section& section, RulesReader& rules, Tls& tls);

/// S9: whatever may bump must have a CA named. Whether the files are any good, tls::load_material finds out.
void require_ca(const RulesReader& rules, const Tls& tls, Problems& problems);

void read_http(Section& section, Http& http);

}  // namespace sluice::config
