// The URL of a request as rules compare it (base/canonical_url.h). Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "http/head.h"

namespace sluice::http {

/// Appends "https://example.com/path?query". What the connection is has the last word, so that a Host field
/// cannot step out of a rule: `is_tls` decides the scheme, whatever a target in absolute form says, and
/// `connection_port`, where not 0, the port. 0 leaves that to the request: for a proxy that dials what the
/// target names. `fallback_host` (an SNI, or the destination's address) stands in for a host that is missing.
/// Asterisk form: without a path. Authority form (CONNECT): nothing is appended, rules see no URL there.
void append_canonical_url(std::string& out, const RequestHead& head, bool is_tls,
                          std::string_view fallback_host, uint16_t connection_port = 0);

}  // namespace sluice::http
