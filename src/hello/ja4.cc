// JA4, the TLS client fingerprint. Definition: FoxIO-LLC/ja4, technical_details/JA4.md (JA4 itself, unlike
// the other methods of that family, is under the BSD 3-Clause licence). GREASE is ignored everywhere.
//
// Layout: "t" version sni ciphers extensions alpn "_" hash(sorted ciphers) "_" hash(sorted extensions "_"
// signature algorithms in order); a hash is the first 12 hex digits of a SHA-256, or twelve zeros when its
// list is empty.
#include <algorithm>
#include <memory>
#include <numeric>

#include "base/check.h"
#include "hello/client_hello.h"

namespace sluice::hello {
namespace {

constexpr uint16_t kServerName = 0x0000;
constexpr uint16_t kAlpn = 0x0010;
constexpr size_t kHashDigits = 12;
constexpr size_t kPartABytes = 10;
constexpr char kHex[] = "0123456789abcdef";

/// `count` elements, on the stack when they are few (every real hello), else on the heap (a 64 KiB hello of
/// nothing but cipher suites).
template <class Element, size_t Inline>
class Scratch {
 public:
  explicit Scratch(size_t count) {
    if (count > Inline) heap_ = std::make_unique<Element[]>(count);
  }
  [[nodiscard]] Element* data() { return heap_ ? heap_.get() : inline_.data(); }

 private:
  std::array<Element, Inline> inline_;
  std::unique_ptr<Element[]> heap_;
};

// Chromium offers 15 cipher suites, 18 extensions and 8 to 11 signature algorithms; OpenSSL up to 60 and 50.
constexpr size_t kValuesInline = 128;
constexpr size_t kTextInline = 2 * kValuesInline * 5;  // "abcd," each

bool is_named_in_part_a(uint16_t extension) { return extension == kServerName || extension == kAlpn; }

/// Writes "002f,0035,…"; returns the end.
template <class Iterator>
char* write_list(Iterator begin, Iterator end, char* out) {
  const char* const start = out;
  for (; begin != end; ++begin) {
    const uint16_t value = *begin;
    if (is_grease(value)) continue;
    if (out != start) *out++ = ',';
    *out++ = kHex[value >> 12];
    *out++ = kHex[(value >> 8) & 15];
    *out++ = kHex[(value >> 4) & 15];
    *out++ = kHex[value & 15];
  }
  return out;
}

/// Ascending. A real hello's few values are sorted where they are; a flood of them (a 64 KiB hello holds
/// 32,000) in two counting passes, low byte then high byte, so that a client cannot buy milliseconds of our
/// time with one hello.
void sort_values(uint16_t* begin, uint16_t* end) {
  const auto count = static_cast<size_t>(end - begin);
  if (count <= kValuesInline) return std::sort(begin, end);
  const auto other = std::make_unique<uint16_t[]>(count);
  uint16_t* from = begin;
  uint16_t* to = other.get();
  for (const int shift : {0, 8}) {
    std::array<size_t, 256> next{};  // where the next value with this byte goes
    for (size_t i = 0; i < count; ++i) ++next[from[i] >> shift & 0xff];
    std::exclusive_scan(next.begin(), next.end(), next.begin(), size_t{0});
    for (size_t i = 0; i < count; ++i) to[next[from[i] >> shift & 0xff]++] = from[i];
    std::swap(from, to);
  }  // an even number of passes: the result is back in place
}

char* write_sorted(const std::vector<uint16_t>& values, bool (*left_out)(uint16_t), char* out) {
  Scratch<uint16_t, kValuesInline> sorted(values.size());
  uint16_t* const begin = sorted.data();
  uint16_t* const end = std::remove_copy_if(values.begin(), values.end(), begin, left_out);
  sort_values(begin, end);
  return write_list(begin, end, out);
}

char* write_ciphers(const ClientHello& hello, char* out) {
  return write_sorted(hello.ciphers, is_grease, out);
}

/// Extensions, then "_" and the signature algorithms if there are any.
char* write_extensions(const ClientHello& hello, char* out) {
  out = write_sorted(hello.extensions, is_named_in_part_a, out);
  char* const end = write_list(hello.signature_algorithms.begin(), hello.signature_algorithms.end(), out + 1);
  if (end == out + 1) return out;
  *out = '_';
  return end;
}

size_t text_bytes_max(const ClientHello& hello) {
  const size_t extensions = (hello.extensions.size() + hello.signature_algorithms.size()) * 5 + 1;
  return std::max(hello.ciphers.size() * 5, extensions);
}

const char* version_code(uint16_t version) {
  switch (version) {
    case 0x0304:
      return "13";
    case 0x0303:
      return "12";
    case 0x0302:
      return "11";
    case 0x0301:
      return "10";
    case 0x0300:
      return "s3";
    case 0x0002:
      return "s2";
    case 0xfeff:
      return "d1";
    case 0xfefd:
      return "d2";
    case 0xfefc:
      return "d3";
  }
  return "00";
}

/// Two digits, at most 99, of those that are not GREASE.
char* write_count(const std::vector<uint16_t>& values, char* out) {
  const auto greases = std::count_if(values.begin(), values.end(), is_grease);
  const size_t count = std::min<size_t>(values.size() - static_cast<size_t>(greases), 99);
  *out++ = static_cast<char>('0' + count / 10);
  *out++ = static_cast<char>('0' + count % 10);
  return out;
}

bool is_alphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/// First and last character of the first protocol; of its hex form when either is not alphanumeric.
char* write_alpn(const ClientHello& hello, char* out) {
  if (hello.alpn.empty() || hello.alpn.front().empty()) {
    *out++ = '0';
    *out++ = '0';
    return out;
  }
  const char first = hello.alpn.front().front();
  const char last = hello.alpn.front().back();
  const bool plain = is_alphanumeric(first) && is_alphanumeric(last);
  *out++ = plain ? first : kHex[static_cast<uint8_t>(first) >> 4];
  *out++ = plain ? last : kHex[static_cast<uint8_t>(last) & 15];
  return out;
}

char* write_part_a(const ClientHello& hello, char* out) {
  *out++ = 't';  // TLS over TCP; "q" and "d" are QUIC and DTLS
  out = std::copy_n(version_code(hello.version_max()), 2, out);
  // By the definition an address literal in the extension counts as a domain too.
  *out++ = hello.has_sni ? 'd' : 'i';
  out = write_count(hello.ciphers, out);
  out = write_count(hello.extensions, out);
  return write_alpn(hello, out);
}

char* write_hash(const char* begin, const char* end, Sha256 sha256, char* out) {
  if (begin == end) return std::fill_n(out, kHashDigits, '0');
  std::array<uint8_t, 32> digest;
  sha256({reinterpret_cast<const uint8_t*>(begin), static_cast<size_t>(end - begin)}, digest);
  for (size_t i = 0; i < kHashDigits / 2; ++i) {
    *out++ = kHex[digest[i] >> 4];
    *out++ = kHex[digest[i] & 15];
  }
  return out;
}

}  // namespace

Ja4 ja4(const ClientHello& hello, Sha256 sha256) {
  Ja4 fingerprint;
  Scratch<char, kTextInline> text(text_bytes_max(hello));
  char* out = write_part_a(hello, fingerprint.data());
  *out++ = '_';
  out = write_hash(text.data(), write_ciphers(hello, text.data()), sha256, out);
  *out++ = '_';
  out = write_hash(text.data(), write_extensions(hello, text.data()), sha256, out);
  SLUICE_CHECK(out == fingerprint.data() + fingerprint.size());
  return fingerprint;
}

std::string ja4_raw(const ClientHello& hello) {
  std::string raw(kPartABytes, '\0');
  write_part_a(hello, raw.data());
  Scratch<char, kTextInline> text(text_bytes_max(hello));
  raw += '_';
  raw.append(text.data(), write_ciphers(hello, text.data()));
  raw += '_';
  raw.append(text.data(), write_extensions(hello, text.data()));
  return raw;
}

}  // namespace sluice::hello
