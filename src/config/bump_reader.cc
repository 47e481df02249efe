#include "config/bump_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

namespace sluice::config {
namespace {

constexpr size_t files_max = 64;  // of one kind; one file holds any number of certificates

std::optional<uint8_t> hex_digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<uint8_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<uint8_t>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<uint8_t>(c - 'A' + 10);
  return std::nullopt;
}

void read_file_name(Section& section, const RulesReader& rules, std::string_view key,
                    std::optional<FileName>& target) {
  const std::string* path = section.string(key);
  if (path == nullptr) return;
  const auto at = section.value(key)->position;
  if (path->empty())
    section.problems().error(at, fmt::format("{} is empty: leave it out, or name a file", section.full(key)));
  else
    target = FileName{rules.path_of(*path), at};
}

void read_file_names(Section& section, const RulesReader& rules, std::string_view key,
                     std::vector<FileName>& target) {
  const Array* array = section.array(key);
  if (array == nullptr) return;
  for (const Value& element : array->values) {
    const auto* path = std::get_if<std::string>(&element.is);
    if (path == nullptr) {
      section.problems().error(element.position, fmt::format("{} must be a list of file names, not of {}",
                                                             section.full(key), element.type()));
    } else if (path->empty()) {
      section.problems().error(element.position,
                               fmt::format("{}: \"\" is not the name of a file", section.full(key)));
    } else {
      target.push_back({rules.path_of(*path), element.position});
    }
  }
  if (array->values.size() > files_max)
    section.problems().error(
        section.value(key)->position,
        fmt::format("{} names {} files, at most {} are allowed: one file may hold any number of PEM blocks",
                    section.full(key), array->values.size(), files_max));
}

void read_fingerprints(Section& section, RulesReader& rules, Tls& tls) {
  rules.entries(section, "trusted_origins", "strings", [&](std::string_view text, std::string& error) {
    const auto fingerprint = parse_fingerprint(text);
    if (fingerprint)
      tls.trusted_origins.push_back(*fingerprint);
    else
      error = fmt::format(
          "'{}' is not a SHA-256 fingerprint: 64 hexadecimal digits, with or without colons, as `openssl "
          "x509 -noout -fingerprint -sha256` shows them",
          text);
  });
  std::sort(tls.trusted_origins.begin(), tls.trusted_origins.end());
  tls.trusted_origins.erase(std::unique(tls.trusted_origins.begin(), tls.trusted_origins.end()),
                            tls.trusted_origins.end());
}

void read_invalid_origin(Section& tls_section, Tls& tls) {
  const Table* table = tls_section.table("invalid_origin");
  if (table == nullptr) return;
  Section section(*table, "tls.invalid_origin", tls_section.value("invalid_origin")->position,
                  tls_section.problems());
  for (const OriginProblem problem : all_origin_problems)
    section.choice<InvalidAction>(to_string(problem),
                                  {{"page", InvalidAction::page},
                                   {"untrusted", InvalidAction::untrusted},
                                   {"terminate", InvalidAction::terminate},
                                   {"tunnel", InvalidAction::tunnel},
                                   {"allow", InvalidAction::allow}},
                                  tls.invalid_origin.actions[static_cast<size_t>(problem)]);
  section.finish();
}

}  // namespace

const char* to_string(InvalidAction action) {
  switch (action) {
    case InvalidAction::allow:
      return "allow";
    case InvalidAction::tunnel:
      return "tunnel";
    case InvalidAction::untrusted:
      return "untrusted";
    case InvalidAction::page:
      return "page";
    case InvalidAction::terminate:
      return "terminate";
  }
  return "?";
}

InvalidAction InvalidOrigin::action_for(OriginProblems problems) const {
  InvalidAction strictest = InvalidAction::allow;
  for (const OriginProblem problem : all_origin_problems)
    if (problems.has(problem)) strictest = std::max(strictest, action_for(problem));
  return strictest;
}

std::optional<Fingerprint> parse_fingerprint(std::string_view text) {
  Fingerprint fingerprint{};
  const bool colons = text.size() == 3 * fingerprint.size() - 1;
  if (!colons && text.size() != 2 * fingerprint.size()) return std::nullopt;
  const size_t step = colons ? 3 : 2;
  for (size_t i = 0; i < fingerprint.size(); ++i) {
    const auto high = hex_digit(text[i * step]);
    const auto low = hex_digit(text[i * step + 1]);
    if (!high || !low || (colons && i > 0 && text[i * step - 1] != ':')) return std::nullopt;
    fingerprint[i] = static_cast<uint8_t>(*high << 4 | *low);
  }
  return fingerprint;
}

void read_bump(Section& section, RulesReader& rules, Tls& tls) {
  read_file_name(section, rules, "ca_cert", tls.ca_cert);
  read_file_name(section, rules, "ca_key", tls.ca_key);
  section.choice<LeafKeyKind>("leaf_key", {{"ec", LeafKeyKind::ec}, {"rsa", LeafKeyKind::rsa}}, tls.leaf_key);
  section.boolean("system_roots", tls.system_roots);
  read_file_names(section, rules, "extra_roots", tls.extra_roots);
  read_file_names(section, rules, "intermediates", tls.intermediates);
  section.boolean("fetch_intermediates", tls.fetch_intermediates);
  tls.fetch_intermediates_from = rules.networks(section, "fetch_intermediates_from");
  read_file_names(section, rules, "crl_files", tls.crl_files);
  read_fingerprints(section, rules, tls);
  for (const auto& [key, target] :
       {std::pair{"client_cert", &tls.client_cert}, std::pair{"unsupported", &tls.unsupported}})
    section.choice<WhenNotBumpable>(
        key, {{"tunnel", WhenNotBumpable::tunnel}, {"terminate", WhenNotBumpable::terminate}}, *target);
  section.choice<uint16_t>("min_version", {{"1.2", uint16_t{0x0303}}, {"1.3", uint16_t{0x0304}}},
                           tls.min_version);
  read_invalid_origin(section, tls);
}

void require_ca(const RulesReader& rules, const Tls& tls, Problems& problems) {
  if (tls.ca_cert && !tls.ca_key)
    problems.error(tls.ca_cert->position,
                   "tls.ca_cert without tls.ca_key: the CA's private key is needed to sign with");
  if (tls.ca_key && !tls.ca_cert)
    problems.error(tls.ca_key->position,
                   "tls.ca_key without tls.ca_cert: name the CA certificate that the key belongs to");
  if (tls.ca_cert || tls.ca_key || !tls.decrypt) return;
  const auto& bump = rules.first_bump();
  const bool for_page = bump && bump->key == "access.https_page";
  if (bump)
    problems.error(bump->position, fmt::format("{}: {} needs a CA: name its files in tls.ca_cert and "
                                               "tls.ca_key; `sluice ca init` makes one",
                                               bump->key, for_page ? "a page inside HTTPS" : "\"bump\""));
}

void read_http(Section& section, Http& http) {
  section.choice<NonHttp>("non_http", {{"terminate", NonHttp::terminate}, {"tunnel", NonHttp::tunnel}},
                          http.non_http);
  section.size("hold_limit", 16 << 10, uint64_t{1} << 30, http.hold_limit_bytes);
  section.finish();
}

}  // namespace sluice::config
