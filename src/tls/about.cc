#include "tls/about.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include <string_view>
#include <vector>

#include "tls/aes_gcm.h"

namespace sluice::tls {

std::string library_version() { return wolfSSL_lib_version(); }

std::string features() {
  std::vector<std::string_view> has;
  std::vector<std::string_view> lacks;
  const auto feature = [&](bool present, std::string_view name) { (present ? has : lacks).push_back(name); };
#if defined(WOLFSSL_TLS13)
  feature(true, "TLS 1.3");
#else
  feature(false, "TLS 1.3");
#endif
#if defined(WOLFSSL_HAVE_MLKEM) && defined(WOLFSSL_PQC_HYBRIDS)
  feature(true, "X25519MLKEM768");
#else
  feature(false, "X25519MLKEM768 (needs wolfSSL 5.8 or newer)");
#endif
  feature(asks_for_staples(), "stapled OCSP responses");
#if defined(WOLFSSL_ALT_CERT_CHAINS)
  feature(true, "alternative chains");
#else
  feature(false, "alternative chains");
#endif
  if (LIBWOLFSSL_VERSION_HEX < 0x05009002) feature(false, "the security fixes up to wolfSSL 5.9.2");
  std::string text = fmt::format("{}", fmt::join(has, ", "));
  if (!lacks.empty()) text += fmt::format("; missing: {}", fmt::join(lacks, ", "));
  return text;
}

bool asks_for_staples() {
#if defined(HAVE_CERTIFICATE_STATUS_REQUEST)
  return true;
#else
  return false;
#endif
}

std::string accelerations() {
  std::vector<std::string_view> on;
  std::vector<std::string_view> off;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const auto instruction = [&](bool built_in, bool cpu_has, std::string_view name) {
    (built_in && cpu_has ? on : off).push_back(name);
  };
#if defined(WOLFSSL_AESNI)
  constexpr bool has_aesni = true;
#else
  constexpr bool has_aesni = false;
#endif
#if defined(USE_INTEL_SPEEDUP)
  constexpr bool has_avx = true;
#else
  constexpr bool has_avx = false;
#endif
#if defined(WOLFSSL_SP_ASM)
  constexpr bool has_sp = true;
#else
  constexpr bool has_sp = false;
#endif
  instruction(has_aesni, __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul"), "AES-NI");
  instruction(has_avx, __builtin_cpu_supports("avx"), "AVX");
  instruction(has_avx, __builtin_cpu_supports("avx2"), "AVX2");
  // Ours, see tls/aes_gcm.h; wolfSSL asks for it where it would use AVX2.
  const GcmCode* const gcm = gcm_code();
  const std::string vaes = gcm == nullptr ? "VAES" : fmt::format("VAES ({} bits)", gcm->name);
  instruction(has_aesni && has_avx, gcm != nullptr, vaes);
  instruction(has_sp, true, "SP assembly (RSA, ECC)");
#elif defined(__aarch64__)
#if defined(WOLFSSL_ARMASM)
  on.push_back("ARMv8 assembly");
#else
  off.push_back("ARMv8 assembly");
#endif
#endif
  std::string text = on.empty() ? "none" : fmt::format("{}", fmt::join(on, ", "));
  if (!off.empty()) text += fmt::format("; off: {}", fmt::join(off, ", "));
  return text;
}

}  // namespace sluice::tls
