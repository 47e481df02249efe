#include "control/load_material.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <functional>
#include <utility>

#include "control/load_config.h"
#include "tls/authority_file.h"

namespace sluice::control {
namespace {

class MaterialLoader {
 public:
  MaterialLoader(const config::Config& config, int64_t now_s, std::vector<config::Problem>& problems)
      : config_(config), now_s_(now_s), problems_(problems), is_needed_(config.policy->can_bump()) {}

  [[nodiscard]] bool is_needed() const { return is_needed_; }
  [[nodiscard]] bool has_errors() const { return has_errors_; }

  std::shared_ptr<const tls::Authority> load_authority() {
    const config::Tls& tls = config_.tls;
    if (!tls.ca_cert || !tls.ca_key) return nullptr;
    auto loaded = tls::load_authority(tls.ca_cert->path, tls.ca_key->path, now_s_);
    if (loaded) return *loaded;
    const bool of_key = loaded.error().problem.of_key;
    if (loaded.error().problem.sys_errno == ENOENT && !of_key && access(tls.ca_key->path.c_str(), F_OK) != 0) {
      for (const auto& [key, file] : {std::pair{"ca_cert", &*tls.ca_cert}, std::pair{"ca_key", &*tls.ca_key}})
        fault(file->position, fmt::format("tls.{}: {}: cannot read it: {}; `sluice ca init` makes both files", key, file->path,
                                          std::strerror(ENOENT)));
      return nullptr;
    }
    fault(of_key ? tls.ca_key->position : tls.ca_cert->position,
          fmt::format("{}: {}", of_key ? "tls.ca_key" : "tls.ca_cert", text_of(loaded.error())));
    return nullptr;
  }

  std::shared_ptr<const tls::Trust> load_trust(std::span<const std::string> root_files) {
    const config::Tls& tls = config_.tls;
    for (const config::FileName& file : tls.extra_roots)
      add(file, "tls.extra_roots", [&](std::string_view text) { return builder_.add_roots(text, now_s_); });
    for (const config::FileName& file : tls.intermediates)
      add(file, "tls.intermediates",
          [&](std::string_view text) { return builder_.add_intermediates(text, now_s_); });
    for (const config::FileName& file : tls.crl_files)
      add(file, "tls.crl_files", [&](std::string_view text) { return builder_.add_crls(text, now_s_); });
    for (const config::Fingerprint& fingerprint : tls.trusted_origins) builder_.trust_origin(fingerprint);
    if (is_needed_) add_system_roots(root_files);
    return builder_.build();
  }

 private:
  using Added = tls::TrustBuilder::Added;

  void add(const config::FileName& file, const char* key,
           const std::function<Added(std::string_view)>& take) {
    std::string error;
    const auto text = read_file(file.path, error);
    if (!text) {
      fault(file.position, fmt::format("{}: cannot read {}: {}", key, file.path, error));
      return;
    }
    const Added added = take(*text);
    if (!added.error.empty()) fault(file.position, fmt::format("{}: {}: {}", key, file.path, added.error));
    for (const std::string& warning : added.warnings)
      tell(config::Severity::warning, file.position, fmt::format("{}: {}: {}", key, file.path, warning));
  }

  void add_system_roots(std::span<const std::string> root_files) {
    if (!config_.tls.system_roots) {
      if (config_.tls.extra_roots.empty() && config_.tls.trusted_origins.empty())
        tell(config::Severity::warning, {},
             "tls.system_roots = false and no tls.extra_roots: no origin is trusted, so each is answered as "
             "[tls.invalid_origin] says");
      return;
    }
    for (const std::string& path : root_files) {
      std::string error;
      const auto text = read_file(path, error);
      if (!text) continue;
      const Added added = builder_.add_system_roots(*text);
      if (added.error.empty()) return;
      fault({}, fmt::format("tls.system_roots: {}: {}", path, added.error));
      return;
    }
    fault({}, fmt::format(
                  "tls.system_roots: this system has none of {} (package ca-certificates); install it, or "
                  "write system_roots = false and name tls.extra_roots",
                  fmt::join(root_files, ", ")));
  }

  void fault(rules::Position at, std::string message) {
    has_errors_ = has_errors_ || is_needed_;
    tell(is_needed_ ? config::Severity::error : config::Severity::warning, at, std::move(message));
  }
  void tell(config::Severity severity, rules::Position at, std::string message) {
    problems_.push_back({severity, config_.file, at.line, at.column, std::move(message)});
  }

  const config::Config& config_;
  int64_t now_s_;
  std::vector<config::Problem>& problems_;
  bool is_needed_;
  bool has_errors_ = false;
  tls::TrustBuilder builder_;
};

}  // namespace

std::span<const std::string> system_root_files() {
  static const std::array<std::string, 4> files = {
      "/etc/ssl/certs/ca-certificates.crt",  // Debian, Ubuntu, Arch, Alpine
      "/etc/pki/tls/certs/ca-bundle.crt",    // Fedora, RHEL
      "/etc/ssl/ca-bundle.pem",              // openSUSE
      "/etc/ssl/cert.pem"};
  return files;
}

std::shared_ptr<const tls::Material> load_material(const config::Config& config, int64_t now_s,
                                                   const tls::Material* previous,
                                                   std::span<const std::string> root_files,
                                                   std::vector<config::Problem>& problems) {
  MaterialLoader loader(config, now_s, problems);
  auto material = std::make_shared<tls::Material>();
  material->authority = loader.load_authority();
  material->trust = loader.load_trust(root_files);
  if (!loader.is_needed() || loader.has_errors()) return nullptr;
  material->untrusted = previous != nullptr
                            ? previous->untrusted
                            : std::make_shared<const tls::Authority>(tls::Authority::make_untrusted(now_s));
  return material;
}

}  // namespace sluice::control
