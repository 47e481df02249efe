// AES-GCM (NIST SP 800-38D) on vectors of several blocks. For aes_gcm_256.cc and aes_gcm_512.cc alone, which
// include it once each, under the instructions that they may use, with a `Vector` of their width.
//
// No branch and no address depends on a secret. What is secret is wiped at the end of a call. Stateless; any
// thread.
//
// Vectors lie in plain arrays, because GCC drops their attributes in std::array; and constructors are spelled
// out, because those that it makes itself are compiled for the plain CPU. Everything is in a nameless
// namespace: what one file compiled for its CPU must never be taken for the other's.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tls/aes_gcm.h"

namespace sluice::tls {
namespace {

// So many blocks of 16 bytes are in work at once, which hides the latency of the instructions.
constexpr size_t blocks_at_once = 16;
constexpr size_t stride = blocks_at_once * 16;

// GHASH works on numbers whose bits count from the other end (section 6.3). With bytes turned around, and the
// hash key multiplied by x, a product of such numbers needs no shift; it is reduced in two steps of 64 bits
// with this constant (Gueron and Kounavis, "Carry-Less Multiplication and Its Usage for Computing the GCM
// Mode", algorithm 5).
constexpr long long reducer = static_cast<long long>(0xc200000000000000);

__m128i turning() { return _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }
__m128i turn(__m128i block) { return _mm_shuffle_epi8(block, turning()); }
__m128i load(const uint8_t* from) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); }

__m128i reduce(__m128i low, __m128i middle, __m128i high) {
  const __m128i by = _mm_set_epi64x(reducer, 1);
  middle =
      _mm_xor_si128(middle, _mm_xor_si128(_mm_shuffle_epi32(low, 0x4e), _mm_clmulepi64_si128(by, low, 0x01)));
  return _mm_xor_si128(
      high, _mm_xor_si128(_mm_shuffle_epi32(middle, 0x4e), _mm_clmulepi64_si128(by, middle, 0x01)));
}

__m128i multiply(__m128i a, __m128i b) {
  const __m128i middle = _mm_xor_si128(_mm_clmulepi64_si128(a, b, 0x01), _mm_clmulepi64_si128(a, b, 0x10));
  return reduce(_mm_clmulepi64_si128(a, b, 0x00), middle, _mm_clmulepi64_si128(a, b, 0x11));
}

/// The first counter block (section 7.1): the nonce, then 1.
__m128i start(const uint8_t* nonce) {
  std::array<uint8_t, 16> block{};
  std::memcpy(block.data(), nonce, gcm_nonce_bytes);
  block[15] = 1;
  return load(block.data());
}

template <class Vector>
struct Four {
  typename Vector::Type of[4];
};

/// A sum of products before its reduction; the lanes are added in the end.
template <class Vector>
struct Sum {
  typename Vector::Type low, middle, high;
  Sum() : low(Vector::zero()), middle(Vector::zero()), high(Vector::zero()) {}

  void add(typename Vector::Type a, typename Vector::Type b) {
    low = Vector::add(low, Vector::template multiply<0x00>(a, b));
    high = Vector::add(high, Vector::template multiply<0x11>(a, b));
    middle =
        Vector::add(middle, Vector::template multiply<0x01>(a, b), Vector::template multiply<0x10>(a, b));
  }
  [[nodiscard]] __m128i reduced() const {
    return reduce(Vector::folded(low), Vector::folded(middle), Vector::folded(high));
  }
};

/// What one call works with.
template <class Vector, size_t rounds>
struct Work {
  using Type = typename Vector::Type;
  static constexpr size_t vector_bytes = Vector::blocks * 16;
  static constexpr size_t group = 4 * vector_bytes;
  static_assert(stride % group == 0);

  Type keys[rounds + 1];  // each round's key in all lanes
  // The hash key to the powers blocks_at_once, …, 2, 1, and zeros behind them, for the lanes of a last vector
  // that is not full.
  __m128i powers[blocks_at_once + Vector::blocks];
  __m128i hash;
  Type counter;  // of the next blocks, bytes turned around

  Work(const uint8_t* round_keys, const uint8_t* nonce) : hash(_mm_setzero_si128()) {
    for (size_t i = 0; i <= rounds; ++i) keys[i] = Vector::broadcast(load(round_keys + 16 * i));
    for (size_t i = 0; i < Vector::blocks; ++i) powers[blocks_at_once + i] = _mm_setzero_si128();
    __m128i key = turn(encrypt_block(_mm_setzero_si128()));
    // Times x: shifted by one bit; what falls out at the top comes in again.
    const __m128i carries =
        _mm_and_si128(_mm_srai_epi32(_mm_shuffle_epi32(key, 0xd3), 31), _mm_set_epi64x(reducer | 1, 1));
    key = _mm_xor_si128(_mm_add_epi64(key, key), carries);
    power(1) = key;
    // Each from its halves, so that the chain is short.
#pragma GCC unroll 16
    for (size_t i = 2; i <= blocks_at_once; ++i) power(i) = multiply(power(i / 2), power(i - i / 2));
    counter = Vector::add_numbers(Vector::broadcast(turn(start(nonce))), Vector::first_numbers());
  }
  ~Work() {
    std::memset(static_cast<void*>(this), 0, sizeof *this);
    __asm__ volatile("" : : "r"(this) : "memory");  // the compiler must not leave it out
  }
  Work(const Work&) = delete;
  Work& operator=(const Work&) = delete;

  __m128i& power(size_t exponent) { return powers[blocks_at_once - exponent]; }

  [[nodiscard]] __m128i encrypt_block(__m128i block) const {
    block = _mm_xor_si128(block, Vector::first(keys[0]));
    for (size_t i = 1; i < rounds; ++i) block = _mm_aesenc_si128(block, Vector::first(keys[i]));
    return _mm_aesenclast_si128(block, Vector::first(keys[rounds]));
  }

  /// `in` with the next of the key stream added.
  void crypt(const Four<Vector>& in, Four<Vector>& out) {
#pragma GCC unroll 4
    for (Type& blocks : out.of) {
      blocks = Vector::add(Vector::turn(counter), keys[0]);
      counter = Vector::add_numbers(counter, Vector::next_numbers());
    }
#pragma GCC unroll 16
    for (size_t i = 1; i < rounds; ++i)
#pragma GCC unroll 4
      for (Type& blocks : out.of) blocks = Vector::aes(blocks, keys[i]);
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i)
      out.of[i] = Vector::aes_last(out.of[i], Vector::add(keys[rounds], in.of[i]));
  }

  void hash_block(__m128i block) { hash = multiply(_mm_xor_si128(hash, turn(block)), power(1)); }

  void hash_extra(const uint8_t* extra, size_t bytes) {
    while (bytes > 0) {
      std::array<uint8_t, 16> block{};
      const size_t count = std::min<size_t>(bytes, 16);
      std::memcpy(block.data(), extra, count);
      hash_block(load(block.data()));
      extra += count;
      bytes -= count;
    }
  }

  /// Exactly `stride` bytes; `in` and `out` are apart, or the same.
  template <bool encrypts>
  void whole_stride(const uint8_t* in, uint8_t* out) {
    Sum<Vector> sum;
#pragma GCC unroll 4
    for (size_t at = 0; at < stride; at += group) {
      Four<Vector> taken, made;
#pragma GCC unroll 4
      for (size_t i = 0; i < 4; ++i) taken.of[i] = Vector::load(in + at + vector_bytes * i);
      crypt(taken, made);
#pragma GCC unroll 4
      for (size_t i = 0; i < 4; ++i) {
        Vector::store(out + at + vector_bytes * i, made.of[i]);
        Type hashed = Vector::turn(encrypts ? made.of[i] : taken.of[i]);
        if (at == 0 && i == 0) hashed = Vector::add(hashed, Vector::extended(hash));
        sum.add(hashed, Vector::load(&powers[(at + vector_bytes * i) / 16]));
      }
    }
    hash = sum.reduced();
  }

  /// 1 to stride - 1 bytes, the last ones.
  template <bool encrypts>
  void rest(const uint8_t* in, uint8_t* out, size_t bytes) {
    std::array<uint8_t, stride> taken{}, made{};
    std::memcpy(taken.data(), in, bytes);
    for (size_t at = 0; at < bytes; at += group) {
      Four<Vector> group_taken, group_made;
      for (size_t i = 0; i < 4; ++i) group_taken.of[i] = Vector::load(&taken[at + vector_bytes * i]);
      crypt(group_taken, group_made);
      for (size_t i = 0; i < 4; ++i) Vector::store(&made[at + vector_bytes * i], group_made.of[i]);
    }
    std::memset(&made[bytes], 0, stride - bytes);  // the rest of the key stream is nobody's
    std::memcpy(out, made.data(), bytes);
    const auto& hashed_bytes = encrypts ? made : taken;
    const size_t first_power = blocks_at_once - (bytes + 15) / 16;
    Sum<Vector> sum;
    for (size_t at = 0; at < bytes; at += vector_bytes) {
      Type hashed = Vector::turn(Vector::load(&hashed_bytes[at]));
      if (at == 0) hashed = Vector::add(hashed, Vector::extended(hash));
      sum.add(hashed, Vector::load(&powers[first_power + at / 16]));
    }
    hash = sum.reduced();
    std::memset((encrypts ? taken : made).data(), 0, stride);
    __asm__ volatile("" : : "r"(taken.data()), "r"(made.data()) : "memory");
  }

  /// The tag.
  template <bool encrypts>
  __m128i run(const GcmCall& call) {
    hash_extra(call.extra, call.extra_bytes);
    size_t done = 0;
    for (; done + stride <= call.bytes; done += stride)
      whole_stride<encrypts>(call.in + done, call.out + done);
    if (done < call.bytes) rest<encrypts>(call.in + done, call.out + done, call.bytes - done);
    hash_block(turn(_mm_set_epi64x(static_cast<long long>(call.extra_bytes * 8),
                                   static_cast<long long>(call.bytes * 8))));
    return _mm_xor_si128(turn(hash), encrypt_block(start(call.nonce)));
  }
};

template <class Vector, size_t rounds, bool encrypts>
__m128i run(const GcmCall& call) {
  Work<Vector, rounds> work(call.round_keys, call.nonce);
  return work.template run<encrypts>(call);
}

template <class Vector, bool encrypts>
__m128i run(const GcmCall& call) {
  if (call.rounds == 10) return run<Vector, 10, encrypts>(call);
  if (call.rounds == 12) return run<Vector, 12, encrypts>(call);
  return run<Vector, 14, encrypts>(call);
}

template <class Vector>
void encrypt(const GcmCall& call, uint8_t* tag) {
  const __m128i made = run<Vector, true>(call);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(tag), made);
}

template <class Vector>
bool decrypt(const GcmCall& call, const uint8_t* tag) {
  const __m128i expected = load(tag);  // it may lie in what is overwritten
  const __m128i difference = _mm_xor_si128(run<Vector, false>(call), expected);
  const bool is_right = _mm_testz_si128(difference, difference) != 0;
  // Nobody may read what nobody vouches for. (Without a byte there may be no address either.)
  if (!is_right && call.bytes > 0) std::memset(call.out, 0, call.bytes);
  return is_right;
}

}  // namespace
}  // namespace sluice::tls
