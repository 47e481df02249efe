// URLs, paths, queries and hosts: what is canonical stays so, and has no byte that would make two readings of
// it.
#include <string>

#include "base/byte_reader.h"
#include "base/canonical_url.h"
#include "base/check.h"
#include "base/host_name.h"
#include "fuzz/driver.h"
#include "http/authority.h"

using namespace sluice;

namespace {

void check_readable(std::string_view text) {
  for (const char c : text)
    SLUICE_CHECK(static_cast<uint8_t>(c) > 0x20 && static_cast<uint8_t>(c) < 0x7f && c != '#');
}

void check_path(std::string_view text) {
  std::string path;
  append_canonical_path(path, text);
  check_readable(path);
  SLUICE_CHECK(path.front() == '/');
  SLUICE_CHECK((path + "/").find("/../") == std::string::npos &&
               (path + "/").find("/./") == std::string::npos);
  SLUICE_CHECK(path.find("//") == std::string::npos && path.find_first_of("\\?") == std::string::npos);
  std::string again;
  append_canonical_path(again, path);
  SLUICE_CHECK(again == path);
}

void check_query(std::string_view text) {
  std::string query;
  append_canonical_query(query, text);
  check_readable(query);
  std::string again;
  append_canonical_query(again, query);
  SLUICE_CHECK(again == query);
}

void check_host(std::string_view text) {
  std::string host;
  std::string error;
  const bool is_host = canonical_host(text, host, error);
  http::HostBuffer buffer;
  const auto authority = http::parse_authority(text, buffer);
  if (!is_host) {
    check_readable(std::string(error.empty() ? " " : "x"));
    return;
  }
  // What a Host field may say, a URL says as well, and means the same.
  if (authority && authority->port == 0 && text.find(':') == std::string_view::npos)
    SLUICE_CHECK(authority->host == host);
  std::string again;
  const bool is_ipv6 = host.find(':') != std::string::npos;
  SLUICE_CHECK(canonical_host(is_ipv6 ? "[" + host + "]" : host, again, error) && again == host);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = as_text({data, size});
  check_path(text);
  check_query(text);
  check_host(text);
  std::string error;
  for (const std::string& url : {std::string(text), "http://" + std::string(text)}) {
    const auto canonical = canonical_url(url, error);
    SLUICE_CHECK(canonical || !error.empty());
    if (!canonical) continue;
    check_readable(*canonical);
    SLUICE_CHECK(canonical_url(*canonical, error) == canonical);
  }
  return 0;
}
