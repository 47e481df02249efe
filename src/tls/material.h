// Material: what decrypting needs besides the rules: our CAs and whom we believe. Made from files beside each
// Config (control/load_config).
//
// Immutable; shared by all workers; replaced as a whole at a reload. A session keeps the one that it started
// with. The leaf key is not in it: there is one per process start (S17).
#pragma once

#include <memory>

#include "tls/authority.h"
#include "tls/trust.h"

namespace sluice::tls {

struct Material {
  std::shared_ptr<const Authority> authority;  // tls.ca_cert, tls.ca_key
  std::shared_ptr<const Authority> untrusted;  // signs for invalid origins (S12); kept over reloads
  std::shared_ptr<const Trust> trust;
};

}  // namespace sluice::tls
