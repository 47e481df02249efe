#include "config/page_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/limits.h"
#include "base/utf8.h"
#include "config/units.h"

namespace sluice::config {
namespace {

constexpr size_t server_bytes_max = 253;  // as long as a host name

void read_template(Section& section, const RulesReader& rules, const ReadFile& read_file, Page& page) {
  const std::string* name = section.string("template");
  if (name == nullptr) return;
  const auto at = section.value("template")->position;
  if (name->empty()) {
    section.problems().error(at,
                             "page.template is empty: leave it out for the built-in page, or name a file");
    return;
  }
  const std::string path = rules.path_of(*name);
  std::string reason;
  auto text = read_file(path, reason);
  if (!text) {
    section.problems().error(
        at, fmt::format("cannot read the template {}: {} (names are relative to the directory of this file)",
                        path, reason));
  } else if (text->empty()) {
    section.problems().error(at, fmt::format("the template {} is empty: clients would see nothing", path));
  } else if (text->size() > limits::page_template_bytes_max) {
    section.problems().error(
        at, fmt::format("the template {} has {}, at most {} are allowed", path, size_to_string(text->size()),
                        size_to_string(limits::page_template_bytes_max)));
  } else if (const auto fault = find_macro_fault(*text)) {
    section.problems().add(Severity::error, path,
                           {static_cast<uint32_t>(fault->line), static_cast<uint32_t>(fault->column)},
                           macro_problem(*fault));
  } else {
    page.text = std::move(*text);
  }
}

}  // namespace

std::string macro_problem(const MacroFault& fault) {
  if (fault.name.empty()) return fmt::format("too many macros: at most {} are allowed", limits::macros_max);
  std::string capitals(fault.name);
  std::transform(capitals.begin(), capitals.end(), capitals.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 0x20) : c; });
  const auto names = macro_names();
  const bool is_spelt_small = std::find(names.begin(), names.end(), capitals) != names.end();
  const std::string_view near = is_spelt_small ? std::string_view(capitals) : nearest(fault.name, names);
  std::string all;
  for (const std::string_view name : names) all += fmt::format("{}%{}%", all.empty() ? "" : " ", name);
  return near.empty() ? fmt::format("there is no macro %{}%; there are {} (and %% for a percent sign)",
                                    fault.name, all)
                      : fmt::format("there is no macro %{}%; did you mean %{}%?", fault.name, near);
}

std::optional<std::string> redirect_problem(std::string_view to) {
  if (!to.starts_with("http://") && !to.starts_with("https://"))
    return fmt::format("must be a URL that begins with \"http://\" or \"https://\", not \"{}\"",
                       printable(to));
  if (to == "http://" || to == "https://") return fmt::format("is a URL without a host: \"{}\"", to);
  for (const char c : to) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte > 0x20 && byte < 0x7f && std::string_view("\"<>\\^`{|}").find(c) == std::string_view::npos)
      continue;
    return fmt::format("has a character that must be percent-encoded in a URL, 0x{:02x}: \"{}\"", byte,
                       printable(to));
  }
  if (const auto fault = find_macro_fault(to)) return fmt::format("\"{}\": {}", to, macro_problem(*fault));
  return std::nullopt;
}

void read_page(Section& section, const RulesReader& rules, const ReadFile& read_file, Page& page) {
  read_template(section, rules, read_file, page);
  if (const std::string* server = section.string("server")) {
    const auto at = section.value("server")->position;
    if (server->empty())
      section.problems().error(at, "page.server is empty: leave it out for the host name");
    else if (server->size() > server_bytes_max)
      section.problems().error(at, fmt::format("page.server has {} bytes, at most {} are allowed",
                                               server->size(), server_bytes_max));
    else
      page.server = *server;
  }
  section.finish();
}

}  // namespace sluice::config
