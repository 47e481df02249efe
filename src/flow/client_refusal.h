// How a client says that it does not accept our certificate (S14). Pure.
#pragma once

#include "tls/engine.h"

namespace sluice::flow {

/// Its alert says so: RFC 8446 section 6.2, bad_certificate … unknown_ca.
[[nodiscard]] bool refuses_certificate(const tls::Failure& failure);

}  // namespace sluice::flow
