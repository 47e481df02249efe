// rules.toml from the disk, for the daemon and for the command line alike. config/ itself reads no files.
#pragma once

#include <optional>
#include <string>

#include "config/config.h"

namespace sluice::control {

/// Loads `path` and the list files that it names. The hash seed is random: nobody can choose names that
/// collide.
[[nodiscard]] config::Loaded load_from_disk(const std::string& path);

/// A config::ReadFile. Refuses what is not a regular file (a FIFO would block), and files past
/// file_bytes_max.
[[nodiscard]] std::optional<std::string> read_file(const std::string& path, std::string& error);

// A list of ten million names of 25 bytes. Past that it is more likely the wrong file than a list.
inline constexpr size_t file_bytes_max = 256 * 1024 * 1024;

}  // namespace sluice::control
