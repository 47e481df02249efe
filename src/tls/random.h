// Random numbers for TLS: the kernel's, taken in chunks, so that a handshake costs no system call for its few
// hundred bytes.
//
// wolfSSL calls this (CUSTOM_RAND_GENERATE_BLOCK in deps/libraries) instead of its own generator, which costs
// 7 µs per connection to seed. Each thread has a page of its own; what was handed out is wiped at once. A
// child of fork() finds its page empty (MADV_WIPEONFORK), so it never repeats its parent's numbers.
#pragma once

#include <cstdint>
#include <span>

namespace sluice::tls {

/// Fills `out`. False: the kernel gave nothing, and `out` is all zero.
[[nodiscard]] bool random_bytes(std::span<uint8_t> out);

}  // namespace sluice::tls

/// For wolfSSL: 0, or -1 for failure.
extern "C" int sluice_random_block(unsigned char* out, unsigned int size);
