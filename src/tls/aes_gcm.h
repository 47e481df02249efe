// AES-GCM with the vector forms of AES and carry-less multiplication (VAES, VPCLMULQDQ: AMD since Zen 3,
// Intel since Ice Lake and Alder Lake, its N series included). wolfSSL 5.9 does one block per instruction,
// these do two or four: a record of 16 KiB takes half or a third of the time, and records are most of what a
// bumped download costs.
//
// wolfSSL with all its handling of keys and nonces stays as it is: the linker puts aes_gcm.cc in place of
// wolfCrypt's AES_GCM_encrypt_avx2 and AES_GCM_decrypt_avx2 (--wrap in the Makefile). What the CPU or the
// call is not made for goes to wolfCrypt's own. tests/unit/tls/aes_gcm_test.cc compares them. Stateless; any
// thread.
#pragma once

#include <cstddef>
#include <cstdint>

// GCC alone: clang has no #pragma GCC target, so its builds (libFuzzer, clang-tidy) stay with wolfCrypt's
// own.
#if defined(__x86_64__) && !defined(__clang__)
#define SLUICE_HAS_WIDE_GCM
#endif

namespace sluice::tls {

inline constexpr size_t gcm_nonce_bytes = 12;
inline constexpr size_t gcm_tag_bytes = 16;

struct GcmCall {
  const uint8_t* in;  // `bytes` of them; `out` is apart from it, or the same
  uint8_t* out;
  const uint8_t* extra;  // authenticated, not encrypted
  const uint8_t* nonce;
  size_t bytes;
  size_t extra_bytes;
  const uint8_t* round_keys;  // of encryption, 16 bytes each, one behind the other
  size_t rounds;              // 10, 12 or 14
};

struct GcmCode {
  const char* name;  // "256", "512": bits of a vector
  bool (*can_run)();
  void (*encrypt)(const GcmCall& call, uint8_t* tag);
  /// False: the tag is wrong, and `out` holds zeros.
  bool (*decrypt)(const GcmCall& call, const uint8_t* tag);
};

#if defined(SLUICE_HAS_WIDE_GCM)
[[nodiscard]] const GcmCode& gcm_code_256();
[[nodiscard]] const GcmCode& gcm_code_512();
#endif
/// The fastest that this CPU can run; null: none.
[[nodiscard]] const GcmCode* gcm_code();

}  // namespace sluice::tls
