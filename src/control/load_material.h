// The files that [tls] names for decrypting -> tls::Material, or every fault with the place of the key that
// named the file.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "config/config.h"
#include "tls/material.h"

namespace sluice::control {

/// Where Linux distributions keep the bundle of roots that they trust; the first that is there is read.
[[nodiscard]] std::span<const std::string> system_root_files();

/// Null when a fault is an error, or nothing bumps. Where nothing bumps, faults are warnings (S9).
/// `now_s`: seconds since 1970. `previous`: its untrusted CA is kept, so that what clients saw stays the
/// same. `problems` gets what is wrong, each with the position of the key.
[[nodiscard]] std::shared_ptr<const tls::Material> load_material(const config::Config& config, int64_t now_s,
                                                                 const tls::Material* previous,
                                                                 std::span<const std::string> root_files,
                                                                 std::vector<config::Problem>& problems);

}  // namespace sluice::control
