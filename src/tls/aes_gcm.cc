#include "tls/aes_gcm.h"

#if defined(__x86_64__)

extern "C" {
// wolfcrypt/src/aes.c declares these, without the prefixes.
using EncryptAvx2 = void(const uint8_t* in, uint8_t* out, const uint8_t* extra, const uint8_t* nonce,
                         uint8_t* tag, uint32_t bytes, uint32_t extra_bytes, uint32_t nonce_bytes,
                         uint32_t tag_bytes, const uint8_t* round_keys, int rounds);
using DecryptAvx2 = void(const uint8_t* in, uint8_t* out, const uint8_t* extra, const uint8_t* nonce,
                         const uint8_t* tag, uint32_t bytes, uint32_t extra_bytes, uint32_t nonce_bytes,
                         uint32_t tag_bytes, const uint8_t* round_keys, int rounds, int* is_right);
EncryptAvx2 __real_AES_GCM_encrypt_avx2, __wrap_AES_GCM_encrypt_avx2;
DecryptAvx2 __real_AES_GCM_decrypt_avx2, __wrap_AES_GCM_decrypt_avx2;
}

namespace sluice::tls {
namespace {

// Setting up costs about 100 ns: with less than this wolfCrypt's own is as fast.
constexpr uint32_t bytes_min = 2048;

/// What takes calls of these lengths, which are those of TLS; null: wolfCrypt.
const GcmCode* code_for(uint32_t bytes, uint32_t nonce_bytes, uint32_t tag_bytes) {
  return bytes >= bytes_min && nonce_bytes == gcm_nonce_bytes && tag_bytes == gcm_tag_bytes ? gcm_code()
                                                                                            : nullptr;
}

}  // namespace

const GcmCode* gcm_code() {
#if defined(SLUICE_HAS_WIDE_GCM)
  static const GcmCode* const best = gcm_code_512().can_run()   ? &gcm_code_512()
                                     : gcm_code_256().can_run() ? &gcm_code_256()
                                                                : nullptr;
  return best;
#else
  return nullptr;
#endif
}

}  // namespace sluice::tls

void __wrap_AES_GCM_encrypt_avx2(const uint8_t* in, uint8_t* out, const uint8_t* extra, const uint8_t* nonce,
                                 uint8_t* tag, uint32_t bytes, uint32_t extra_bytes, uint32_t nonce_bytes,
                                 uint32_t tag_bytes, const uint8_t* round_keys, int rounds) {
  const sluice::tls::GcmCode* const code = sluice::tls::code_for(bytes, nonce_bytes, tag_bytes);
  if (code == nullptr)
    return __real_AES_GCM_encrypt_avx2(in, out, extra, nonce, tag, bytes, extra_bytes, nonce_bytes, tag_bytes,
                                       round_keys, rounds);
  code->encrypt({in, out, extra, nonce, bytes, extra_bytes, round_keys, static_cast<size_t>(rounds)}, tag);
}

void __wrap_AES_GCM_decrypt_avx2(const uint8_t* in, uint8_t* out, const uint8_t* extra, const uint8_t* nonce,
                                 const uint8_t* tag, uint32_t bytes, uint32_t extra_bytes,
                                 uint32_t nonce_bytes, uint32_t tag_bytes, const uint8_t* round_keys,
                                 int rounds, int* is_right) {
  const sluice::tls::GcmCode* const code = sluice::tls::code_for(bytes, nonce_bytes, tag_bytes);
  if (code == nullptr)
    return __real_AES_GCM_decrypt_avx2(in, out, extra, nonce, tag, bytes, extra_bytes, nonce_bytes, tag_bytes,
                                       round_keys, rounds, is_right);
  const bool right = code->decrypt(
      {in, out, extra, nonce, bytes, extra_bytes, round_keys, static_cast<size_t>(rounds)}, tag);
  *is_right = right ? 1 : 0;
}

#endif  // __x86_64__
