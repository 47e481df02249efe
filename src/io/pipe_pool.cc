#include "io/pipe_pool.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "base/check.h"
#include "base/limits.h"

namespace sluice::io {
namespace {
constexpr const char* soft_limit_file = "/proc/sys/fs/pipe-user-pages-soft";
constexpr uint64_t default_soft_pages = 16384;
}  // namespace

uint32_t pipes_allowed() {
  uint64_t pages = default_soft_pages;
  if (std::FILE* file = std::fopen(soft_limit_file, "re")) {
    unsigned long long read = 0;
    if (std::fscanf(file, "%llu", &read) == 1) pages = read;
    std::fclose(file);
  }
  if (pages == 0) return UINT32_MAX;  // no limit
  const auto page_bytes = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  return static_cast<uint32_t>(std::min<uint64_t>(pages * page_bytes / limits::pipe_bytes, UINT32_MAX));
}

PipePool::~PipePool() {
  for (auto& pipe : free_) {
    ::close(pipe->read_fd);
    ::close(pipe->write_fd);
  }
}

std::unique_ptr<Pipe> PipePool::make() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0) return nullptr;
  auto pipe = std::make_unique<Pipe>();
  pipe->read_fd = fds[0];
  pipe->write_fd = fds[1];
  // Refused past the user's limit: the default 64 KiB works as well, only slower.
  int capacity = fcntl(fds[1], F_SETPIPE_SZ, static_cast<int>(limits::pipe_bytes));
  if (capacity < 0) capacity = fcntl(fds[1], F_GETPIPE_SZ);
  pipe->capacity = capacity > 0 ? static_cast<uint32_t>(capacity) : 65536;
  return pipe;
}

Pipe* PipePool::take() {
  if (free_.empty()) {
    if (made_ >= pipes_max_) return nullptr;
    auto pipe = make();
    if (!pipe) return nullptr;
    ++made_;
    return pipe.release();
  }
  Pipe* pipe = free_.back().release();
  free_.pop_back();
  return pipe;
}

void PipePool::give(Pipe* pipe) {
  std::unique_ptr<Pipe> owned(pipe);
  SLUICE_CHECK(owned != nullptr);
  if (owned->bytes == 0) {
    free_.push_back(std::move(owned));
    return;
  }
  // Bytes of one connection must never reach another.
  ::close(owned->read_fd);
  ::close(owned->write_fd);
  --made_;
}

}  // namespace sluice::io
