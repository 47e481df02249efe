// A TLS peer made of wolfSSL alone, for what our own engines never do: TLS 1.2 only, asking for certificates,
// refusing ours, updating keys. It shares no code with the engine.
#pragma once

#include <doctest/doctest.h>
#include <wolfssl/options.h>
// options.h comes first: it holds the choices that the library was built with.
#include <wolfssl/ssl.h>
// An old name of wolfCrypt's, a macro, which would rename hello::Sha256 in headers that come after this one.
#undef Sha256

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace sluice::tls::testing {

enum class Role { client, server };

struct RawOptions {
  bool tls12_only = false;
  std::vector<int> groups = {};  // empty: wolfSSL's own
  bool asks_certificate = false;
  bool verifies = false;  // a client that knows no CA
  bool refuses = false;   // a client whose verify callback says no
  bool has_tickets = true;
};

/// Settings of raw peers; a session is resumed only within one.
class RawContext {
 public:
  RawContext(Role role, const RawOptions& options, std::span<const uint8_t> key = {},
             std::span<const uint8_t> certificate = {})
      : role_(role) {
    WOLFSSL_METHOD* method = nullptr;
    if (role == Role::client)
      method = options.tls12_only ? wolfTLSv1_2_client_method() : wolfSSLv23_client_method();
    else
      method = options.tls12_only ? wolfTLSv1_2_server_method() : wolfSSLv23_server_method();
    context_.reset(wolfSSL_CTX_new(method));
    REQUIRE(context_);
    wolfSSL_CTX_SetIORecv(get(), receive);
    wolfSSL_CTX_SetIOSend(get(), send);
    auto groups = options.groups;
    if (!groups.empty())
      REQUIRE(wolfSSL_CTX_set_groups(get(), groups.data(), static_cast<int>(groups.size())) ==
              WOLFSSL_SUCCESS);
    int verify = WOLFSSL_VERIFY_NONE;
    if (options.asks_certificate || options.verifies || options.refuses) verify = WOLFSSL_VERIFY_PEER;
    wolfSSL_CTX_set_verify(get(), verify, options.refuses ? say_no : nullptr);
    if (role == Role::client) {
      if (options.has_tickets) REQUIRE(wolfSSL_CTX_UseSessionTicket(get()) == WOLFSSL_SUCCESS);
      return;
    }
    if (!options.has_tickets) REQUIRE(wolfSSL_CTX_NoTicketTLSv12(get()) == WOLFSSL_SUCCESS);
    REQUIRE(wolfSSL_CTX_use_certificate_buffer(get(), certificate.data(),
                                               static_cast<long>(certificate.size()),
                                               WOLFSSL_FILETYPE_ASN1) == WOLFSSL_SUCCESS);
    REQUIRE(wolfSSL_CTX_use_PrivateKey_buffer(get(), key.data(), static_cast<long>(key.size()),
                                              WOLFSSL_FILETYPE_ASN1) == WOLFSSL_SUCCESS);
  }

  [[nodiscard]] WOLFSSL_CTX* get() const { return context_.get(); }
  [[nodiscard]] Role role() const { return role_; }

 private:
  friend class RawPeer;
  struct Free {
    void operator()(WOLFSSL_CTX* context) const { wolfSSL_CTX_free(context); }
  };
  static int receive(WOLFSSL*, char* buffer, int size, void* peer);
  static int send(WOLFSSL*, char* buffer, int size, void* peer);
  static int say_no(int, WOLFSSL_X509_STORE_CTX*) { return 0; }

  Role role_;
  std::unique_ptr<WOLFSSL_CTX, Free> context_;
};

class RawPeer {
 public:
  explicit RawPeer(const RawContext& context, const std::string& alpn = {})
      : ssl_(wolfSSL_new(context.get())) {
    REQUIRE(ssl_ != nullptr);
    wolfSSL_SetIOReadCtx(ssl_, this);
    wolfSSL_SetIOWriteCtx(ssl_, this);
    std::string list = alpn;
    if (!list.empty())
      REQUIRE(wolfSSL_UseALPN(ssl_, list.data(), static_cast<word32>(list.size()),
                              WOLFSSL_ALPN_CONTINUE_ON_MISMATCH) == WOLFSSL_SUCCESS);
  }
  RawPeer(const RawPeer&) = delete;
  RawPeer& operator=(const RawPeer&) = delete;
  ~RawPeer() { wolfSSL_free(ssl_); }

  /// 1: done; 0: wants more; else wolfSSL's error.
  int handshake() {
    if (is_done) return 1;
    const int result = wolfSSL_negotiate(ssl_);
    if (result == WOLFSSL_SUCCESS) {
      is_done = true;
      return 1;
    }
    error = wolfSSL_get_error(ssl_, result);
    return error == WOLFSSL_ERROR_WANT_READ ? 0 : error;
  }
  /// Everything that can be read now.
  std::vector<uint8_t> read() {
    std::vector<uint8_t> plain;
    std::vector<uint8_t> record(16384);
    int got = 0;
    while ((got = wolfSSL_read(ssl_, record.data(), static_cast<int>(record.size()))) > 0)
      plain.insert(plain.end(), record.begin(), record.begin() + got);
    error = wolfSSL_get_error(ssl_, got);
    return plain;
  }
  void write(std::span<const uint8_t> plain) {
    REQUIRE(wolfSSL_write(ssl_, plain.data(), static_cast<int>(plain.size())) ==
            static_cast<int>(plain.size()));
  }
  [[nodiscard]] std::string alpn() const {
    char* name = nullptr;
    word16 size = 0;
    if (wolfSSL_ALPN_GetProtocol(ssl_, &name, &size) != WOLFSSL_SUCCESS) return {};
    return {name, size};
  }
  [[nodiscard]] WOLFSSL* get() const { return ssl_; }

  std::vector<uint8_t> input;   // wire bytes for it
  std::vector<uint8_t> output;  // wire bytes from it
  bool is_done = false;
  int error = 0;

 private:
  friend class RawContext;
  WOLFSSL* ssl_;
};

inline int RawContext::receive(WOLFSSL*, char* buffer, int size, void* context) {
  auto& peer = *static_cast<RawPeer*>(context);
  if (peer.input.empty()) return WOLFSSL_CBIO_ERR_WANT_READ;
  const auto count = std::min<std::ptrdiff_t>(static_cast<std::ptrdiff_t>(peer.input.size()), size);
  std::copy_n(peer.input.begin(), count, reinterpret_cast<uint8_t*>(buffer));
  peer.input.erase(peer.input.begin(), peer.input.begin() + count);
  return static_cast<int>(count);
}

inline int RawContext::send(WOLFSSL*, char* buffer, int size, void* context) {
  auto& peer = *static_cast<RawPeer*>(context);
  const auto* bytes = reinterpret_cast<const uint8_t*>(buffer);
  peer.output.insert(peer.output.end(), bytes, bytes + size);
  return size;
}

}  // namespace sluice::tls::testing
