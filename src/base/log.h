// The daemon's own messages: what it started with, what the system refused. To standard error, one line each.
// Not the access log (record/format.h).
//
// main makes one Log and hands it down; there is no global. It may be used by any thread: a message is one
// write(2).
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string_view>
#include <utility>

namespace sluice {

class Log {
 public:
  enum class Level : uint8_t { error, warning, info };
  /// journald reads a priority in front of a line ("<3>"); people get "sluice: error: ".
  enum class Style : uint8_t { plain, journald };

  /// `fd` is not owned.
  Log(int fd, Style style) : fd_(fd), style_(style) {}
  /// Standard error, in the style that fits what it is connected to (systemd.exec(5), JOURNAL_STREAM).
  [[nodiscard]] static Log to_stderr();

  template <class... Args>
  void error(fmt::format_string<Args...> text, Args&&... args) const {
    write(Level::error, fmt::format(text, std::forward<Args>(args)...));
  }
  template <class... Args>
  void warning(fmt::format_string<Args...> text, Args&&... args) const {
    write(Level::warning, fmt::format(text, std::forward<Args>(args)...));
  }
  template <class... Args>
  void info(fmt::format_string<Args...> text, Args&&... args) const {
    write(Level::info, fmt::format(text, std::forward<Args>(args)...));
  }

  /// Control characters are escaped, so that a message is one line. A message that cannot be written is lost.
  void write(Level level, std::string_view message) const;

 private:
  int fd_;
  Style style_;
};

}  // namespace sluice
