// List files: every line gives an entry, a skipped line or a problem with its place; entries are names that
// normalise to themselves.
#include <algorithm>
#include <string>

#include "base/byte_reader.h"
#include "base/check.h"
#include "fuzz/driver.h"
#include "rules/list.h"

using namespace sluice;

namespace {

struct Sink final : rules::ListSink {
  uint32_t lines = 0;
  size_t entries = 0;
  void host(const rules::HostPattern& pattern) override {
    std::string again;
    std::string error;
    SLUICE_CHECK(normalize_host(pattern.name, again, error) && again == pattern.name);
    ++entries;
  }
  void network(const Cidr& network) override {
    SLUICE_CHECK(network.contains(network.network));
    ++entries;
  }
  void problem(uint32_t line, uint32_t column, std::string message) override {
    SLUICE_CHECK(line >= 1 && line <= lines && column >= 1 && !message.empty());
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = as_text(std::span(data, size));
  Sink sink;
  sink.lines = static_cast<uint32_t>(std::count(text.begin(), text.end(), '\n')) + 1;
  const rules::ListSummary summary = rules::read_host_list(text, sink);
  SLUICE_CHECK(summary.entries == sink.entries);
  SLUICE_CHECK((summary.first_skipped_line == 0) == (summary.skipped + summary.exceptions == 0));
  rules::read_plain_list(text, [&](std::string_view entry, uint32_t line, uint32_t column) {
    SLUICE_CHECK(!entry.empty() && line >= 1 && line <= sink.lines && column >= 1);
  });
  return 0;
}
