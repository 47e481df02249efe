// Four blocks per vector: VAES with AVX-512 (Intel servers since Ice Lake, AMD since Zen 4).
#include "tls/aes_gcm.h"

#if defined(SLUICE_HAS_WIDE_GCM)

// GCC 12 takes its own "undefined" vectors for a mistake (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cstring>

// Behind this line all is compiled for such a CPU; what is included above is not.
#pragma GCC push_options
#pragma GCC target("avx2,aes,pclmul,vaes,vpclmulqdq,avx512f,avx512bw,avx512vl")

#include "tls/aes_gcm_blocks.h"

namespace sluice::tls {
namespace {

struct FourBlocks {
  using Type = __m512i;
  static constexpr size_t blocks = 4;

  static Type zero() { return _mm512_setzero_si512(); }
  static Type broadcast(__m128i block) { return _mm512_broadcast_i32x4(block); }
  static Type extended(__m128i block) { return _mm512_zextsi128_si512(block); }
  static __m128i first(Type a) { return _mm512_castsi512_si128(a); }
  static __m128i folded(Type a) {
    const __m256i half = _mm256_xor_si256(_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64(a, 1));
    return _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
  }
  static Type load(const void* from) { return _mm512_loadu_si512(from); }
  static void store(uint8_t* to, Type a) { _mm512_storeu_si512(to, a); }
  static Type turn(Type a) { return _mm512_shuffle_epi8(a, broadcast(turning())); }
  static Type add(Type a, Type b) { return _mm512_xor_si512(a, b); }
  static Type add(Type a, Type b, Type c) { return _mm512_ternarylogic_epi64(a, b, c, 0x96); }
  static Type add_numbers(Type a, Type b) { return _mm512_add_epi32(a, b); }
  static Type first_numbers() { return _mm512_set_epi32(0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1); }
  static Type next_numbers() { return _mm512_set_epi32(0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 4); }
  static Type aes(Type a, Type key) { return _mm512_aesenc_epi128(a, key); }
  static Type aes_last(Type a, Type key) { return _mm512_aesenclast_epi128(a, key); }
  template <int halves>
  static Type multiply(Type a, Type b) {
    return _mm512_clmulepi64_epi128(a, b, halves);
  }
};

void encrypt_512(const GcmCall& call, uint8_t* tag) { encrypt<FourBlocks>(call, tag); }
bool decrypt_512(const GcmCall& call, const uint8_t* tag) { return decrypt<FourBlocks>(call, tag); }

#pragma GCC pop_options

bool can_run_512() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("aes") &&
         __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("vaes") &&
         __builtin_cpu_supports("vpclmulqdq") && __builtin_cpu_supports("avx512f") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}

}  // namespace

const GcmCode& gcm_code_512() {
  static constexpr GcmCode code{"512", can_run_512, encrypt_512, decrypt_512};
  return code;
}

}  // namespace sluice::tls

#endif  // SLUICE_HAS_WIDE_GCM
