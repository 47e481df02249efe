#include "tls/pem.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <span>

namespace sluice::tls {
namespace {

constexpr std::string_view begin_mark = "-----BEGIN ";
constexpr std::string_view end_mark = "-----END ";
constexpr std::string_view dashes = "-----";
constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::string_view trimmed(std::string_view line) {
  const auto is_space = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  while (!line.empty() && is_space(line.back())) line.remove_suffix(1);
  while (!line.empty() && is_space(line.front())) line.remove_prefix(1);
  return line;
}

/// What stands between `mark` and five dashes, when that is the whole line.
std::optional<std::string_view> label_of(std::string_view line, std::string_view mark) {
  line = trimmed(line);
  if (!line.starts_with(mark) || !line.ends_with(dashes) || line.size() < mark.size() + dashes.size())
    return std::nullopt;
  return line.substr(mark.size(), line.size() - mark.size() - dashes.size());
}

/// Base64 (RFC 4648, section 4) fed in pieces.
class Base64 {
 public:
  /// False for a character that does not belong, or one after the padding.
  bool add(char c, Bytes& out) {
    if (c == '=') return ++padding_ <= 2;
    const size_t value = alphabet.find(c);
    if (value == std::string_view::npos || padding_ > 0) return false;
    bits_ = bits_ << 6 | static_cast<uint32_t>(value);
    if (++count_ % 4 != 0) return true;
    for (const int shift : {16, 8, 0}) out.push_back(static_cast<uint8_t>(bits_ >> shift));
    bits_ = 0;
    return true;
  }
  /// False when characters are missing.
  bool finish(Bytes& out) {
    const size_t left = count_ % 4;
    if (left + padding_ != (left == 0 ? 0 : 4)) return false;
    if (left == 1) return false;
    if (left >= 2) out.push_back(static_cast<uint8_t>(left == 2 ? bits_ >> 4 : bits_ >> 10));
    if (left == 3) out.push_back(static_cast<uint8_t>(bits_ >> 2));
    return true;
  }

 private:
  uint32_t bits_ = 0;
  size_t count_ = 0;
  size_t padding_ = 0;
};

class PemReader {
 public:
  explicit PemReader(std::string_view text) : left_(text) {}

  tl::expected<std::vector<PemBlock>, PemFault> read_all() {
    std::vector<PemBlock> blocks;
    while (const auto line = next_line()) {
      const auto label = label_of(*line, begin_mark);
      if (!label) continue;
      PemBlock& block = blocks.emplace_back();
      block.label = *label;
      block.line = line_;
      if (const char* fault = read_block(block)) {
        const PemFault found{fault == no_end ? block.line : line_, fault};
        wipe(blocks);
        return tl::unexpected(found);
      }
    }
    return blocks;
  }

 private:
  static constexpr const char* no_end = "no END line for this BEGIN line";

  std::optional<std::string_view> next_line() {
    if (left_.empty()) return std::nullopt;
    const size_t end = std::min(left_.find('\n'), left_.size());
    const std::string_view line = left_.substr(0, end);
    left_.remove_prefix(std::min(end + 1, left_.size()));
    ++line_;
    return line;
  }

  /// Null, or what is wrong.
  const char* read_block(PemBlock& block) {
    block.is_encrypted = block.label == "ENCRYPTED PRIVATE KEY";
    Base64 base64;
    // A key must not leave copies of itself behind when the vector grows.
    block.content.reserve(left_.size() / 4 * 3 < 65536 ? left_.size() / 4 * 3 + 3 : 65536);
    while (const auto line = next_line()) {
      if (label_of(*line, begin_mark)) return no_end;
      if (const auto label = label_of(*line, end_mark)) {
        if (*label != block.label) return "the label of this END line is not that of its BEGIN line";
        if (block.is_encrypted) {
          wipe(block.content);
          block.content.clear();
          return nullptr;
        }
        return base64.finish(block.content) ? nullptr : "the base64 before this line is incomplete";
      }
      if (line->find(':') != std::string_view::npos) {  // RFC 1421, 4.6: a header
        block.is_encrypted |= line->find("ENCRYPTED") != std::string_view::npos;
        continue;
      }
      if (block.is_encrypted) continue;
      for (const char c : trimmed(*line))
        if (!base64.add(c, block.content)) return "not base64";
    }
    return no_end;
  }

  std::string_view left_;
  size_t line_ = 0;
};

}  // namespace

tl::expected<std::vector<PemBlock>, PemFault> read_pem(std::string_view text) {
  return PemReader(text).read_all();
}

std::string write_pem(std::string_view label, ByteView content) {
  const std::string name(label);
  std::string text;
  // No growing: a key must not leave copies of itself behind.
  text.reserve((content.size() + 2) / 3 * 4 + content.size() / 48 + 2 * name.size() + 64);
  text += "-----BEGIN " + name + "-----\n";
  for (size_t at = 0; at < content.size(); at += 3) {
    const size_t count = std::min<size_t>(3, content.size() - at);
    uint32_t bits = 0;
    for (size_t i = 0; i < 3; ++i) bits = bits << 8 | (i < count ? content[at + i] : 0u);
    for (size_t i = 0; i < 4; ++i) text += i <= count ? alphabet[bits >> (18 - 6 * i) & 63] : '=';
    if (at % 48 == 45 && at + 3 < content.size()) text += '\n';
  }
  if (!content.empty()) text += '\n';
  text += "-----END " + name + "-----\n";
  return text;
}

void wipe(std::span<uint8_t> secret) {
  if (!secret.empty()) explicit_bzero(secret.data(), secret.size());
}

void wipe(std::string& secret) { wipe(std::span(reinterpret_cast<uint8_t*>(secret.data()), secret.size())); }

void wipe(std::vector<PemBlock>& blocks) {
  for (PemBlock& block : blocks) wipe(std::span(block.content));
}

}  // namespace sluice::tls
