// The first bytes of any content: always the same types, whatever follows the prefix; some type unless there
// is nothing; and each with all that contains it.
#include <algorithm>

#include "base/byte_reader.h"
#include "base/check.h"
#include "base/limits.h"
#include "fuzz/driver.h"
#include "scan/file_type.h"

using namespace sluice;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const uint8_t> bytes(data, size);
  const FileTypes types = scan::file_types_of(bytes);
  SLUICE_CHECK(types.empty() == bytes.empty());
  SLUICE_CHECK(scan::file_types_of(bytes.first(std::min(size, limits::content_prefix_bytes))) == types);
  types.for_each([&](FileType type) { SLUICE_CHECK(types.has(container_of(type))); });
  FileTypeSet all;
  for (size_t i = 0; i < file_class_count; ++i) all.add(static_cast<FileClass>(i));
  SLUICE_CHECK(all.matches(types) == !types.empty());
  return 0;
}
