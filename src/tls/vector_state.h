// wolfCrypt's P-256 assembly leaves the upper halves of the vector registers in use, and its SHA-256 assembly mixes old and
// new vector instructions. Where that mixture costs a state transition each time (measured on a recent Xeon), hashing
// after a signature was 30 times as slow: a minted certificate took 87 instead of 32 us, one with 1,000 names 2,570
// instead of 69. One instruction tidies up. Stateless; any thread.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace sluice::tls {

#if defined(__x86_64__)
__attribute__((target("avx"))) inline void zero_upper_vectors() { _mm256_zeroupper(); }
/// To be called between public-key work and hashing. Costs a nanosecond.
inline void tidy_vector_state() {
  if (__builtin_cpu_supports("avx")) zero_upper_vectors();
}
#else
inline void tidy_vector_state() {}
#endif

}  // namespace sluice::tls
