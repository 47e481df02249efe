// The types of content by which rules can decide (`file_type`): the vocabulary that scan (which recognises
// them), rules, config and the log share. The table is file_types.def.
//
// Values only; trivially copyable; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace sluice {

enum class FileType : uint8_t {
#define SLUICE_FILE_TYPE(name, text, class_name, container, meaning) name,
#include "base/file_types.def"
#undef SLUICE_FILE_TYPE
};
#define SLUICE_FILE_TYPE(name, text, class_name, container, meaning) +1
inline constexpr size_t file_type_count = 0
#include "base/file_types.def"
    ;
#undef SLUICE_FILE_TYPE

/// What types are of, for rules that name no single ones.
enum class FileClass : uint8_t {
  executable,
  script,
  archive,
  disk_image,
  document,
  image,
  audio,
  video,
  font,
  text,
  data
};
inline constexpr size_t file_class_count = 11;

[[nodiscard]] const char* to_string(FileType type);         // "docx": the name in rules.toml and in the log
[[nodiscard]] const char* to_string(FileClass file_class);  // "document"
[[nodiscard]] const char* meaning_of(FileType type);        // "Word (OOXML)", for people
[[nodiscard]] FileClass class_of(FileType type);
/// The type whose shape it has besides its own: zip for docx. Itself when there is none.
[[nodiscard]] FileType container_of(FileType type);

[[nodiscard]] std::optional<FileType> file_type_named(std::string_view name);
[[nodiscard]] std::optional<FileClass> file_class_named(std::string_view name);
/// Every name that `file_type` takes, classes first: for suggestions and for the docs. No name is both.
inline constexpr size_t file_type_names_count = file_type_count + file_class_count;
[[nodiscard]] std::span<const std::string_view, file_type_names_count> file_type_names();

/// The types of one content. There may be several: a docx is a zip as well, and bytes can be made that are
/// two things. Empty: no content at all (unlike FileType::unknown).
class FileTypes {
 public:
  constexpr void add(FileType type) { words_[word(type)] |= bit(type); }
  constexpr void remove(FileType type) { words_[word(type)] &= ~bit(type); }
  [[nodiscard]] constexpr bool has(FileType type) const { return (words_[word(type)] & bit(type)) != 0; }
  [[nodiscard]] constexpr bool empty() const {
    for (const uint64_t it : words_)
      if (it != 0) return false;
    return true;
  }
  [[nodiscard]] constexpr bool meets(const FileTypes& others) const {
    for (size_t i = 0; i < words_.size(); ++i)
      if ((words_[i] & others.words_[i]) != 0) return true;
    return false;
  }
  /// Calls `each(type)` in the order of the table.
  template <class Each>
  constexpr void for_each(Each&& each) const {
    for (size_t i = 0; i < file_type_count; ++i)
      if (has(static_cast<FileType>(i))) each(static_cast<FileType>(i));
  }
  bool operator==(const FileTypes&) const = default;

 private:
  static constexpr size_t word(FileType type) { return static_cast<size_t>(type) / 64; }
  static constexpr uint64_t bit(FileType type) { return uint64_t{1} << (static_cast<size_t>(type) % 64); }
  std::array<uint64_t, (file_type_count + 63) / 64> words_{};
};

/// What a condition asks for: types by name, and classes. A type by name is also met as a container ("zip" by
/// a docx); a class is not ("archive" is not met by a docx, though "zip" is an archive): who forbids archives
/// does not mean documents.
class FileTypeSet {
 public:
  void add(FileType type) { types_.add(type); }
  void add(FileClass file_class) { classes_ = static_cast<uint16_t>(classes_ | bit(file_class)); }
  [[nodiscard]] bool matches(const FileTypes& content) const;
  /// Everything that `other` matches is matched by this, too.
  [[nodiscard]] bool covers(const FileTypeSet& other) const;
  bool operator==(const FileTypeSet&) const = default;

 private:
  static constexpr uint16_t bit(FileClass file_class) {
    return static_cast<uint16_t>(1U << static_cast<unsigned>(file_class));
  }
  FileTypes types_;
  uint16_t classes_ = 0;
};

}  // namespace sluice
