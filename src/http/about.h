// Which HTTP parser is linked. Pure.
#pragma once

#include <string>

namespace sluice::http {

[[nodiscard]] std::string llhttp_version();  // "9.2.1"

}  // namespace sluice::http
