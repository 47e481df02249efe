// The problems that a load has found so far. One Problems per load; not shared.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"

namespace sluice::config {

class Problems {
 public:
  /// `file` is the configuration file; problems of list files name theirs.
  explicit Problems(std::string file) : file_(std::move(file)) {}

  void error(rules::Position at, std::string message) { add(Severity::error, file_, at, std::move(message)); }
  void warning(rules::Position at, std::string message) {
    add(Severity::warning, file_, at, std::move(message));
  }
  void add(Severity severity, const std::string& file, rules::Position at, std::string message) {
    errors_ += severity == Severity::error;
    problems_.push_back({severity, file, at.line, at.column, std::move(message)});
  }
  [[nodiscard]] size_t errors() const { return errors_; }
  /// In the order of the configuration file; those of list files behind, each in its order.
  [[nodiscard]] std::vector<Problem> take();

 private:
  std::string file_;
  std::vector<Problem> problems_;
  size_t errors_ = 0;
};

}  // namespace sluice::config
