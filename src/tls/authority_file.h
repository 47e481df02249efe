// The CA from its two files, with every reason why it cannot be used. For the loader of the configuration and
// for `sluice ca`; never on the data path.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <tl/expected.hpp>

#include "tls/authority.h"

namespace sluice::tls {

struct AuthorityFileProblem {
  std::string file;  // which of the two
  AuthorityProblem problem;
};
/// "/etc/sluice/ca.pem:12: not base64", the file in front.
[[nodiscard]] std::string text_of(const AuthorityFileProblem& problem);

/// Both may be the same file. The key file must not be readable for everybody. `now` in seconds since 1970.
[[nodiscard]] tl::expected<std::shared_ptr<const Authority>, AuthorityFileProblem> load_authority(
    const std::string& certificate_file, const std::string& key_file, int64_t now);

}  // namespace sluice::tls
