// Loading a configuration from texts in memory, for tests.
#pragma once

#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "config/config.h"

namespace sluice::testing {

/// Files by path; the configuration is "/etc/sluice/rules.toml".
struct Files {
  std::map<std::string, std::string> texts;

  /// `may_bump`: as a version that decrypts would.
  [[nodiscard]] config::Loaded load(bool may_bump = config::bump_is_ready) const {
    const auto read = [this](const std::string& path, std::string& error) -> std::optional<std::string> {
      const auto found = texts.find(path);
      if (found != texts.end()) return found->second;
      error = "No such file or directory";
      return std::nullopt;
    };
    return config::load("/etc/sluice/rules.toml", read, 42, may_bump);
  }
};

inline config::Loaded load(const std::string& rules, std::map<std::string, std::string> lists = {}) {
  Files files;
  files.texts["/etc/sluice/rules.toml"] = rules;
  for (auto& [name, text] : lists) files.texts["/etc/sluice/lists/" + name] = std::move(text);
  return files.load();
}

/// The same as a version that decrypts would, whatever the switch in config.h says.
inline config::Loaded load_bumping(const std::string& rules, std::map<std::string, std::string> lists = {}) {
  Files files;
  files.texts["/etc/sluice/rules.toml"] = rules;
  for (auto& [name, text] : lists) files.texts["/etc/sluice/lists/" + name] = std::move(text);
  return files.load(true);
}

inline std::string problems_of(const config::Loaded& loaded) {
  std::string text;
  for (const auto& problem : loaded.problems) text += problem.to_string() + "\n";
  return text;
}

/// The configuration of a text that must be right; `lists` are the files "@lists/NAME".
inline std::shared_ptr<const config::Config> config_of(const std::string& rules,
                                                       std::map<std::string, std::string> lists = {}) {
  const config::Loaded loaded = load(rules, std::move(lists));
  REQUIRE_MESSAGE(loaded.config != nullptr, problems_of(loaded));
  return loaded.config;
}

inline std::shared_ptr<const rules::Policy> policy_of(const std::string& rules,
                                                      std::map<std::string, std::string> lists = {}) {
  return config_of(rules, std::move(lists))->policy;
}

}  // namespace sluice::testing
