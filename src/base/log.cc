#include "base/log.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>

#include "base/utf8.h"

namespace sluice {
namespace {

/// JOURNAL_STREAM is "device:inode" of the journal's socket; standard error may have been redirected since.
bool stderr_is_journal() {
  const char* const journal = std::getenv("JOURNAL_STREAM");
  struct stat status {};
  if (journal == nullptr || fstat(STDERR_FILENO, &status) != 0) return false;
  return fmt::format("{}:{}", status.st_dev, status.st_ino) == journal;
}

std::string_view prefix_of(Log::Level level, Log::Style style) {
  const bool is_journal = style == Log::Style::journald;
  switch (level) {
    case Log::Level::error:
      return is_journal ? "<3>" : "sluice: error: ";
    case Log::Level::warning:
      return is_journal ? "<4>" : "sluice: warning: ";
    case Log::Level::info:
      return is_journal ? "<6>" : "sluice: ";
  }
  return "";
}

}  // namespace

Log Log::to_stderr() { return {STDERR_FILENO, stderr_is_journal() ? Style::journald : Style::plain}; }

void Log::write(Level level, std::string_view message) const {
  std::string line(prefix_of(level, style_));
  line += printable(message);
  line += '\n';
  std::string_view left = line;
  while (!left.empty()) {
    const ssize_t written = ::write(fd_, left.data(), left.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // nobody to tell
    left.remove_prefix(static_cast<size_t>(written));
  }
}

}  // namespace sluice
