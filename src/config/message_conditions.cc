// The conditions over requests, responses and their content: text -> the builder.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

#include "base/file_type.h"
#include "base/limits.h"
#include "base/lower_case.h"
#include "config/rules_reader.h"
#include "config/units.h"
#include "rules/regex_set.h"
#include "rules/url_pattern.h"

namespace sluice::config {
namespace {

using rules::GroupId;
using rules::Slot;

constexpr std::string_view regex_mark = "re:";

// RFC 9110 section 5.6.2.
bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  });
}

std::string upper(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return result;
}

bool check_method(std::string_view text, std::string& error) {
  if (!is_token(text) || text.find('*') != std::string_view::npos ||
      text.size() > limits::http_method_bytes_max) {
    error = fmt::format("'{}' is not a method, as in \"GET\" or \"CONNECT\"", text);
    return false;
  }
  constexpr std::array<std::string_view, 9> known = {"GET",     "HEAD",  "POST",  "PUT",    "DELETE",
                                                     "CONNECT", "PATCH", "TRACE", "OPTIONS"};
  const std::string capitals = upper(text);
  if (text != capitals && std::find(known.begin(), known.end(), capitals) != known.end()) {
    error = fmt::format("'{}': methods are written in capitals, \"{}\"", text, capitals);
    return false;
  }
  return true;
}

// "type/subtype" or "type/*", without parameters.
bool check_mime(std::string_view text, std::string& error) {
  const size_t slash = text.find('/');
  const std::string_view type = text.substr(0, slash);
  const std::string_view subtype = slash == std::string_view::npos ? "" : text.substr(slash + 1);
  if (const size_t semicolon = text.find(';'); semicolon != std::string_view::npos) {
    error = fmt::format("'{}' has parameters, which are not compared; write \"{}\"", text,
                        text.substr(0, semicolon));
    return false;
  }
  if (is_token(type) && type.find('*') == std::string_view::npos &&
      (subtype == "*" || (is_token(subtype) && subtype.find('*') == std::string_view::npos)) &&
      text.size() <= rules::NameTable::name_bytes_max)
    return true;
  error = fmt::format("'{}' is not a content type; allowed are \"video/mp4\" and \"video/*\"", text);
  return false;
}

// What is wrong with the words of a size; empty when it cannot be told.
const char* fault_of_size(std::string_view text) {
  const size_t first = text.find_first_of("0123456789");
  if (first == std::string_view::npos) return "";
  if (text.find_first_of("<>-") == std::string_view::npos && parse_size_bytes(text))
    return ": it does not say whether more or less is meant";
  const size_t behind = text.find_last_of("0123456789") + 1;
  std::string_view unit = text.substr(behind);
  while (unit.starts_with(' ')) unit.remove_prefix(1);
  if (unit.empty()) return ": it has no unit (B, KiB, MiB or GiB)";
  const std::string small = lower_case(unit);
  for (const std::string_view other : {"k", "kb", "m", "mb", "g", "gb", "kib", "mib", "gib", "b", "bytes", "byte"})
    if (small == other && unit != "B" && unit != "KiB" && unit != "MiB" && unit != "GiB") return ": the units are B, KiB, MiB and GiB";
  return text.find_first_of(".,") != std::string_view::npos ? ": the number must be whole" : "";
}

bool parse_range(std::string_view text, uint64_t& least, uint64_t& most, std::string& error) {
  constexpr uint64_t no_bound = std::numeric_limits<uint64_t>::max();
  const auto size_of = [](std::string_view part) {
    while (part.starts_with(' ')) part.remove_prefix(1);
    while (part.ends_with(' ')) part.remove_suffix(1);
    return parse_size_bytes(part);
  };
  least = 0;
  most = no_bound;
  std::optional<uint64_t> bound;
  if (text.starts_with(">=")) {
    if ((bound = size_of(text.substr(2)))) least = *bound;
  } else if (text.starts_with('>')) {
    if ((bound = size_of(text.substr(1)))) least = *bound + 1;
  } else if (text.starts_with("<=")) {
    if ((bound = size_of(text.substr(2)))) most = *bound;
  } else if (text.starts_with('<')) {
    bound = size_of(text.substr(1));
    if (bound && *bound == 0) {
      error = fmt::format("'{}': nothing is smaller than nothing", text);
      return false;
    }
    if (bound) most = *bound - 1;
  } else if (const size_t dash = text.find('-'); dash != std::string_view::npos) {
    const auto first = size_of(text.substr(0, dash));
    bound = size_of(text.substr(dash + 1));
    if (first && bound) {
      least = *first;
      most = *bound;
    }
    if (!first) bound.reset();
  }
  if (!bound) {
    error = fmt::format(
        "'{}' is not a size to compare with{}; allowed are \"> 10 MiB\", \">= 10 MiB\", \"< 1 KiB\", \"<= 1 "
        "KiB\" and "
        "\"1 MiB - 10 MiB\"",
        text, fault_of_size(text));
    return false;
  }
  if (least > most) {
    error = fmt::format("'{}' ends before it begins", text);
    return false;
  }
  return true;
}

bool parse_hex(std::string_view text, size_t bytes, std::string& hash) {
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
  };
  if (text.size() != 2 * bytes) return false;
  hash.clear();
  for (size_t i = 0; i < text.size(); i += 2) {
    const int high = digit(text[i]);
    const int low = digit(text[i + 1]);
    if (high < 0 || low < 0) return false;
    hash += static_cast<char>(high << 4 | low);
  }
  return true;
}

// What is no name of a type or a class.
std::string error_of_file_type(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 24> meant = {{
      {"exe", "pe"},         {"scr", "pe"},       {"sys", "pe"},         {"com", "dos"},       {"program", "executable"},
      {"binary", "executable"}, {"exec", "executable"}, {"jpg", "jpeg"}, {"htm", "html"},      {"tif", "tiff"},
      {"gz", "gzip"},        {"bz2", "bzip2"},    {"tgz", "gzip"},       {"zst", "zstd"},      {"mpg", "mpeg"},
      {"word", "docx"},      {"excel", "xlsx"},   {"powerpoint", "pptx"}, {"office", "document"}, {"picture", "image"},
      {"photo", "image"},    {"movie", "video"},  {"music", "audio"},    {"compressed", "archive"}}};
  if (text.find('/') != std::string_view::npos)
    return fmt::format("'{}' is a content type, which goes into mime; file_type goes by what the content is, as in \"pdf\"", text);
  std::string_view name = text;
  while (name.starts_with('*') || name.starts_with('.')) name.remove_prefix(1);
  const std::string small = lower_case(name);
  const auto is_known = [](std::string_view type) { return file_type_named(type) || file_class_named(type); };
  if (small != text && is_known(small)) return fmt::format("'{}' is not a file type: did you mean \"{}\"?", text, small);
  for (const auto& [word, type] : meant) {
    if (small != word || !is_known(type)) continue;
    return type == "pe" ? fmt::format("'{}' is not a file type: did you mean \"pe\" (Windows programs) or \"executable\" (all "
                                      "programs)?",
                                      text)
                        : fmt::format("'{}' is not a file type: did you mean \"{}\"?", text, type);
  }
  const std::string_view near = nearest(text, file_type_names());
  return near.empty() ? fmt::format("'{}' is not a file type that is recognised; docs/file-types.md lists them", text)
                      : fmt::format("'{}' is not a file type: did you mean \"{}\"?", text, near);
}

bool check_file_name(std::string_view text, std::string& error) {
  if (text.empty() || text.find_first_of("/\\") != std::string_view::npos) {
    error = fmt::format("'{}' is not a file name: names have no directories; a path goes into url", text);
    return false;
  }
  if (text.size() > rules::NameTable::name_bytes_max) {
    error = fmt::format("the file name has {} bytes; at most {} are allowed", text.size(),
                        rules::NameTable::name_bytes_max);
    return false;
  }
  return true;
}

}  // namespace

bool RulesReader::add_url(GroupId group, std::string_view text, bool in_list, std::string& error) {
  if (text.starts_with(regex_mark)) {
    if (!rules::check_regex(text.substr(regex_mark.size()), error)) return false;
    builder_.add_regex(group, text.substr(regex_mark.size()));
    return true;
  }
  rules::UrlPattern pattern;
  if (in_list) {
    if (!rules::UrlPattern::parse_into(text, pattern, error)) return false;
  } else {
    const auto parsed = rules::UrlPattern::parse(text, error);
    if (!parsed) return false;
    pattern = *parsed;
  }
  if (builder_.add_url(group, pattern)) return true;
  error = "the tables are full: all lists together hold at most 4 GiB of names";
  return false;
}

bool RulesReader::add_message_alternative(GroupId group, std::string_view text, bool in_list,
                                          std::string& error) {
  const auto fits = [&](bool is_added) {
    if (!is_added) error = "the tables are full: all lists together hold at most 4 GiB of names";
    return is_added;
  };
  const Slot slot = builder_.slot_of(group);
  if (slot == Slot::method) return check_method(text, error) && fits(builder_.add_text(group, text));
  if (slot == Slot::mime) return check_mime(text, error) && fits(builder_.add_text(group, lower_case(text)));
  if (slot == Slot::url) return add_url(group, text, in_list, error);
  if (slot == Slot::user) {
    if (!text.empty() && text != "*" && text.size() <= rules::NameTable::name_bytes_max)
      return fits(builder_.add_text(group, text));
    error =
        fmt::format("'{}' is not a user: allowed are a name, and the beginning of names (\"guest-*\")", text);
    return false;
  }
  if (slot == Slot::user_agent) {
    if (!rules::check_regex(text, error)) return false;
    builder_.add_regex(group, text);
    return true;
  }
  if (slot == Slot::file_name) {
    if (!text.starts_with(regex_mark))
      return check_file_name(text, error) && fits(builder_.add_glob(group, text));
    if (!rules::check_regex(text.substr(regex_mark.size()), error)) return false;
    builder_.add_regex(group, text.substr(regex_mark.size()));
    return true;
  }
  if (slot == Slot::file_type) {
    if (const auto type = file_type_named(text)) {
      builder_.add_file_type(group, *type);
      return true;
    }
    if (const auto file_class = file_class_named(text)) {
      builder_.add_file_class(group, *file_class);
      return true;
    }
    error = error_of_file_type(text);
    return false;
  }
  if (slot == Slot::size) {
    uint64_t least = 0;
    uint64_t most = 0;
    if (!parse_range(text, least, most, error)) return false;
    builder_.add_size(group, least, most);
    return true;
  }
  if (slot == Slot::direction) {
    if (text != "request" && text != "response") {
      error = fmt::format(
          "'{}' is not a direction; allowed are \"request\" (uploads) and \"response\" (downloads)", text);
      return false;
    }
    builder_.add_direction(group, text == "response");
    return true;
  }
  const size_t bytes = slot == Slot::md5 ? 16 : 32;
  std::string hash;
  if (parse_hex(text, bytes, hash)) return fits(builder_.add_hash(group, hash));
  const std::string_view first = text.substr(0, text.find_first_of(" \t*"));
  error = fmt::format("'{}' is not {} hash: those are {} hexadecimal digits{}", text, slot == Slot::md5 ? "an MD5" : "a SHA-256",
                      2 * bytes,
                      first != text && parse_hex(first, bytes, hash) ? "; write the hash alone, without the name of the file"
                      : slot == Slot::md5 && parse_hex(text, 32, hash)  ? "; this is a SHA-256: its condition is sha256"
                      : slot == Slot::sha256 && parse_hex(text, 16, hash) ? "; this is an MD5: its condition is md5"
                      : parse_hex(text, 20, hash)                       ? "; this is a SHA-1, which no condition takes"
                                                                        : "");
  return false;
}

}  // namespace sluice::config
