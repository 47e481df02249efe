// A kernel pipe through which bytes are spliced from one socket to another without being copied.
//
// Pooled by io::PipePool; attached to a flow only while bytes are in it, so a few pipes serve many flows.
#pragma once

#include <cstdint>

namespace sluice::io {

struct Pipe {
  int read_fd = -1;
  int write_fd = -1;
  uint32_t bytes = 0;     // in the pipe now
  uint32_t capacity = 0;  // what F_SETPIPE_SZ granted
};

}  // namespace sluice::io
