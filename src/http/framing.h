// What a head means: checks that leave no room for two readings, and what follows from them. Fills in
// everything of a head that is not its text. Pure; any thread.
#pragma once

#include <optional>

#include "http/head.h"
#include "http/parser.h"
#include "http/refusal.h"

namespace sluice::http {

/// Empty: all is well and the head is filled in. Expects its headers, method, target and version to be there.
[[nodiscard]] std::optional<Refusal> settle(RequestHead& head);
/// The same; expects headers, status and version. `request` is the one that it answers.
[[nodiscard]] std::optional<Refusal> settle(ResponseHead& head, RequestKind request);

/// Protocols that may never be upgraded to, because they are HTTP that this gateway would then not see: h2c,
/// HTTP/…, TLS/….
[[nodiscard]] bool may_upgrade_to(std::string_view protocol);

}  // namespace sluice::http
