// What wolfSSL this program is linked with, and what it can do. Mostly for `sluice version`. Stateless; any thread.
#pragma once

#include <string>

namespace sluice::tls {

[[nodiscard]] std::string library_version();
/// What it was built with that Sluice cares about; then "; missing: …", if anything is.
[[nodiscard]] std::string features();
/// Whether origins are asked to staple an OCSP response. wolfSSL 5.7 would judge it itself, so there none is asked for.
[[nodiscard]] bool asks_for_staples();
/// Assembly that was built in and that this CPU can run; then "; off: …", if anything is.
[[nodiscard]] std::string accelerations();

}  // namespace sluice::tls
