// The first bytes of a content, read at any offset: what file_type.cc and its helpers share. Does not own the
// bytes; every read is checked through ByteReader.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/byte_reader.h"
#include "base/file_type.h"

namespace sluice::scan {

class Prefix {
 public:
  explicit Prefix(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  [[nodiscard]] size_t size() const { return bytes_.size(); }
  [[nodiscard]] std::string_view text() const { return as_text(bytes_); }
  /// `size` bytes at `offset`, or fewer where the prefix ends.
  [[nodiscard]] std::string_view text(size_t offset, size_t size) const {
    return offset > bytes_.size() ? std::string_view() : text().substr(offset, size);
  }
  [[nodiscard]] ByteReader from(size_t offset) const {
    return offset > bytes_.size() ? ByteReader() : ByteReader(bytes_.subspan(offset));
  }
  [[nodiscard]] bool has(size_t offset, std::string_view magic) const {
    const auto bytes = from(offset).bytes(magic.size());
    return bytes && as_text(*bytes) == magic;
  }
  [[nodiscard]] std::optional<uint8_t> u8(size_t offset) const { return from(offset).u8(); }
  [[nodiscard]] std::optional<uint16_t> be16(size_t offset) const { return from(offset).u16(); }
  [[nodiscard]] std::optional<uint32_t> be32(size_t offset) const { return from(offset).u32(); }
  [[nodiscard]] std::optional<uint16_t> le16(size_t offset) const {
    const auto value = from(offset).u16();
    return value ? std::optional(__builtin_bswap16(*value)) : std::nullopt;
  }
  [[nodiscard]] std::optional<uint32_t> le32(size_t offset) const {
    const auto value = from(offset).u32();
    return value ? std::optional(__builtin_bswap32(*value)) : std::nullopt;
  }

 private:
  std::span<const uint8_t> bytes_;
};

// Each adds what it recognises.
void add_signature_types(const Prefix& prefix, FileTypes& types);  // fixed bytes at fixed places
void add_program_types(const Prefix& prefix, FileTypes& types);    // MZ and PE
void add_zip_types(const Prefix& prefix, FileTypes& types);        // what is inside of a ZIP
void add_ole_types(const Prefix& prefix, FileTypes& types);        // compound files: old Office, MSI
void add_media_types(const Prefix& prefix, FileTypes& types);      // containers of sound, pictures and films
void add_text_types(const Prefix& prefix, FileTypes& types);       // only when it is text
/// MPEG sound and transport streams, old tars, boot sectors: weak marks, for what nothing else has
/// recognised.
void add_weak_types(const Prefix& prefix, FileTypes& types);

}  // namespace sluice::scan
