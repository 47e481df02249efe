#include "config/explicit_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

namespace sluice::config {
namespace {

constexpr size_t listeners_max = 16;
constexpr size_t realm_bytes_max = 128;
constexpr size_t user_bytes_max = 128;
constexpr size_t hash_bytes_max = 256;  // crypt(3): at most CRYPT_OUTPUT_SIZE - 1 = 383; the longest here is $6$ with 123

constexpr std::string_view hashes_allowed =
    "allowed are bcrypt (`htpasswd -B`) and SHA-crypt (`openssl passwd -6`)";

/// Why a hash is not taken; empty when it is.
std::string fault_of_hash(std::string_view hash) {
  for (const std::string_view good : {"$2y$", "$2a$", "$2b$", "$5$", "$6$"})
    if (hash.starts_with(good)) {
      const bool is_complete = hash.size() > 40 && hash.size() <= hash_bytes_max;
      return is_complete ? "" : "the hash is cut off or too long";
    }
  if (hash.starts_with("$apr1$") || hash.starts_with("$1$"))
    return fmt::format("the hash is MD5, which is guessed too quickly; {}", hashes_allowed);
  if (hash.starts_with("{SHA}"))
    return fmt::format("the hash is SHA-1 without salt, which is guessed too quickly; {}", hashes_allowed);
  return fmt::format("this is no hash that is known here (a password in clear, or the old DES crypt?); {}",
                     hashes_allowed);
}

void read_listen(Section& section, const Gateway& gateway, Explicit& explicit_proxy) {
  const Array* array = section.array("listen");
  if (array == nullptr) return;
  for (const Value& element : array->values) {
    const auto* text = std::get_if<std::string>(&element.is);
    const auto endpoint = text == nullptr ? std::nullopt : Endpoint::parse(*text);
    Problems& problems = section.problems();
    if (text == nullptr) {
      problems.error(element.position, fmt::format("explicit.listen must be a list of strings, not of {}", element.type()));
    } else if (!endpoint || endpoint->port == 0) {
      problems.error(element.position, fmt::format("explicit.listen: '{}' is not an address with a port; write "
                                                   "\"192.0.2.1:3128\" or \"[2001:db8::1]:3128\"",
                                                   *text));
    } else if (endpoint->port == gateway.tproxy_port) {
      problems.error(element.position,
                     fmt::format("explicit.listen: port {} is gateway.tproxy_port, where redirected connections "
                                 "arrive; choose another, 3128 for instance",
                                 endpoint->port));
    } else if (std::find(explicit_proxy.listen.begin(), explicit_proxy.listen.end(), *endpoint) !=
               explicit_proxy.listen.end()) {
      problems.error(element.position, fmt::format("explicit.listen names {} twice", *text));
    } else {
      explicit_proxy.listen.push_back(*endpoint);
    }
  }
  if (array->values.size() > listeners_max)
    section.problems().error(section.value("listen")->position,
                             fmt::format("explicit.listen has {} addresses, at most {} are allowed",
                                         array->values.size(), listeners_max));
}

void read_users(Section& section, const RulesReader& rules, const ReadFile& read_file, Explicit& explicit_proxy) {
  const std::string* name = section.string("users");
  if (name == nullptr) return;
  const auto at = section.value("users")->position;
  if (name->empty())
    return section.problems().error(at, "explicit.users is empty: leave it out, or name an htpasswd file");
  const std::string path = rules.path_of(*name);
  std::string reason;
  const auto text = read_file(path, reason);
  if (!text)
    return section.problems().error(at, fmt::format("explicit.users: cannot read {}: {}", path, reason));
  auto users = std::make_shared<Users>(parse_users(*text, [&](uint32_t line, std::string message) {
    section.problems().add(Severity::error, path, {line, 1}, std::move(message));
  }));
  if (users->empty() && section.problems().errors() == 0)
    section.problems().warning(at, fmt::format("explicit.users: {} names nobody, so nobody can use the proxy", path));
  explicit_proxy.users = std::move(users);
}

}  // namespace

Users parse_users(std::string_view text, const std::function<void(uint32_t, std::string)>& report) {
  Users users;
  uint32_t line_number = 0;
  while (!text.empty()) {
    ++line_number;
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.find_first_not_of(" \t") == std::string_view::npos || line.starts_with('#')) continue;
    const size_t colon = line.find(':');
    const std::string_view name = line.substr(0, colon);
    const std::string_view hash = colon == std::string_view::npos ? std::string_view() : line.substr(colon + 1);
    if (colon == std::string_view::npos) {
      report(line_number, "there is no colon: a line is name:hash, as `htpasswd -B` writes it");
    } else if (name.empty() || name.size() > user_bytes_max) {
      report(line_number, fmt::format("the name in front of the colon has {} bytes, allowed are 1 to {}", name.size(),
                                      user_bytes_max));
    } else if (const std::string fault = fault_of_hash(hash); !fault.empty()) {
      report(line_number, fmt::format("user \"{}\": {}", name, fault));
    } else if (!users.emplace(name, hash).second) {
      report(line_number, fmt::format("user \"{}\" is there twice", name));
    }
  }
  return users;
}

void read_explicit(Section& section, const RulesReader& rules, const ReadFile& read_file, const Gateway& gateway,
                   Explicit& explicit_proxy) {
  read_listen(section, gateway, explicit_proxy);
  read_users(section, rules, read_file, explicit_proxy);
  if (const std::string* realm = section.string("realm")) {
    const bool printable = std::all_of(realm->begin(), realm->end(), [](char c) { return c >= ' ' && c != '"' && c != '\\' && c != '\x7f'; });
    if (realm->empty() || realm->size() > realm_bytes_max || !printable)
      section.problems().error(section.value("realm")->position,
                               "explicit.realm must be 1 to 128 printable characters without \" and \\: browsers show it "
                               "when they ask for the password");
    else
      explicit_proxy.realm = *realm;
  }
  section.choice<BlockedConnect>("blocked_connect",
                                 {{"close", BlockedConnect::close}, {"403", BlockedConnect::status}},
                                 explicit_proxy.blocked_connect);
  section.boolean("local_destinations", explicit_proxy.local_destinations);
  section.finish();
}

}  // namespace sluice::config
