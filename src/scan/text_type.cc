// Text, and what text it is: markup by how browsers sniff it (WHATWG MIME Sniffing section 7.1), scripts by
// #! or by how their first statement begins.
#include <algorithm>
#include <array>
#include <cstddef>
#include <string>

#include "base/limits.h"
#include "scan/prefix.h"

namespace sluice::scan {

namespace {

using namespace std::string_view_literals;

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }
constexpr bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
constexpr bool is_word(char c) {
  return (lower(c) >= 'a' && lower(c) <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/// What each byte of a text is in lower case; 0 for those that no text has (WHATWG MIME Sniffing section 3),
/// NUL among them.
constexpr std::array<char, 256> text_bytes = [] {
  std::array<char, 256> table{};
  for (size_t i = 0; i < table.size(); ++i) {
    const char c = static_cast<char>(i);
    const bool is_binary = i < 0x20 && !is_space(c) && c != '\x1b';
    table[i] = is_binary ? '\0' : lower(c);
  }
  return table;
}();

/// The text with one byte per character, '?' for what is not ASCII in UTF-16.
std::string one_byte_each(const Prefix& prefix) {
  if (!prefix.has(0, "\xff\xfe") && !prefix.has(0, "\xfe\xff"))
    return std::string(prefix.text(prefix.has(0, "\xef\xbb\xbf") ? 3 : 0, std::string_view::npos));
  std::string text;
  const bool is_little = prefix.has(0, "\xff\xfe");
  for (size_t at = 2; at + 2 <= prefix.size(); at += 2) {
    const uint16_t unit = is_little ? *prefix.le16(at) : *prefix.be16(at);
    text += unit < 0x80 ? static_cast<char>(unit) : '?';
  }
  return text;
}

/// In lower case; empty when it is no text.
std::string lowered(std::string_view text) {
  std::string low(text.size(), '\0');
  for (size_t i = 0; i < text.size(); ++i) {
    low[i] = text_bytes[static_cast<uint8_t>(text[i])];
    if (low[i] == '\0') return {};
  }
  return low;
}

/// What all looks below are made at: the text, and in lower case, both without white space in front.
struct Look {
  std::string_view original;
  std::string_view all;

  [[nodiscard]] bool begins(std::string_view with) const { return all.starts_with(with); }
  [[nodiscard]] bool has(std::string_view part) const { return all.find(part) != std::string_view::npos; }
  template <size_t N>
  [[nodiscard]] bool begins_with_any(const std::array<std::string_view, N>& many) const {
    return std::any_of(many.begin(), many.end(), [this](std::string_view it) { return begins(it); });
  }
  template <size_t N>
  [[nodiscard]] bool has_any(const std::array<std::string_view, N>& many) const {
    return std::any_of(many.begin(), many.end(), [this](std::string_view it) { return has(it); });
  }
};

// --- #!

/// "/usr/bin/env -S python3 -u" → "python".
std::string interpreter_of(std::string_view line) {
  line = line.substr(0, line.find_first_of("\r\n"));
  std::string name;
  while (!line.empty()) {
    while (!line.empty() && is_space(line.front())) line.remove_prefix(1);
    const size_t end = std::min(line.find_first_of(" \t"), line.size());
    std::string_view word = line.substr(0, end);
    line.remove_prefix(end);
    const bool is_option = word.starts_with('-') || word.find('=') != std::string_view::npos;
    if (is_option) continue;
    word.remove_prefix(word.rfind('/') + 1);
    name = word;
    if (name != "env") break;
  }
  std::transform(name.begin(), name.end(), name.begin(), lower);
  while (!name.empty() &&
         ((name.back() >= '0' && name.back() <= '9') || name.back() == '.' || name.back() == '-'))
    name.pop_back();
  if (name.ends_with(".exe")) name.resize(name.size() - 4);
  return name;
}

FileType script_of(std::string_view interpreter) {
  constexpr std::array shells = {"sh"sv,  "bash"sv, "dash"sv, "zsh"sv, "ksh"sv,
                                 "csh"sv, "tcsh"sv, "fish"sv, "ash"sv, "busybox"sv};
  constexpr std::array nodes = {"node"sv, "nodejs"sv, "deno"sv, "bun"sv};
  if (std::find(shells.begin(), shells.end(), interpreter) != shells.end()) return FileType::shell;
  if (std::find(nodes.begin(), nodes.end(), interpreter) != nodes.end()) return FileType::node;
  if (interpreter == "python" || interpreter == "pypy") return FileType::python;
  if (interpreter == "perl") return FileType::perl;
  if (interpreter == "ruby") return FileType::ruby;
  if (interpreter == "php") return FileType::php;
  if (interpreter == "pwsh" || interpreter == "powershell") return FileType::powershell;
  return FileType::other_script;
}

// --- markup

bool is_html(const Look& look) {
  constexpr std::array tags = {
      "<!doctype html"sv, "<html"sv,   "<head"sv,    "<script"sv, "<iframe"sv, "<h1"sv,   "<div"sv, "<font"sv,
      "<table"sv,         "<a"sv,      "<style"sv,   "<title"sv,  "<b"sv,      "<body"sv, "<br"sv,  "<p"sv,
      "<meta"sv,          "<center"sv, "<frameset"sv};
  if (look.begins("<!--")) return true;
  return std::any_of(tags.begin(), tags.end(), [&](std::string_view tag) {
    if (!look.begins(tag)) return false;
    const char behind = look.all.size() > tag.size() ? look.all[tag.size()] : '>';
    return is_space(behind) || behind == '>' || behind == '/';
  });
}

/// Behind an XML declaration, comments and a DOCTYPE: "<svg ".
std::string_view root_element(std::string_view text) {
  for (;;) {
    while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
    const std::string_view end = text.starts_with("<?")     ? "?>"sv
                                 : text.starts_with("<!--") ? "-->"sv
                                 : text.starts_with("<!")   ? ">"sv
                                                            : ""sv;
    if (end.empty()) break;
    const size_t at = text.find(end);
    if (at == std::string_view::npos) return {};
    text.remove_prefix(at + end.size());
  }
  const size_t end = std::min(text.find_first_of(" \t\r\n>/"), text.size());
  return text.substr(0, end);
}

void add_markup(const Look& look, FileTypes& types) {
  if (look.has("<hta:application")) types.add(FileType::hta);
  const std::string_view root = root_element(look.all);
  const bool is_declared = look.begins("<?xml");
  if (root == "<svg" || root.ends_with(":svg")) types.add(FileType::svg);
  const bool is_script_file =
      root == "<job" || root == "<package" || root == "<scriptlet" || root == "<component";
  if (is_script_file && look.has("<script")) types.add(FileType::wsf);
  if (is_declared || root == "<rss" || root == "<feed") types.add(FileType::xml);
  if (is_html(look) || root == "<html") types.add(FileType::html);
}

// --- programs without #!

bool is_batch(const Look& look) {
  constexpr std::array beginnings = {"@echo"sv, "@setlocal"sv,   "@rem "sv,    "@if "sv,
                                     "@cls"sv,  "@powershell"sv, "@start "sv,  "@cmd"sv,
                                     "rem "sv,  "echo off"sv,    "setlocal"sv, "start /"sv};
  return look.begins_with_any(beginnings);
}

bool is_powershell(const Look& look) {
  constexpr std::array beginnings = {
      "<#"sv,        "#requires "sv,     "[cmdletbinding"sv,       "param("sv,
      "param ("sv,   "import-module "sv, "write-host "sv,          "invoke-"sv,
      "iex "sv,      "iex("sv,           "set-executionpolicy "sv, "new-object "sv,
      "add-type "sv, "start-process "sv};
  constexpr std::array commands = {
      "new-object "sv, "invoke-"sv,  "get-"sv,        "set-"sv, "write-"sv,          "start-process"sv,
      "add-type"sv,    "[system."sv, "[convert]::"sv, "iex "sv, "-encodedcommand"sv, "out-file"sv};
  if (look.begins("using namespace ")) return look.begins("using namespace system") && look.has_any(commands);
  if (look.begins_with_any(beginnings)) return true;
  if (look.begins("function ")) {  // Verb-Noun, which JavaScript cannot have
    const std::string_view name = look.all.substr(9);
    size_t end = 0;
    while (end < name.size() && (is_word(name[end]) || name[end] == '-')) ++end;
    return name.substr(0, end).find('-') != std::string_view::npos;
  }
  const bool begins_with_variable = look.begins("$") && look.all.size() > 1 && is_word(look.all[1]);
  return begins_with_variable && look.has_any(commands);
}

bool is_vbscript(const Look& look) {
  constexpr std::array beginnings = {"option explicit"sv,
                                     "on error resume next"sv,
                                     "dim "sv,
                                     "set "sv,
                                     "const "sv,
                                     "sub "sv,
                                     "function "sv,
                                     "'"sv,
                                     "private "sv,
                                     "wscript."sv,
                                     "createobject("sv};
  constexpr std::array commands = {"createobject("sv, "wscript."sv, "end sub"sv,
                                   "end function"sv,  "msgbox "sv,  "executeglobal"sv};
  if (look.begins("option explicit") || look.begins("on error resume next")) return true;
  return look.begins_with_any(beginnings) && look.has_any(commands);
}

/// `{"name":`, `{}`, or `[` before a value and a comma.
bool is_json(const Look& look) {
  const std::string_view text = look.original;
  size_t at = 1;
  const auto skip = [&] {
    while (at < text.size() && is_space(text[at])) ++at;
  };
  const auto skip_string = [&] {
    for (++at; at < text.size() && text[at] != '"'; ++at) at += text[at] == '\\';
    ++at;
  };
  if (text.empty() || (text[0] != '{' && text[0] != '[')) return false;
  skip();
  if (at >= text.size()) return text.size() == 1;
  const char first = text[at];
  if (text[0] == '{') {
    if (first == '}') return true;
    if (first != '"') return false;
    skip_string();
    skip();
    return at >= text.size() || text[at] == ':';
  }
  if (first == ']' || first == '[') return true;
  if (first == '{') return true;
  if (first == '"') {
    skip_string();
  } else {
    const size_t begin = at;
    while (at < text.size() && (is_word(text[at]) || text[at] == '-' || text[at] == '+' || text[at] == '.'))
      ++at;
    const std::string_view value = text.substr(begin, at - begin);
    const bool is_number = !value.empty() && (value[0] == '-' || (value[0] >= '0' && value[0] <= '9'));
    if (!is_number && value != "true" && value != "false" && value != "null") return false;
  }
  skip();
  if (at >= text.size() || text[at] == ',') return true;
  return text[at] == ']' && std::all_of(text.begin() + static_cast<ptrdiff_t>(at) + 1, text.end(), is_space);
}

void add_marked(const Look& look, FileTypes& types) {
  if (look.begins("<?php") || look.begins("<?=")) types.add(FileType::php);
  if (look.begins("windows registry editor version") || look.begins("regedit4"))
    types.add(FileType::registry);
  if (look.begins("-----begin pgp ")) types.add(FileType::pgp);
  if (look.begins("-----begin ") && !look.begins("-----begin pgp ")) types.add(FileType::certificate);
  if (look.begins("#extm3u")) types.add(FileType::m3u);
}

}  // namespace

void add_text_types(const Prefix& prefix, FileTypes& types) {
  if (prefix.text(0, 64).find('\0') != std::string_view::npos && !prefix.has(0, "\xff\xfe") &&
      !prefix.has(0, "\xfe\xff"))
    return;
  const std::string text = one_byte_each(prefix);
  const std::string low = lowered(text);
  if (low.empty()) return;
  const FileTypes before = types;
  if (text.starts_with("#!")) types.add(script_of(interpreter_of(std::string_view(text).substr(2))));
  const size_t begin =
      static_cast<size_t>(std::find_if_not(text.begin(), text.end(), is_space) - text.begin());
  const Look look{std::string_view(text).substr(begin), std::string_view(low).substr(begin)};
  add_marked(look, types);
  add_markup(look, types);
  const bool is_settled = !(types == before);
  if (!is_settled) {
    if (is_batch(look)) types.add(FileType::batch);
    if (is_powershell(look)) types.add(FileType::powershell);
    if (is_vbscript(look)) types.add(FileType::vbscript);
    if (is_json(look)) types.add(FileType::json);
  }
  if (types.empty()) types.add(FileType::plain);
}

}  // namespace sluice::scan
