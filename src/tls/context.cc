#include "tls/context.h"

#include <wolfssl/options.h>
// options.h comes first: it holds the choices that the library was built with.
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/chacha20_poly1305.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/random.h>
#include <wolfssl/wolfcrypt/rsa.h>
#include <wolfssl/wolfcrypt/sha256.h>
#include <wolfssl/wolfcrypt/sha512.h>

#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "tls/engine_callbacks.h"
#include "tls/origin_sessions.h"

namespace sluice::tls {

namespace {

// AES-128-GCM first: the cheapest here (6 GB/s), and what browsers on machines with AES instructions ask for
// first.
constexpr const char* aead_ciphers =
    "TLS13-AES128-GCM-SHA256:TLS13-AES256-GCM-SHA384:TLS13-CHACHA20-POLY1305-SHA256:"
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
    // For old peers that know nothing better; forward secret all the same.
    "ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA384:"
    "ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA:"
    "DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384";

#if defined(WOLFSSL_HAVE_MLKEM) && defined(WOLFSSL_PQC_HYBRIDS)
constexpr bool has_post_quantum = true;
#else
constexpr bool has_post_quantum = false;
#endif

// How long a client may come back: what a ticket key lives beyond its own period. (origin_session_s holds for origins that
// say nothing themselves, as with the session ids of TLS 1.2.)
constexpr unsigned client_session_s = TicketKeys::period_s;

/// Without this, peers with OpenSSL pick P-521 under TLS 1.2. The first of the list is preferred, and gets
/// the key share.
bool set_groups(WOLFSSL_CTX* context, bool post_quantum) {
  std::vector<int> groups;
#if defined(WOLFSSL_HAVE_MLKEM) && defined(WOLFSSL_PQC_HYBRIDS)
  if (post_quantum) groups.push_back(WOLFSSL_X25519MLKEM768);
#else
  static_cast<void>(post_quantum);
#endif
  groups.insert(groups.end(), {WOLFSSL_ECC_X25519, WOLFSSL_ECC_SECP256R1, WOLFSSL_ECC_SECP384R1});
  return wolfSSL_CTX_set_groups(context, groups.data(), static_cast<int>(groups.size())) == WOLFSSL_SUCCESS;
}

bool set_common(WOLFSSL_CTX* context, bool post_quantum, unsigned session_s) {
  wolfSSL_CTX_SetIORecv(context, EngineCallbacks::receive);
  wolfSSL_CTX_SetIOSend(context, EngineCallbacks::send);
  // The internal session cache takes a global lock.
  wolfSSL_CTX_set_session_cache_mode(context, WOLFSSL_SESS_CACHE_OFF);
  return wolfSSL_CTX_SetMinVersion(context, WOLFSSL_TLSV1_2) == WOLFSSL_SUCCESS &&
         wolfSSL_CTX_set_cipher_list(context, aead_ciphers) == WOLFSSL_SUCCESS &&
         set_groups(context, post_quantum) && wolfSSL_CTX_set_timeout(context, session_s) == WOLFSSL_SUCCESS;
}

ContextPointer make_origin_context(bool post_quantum) {
  ContextPointer context(wolfSSL_CTX_new(wolfSSLv23_client_method()));
  if (!context || !set_common(context.get(), post_quantum, static_cast<unsigned>(origin_session_s))) return nullptr;
  // Signatures of the handshake are still checked; chains are judged elsewhere.
  wolfSSL_CTX_set_verify(context.get(), WOLFSSL_VERIFY_NONE, EngineCallbacks::collect_chain);
  wolfSSL_CTX_set_cert_cb(context.get(), EngineCallbacks::certificate_asked, nullptr);
  if (wolfSSL_CTX_UseSessionTicket(context.get()) != WOLFSSL_SUCCESS) return nullptr;
#if defined(HAVE_CERTIFICATE_STATUS_REQUEST)
  if (wolfSSL_CTX_EnableOCSPStapling(context.get()) != WOLFSSL_SUCCESS) return nullptr;
  wolfSSL_CTX_set_ocsp_status_verify_cb(context.get(), EngineCallbacks::staple_came, nullptr);
#endif
  return context;
}

/// wolfSSL makes no server without some certificate in the context. Nobody ever sees this one.
class Placeholder {
 public:
  explicit Placeholder(std::span<const uint8_t> key) {
    if (wc_InitRng(&random_) != 0) return;
    has_random_ = true;
    const auto size = static_cast<word32>(key.size());
    word32 at = 0;
    if (wc_ecc_init(&ec_) == 0) {
      has_ec_ = true;
      if (wc_EccPrivateKeyDecode(key.data(), &at, &ec_, size) == 0) {
        make(nullptr, &ec_, CTC_SHA256wECDSA);
        return;
      }
    }
    at = 0;
    if (wc_InitRsaKey(&rsa_, nullptr) == 0) {
      has_rsa_ = true;
      if (wc_RsaPrivateKeyDecode(key.data(), &at, &rsa_, size) == 0) make(&rsa_, nullptr, CTC_SHA256wRSA);
    }
  }
  Placeholder(const Placeholder&) = delete;
  Placeholder& operator=(const Placeholder&) = delete;
  ~Placeholder() {
    if (has_random_) wc_FreeRng(&random_);
    if (has_ec_) wc_ecc_free(&ec_);
    if (has_rsa_) wc_FreeRsaKey(&rsa_);
  }

  /// Empty: the key is not one, or could not sign.
  [[nodiscard]] const std::vector<uint8_t>& der() const { return der_; }

 private:
  void make(RsaKey* rsa, ecc_key* ec, int algorithm) {
    // Public key, signature (512 bytes for RSA-4096) and some names.
    std::vector<uint8_t> buffer(2048);
    auto certificate = std::make_unique<Cert>();  // 16 KiB and more
    if (wc_InitCert(certificate.get()) != 0) return;
    std::strncpy(certificate->subject.commonName, "placeholder", CTC_NAME_SIZE - 1);
    certificate->sigType = algorithm;
    const auto room = static_cast<word32>(buffer.size());
    if (wc_MakeCert(certificate.get(), buffer.data(), room, rsa, ec, &random_) < 0) return;
    const int size = wc_SignCert(certificate->bodySz, algorithm, buffer.data(), room, rsa, ec, &random_);
    if (size <= 0) return;
    buffer.resize(static_cast<size_t>(size));
    der_ = std::move(buffer);
  }

  WC_RNG random_{};
  ecc_key ec_{};
  RsaKey rsa_{};
  bool has_random_ = false;
  bool has_ec_ = false;
  bool has_rsa_ = false;
  std::vector<uint8_t> der_;
};

/// Of X25519, and of ML-KEM with its SHA-3: two threads that were the first to make one would race for their
/// pointers to the fastest code.
bool make_key_share() {
  const ContextPointer context(wolfSSL_CTX_new(wolfTLSv1_3_client_method()));
  WOLFSSL* ssl = context ? wolfSSL_new(context.get()) : nullptr;
  if (ssl == nullptr) return false;
#if defined(WOLFSSL_HAVE_MLKEM) && defined(WOLFSSL_PQC_HYBRIDS)
  constexpr word16 group = WOLFSSL_X25519MLKEM768;
#else
  constexpr word16 group = WOLFSSL_ECC_X25519;
#endif
  const bool works = wolfSSL_UseKeyShare(ssl, group) == WOLFSSL_SUCCESS;
  wolfSSL_free(ssl);
  return works;
}

/// wolfCrypt looks at the CPU when an algorithm is first used, without a lock.
bool warm_up() {
  std::array<uint8_t, 64> bytes{};
  std::array<uint8_t, 64> out{};
  std::array<uint8_t, 16> tag{};
  Aes aes;
  if (wc_Sha256Hash(bytes.data(), bytes.size(), out.data()) != 0) return false;
  if (wc_Sha384Hash(bytes.data(), bytes.size(), out.data()) != 0) return false;
  if (wc_Sha512Hash(bytes.data(), bytes.size(), out.data()) != 0) return false;
  if (wc_AesInit(&aes, nullptr, INVALID_DEVID) != 0) return false;
  const bool aes_works = wc_AesGcmSetKey(&aes, bytes.data(), 16) == 0 &&
                         wc_AesGcmEncrypt(&aes, out.data(), bytes.data(), bytes.size(), bytes.data(), 12,
                                          tag.data(), tag.size(), nullptr, 0) == 0;
  wc_AesFree(&aes);
  return aes_works && make_key_share() &&
         wc_ChaCha20Poly1305_Encrypt(bytes.data(), bytes.data(), nullptr, 0, bytes.data(), bytes.size(),
                                     out.data(), tag.data()) == 0;
}

}  // namespace

void ContextDeleter::operator()(WOLFSSL_CTX* context) const { wolfSSL_CTX_free(context); }

Result<> start_tls_library() {
  if (wolfSSL_Init() != WOLFSSL_SUCCESS || !warm_up()) return fail(ErrorCode::unsupported, Side::gateway);
  return {};
}

Result<OriginContext> OriginContext::create() {
  OriginContext made;
  made.classic_ = make_origin_context(false);
  if (!made.classic_) return fail(ErrorCode::unsupported, Side::gateway);
  if (has_post_quantum) {
    made.post_quantum_ = make_origin_context(true);
    if (!made.post_quantum_) return fail(ErrorCode::unsupported, Side::gateway);
  }
  return made;
}

Result<ClientContext> ClientContext::create(std::span<const uint8_t> leaf_key, const TicketKeys& tickets) {
  const Placeholder placeholder(leaf_key);
  if (placeholder.der().empty()) return fail(ErrorCode::invalid, Side::gateway);
  ClientContext made;
  made.context_.reset(wolfSSL_CTX_new(wolfSSLv23_server_method()));
  WOLFSSL_CTX* context = made.context_.get();
  if (context == nullptr || !set_common(context, has_post_quantum, client_session_s))
    return fail(ErrorCode::unsupported, Side::gateway);
  if (wolfSSL_CTX_use_certificate_buffer(context, placeholder.der().data(),
                                         static_cast<long>(placeholder.der().size()),
                                         WOLFSSL_FILETYPE_ASN1) != WOLFSSL_SUCCESS ||
      wolfSSL_CTX_use_PrivateKey_buffer(context, leaf_key.data(), static_cast<long>(leaf_key.size()),
                                        WOLFSSL_FILETYPE_ASN1) != WOLFSSL_SUCCESS)
    return fail(ErrorCode::invalid, Side::gateway);
  wolfSSL_CTX_set_verify(context, WOLFSSL_VERIFY_NONE, nullptr);  // clients are not asked for certificates
  made.sealer_ = std::make_unique<TicketSealer>(tickets);
  // Under TLS 1.2, the session ticket extension here makes wolfSSL give a client another ticket in place of
  // one that was rejected.
  if (wolfSSL_CTX_UseSessionTicket(context) != WOLFSSL_SUCCESS ||
      wolfSSL_CTX_set_TicketEncCb(context, EngineCallbacks::ticket) != WOLFSSL_SUCCESS ||
      wolfSSL_CTX_set_TicketEncCtx(context, made.sealer_.get()) != WOLFSSL_SUCCESS ||
      wolfSSL_CTX_set_TicketHint(context, static_cast<int>(client_session_s)) != WOLFSSL_SUCCESS)
    return fail(ErrorCode::unsupported, Side::gateway);
  return made;
}

}  // namespace sluice::tls
