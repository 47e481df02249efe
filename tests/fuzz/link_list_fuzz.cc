// Link lists: every line gives links, or a problem with its place; a link is in its canonical form, and finds itself.
#include <algorithm>
#include <string>

#include "base/byte_reader.h"
#include "base/check.h"
#include "fuzz/driver.h"
#include "rules/link_list.h"

using namespace sluice;

namespace {

struct Sink final : rules::LinkSink {
  uint32_t lines = 0;
  size_t entries = 0;
  void link(const rules::Link& link) override {
    ++entries;
    if (link.network) return SLUICE_CHECK(link.network->contains(link.network->network));
    const rules::UrlPattern& url = link.url;
    SLUICE_CHECK(url.scheme == rules::UrlPattern::Scheme::any && url.port == 0 && !url.any_host);
    SLUICE_CHECK(url.target.empty() == (url.path == rules::UrlPattern::Path::none));
    SLUICE_CHECK((url.path == rules::UrlPattern::Path::directory) == (!url.has_query() && url.target.ends_with('/')));
    // An address; and what the reader of Adblock lists takes for a name although browsers would take it for one.
    const char last = url.address ? '0' : url.host.name[url.host.name.rfind('.') + 1];
    if (last >= '0' && last <= '9') return;
    // Written down and read again it is the same link.
    std::string text = url.host.kind == rules::HostPattern::Kind::below ? "*." + url.host.name : url.host.name;
    if (url.host.kind == rules::HostPattern::Kind::both && url.host.name.find('.') == std::string::npos) text = "." + text;
    rules::Link again;
    std::string error;
    if (!url.target.empty()) text = "http://" + text + url.target;  // "a/a::9" alone would be meant as an address
    SLUICE_CHECK(rules::parse_link(text, again, error));
    SLUICE_CHECK(again.url == url);
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
  const rules::LinkSummary summary = rules::read_link_list(text, sink);
  SLUICE_CHECK(summary.entries == sink.entries);
  SLUICE_CHECK((summary.first_skipped_line == 0) == (summary.skipped == 0));
  return 0;
}
