// The vocabulary of file types.
#include "base/file_type.h"

#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <set>
#include <string>

using namespace sluice;

namespace {

FileTypes types(std::initializer_list<FileType> list) {
  FileTypes all;
  for (const FileType type : list) all.add(type);
  return all;
}

FileTypeSet set(std::initializer_list<std::string_view> names) {
  FileTypeSet all;
  for (const std::string_view name : names) {
    if (const auto type = file_type_named(name)) all.add(*type);
    if (const auto file_class = file_class_named(name)) all.add(*file_class);
  }
  return all;
}

}  // namespace

TEST_CASE("every name of a file type is one thing, and finds it") {
  std::set<std::string> seen;
  for (const std::string_view name : file_type_names()) {
    CHECK(seen.insert(std::string(name)).second);
    CHECK(file_type_named(name).has_value() != file_class_named(name).has_value());
  }
  for (size_t i = 0; i < file_type_count; ++i) {
    const auto type = static_cast<FileType>(i);
    CHECK(file_type_named(to_string(type)) == type);
    CHECK(std::string(meaning_of(type)).size() > 1);
    CHECK(container_of(container_of(container_of(type))) == container_of(container_of(type)));
  }
  CHECK(std::string(to_string(FileClass::data)) == "data");
  CHECK_FALSE(file_type_named("executable").has_value());
  CHECK_FALSE(file_type_named("PDF").has_value());
}

TEST_CASE("a condition by name sees containers, one by class does not") {
  const FileTypes docx = types({FileType::docx, FileType::zip});
  CHECK(set({"docx"}).matches(docx));
  CHECK(set({"zip"}).matches(docx));
  CHECK(set({"document"}).matches(docx));
  CHECK_FALSE(set({"archive"}).matches(docx));
  CHECK_FALSE(set({"pdf", "image"}).matches(docx));
  CHECK(set({"archive"}).matches(types({FileType::zip})));
  CHECK(set({"archive"}).matches(types({FileType::zip, FileType::pdf})));  // two things at once
  CHECK_FALSE(set({"unknown", "archive"}).matches(FileTypes()));
  CHECK(FileTypes().empty());
  CHECK_FALSE(docx.empty());
}

TEST_CASE("which condition covers which") {
  CHECK(set({"image"}).covers(set({"png", "jpeg"})));
  CHECK_FALSE(set({"png"}).covers(set({"image"})));
  CHECK(set({"zip", "pdf"}).covers(set({"zip"})));
  CHECK_FALSE(set({"archive"}).covers(set({"zip"})));  // a docx is a zip, but no archive
  CHECK(set({"archive"}).covers(set({"rar"})));
  CHECK(set({"archive", "image"}).covers(set({"image"})));
}

TEST_CASE("docs/file-types.md lists every type in its class, and no other") {
  std::ifstream file("docs/file-types.md");
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  size_t rows = 0;
  for (size_t i = 0; i < file_type_count; ++i) {
    const auto type = static_cast<FileType>(i);
    const size_t section = text.find("\n## " + std::string(to_string(class_of(type))) + "\n");
    const size_t row = text.find("\n| `" + std::string(to_string(type)) + "` | " + meaning_of(type) + " |", section);
    CAPTURE(to_string(type));
    REQUIRE(section != std::string::npos);
    REQUIRE(row != std::string::npos);
    CHECK(row < text.find("\n## ", section + 1));
    ++rows;
  }
  size_t written = 0;
  for (size_t at = 0; (at = text.find("\n| `", at)) != std::string::npos; ++at) ++written;
  CHECK(written == rows);
}
