// PipePool: a bounded stock of pipes for splicing, one per worker.
//
// Bounded because each pipe pins up to its capacity in kernel pages, and because past pipe-user-pages-soft (64 MiB per
// user without CAP_SYS_RESOURCE) the kernel silently makes new pipes tiny. A flow that gets none copies instead.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "io/pipe.h"

namespace sluice::io {

class PipePool {
 public:
  /// `pipes_max`: how many may exist at once.
  explicit PipePool(uint32_t pipes_max) : pipes_max_(pipes_max) {}
  PipePool(const PipePool&) = delete;
  PipePool& operator=(const PipePool&) = delete;
  ~PipePool();

  [[nodiscard]] Pipe* take();
  void give(Pipe* pipe);

  // What is asked for. Larger pipes mean fewer wake-ups per byte; 1 MiB is the most that an unprivileged process may ask
  // for (fs.pipe-max-size), 256 KiB is where the gain ends here.
  static constexpr int pipe_bytes = 256 * 1024;

 private:
  [[nodiscard]] static std::unique_ptr<Pipe> make();

  uint32_t pipes_max_;
  uint32_t made_ = 0;
  std::vector<std::unique_ptr<Pipe>> free_;
};

}  // namespace sluice::io
