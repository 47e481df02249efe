// Certificates as people read them.
#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/utf8.h"
#include "tls/certificate.h"
#include "tls/der_oid.h"

namespace sluice::tls {
namespace {

using der::Reader;

/// "2.5.4.97"; arcs past 32 bits are cut short, these do not occur.
std::string dotted(ByteView oid) {
  std::string text;
  uint32_t arc = 0;
  for (const uint8_t octet : oid) {
    arc = arc << 7 | (octet & 0x7fu);
    if ((octet & 0x80) != 0) continue;
    if (text.empty()) {
      const uint32_t first = std::min(arc / 40, 2u);
      text = fmt::format("{}.{}", first, arc - 40 * first);
    } else {
      text += fmt::format(".{}", arc);
    }
    arc = 0;
  }
  return text;
}

/// RFC 4514, section 3, and what openssl prints besides.
std::string short_name(ByteView oid) {
  struct Row {
    ByteView oid;
    const char* name;
  };
  static constexpr Row rows[] = {
      {der_oid::common_name, "CN"},
      {der_oid::organization, "O"},
      {der_oid::organizational_unit, "OU"},
      {der_oid::country, "C"},
      {der_oid::state, "ST"},
      {der_oid::locality, "L"},
      {der_oid::street, "STREET"},
      {der_oid::domain_component, "DC"},
      {der_oid::serial_number, "serialNumber"},
      {der_oid::email_address, "emailAddress"},
      {der_oid::surname, "SN"},
  };
  for (const Row& row : rows)
    if (std::ranges::equal(oid, row.oid)) return row.name;
  return dotted(oid);
}

std::string escaped(std::string_view value) {
  std::string text;
  for (const char c : value) {
    if (std::string_view("\\,+\"<>;=").find(c) != std::string_view::npos) text += '\\';
    text += c;
  }
  return printable(text);
}

std::string attribute_text(Reader attribute) {
  const auto type = attribute.element(der::oid_tag);
  const auto value = attribute.element();
  if (!type || !value) return "?";
  const auto text = der::string_as_utf8(value->tag, value->content);
  return short_name(type->content) + "=" + (text ? escaped(*text) : "#" + hex_text(value->whole));
}

}  // namespace

std::string name_text(ByteView name) {
  Reader outer(name);
  auto sets = outer.inside(der::sequence_tag);
  std::vector<std::string> parts;
  while (sets && !sets->empty()) {
    auto set = sets->inside(der::set_tag);
    std::string part;
    while (set && !set->empty()) {
      const auto attribute = set->inside(der::sequence_tag);
      if (!attribute) break;
      if (!part.empty()) part += '+';
      part += attribute_text(*attribute);
    }
    if (!set) break;
    parts.push_back(part);
  }
  std::reverse(parts.begin(), parts.end());
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : ", ") + part;
  return text;
}

std::string key_text(const PublicKey& key) {
  switch (key.kind) {
    case KeyKind::rsa:
      return fmt::format("RSA {}", key.bits);
    case KeyKind::ec:
      if (key.curve == Curve::other || key.curve == Curve::none) return "EC on an unknown curve";
      return fmt::format("EC P-{}", key.bits);
    case KeyKind::ed25519:
      return "Ed25519";
    case KeyKind::ed448:
      return "Ed448";
    case KeyKind::other:
      return "of an unknown kind";
  }
  return "?";
}

std::string hex_text(ByteView bytes) {
  std::string text;
  text.reserve(2 * bytes.size());
  for (const uint8_t octet : bytes) {
    text += "0123456789abcdef"[octet >> 4];
    text += "0123456789abcdef"[octet & 15];
  }
  return text;
}

}  // namespace sluice::tls
