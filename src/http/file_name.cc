#include "http/file_name.h"

#include <algorithm>
#include <cstdint>
#include <optional>

namespace sluice::http {

namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// What is no valid escape stays as it is.
std::string percent_decoded(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const bool is_escape =
        text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0;
    if (is_escape) {
      out.push_back(static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2])));
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

std::string utf8_of_latin1(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte < 0x80) {
      out.push_back(c);
    } else {
      out.push_back(static_cast<char>(0xc0 | byte >> 6));
      out.push_back(static_cast<char>(0x80 | (byte & 0x3f)));
    }
  }
  return out;
}

/// RFC 8187 section 3.2: charset'language'escaped. Empty: another charset, which nobody need understand.
std::string extended_value(std::string_view text) {
  const size_t charset_end = text.find('\'');
  if (charset_end == std::string_view::npos) return {};
  const size_t language_end = text.find('\'', charset_end + 1);
  if (language_end == std::string_view::npos) return {};
  const std::string_view charset = text.substr(0, charset_end);
  std::string value = percent_decoded(text.substr(language_end + 1));
  if (same_name(charset, "utf-8")) return value;
  return same_name(charset, "iso-8859-1") ? utf8_of_latin1(value) : std::string();
}

std::string_view without_folders(std::string_view name) {
  const size_t slash = name.find_last_of("/\\");
  return slash == std::string_view::npos ? name : name.substr(slash + 1);
}

int base64_digit(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

std::string base64_decoded(std::string_view text) {
  std::string out;
  unsigned bits = 0;
  int count = 0;
  for (const char c : text) {
    const int digit = base64_digit(c);
    if (digit < 0) continue;
    bits = (bits << 6 | static_cast<unsigned>(digit)) & 0xffffff;
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out.push_back(static_cast<char>(bits >> count & 0xff));
  }
  return out;
}

std::string q_decoded(std::string_view text) {  // RFC 2047 section 4.2
  std::string escaped;
  for (const char c : text) {
    if (c == '%')
      escaped += "%25";
    else
      escaped.push_back(c == '=' ? '%' : c == '_' ? ' ' : c);
  }
  return percent_decoded(escaped);
}

/// "=?UTF-8?Q?setup=2Eexe?=" (RFC 2047) undone, whatever its charset. Space between two such words goes.
std::string without_encoded_words(std::string_view text) {
  std::string out;
  bool is_behind_word = false;
  while (!text.empty()) {
    const size_t begin = text.find("=?");
    const size_t charset_end = begin == std::string_view::npos ? begin : text.find('?', begin + 2);
    const size_t end = charset_end == std::string_view::npos ? charset_end : text.find("?=", charset_end + 3);
    const bool has_kind = end != std::string_view::npos && text[charset_end + 2] == '?';
    if (!has_kind) break;
    const std::string_view before = text.substr(0, begin);
    if (!is_behind_word || before.find_first_not_of(" \t") != std::string_view::npos) out += before;
    const std::string_view word = text.substr(charset_end + 3, end - charset_end - 3);
    const bool is_base64 = text[charset_end + 1] == 'B' || text[charset_end + 1] == 'b';
    out += is_base64 ? base64_decoded(word) : q_decoded(word);
    is_behind_word = true;
    text.remove_prefix(end + 2);
  }
  out += text;
  return out;
}

/// Goes through the parameters; before the first stands the disposition's type, which may be missing. Each is
/// taken from the front.
class Parameters {
 public:
  explicit Parameters(std::string_view text) : rest_(text) {}

  /// False: there is no other.
  [[nodiscard]] bool next(std::string_view& name, std::string& value) {
    while (!rest_.empty()) {
      if (rest_.front() == ';') rest_.remove_prefix(1);
      skip_space();
      const size_t name_end = std::min(rest_.find_first_of("=;"), rest_.size());
      name = trimmed(rest_.substr(0, name_end));
      rest_.remove_prefix(name_end);
      if (rest_.empty() || rest_.front() == ';') continue;
      rest_.remove_prefix(1);  // the equals sign
      skip_space();
      value = !rest_.empty() && rest_.front() == '"' ? quoted() : plain();
      return true;
    }
    return false;
  }

 private:
  static std::string_view trimmed(std::string_view text) {
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    return text;
  }
  void skip_space() {
    while (!rest_.empty() && (rest_.front() == ' ' || rest_.front() == '\t')) rest_.remove_prefix(1);
  }
  std::string plain() {
    const size_t end = std::min(rest_.find(';'), rest_.size());
    const std::string_view value = trimmed(rest_.substr(0, end));
    rest_.remove_prefix(end);
    return std::string(value);
  }
  std::string quoted() {  // RFC 9110 section 5.6.4
    std::string value;
    rest_.remove_prefix(1);
    while (!rest_.empty() && rest_.front() != '"') {
      if (rest_.front() == '\\' && rest_.size() > 1) rest_.remove_prefix(1);
      value.push_back(rest_.front());
      rest_.remove_prefix(1);
    }
    rest_.remove_prefix(std::min(rest_.find(';'), rest_.size()));
    return value;
  }

  std::string_view rest_;
};

/// What Content-Disposition says of the name, before any of it is chosen.
struct Said {
  std::vector<std::string> plain;     // every `filename`
  std::vector<std::string> extended;  // every `filename*` that can be read
  std::string joined;                 // `filename*0`, `filename*1*` … in the order in which they came
  std::string_view field;             // the first
  bool is_one_field = true;
};

void hear(std::string_view field, Said& said) {
  Parameters parameters(field);
  std::string_view name;
  std::string value;
  constexpr std::string_view part = "filename*";
  while (parameters.next(name, value)) {
    if (same_name(name, "filename")) {
      if (!value.empty()) said.plain.push_back(std::move(value));
    } else if (same_name(name, part)) {
      if (std::string read = extended_value(value); !read.empty()) said.extended.push_back(std::move(read));
    } else if (name.size() > part.size() && begins_with_letters(name, part)) {
      const size_t charset = name.back() == '*' ? value.find('\'', value.find('\'') + 1) : std::string::npos;
      said.joined += percent_decoded(charset == std::string::npos ? value : value.substr(charset + 1));
    }
  }
}

Said listen(const Headers& headers) {
  Said said;
  bool is_first = true;
  for (size_t i = 0; i < headers.size(); ++i) {
    if (!same_name(headers[i].name, "Content-Disposition")) continue;
    if (is_first)
      said.field = headers[i].value;
    else if (headers[i].value == said.field)
      continue;
    else
      said.is_one_field = false;
    is_first = false;
    hear(headers[i].value, said);
  }
  return said;
}

/// `text` as programs may read it, but for `taken`, the name that has been chosen.
void add_readings(std::vector<std::string>& to, const std::string& text, std::string_view taken) {
  for (std::string name : {text, percent_decoded(text), without_encoded_words(text)}) {
    while (!name.empty() && (name.back() == '/' || name.back() == '\\')) name.pop_back();
    const std::string_view last = without_folders(name);
    if (last.empty() || last == taken || std::find(to.begin(), to.end(), last) != to.end()) continue;
    to.emplace_back(last);
  }
}

}  // namespace

std::string file_name_of(const Headers& headers, std::vector<std::string>& others) {
  others.clear();
  const Said said = listen(headers);
  std::string name;
  if (said.is_one_field && said.plain.size() <= 1 && said.extended.size() <= 1) {
    const auto& chosen = said.extended.empty() ? said.plain : said.extended;
    if (!chosen.empty()) name = without_folders(chosen.front());
  }
  for (const std::string& text : said.plain) add_readings(others, text, name);
  for (const std::string& text : said.extended) add_readings(others, text, name);
  add_readings(others, said.joined, name);
  return name;
}

std::string file_name_in(std::string_view url) {
  url = url.substr(0, url.find_first_of("?#"));
  if (const size_t scheme = url.find("://"); scheme != std::string_view::npos) url.remove_prefix(scheme + 3);
  const size_t slash = url.rfind('/');
  return slash == std::string_view::npos ? std::string() : percent_decoded(url.substr(slash + 1));
}

}  // namespace sluice::http
