// rules.toml from the disk, with the files that it names, for the daemon and for the command line alike.
// config/ itself reads no files.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "config/config.h"
#include "tls/material.h"

namespace sluice::control {

struct Loaded : config::Loaded {
  std::shared_ptr<const tls::Material> material;  // null when nothing bumps, or any problem is an error
};

/// Loads `path`, the list files and, for decrypting, the CA, roots and CRLs that it names. `previous` is what
/// the reload replaces: its untrusted CA is kept. The hash seed is random: nobody can choose names that
/// collide.
[[nodiscard]] Loaded load_from_disk(const std::string& path, const tls::Material* previous = nullptr);

/// A config::ReadFile. Refuses what is not a regular file (a FIFO would block), and files past
/// file_bytes_max.
[[nodiscard]] std::optional<std::string> read_file(const std::string& path, std::string& error);

// A list of ten million names of 25 bytes. Past that it is more likely the wrong file than a list.
inline constexpr size_t file_bytes_max = 256 * 1024 * 1024;

}  // namespace sluice::control
