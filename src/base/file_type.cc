#include "base/file_type.h"

namespace sluice {

namespace {

struct Row {
  const char* name;
  FileClass file_class;
  FileType container;
  const char* meaning;
};
constexpr std::array<Row, file_type_count> rows = {{
#define SLUICE_FILE_TYPE(name, text, class_name, container, meaning) \
  {text, FileClass::class_name, FileType::container, meaning},
#include "base/file_types.def"
#undef SLUICE_FILE_TYPE
}};

constexpr std::array<const char*, file_class_count> classes = {
    "executable", "script", "archive", "disk_image", "document", "image",
    "audio",      "video",  "font",    "text",       "data"};

constexpr auto names = [] {
  std::array<std::string_view, file_type_names_count> all{};
  size_t at = 0;
  for (const char* name : classes) all[at++] = name;
  for (const Row& row : rows) all[at++] = row.name;
  return all;
}();

constexpr const Row& row_of(FileType type) { return rows[static_cast<size_t>(type)]; }

}  // namespace

const char* to_string(FileType type) { return row_of(type).name; }
const char* to_string(FileClass file_class) { return classes[static_cast<size_t>(file_class)]; }
const char* meaning_of(FileType type) { return row_of(type).meaning; }
FileClass class_of(FileType type) { return row_of(type).file_class; }
FileType container_of(FileType type) { return row_of(type).container; }

std::optional<FileType> file_type_named(std::string_view name) {
  for (size_t i = 0; i < rows.size(); ++i) {
    if (name == rows[i].name) return static_cast<FileType>(i);
  }
  return std::nullopt;
}

std::optional<FileClass> file_class_named(std::string_view name) {
  for (size_t i = 0; i < classes.size(); ++i) {
    if (name == classes[i]) return static_cast<FileClass>(i);
  }
  return std::nullopt;
}

std::span<const std::string_view, file_type_names_count> file_type_names() { return names; }

bool FileTypeSet::matches(const FileTypes& content) const {
  if (types_.meets(content)) return true;
  if (classes_ == 0) return false;
  FileTypes containers;
  content.for_each([&](FileType type) {
    if (container_of(type) != type) containers.add(container_of(type));
  });
  bool is_met = false;
  content.for_each(
      [&](FileType type) { is_met |= !containers.has(type) && (classes_ & bit(class_of(type))) != 0; });
  return is_met;
}

bool FileTypeSet::covers(const FileTypeSet& other) const {
  if ((other.classes_ & ~classes_) != 0) return false;
  bool is_covered = true;
  // A class alone covers no type that others may contain: as their container it does not count for its class.
  other.types_.for_each([&](FileType type) {
    bool is_container = false;
    for (const Row& row : rows) is_container |= row.container == type && &row != &row_of(type);
    is_covered &= types_.has(type) || (!is_container && (classes_ & bit(class_of(type))) != 0);
  });
  return is_covered;
}

}  // namespace sluice
