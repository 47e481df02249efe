// A Config from text, for tests of src/cli. Header only.
#pragma once

#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <string>

#include "config/config.h"

namespace sluice::cli::testing {

inline std::shared_ptr<const config::Config> config_of(const std::string& text) {
  const auto read_file = [&](const std::string& path, std::string& error) -> std::optional<std::string> {
    if (path == "rules.toml") return text;
    error = "No such file or directory";
    return std::nullopt;
  };
  const config::Loaded loaded = config::load("rules.toml", read_file, 1);
  for (const config::Problem& problem : loaded.problems) MESSAGE(problem.to_string());
  REQUIRE(loaded.config);
  return loaded.config;
}

}  // namespace sluice::cli::testing
