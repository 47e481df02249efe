#include "http/media_type.h"

#include <algorithm>
#include <string_view>

#include "base/lower_case.h"

namespace sluice::http {

namespace {

std::string_view without_parameters(std::string_view value) {
  std::string_view name = value.substr(0, value.find(';'));
  while (!name.empty() && (name.back() == ' ' || name.back() == '\t')) name.remove_suffix(1);
  return name;
}

/// "type/subtype". Browsers take no other, and not "*/*" (Fetch, "extract a MIME type").
bool is_media_type(std::string_view name) {
  const size_t slash = name.find('/');
  const bool has_both = slash != std::string_view::npos && slash != 0 && slash + 1 != name.size();
  return has_both && name.find_first_of(" \t\"", 0) == std::string_view::npos && name != "*/*";
}

}  // namespace

void media_types_of(const Headers& headers, std::string& type, std::vector<std::string>& others) {
  type.clear();
  others.clear();
  std::string strange;  // the first that is no type
  for (size_t i = 0; i < headers.size(); ++i) {
    if (headers[i].known != Name::content_type) continue;
    for_each_token(headers[i].value, [&](std::string_view value) {
      std::string name = lower_case(without_parameters(value));
      if (!is_media_type(name)) {
        if (strange.empty()) strange = std::move(name);
      } else if (type.empty()) {
        type = std::move(name);
      } else if (name != type && std::find(others.begin(), others.end(), name) == others.end()) {
        others.push_back(std::move(name));
      }
    });
  }
  if (type.empty()) type = std::move(strange);
  if (others.empty()) return;
  others.push_back(std::move(type));
  type.clear();
}

}  // namespace sluice::http
