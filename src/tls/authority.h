// A CA of ours: certificate, key, and the intermediates above it.
//
// Owns all of it. Immutable; shared by all workers by std::shared_ptr<const Authority>. The key is never
// logged and leaves only through `sluice ca init`, which writes a new one to its file.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "tls/certificate.h"
#include "tls/private_key.h"

namespace sluice::tls {

enum class AuthorityFault : uint8_t {
  cannot_read,      // see sys_errno
  not_pem,          // see detail and line
  no_certificate,   // no CERTIFICATE block
  bad_certificate,  // see detail and line
  too_many,         // more than limits::authority_chain_max certificates
  no_key,           // no private key block
  encrypted_key,
  bad_key,       // see detail
  exposed_key,   // the file may be read or written by everybody
  key_mismatch,  // the key belongs to none of the certificates
  not_ca,
  no_cert_sign,     // its key usage lacks keyCertSign
  not_for_servers,  // its extended key usage lacks serverAuth
  weak_key,         // RSA below 2048 bits, in the chain
  path_length,      // a certificate above allows no CA below it, or not as many
  expired,
  not_yet_valid,
};

struct AuthorityProblem {
  AuthorityFault fault{};
  bool of_key = false;  // in the key file; else in the certificate file
  size_t line = 0;      // 0: none
  int sys_errno = 0;
  std::string subject;  // of the certificate that it is about, for people; may be empty
  std::string detail;   // may be empty
};
/// "the CA certificate 'CN=…' expired on 2024-01-01" and the like, without the file's name.
[[nodiscard]] std::string text_of(const AuthorityProblem& problem);

class Authority {
 public:
  /// `certificates` is PEM with the CA's certificate, and the intermediates above it in any order; a root may
  /// be among them and is not sent. Which one is ours follows from the key. `now` in seconds since 1970.
  [[nodiscard]] static tl::expected<Authority, AuthorityProblem> from_pem(std::string_view certificates,
                                                                          std::string_view key, int64_t now);
  /// A fresh one that lives in memory alone, for replacements of invalid origins (S12): its subject says so.
  [[nodiscard]] static Authority make_untrusted(int64_t now);

  Authority(Authority&&) noexcept = default;
  Authority& operator=(Authority&&) noexcept = default;

  [[nodiscard]] const Certificate& certificate() const { return chain_.front(); }
  /// Ours first, then what signed it and so on, with a root if the file had it.
  [[nodiscard]] const std::vector<Certificate>& chain() const { return chain_; }
  [[nodiscard]] const PrivateKey& key() const { return key_; }
  /// What is sent behind a minted certificate: ours and those above, but no root. DER, one after the other.
  [[nodiscard]] ByteView sent_chain() const { return sent_chain_; }
  /// For the authority key identifier of what it signs.
  [[nodiscard]] ByteView key_id() const { return key_id_; }
  /// The period in which its whole chain is valid.
  [[nodiscard]] int64_t not_before() const { return not_before_; }
  [[nodiscard]] int64_t not_after() const { return not_after_; }
  /// Whether no certificate of the chain has name constraints against one of its names.
  [[nodiscard]] bool may_certify(const Certificate& certificate) const;
  [[nodiscard]] bool has_name_constraints() const { return has_name_constraints_; }

 private:
  Authority(std::vector<Certificate> chain, PrivateKey key);

  std::vector<Certificate> chain_;
  PrivateKey key_;
  Bytes sent_chain_;
  Bytes key_id_;
  int64_t not_before_ = 0;
  int64_t not_after_ = 0;
  bool has_name_constraints_ = false;
};

// --- a new root
// -----------------------------------------------------------------------------------------------------

struct RootRequest {
  std::string common_name;
  std::string organization;  // empty: none
  int64_t not_before = 0;    // seconds since 1970
  int64_t not_after = 0;
  /// When there are any: only names below these, and addresses within these, may be certified (critical, RFC
  /// 5280, 4.2.1.10). With domains alone no address at all, and the other way round.
  std::vector<std::string> domains;
  std::vector<Cidr> networks;
};
/// A self-signed CA certificate in DER, path length 0.
[[nodiscard]] Bytes make_root(const RootRequest& request, const PrivateKey& key);

}  // namespace sluice::tls
