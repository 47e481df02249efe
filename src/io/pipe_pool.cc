#include "io/pipe_pool.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/check.h"

namespace sluice::io {

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
  // Refused past the user's limit: the default 64 KiB serves as well, only slower.
  int capacity = fcntl(fds[1], F_SETPIPE_SZ, pipe_bytes);
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
