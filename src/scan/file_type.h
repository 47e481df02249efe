// What a body is, told by its first bytes and never by its name or Content-Type (`file_type` in rules.toml).
// Pure; any thread.
#pragma once

#include <cstdint>
#include <span>

#include "base/file_type.h"

namespace sluice::scan {

/// `prefix` is the beginning of the decoded body: limits::content_prefix_bytes of it, or all of it when it is
/// shorter. Several types are possible (a docx is a zip, too); FileType::unknown when none is recognised;
/// empty for no bytes at all.
///
/// Told from the prefix alone, so a type is missed when what makes it lies further behind: an ISO image (32
/// KiB), a disk image with its mark at the end (dmg), an Office file whose directory or whose `word/` entries
/// come late (then it is `ole` or `ooxml`), a ZIP behind a program that unpacks itself (then it is `pe`).
[[nodiscard]] FileTypes file_types_of(std::span<const uint8_t> prefix);

}  // namespace sluice::scan
