// Two blocks per vector: VAES without AVX-512 (AMD Zen 3, Intel Alder Lake and its N series).
#include "tls/aes_gcm.h"

#if defined(SLUICE_HAS_WIDE_GCM)

#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cstring>

// Behind this line all is compiled for such a CPU; what is included above is not.
#pragma GCC push_options
#pragma GCC target("avx2,aes,pclmul,vaes,vpclmulqdq")

#include "tls/aes_gcm_blocks.h"

namespace sluice::tls {
namespace {

struct TwoBlocks {
  using Type = __m256i;
  static constexpr size_t blocks = 2;

  static Type zero() { return _mm256_setzero_si256(); }
  static Type broadcast(__m128i block) { return _mm256_broadcastsi128_si256(block); }
  static Type extended(__m128i block) { return _mm256_zextsi128_si256(block); }
  static __m128i first(Type a) { return _mm256_castsi256_si128(a); }
  static __m128i folded(Type a) {
    return _mm_xor_si128(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
  }
  static Type load(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }
  static void store(uint8_t* to, Type a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), a); }
  static Type turn(Type a) { return _mm256_shuffle_epi8(a, broadcast(turning())); }
  static Type add(Type a, Type b) { return _mm256_xor_si256(a, b); }
  static Type add(Type a, Type b, Type c) { return _mm256_xor_si256(a, _mm256_xor_si256(b, c)); }
  static Type add_numbers(Type a, Type b) { return _mm256_add_epi32(a, b); }
  static Type first_numbers() { return _mm256_set_epi32(0, 0, 0, 2, 0, 0, 0, 1); }
  static Type next_numbers() { return _mm256_set_epi32(0, 0, 0, 2, 0, 0, 0, 2); }
  static Type aes(Type a, Type key) { return _mm256_aesenc_epi128(a, key); }
  static Type aes_last(Type a, Type key) { return _mm256_aesenclast_epi128(a, key); }
  template <int halves>
  static Type multiply(Type a, Type b) {
    return _mm256_clmulepi64_epi128(a, b, halves);
  }
};

void encrypt_256(const GcmCall& call, uint8_t* tag) { encrypt<TwoBlocks>(call, tag); }
bool decrypt_256(const GcmCall& call, const uint8_t* tag) { return decrypt<TwoBlocks>(call, tag); }

#pragma GCC pop_options

bool can_run_256() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("aes") &&
         __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("vaes") &&
         __builtin_cpu_supports("vpclmulqdq");
}

}  // namespace

const GcmCode& gcm_code_256() {
  static constexpr GcmCode code{"256", can_run_256, encrypt_256, decrypt_256};
  return code;
}

}  // namespace sluice::tls

#endif  // SLUICE_HAS_WIDE_GCM
