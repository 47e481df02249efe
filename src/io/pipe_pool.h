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

/// How many pipes of limits::pipe_bytes one user may have (fs.pipe-user-pages-soft), all processes together.
[[nodiscard]] uint32_t pipes_allowed();

class PipePool {
 public:
  /// `pipes_max`: how many may exist at once.
  explicit PipePool(uint32_t pipes_max) : pipes_max_(pipes_max) {}
  PipePool(const PipePool&) = delete;
  PipePool& operator=(const PipePool&) = delete;
  ~PipePool();

  [[nodiscard]] Pipe* take();
  void give(Pipe* pipe);

 private:
  [[nodiscard]] static std::unique_ptr<Pipe> make();

  uint32_t pipes_max_;
  uint32_t made_ = 0;
  std::vector<std::unique_ptr<Pipe>> free_;
};

}  // namespace sluice::io
