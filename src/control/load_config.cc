#include "control/load_config.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <tuple>

#include "base/check.h"
#include "config/past.h"
#include "control/load_material.h"

namespace sluice::control {
namespace {

// yyyymmdd, local time.
int today() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  return (local.tm_year + 1900) * 10000 + (local.tm_mon + 1) * 100 + local.tm_mday;
}

class OwnedFd {
 public:
  explicit OwnedFd(int fd) : fd_(fd) {}
  ~OwnedFd() {
    if (fd_ >= 0) close(fd_);
  }
  OwnedFd(const OwnedFd&) = delete;
  OwnedFd& operator=(const OwnedFd&) = delete;
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

uint64_t random_seed() {
  uint64_t seed = 0;
  // Up to 256 bytes are never cut short, once the pool is ready (getrandom(2)).
  SLUICE_CHECK(getrandom(&seed, sizeof seed, 0) == static_cast<ssize_t>(sizeof seed));
  return seed;
}

}  // namespace

std::optional<std::string> read_file(const std::string& path, std::string& error) {
  const auto failed = [&](const char* reason) {
    error = reason;
    return std::nullopt;
  };
  // O_NONBLOCK: opening a FIFO without a writer would wait for one.
  const OwnedFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status {};
  if (file.get() < 0 || fstat(file.get(), &status) != 0) return failed(std::strerror(errno));
  if (S_ISDIR(status.st_mode)) return failed(std::strerror(EISDIR));
  if (!S_ISREG(status.st_mode)) return failed("not a regular file");
  if (static_cast<uint64_t>(status.st_size) > file_bytes_max) return failed("larger than 256 MiB");

  std::string content;
  content.resize(static_cast<size_t>(status.st_size) + 1);  // one more, to see the end or growth in one read
  size_t have = 0;
  while (true) {
    const ssize_t got = read(file.get(), content.data() + have, content.size() - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failed(std::strerror(errno));
    if (got == 0) break;
    have += static_cast<size_t>(got);
    if (have > file_bytes_max) return failed("larger than 256 MiB");
    if (have == content.size()) content.resize(content.size() + 64 * 1024);
  }
  content.resize(have);
  return content;
}

Loaded load_from_disk(const std::string& path, const tls::Material* previous) {
  Loaded loaded{config::load(path, read_file, random_seed()), nullptr};
  if (!loaded.config) return loaded;
  config::advise_of_past(*loaded.config, today(), loaded.problems);
  loaded.material =
      load_material(*loaded.config, std::time(nullptr), previous, system_root_files(), loaded.problems);
  const bool has_errors = std::ranges::any_of(loaded.problems, [](const config::Problem& problem) {
    return problem.severity == config::Severity::error;
  });
  if (has_errors) loaded.config = nullptr;
  std::ranges::stable_sort(loaded.problems, [&](const config::Problem& one, const config::Problem& other) {
    const auto place = [&](const config::Problem& problem) {  // as Problems::take: lists behind
      return std::tuple(problem.file != path, problem.line, problem.column);
    };
    return (one.file == path || other.file == path) && place(one) < place(other);
  });
  return loaded;
}

}  // namespace sluice::control
