#include "http/file_name.h"

#include <algorithm>

#include <cstdint>

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
    const bool is_escape = text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0;
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

/// Goes through the parameters behind the disposition's type. Each is taken from the front.
class Parameters {
 public:
  explicit Parameters(std::string_view text) : rest_(text.substr(std::min(text.find(';'), text.size()))) {}

  /// False: there is no other.
  [[nodiscard]] bool next(std::string_view& name, std::string& value) {
    while (!rest_.empty()) {
      rest_.remove_prefix(1);  // the semicolon
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

}  // namespace

std::string file_name_of(const Headers& headers) {
  const auto disposition = headers.find("Content-Disposition");
  if (!disposition) return {};
  Parameters parameters(*disposition);
  std::string_view name;
  std::string value, plain, extended;
  while (parameters.next(name, value)) {
    if (extended.empty() && same_name(name, "filename*")) extended = extended_value(value);
    if (plain.empty() && same_name(name, "filename")) plain = std::move(value);
  }
  return std::string(without_folders(extended.empty() ? plain : extended));
}

std::string file_name_in(std::string_view url) {
  url = url.substr(0, url.find_first_of("?#"));
  if (const size_t scheme = url.find("://"); scheme != std::string_view::npos) url.remove_prefix(scheme + 3);
  const size_t slash = url.rfind('/');
  return slash == std::string_view::npos ? std::string() : percent_decoded(url.substr(slash + 1));
}

}  // namespace sluice::http
