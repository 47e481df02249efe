#include "tls/engine.h"

#include <wolfssl/options.h>
// options.h comes first: it holds the choices that the library was built with.
#include <wolfssl/error-ssl.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <limits>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/limits.h"
#include "tls/context.h"
#include "tls/digest.h"
#include "tls/engine_callbacks.h"
#include "tls/random.h"

namespace sluice::tls {

/// What a call lends to the callbacks. It lives on the stack of tls_call(), so an engine can be moved between
/// calls.
struct Engine::Wire {
  std::span<const uint8_t>& input;
  Bytes& output;
  State& state;
};

// ---- Names ----

const char* name_of(Fault fault) {
  switch (fault) {
#define SLUICE_ENGINE_FAULT(name, text) \
  case Fault::name:                     \
    return #name;
#include "tls/engine_fault.def"
#undef SLUICE_ENGINE_FAULT
  }
  return "?";
}

const char* text_of(Fault fault) {
  switch (fault) {
#define SLUICE_ENGINE_FAULT(name, text) \
  case Fault::name:                     \
    return text;
#include "tls/engine_fault.def"
#undef SLUICE_ENGINE_FAULT
  }
  return "?";
}

const char* alert_name(uint8_t description) {
  switch (description) {
    case 0:
      return "close_notify";
    case 10:
      return "unexpected_message";
    case 20:
      return "bad_record_mac";
    case 21:
      return "decryption_failed";
    case 22:
      return "record_overflow";
    case 30:
      return "decompression_failure";
    case 40:
      return "handshake_failure";
    case 41:
      return "no_certificate";
    case 42:
      return "bad_certificate";
    case 43:
      return "unsupported_certificate";
    case 44:
      return "certificate_revoked";
    case 45:
      return "certificate_expired";
    case 46:
      return "certificate_unknown";
    case 47:
      return "illegal_parameter";
    case 48:
      return "unknown_ca";
    case 49:
      return "access_denied";
    case 50:
      return "decode_error";
    case 51:
      return "decrypt_error";
    case 60:
      return "export_restriction";
    case 70:
      return "protocol_version";
    case 71:
      return "insufficient_security";
    case 80:
      return "internal_error";
    case 86:
      return "inappropriate_fallback";
    case 90:
      return "user_canceled";
    case 100:
      return "no_renegotiation";
    case 109:
      return "missing_extension";
    case 110:
      return "unsupported_extension";
    case 111:
      return "certificate_unobtainable";
    case 112:
      return "unrecognized_name";
    case 113:
      return "bad_certificate_status_response";
    case 114:
      return "bad_certificate_hash_value";
    case 115:
      return "unknown_psk_identity";
    case 116:
      return "certificate_required";
    case 120:
      return "no_application_protocol";
    case 121:
      return "ech_required";
    default:
      return "alert";
  }
}

const char* to_string(Version version) {
  switch (version) {
    case Version::unknown:
      return "?";
    case Version::tls12:
      return "1.2";
    case Version::tls13:
      return "1.3";
  }
  return "?";
}

// ---- Callbacks ----

namespace {

int64_t seconds_since_boot() {
  timespec now{};
  SLUICE_CHECK(clock_gettime(CLOCK_BOOTTIME, &now) == 0);
  return now.tv_sec;
}

void copy_chain(const WOLFSSL_X509_STORE_CTX& store, Chain& chain) {
  chain.certificates.reserve(static_cast<size_t>(store.totalCerts));
  std::vector<uint8_t> hashed;
  for (int i = 0; i < store.totalCerts; ++i) {
    const std::span<const uint8_t> der(store.certs[i].buffer, store.certs[i].length);
    chain.certificates.emplace_back(der.begin(), der.end());
    for (int shift = 24; shift >= 0; shift -= 8)
      hashed.push_back(static_cast<uint8_t>(der.size() >> shift & 0xff));
    hashed.insert(hashed.end(), der.begin(), der.end());
  }
  sha256(hashed, chain.digest);
}

}  // namespace

int EngineCallbacks::receive(WOLFSSL*, char* buffer, int size, void* context) {
  auto& wire = *static_cast<Engine::Wire*>(context);
  if (wire.input.empty()) return WOLFSSL_CBIO_ERR_WANT_READ;
  const size_t count = std::min(wire.input.size(), static_cast<size_t>(size));
  std::copy_n(wire.input.begin(), count, reinterpret_cast<uint8_t*>(buffer));
  wire.input = wire.input.subspan(count);
  return static_cast<int>(count);
}

int EngineCallbacks::send(WOLFSSL*, char* buffer, int size, void* context) {
  auto& wire = *static_cast<Engine::Wire*>(context);
  const auto* bytes = reinterpret_cast<const uint8_t*>(buffer);
  wire.output.insert(wire.output.end(), bytes, bytes + size);
  return size;
}

/// Runs for the leaf only, once or twice, when the whole list is known. 1: go on.
int EngineCallbacks::collect_chain(int, WOLFSSL_X509_STORE_CTX* store) {
  auto& state = *static_cast<Engine::State*>(store->userCtx);
  if (!state.chain) state.chain = std::make_shared<Chain>();
  if (state.chain->certificates.empty()) copy_chain(*store, *state.chain);
  return 1;
}

/// `index`: which certificate of the chain it is for. TLS 1.3 brings it before the chain, TLS 1.2 after it.
/// 0: go on.
int EngineCallbacks::staple_came(WOLFSSL* ssl, int, unsigned char* response, unsigned int size,
                                 unsigned int index, void*) {
  auto& state = static_cast<Engine::Wire*>(wolfSSL_GetIOReadCtx(ssl))->state;
  if (index != 0) return 0;
  if (!state.chain) state.chain = std::make_shared<Chain>();
  state.chain->stapled_ocsp.assign(response, response + size);
  return 0;
}

/// wolfSSL has read a CertificateRequest and would answer it next. 0: stop here, with an alert, which
/// classify() takes back. (A negative number means "later", and 5.9 then calls this again for ever.)
int EngineCallbacks::certificate_asked(WOLFSSL* ssl, void*) {
  static_cast<Engine::Wire*>(wolfSSL_GetIOReadCtx(ssl))->state.client_certificate_asked = true;
  return 0;
}

int EngineCallbacks::ticket_came(WOLFSSL* ssl, const unsigned char*, int, void*) {
  static_cast<Engine::Wire*>(wolfSSL_GetIOReadCtx(ssl))->state.ticket_came = true;
  return 0;
}

int EngineCallbacks::ticket(WOLFSSL* ssl, unsigned char key_name[WOLFSSL_TICKET_NAME_SZ],
                            unsigned char iv[WOLFSSL_TICKET_IV_SZ], unsigned char mac[WOLFSSL_TICKET_MAC_SZ],
                            int sealing, unsigned char* content, int size, int* size_out, void* context) {
  auto& state = static_cast<Engine::Wire*>(wolfSSL_GetIOReadCtx(ssl))->state;
  auto& sealer = *static_cast<TicketSealer*>(context);
  const std::span<uint8_t, WOLFSSL_TICKET_NAME_SZ> name(key_name, WOLFSSL_TICKET_NAME_SZ);
  const std::span<uint8_t, TicketSealer::nonce_bytes> nonce(iv, TicketSealer::nonce_bytes);
  const std::span<uint8_t, TicketSealer::tag_bytes> tag(mac, TicketSealer::tag_bytes);
  const auto content_bytes = static_cast<size_t>(size);
  if (sealing != 0) {
    // wolfSSL left room for 32 bytes behind its content (WOLFSSL_TICKET_EXTRA_PADDING_SZ), and wants the
    // fields that we do not need to be something.
    std::fill_n(iv, WOLFSSL_TICKET_IV_SZ, uint8_t{0});
    std::fill_n(mac, WOLFSSL_TICKET_MAC_SZ, uint8_t{0});
    const size_t sealed_bytes = content_bytes + TicketSealer::depth_bytes;
    if (static_cast<size_t>(*size_out) < sealed_bytes || !random_bytes(nonce))
      return WOLFSSL_TICKET_RET_REJECT;
    if (!sealer.seal(seconds_since_boot(), state.ticket_binding, state.ticket_depth, nonce,
                     {content, sealed_bytes}, name, tag))
      return WOLFSSL_TICKET_RET_REJECT;
    *size_out = static_cast<int>(sealed_bytes);
    return WOLFSSL_TICKET_RET_OK;
  }
  uint8_t depth = 0;
  if (!sealer.open(seconds_since_boot(), state.ticket_binding, name, nonce, tag, {content, content_bytes},
                   depth))
    return WOLFSSL_TICKET_RET_REJECT;
  if (depth >= limits::ticket_chain_max) return WOLFSSL_TICKET_RET_REJECT;
  state.ticket_depth = static_cast<uint8_t>(depth + 1);
  *size_out = static_cast<int>(content_bytes - TicketSealer::depth_bytes);
  return WOLFSSL_TICKET_RET_OK;
}

// ---- Engine ----

Engine::Engine(Engine&& other) noexcept
    : ssl_(std::exchange(other.ssl_, nullptr)),
      state_(std::move(other.state_)),
      early_data_(std::move(other.early_data_)) {}

Engine& Engine::operator=(Engine&& other) noexcept {
  std::swap(ssl_, other.ssl_);
  std::swap(state_, other.state_);
  std::swap(early_data_, other.early_data_);
  return *this;
}

Engine::~Engine() { wolfSSL_free(ssl_); }

/// The one place where wolfSSL runs, and where what it returned is understood.
template <class Call>
Status Engine::tls_call(std::span<const uint8_t>& input, Bytes& output, Call call) {
  SLUICE_CHECK(ssl_ != nullptr);
  if (state_.failure.fault != Fault::none) return Status::failed;
  Wire wire{input, output, state_};
  wolfSSL_SetIOReadCtx(ssl_, &wire);
  wolfSSL_SetIOWriteCtx(ssl_, &wire);
  wolfSSL_SetCertCbCtx(ssl_, &state_);
  const size_t output_before = output.size();
  const Status status = classify(call(), output, output_before);
  wolfSSL_SetIOReadCtx(ssl_, nullptr);
  wolfSSL_SetIOWriteCtx(ssl_, nullptr);
  return status;
}

Status Engine::classify(int result, Bytes& output, size_t output_before) {
  if (result > 0) return Status::ok;
  if (state_.client_certificate_asked) {
    // Nothing was answered, and nothing shall be: this origin is reached through a tunnel, or not at all.
    output.resize(output_before);
    state_.failure = {Fault::client_certificate_asked, 0, 0};
    return Status::failed;
  }
  const int code = wolfSSL_get_error(ssl_, result);
  if (code == WOLFSSL_ERROR_WANT_READ) return Status::want_input;
  if (code == WOLFSSL_ERROR_ZERO_RETURN) {
    state_.peer_closed = true;
    return Status::closed;
  }
  uint8_t alert = 0;
  const Fault fault = fault_of(code, alert);
  state_.failure = {fault, alert, code};
  return Status::failed;
}

Fault Engine::fault_of(int code, uint8_t& alert) const {
  constexpr int close_notify_alert = 0;
  constexpr int user_canceled_alert = 90;
  // An alert that came is the reason, also where wolfSSL names another: it calls an unencrypted one a parse
  // error.
  WOLFSSL_ALERT_HISTORY history{};
  if (wolfSSL_get_alert_history(ssl_, &history) == WOLFSSL_SUCCESS &&
      history.last_rx.code > close_notify_alert && history.last_rx.code != user_canceled_alert &&
      (history.last_rx.level == alert_fatal || code == FATAL_ERROR)) {
    alert = static_cast<uint8_t>(history.last_rx.code);
    return Fault::peer_alert;
  }
  switch (code) {
    case VERSION_ERROR:
    case UNSUPPORTED_PROTO_VERSION:
      return Fault::no_common_version;
    case MATCH_SUITE_ERROR:
    case UNSUPPORTED_SUITE:
    case KEY_SHARE_ERROR:
    case ECC_CURVE_ERROR:
    case ECC_CURVETYPE_ERROR:
    case DH_KEY_SIZE_E:
      return Fault::no_common_parameters;
    case UNKNOWN_ALPN_PROTOCOL_NAME_E:
      return Fault::protocol_not_offered;
    case PEER_KEY_ERROR:
    case NO_PEER_KEY:
    case NO_PEER_CERT:
    case MAX_CHAIN_ERROR:
    case UNSUPPORTED_CERTIFICATE:
    case ASN_PARSE_E:
    case ASN_VERSION_E:
    case ASN_UNKNOWN_OID_E:
    case ASN_RSA_KEY_E:
    case ASN_ECC_KEY_E:
      return Fault::bad_certificate;
    case MEMORY_E:
    case MEMORY_ERROR:
    case RNG_FAILURE_E:
      return Fault::no_resources;
    default:
      return Fault::bad_message;
  }
}

Status Engine::negotiate(std::span<const uint8_t>& input, Bytes& output) {
  return tls_call(input, output, [&] { return wolfSSL_negotiate(ssl_); });
}

/// `ok`: the second ClientHello has begun, and wolfSSL has its first bytes.
Status Engine::skip_early_data(std::span<const uint8_t>& input, Bytes& output) {
  switch (early_data_->skip(input)) {
    case EarlyDataSkipper::Outcome::need_more:
      return Status::want_input;
    case EarlyDataSkipper::Outcome::too_much:
      state_.failure = {Fault::too_much_early_data, 0, 0};
      return Status::failed;
    case EarlyDataSkipper::Outcome::second_hello: {
      const auto skipper = std::exchange(early_data_, nullptr);
      std::span<const uint8_t> header = skipper->header();
      const Status status = negotiate(header, output);
      return status == Status::want_input ? Status::ok : status;
    }
  }
  SLUICE_CHECK(false);
}

Status Engine::handshake(std::span<const uint8_t>& input, Bytes& output) {
  if (state_.complete) return Status::ok;
  if (early_data_ != nullptr && early_data_->has_begun())
    if (const Status status = skip_early_data(input, output); status != Status::ok) return status;
  const size_t output_before = output.size();
  const Status status = negotiate(input, output);
  // What was said is a HelloRetryRequest: see ClientEngine::create().
  if (early_data_ != nullptr && status == Status::want_input && output.size() > output_before) early_data_->begin();
  state_.complete = status == Status::ok;
  // A TLS 1.2 session may also be found again by its id, without a ticket.
  if (state_.complete && state_.chain && wolfSSL_GetVersion(ssl_) == WOLFSSL_TLSV1_2)
    state_.ticket_came = true;
  return status;
}

Status Engine::read(std::span<const uint8_t>& input, std::span<uint8_t> plain, size_t& count, Bytes& output) {
  SLUICE_CHECK(state_.complete && !plain.empty());
  count = 0;
  if (state_.peer_closed) {
    input = {};  // RFC 8446, section 6.1: whatever comes behind a close_notify is ignored
    return Status::closed;
  }
  const auto room = static_cast<int>(std::min<size_t>(plain.size(), std::numeric_limits<int>::max()));
  int result = 0;
  const Status status =
      tls_call(input, output, [&] { return result = wolfSSL_read(ssl_, plain.data(), room); });
  if (status == Status::ok) count = static_cast<size_t>(result);
  return status;
}

Status Engine::write(std::span<const uint8_t> plain, Bytes& output) {
  SLUICE_CHECK(state_.complete && plain.size() <= static_cast<size_t>(std::numeric_limits<int>::max()));
  std::span<const uint8_t> none;
  if (plain.empty()) return state_.failure.fault == Fault::none ? Status::ok : Status::failed;
  const Status status = tls_call(
      none, output, [&] { return wolfSSL_write(ssl_, plain.data(), static_cast<int>(plain.size())); });
  // Our output takes everything, so nothing can be left over.
  SLUICE_CHECK(status == Status::ok || status == Status::failed);
  return status;
}

Status Engine::close_notify(Bytes& output) {
  std::span<const uint8_t> none;
  return tls_call(none, output, [&] {
    const int result = wolfSSL_shutdown(ssl_);
    // Not done means that the peer has not closed its direction: that is no matter of ours.
    return result == WOLFSSL_SHUTDOWN_NOT_DONE ? WOLFSSL_SUCCESS : result;
  });
}

Status Engine::end_of_input() {
  if (state_.failure.fault != Fault::none) return Status::failed;
  if (state_.peer_closed) return Status::closed;
  state_.failure = {Fault::truncated, 0, 0};
  return Status::failed;
}

Agreed Engine::agreed() const {
  SLUICE_CHECK(state_.complete);
  Agreed agreed;
  const int version = wolfSSL_GetVersion(ssl_);
  agreed.version = version == WOLFSSL_TLSV1_3   ? Version::tls13
                   : version == WOLFSSL_TLSV1_2 ? Version::tls12
                                                : Version::unknown;
  const auto suite = static_cast<unsigned>(wolfSSL_get_current_cipher_suite(ssl_));
  const char* cipher = wolfSSL_get_cipher_name_iana_from_suite(static_cast<unsigned char>(suite >> 8 & 0xff),
                                                               static_cast<unsigned char>(suite & 0xff));
  agreed.cipher = cipher == nullptr ? "" : cipher;
  agreed.resumed = wolfSSL_session_reused(ssl_) == 1;
  const char* group = wolfSSL_get_curve_name(ssl_);
  agreed.group = group == nullptr ? "" : group;
  char* protocol = nullptr;
  uint16_t protocol_bytes = 0;
  if (wolfSSL_ALPN_GetProtocol(ssl_, &protocol, &protocol_bytes) == WOLFSSL_SUCCESS)
    agreed.alpn = {protocol, protocol_bytes};
  return agreed;
}

// ---- Towards the origin ----

OriginSession& OriginSession::operator=(OriginSession&& other) noexcept {
  std::swap(session_, other.session_);
  return *this;
}

OriginSession::~OriginSession() { wolfSSL_SESSION_free(session_); }

Result<OriginEngine> OriginEngine::create(const OriginContext& context, const Offer& offer) {
  const bool post_quantum = offer.post_quantum && context.post_quantum_;
  WOLFSSL* ssl = wolfSSL_new(post_quantum ? context.post_quantum_.get() : context.classic_.get());
  if (ssl == nullptr) return fail(ErrorCode::system, Side::gateway, ENOMEM);
  OriginEngine engine(ssl);
  wolfSSL_set_SessionTicket_cb(ssl, EngineCallbacks::ticket_came, nullptr);
  if (!offer.sni.empty() && (offer.sni.size() > limits::host_bytes_max ||
                             wolfSSL_UseSNI(ssl, WOLFSSL_SNI_HOST_NAME, offer.sni.data(),
                                            static_cast<uint16_t>(offer.sni.size())) != WOLFSSL_SUCCESS))
    return fail(ErrorCode::invalid, Side::gateway);
  // As every browser does (RFC 5746): some origins refuse whoever does not. Nothing is ever renegotiated; wolfSSL answers
  // an origin that asks for it with no_renegotiation.
  if (wolfSSL_UseSecureRenegotiation(ssl) != WOLFSSL_SUCCESS) return fail(ErrorCode::system, Side::gateway, ENOMEM);
#if defined(WOLFSSL_HAVE_MLKEM) && defined(WOLFSSL_PQC_HYBRIDS)
  // Both shares, as browsers do: an origin that knows only the old one needs no second round.
  if (post_quantum && (wolfSSL_UseKeyShare(ssl, WOLFSSL_X25519MLKEM768) != WOLFSSL_SUCCESS ||
                       wolfSSL_UseKeyShare(ssl, WOLFSSL_ECC_X25519) != WOLFSSL_SUCCESS))
    return fail(ErrorCode::system, Side::gateway, ENOMEM);
#endif
  std::string protocols;
  for (const auto& protocol : offer.alpn) protocols.append(protocols.empty() ? "" : ",").append(protocol);
  // An origin need not choose any of them. But one that goes on with another would be spoken to in a language that it has
  // not chosen.
  if (!protocols.empty() && wolfSSL_UseALPN(ssl, protocols.data(), static_cast<word32>(protocols.size()),
                                            WOLFSSL_ALPN_FAILED_ON_MISMATCH) != WOLFSSL_SUCCESS)
    return fail(ErrorCode::invalid, Side::gateway);
#if defined(HAVE_CERTIFICATE_STATUS_REQUEST)
  // Not in the context, where it would cost no memory: under TLS 1.3 wolfSSL 5.9 then takes the answer for
  // unasked.
  if (wolfSSL_UseOCSPStapling(ssl, WOLFSSL_CSR_OCSP, 0) != WOLFSSL_SUCCESS)
    return fail(ErrorCode::system, Side::gateway, ENOMEM);
#endif
  // A session that has timed out is refused here, and then it is a full handshake.
  if (offer.resume != nullptr && *offer.resume)
    static_cast<void>(wolfSSL_set_session(ssl, offer.resume->get()));
  return engine;
}

OriginSession OriginEngine::take_session() {
  if (!state_.complete || !state_.ticket_came) return {};
  state_.ticket_came = false;
  return OriginSession(wolfSSL_get1_session(ssl_));
}

// ---- Towards the client ----

Result<ClientEngine> ClientEngine::create(const ClientContext& context, const Answer& answer) {
  WOLFSSL* ssl = wolfSSL_new(context.context_.get());
  if (ssl == nullptr) return fail(ErrorCode::system, Side::gateway, ENOMEM);
  ClientEngine engine(ssl);
  engine.state_.ticket_binding = answer.ticket_binding;
  if (wolfSSL_use_certificate_chain_buffer_format(ssl, answer.leaf_chain.data(),
                                                  static_cast<long>(answer.leaf_chain.size()),
                                                  WOLFSSL_FILETYPE_ASN1) != WOLFSSL_SUCCESS)
    return fail(ErrorCode::invalid, Side::gateway);
  if (!answer.alpn.empty()) {
    // wolfSSL follows the client's order, so it may be told one protocol only.
    std::string protocol(answer.alpn);
    if (wolfSSL_UseALPN(ssl, protocol.data(), static_cast<word32>(protocol.size()),
                        WOLFSSL_ALPN_CONTINUE_ON_MISMATCH) != WOLFSSL_SUCCESS)
      return fail(ErrorCode::invalid, Side::gateway);
  }
  if (answer.client_order && wolfSSL_UseClientSuites(ssl) != 0) return fail(ErrorCode::invalid, Side::gateway);
  if (answer.retry_group != 0) {
    // With this group alone there is nothing to agree on in the first ClientHello.
    int group = answer.retry_group;
    if (wolfSSL_set_groups(ssl, &group, 1) != WOLFSSL_SUCCESS) return fail(ErrorCode::invalid, Side::gateway);
    engine.early_data_ = std::make_unique<EarlyDataSkipper>();
  }
  return engine;
}

}  // namespace sluice::tls
