// Host patterns and the compiled table: a pattern that is taken writes itself in a form that reads back as
// the same, and the table finds just what its kind says.
#include <string>

#include "base/byte_reader.h"
#include "base/check.h"
#include "base/limits.h"
#include "fuzz/driver.h"
#include "rules/host_table.h"

using namespace sluice;
using rules::HostPattern;

namespace {

bool found(const rules::HostTable& table, const rules::SetPool& sets, const std::string& host) {
  bool any = false;
  table.find(host, sets, [&](uint32_t) { any = true; });
  return any;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = as_text(std::span(data, size));
  std::string error;
  const auto pattern = HostPattern::parse(text, error);
  SLUICE_CHECK(pattern.has_value() || !error.empty());
  if (!pattern) return 0;
  SLUICE_CHECK(!pattern->name.empty() && pattern->name.size() <= limits::host_bytes_max);
  const auto again = HostPattern::parse(pattern->to_string(), error);
  SLUICE_CHECK(again && *again == *pattern);

  rules::SetPool sets;
  rules::NameTableBuilder builder;
  SLUICE_CHECK(builder.add(pattern->name, rules::HostTable::element(0, pattern->kind)));
  const rules::NameHash hash(size);
  const rules::HostTable table(builder.build(hash, sets), hash);
  const bool apex = pattern->kind != HostPattern::Kind::below;
  const bool below = pattern->kind != HostPattern::Kind::exact;
  SLUICE_CHECK(found(table, sets, pattern->name) == apex);
  SLUICE_CHECK(found(table, sets, pattern->name + ".") == apex);
  SLUICE_CHECK(found(table, sets, "a." + pattern->name) == below);
  SLUICE_CHECK(found(table, sets, std::string(300, 'a') + "." + pattern->name) == below);
  SLUICE_CHECK(!found(table, sets, "a" + pattern->name));
  SLUICE_CHECK(!found(table, sets, pattern->name + "a"));
  return 0;
}
