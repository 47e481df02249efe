// Which names a certificate is for, and which a CA may certify.
#include <algorithm>
#include <string_view>

#include "base/limits.h"
#include "tls/certificate.h"

namespace sluice::tls {
namespace {

using der::Reader;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same_name(std::string_view one, std::string_view other) {
  return std::ranges::equal(one, other, [](char a, char b) { return lower(a) == lower(b); });
}

std::string_view without_final_dot(std::string_view name) {
  return name.ends_with('.') ? name.substr(0, name.size() - 1) : name;
}

/// `name` is `suffix`, or ends in "." and `suffix`.
bool is_below_or_same(std::string_view name, std::string_view suffix) {
  if (name.size() == suffix.size()) return same_name(name, suffix);
  if (name.size() < suffix.size() + 1) return false;
  return name[name.size() - suffix.size() - 1] == '.' &&
         same_name(name.substr(name.size() - suffix.size()), suffix);
}

/// A constraint "example.com" means that name and all below; ".example.com", as some write it, only those
/// below; an empty one everything (RFC 5280, 4.2.1.10).
bool dns_in_subtree(std::string_view name, std::string_view subtree) {
  if (subtree.empty()) return true;
  name = without_final_dot(name);
  if (subtree.starts_with('.'))
    return name.size() > subtree.size() && same_name(name.substr(name.size() - subtree.size()), subtree);
  return is_below_or_same(name, subtree);
}

/// "*.example.com" stands for "secret.example.com", too.
bool wildcard_reaches(std::string_view name, std::string_view subtree) {
  if (!name.starts_with("*.")) return false;
  if (subtree.starts_with('.')) subtree.remove_prefix(1);
  const size_t dot = subtree.find('.');
  return dot != std::string_view::npos &&
         same_name(without_final_dot(name.substr(2)), subtree.substr(dot + 1));
}

/// An address, and an address with a mask of the same length after it.
bool ip_in_subtree(ByteView address, ByteView subtree) {
  if (subtree.size() != 2 * address.size()) return false;
  for (size_t i = 0; i < address.size(); ++i)
    if (((address[i] ^ subtree[i]) & subtree[address.size() + i]) != 0) return false;
  return true;
}

/// Whether the RDNs of one Name begin with those of another. Compared as octets: a CA copies what it was
/// given.
bool directory_in_subtree(ByteView name, ByteView subtree) {
  Reader name_reader(name);
  Reader subtree_reader(subtree);
  auto sets = name_reader.inside(der::sequence_tag);
  auto wanted_sets = subtree_reader.inside(der::sequence_tag);
  if (!sets || !wanted_sets) return false;
  while (!wanted_sets->empty()) {
    const auto wanted = wanted_sets->element();
    const auto set = sets->element();
    if (!wanted || !set || !std::ranges::equal(wanted->whole, set->whole)) return false;
  }
  return true;
}

/// `if_unsure` is the answer for kinds that are not compared here.
bool is_in_subtree(const GeneralName& name, const GeneralName& subtree, bool if_unsure) {
  switch (name.kind) {
    case NameKind::dns:
      return dns_in_subtree(as_text(name.value), as_text(subtree.value));
    case NameKind::ip:
      return ip_in_subtree(name.value, subtree.value);
    case NameKind::directory:
      return directory_in_subtree(name.value, subtree.value);
    case NameKind::other:
    case NameKind::email:
    case NameKind::x400:
    case NameKind::edi_party:
    case NameKind::uri:
    case NameKind::id:
      return if_unsure;
  }
  return if_unsure;
}

bool looks_like_host(std::string_view text) {
  const auto is_host_character = [](char c) {
    c = lower(c);
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' || c == '*';
  };
  return text.find('.') != std::string_view::npos && std::ranges::all_of(text, is_host_character);
}

}  // namespace

RequestedName requested_name(std::string_view text) {
  if (const auto address = IpAddress::parse(text)) return *address;
  return text;
}

bool dns_name_matches(std::string_view pattern, std::string_view name) {
  pattern = without_final_dot(pattern);
  name = without_final_dot(name);
  if (pattern.empty() || name.empty() || name.find('*') != std::string_view::npos) return false;
  if (!pattern.starts_with("*."))
    return pattern.find('*') == std::string_view::npos && same_name(pattern, name);
  const std::string_view parent = pattern.substr(2);
  // One star alone, and at least two labels after it.
  if (parent.find('*') != std::string_view::npos || parent.starts_with('.') ||
      parent.find('.') == std::string_view::npos)
    return false;
  const size_t dot = name.find('.');
  return dot != std::string_view::npos && dot > 0 && same_name(name.substr(dot + 1), parent);
}

bool covers_name(const Certificate& certificate, const RequestedName& name) {
  if (const auto* address = std::get_if<IpAddress>(&name))
    return std::ranges::find(certificate.ip_addresses, *address) != certificate.ip_addresses.end();
  const std::string_view host = *std::get_if<std::string_view>(&name);
  if (const auto address = IpAddress::parse(host)) return covers_name(certificate, *address);
  return std::ranges::any_of(certificate.dns_names,
                             [&](std::string_view pattern) { return dns_name_matches(pattern, host); });
}

bool is_within(const NameConstraints& constraints, const GeneralName& name) {
  // IPv4 and IPv6 are one kind: a CA limited to addresses of the one may not certify any of the other.
  const auto same_kind = [&](const GeneralName& subtree) { return subtree.kind == name.kind; };
  bool is_limited = false;
  bool is_permitted = false;
  for (const GeneralName& subtree : constraints.permitted) {
    if (!same_kind(subtree)) continue;
    is_limited = true;
    is_permitted |= is_in_subtree(name, subtree, false);
  }
  if (is_limited && !is_permitted) return false;
  return std::ranges::none_of(constraints.excluded, [&](const GeneralName& subtree) {
    if (!same_kind(subtree)) return false;
    if (name.kind == NameKind::dns && wildcard_reaches(as_text(name.value), as_text(subtree.value)))
      return true;
    return is_in_subtree(name, subtree, true);
  });
}

bool is_within(const NameConstraints& constraints, const Certificate& certificate) {
  Reader subject(certificate.subject);
  const auto sets = subject.inside(der::sequence_tag);
  if (sets && !sets->empty()) {
    if (!is_within(constraints, GeneralName{NameKind::directory, certificate.subject, certificate.subject}))
      return false;
  }
  bool names_a_host = false;
  for (const GeneralName& name : certificate.alternative_names) {
    names_a_host |= name.kind == NameKind::dns || name.kind == NameKind::ip;
    if (!is_within(constraints, name)) return false;
  }
  if (names_a_host || !looks_like_host(certificate.common_name)) return true;
  const std::string& host = certificate.common_name;
  const ByteView value(reinterpret_cast<const uint8_t*>(host.data()), host.size());
  return is_within(constraints, GeneralName{NameKind::dns, value, value});
}

}  // namespace sluice::tls
