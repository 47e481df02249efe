// Trust: whom we believe about origins. The roots of the system and of tls.extra_roots, tls.intermediates,
// the CRLs of tls.crl_files and the fingerprints of tls.trusted_origins.
//
// Immutable once built; shared by all threads, replaced at a reload. Built by TrustBuilder from the contents
// of files (control/load_config reads them).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tls/certificate.h"
#include "tls/revocation.h"

namespace sluice::tls {

/// Certificates by their subject. Owned by whoever holds it; not locked.
class CertificateStore {
 public:
  /// False when it is there already.
  bool add(std::shared_ptr<const Certificate> certificate);
  [[nodiscard]] std::span<const std::shared_ptr<const Certificate>> by_subject(ByteView name) const;
  [[nodiscard]] bool holds(const Certificate& certificate) const;
  [[nodiscard]] size_t size() const { return size_; }

 private:
  // Keys view into the first certificate of their entry.
  std::unordered_map<std::string_view, std::vector<std::shared_ptr<const Certificate>>> by_subject_;
  size_t size_ = 0;
};

class Trust {
 public:
  /// Differs when anything in it differs: part of every key under which a verdict or a session is cached.
  [[nodiscard]] uint64_t id() const { return id_; }

  [[nodiscard]] const CertificateStore& roots() const { return roots_; }
  [[nodiscard]] const CertificateStore& intermediates() const { return intermediates_; }
  [[nodiscard]] std::span<const std::shared_ptr<const Crl>> crls_of(ByteView issuer_name) const;
  [[nodiscard]] size_t crl_count() const { return crl_count_; }
  [[nodiscard]] bool trusts(const Fingerprint& fingerprint) const;

 private:
  friend class TrustBuilder;
  uint64_t id_ = 0;
  CertificateStore roots_;
  CertificateStore intermediates_;
  std::unordered_map<std::string_view, std::vector<std::shared_ptr<const Crl>>> crls_;
  size_t crl_count_ = 0;
  std::vector<Fingerprint> trusted_;  // sorted
};

/// Contents of files -> one Trust. Belongs to one thread.
class TrustBuilder {
 public:
  /// What a file gave. `error` is for people and names no file: "holds no certificate".
  struct Added {
    size_t count = 0;
    std::string error;                  // empty: all is well
    std::vector<std::string> warnings;  // what is strange but taken
  };

  /// PEM with any number of certificates (other blocks are ignored), or the DER of one.
  [[nodiscard]] Added add_roots(std::string_view file, int64_t now_s);
  [[nodiscard]] Added add_intermediates(std::string_view file, int64_t now_s);
  /// The system's bundle: a certificate that we cannot read is left out, and counted in a warning.
  [[nodiscard]] Added add_system_roots(std::string_view file);
  /// PEM with any number of "X509 CRL" blocks, or the DER of one.
  [[nodiscard]] Added add_crls(std::string_view file, int64_t now_s);
  void trust_origin(const Fingerprint& fingerprint) { trust_->trusted_.push_back(fingerprint); }

  /// Consumes what was added.
  [[nodiscard]] std::shared_ptr<const Trust> build();

 private:
  std::shared_ptr<Trust> trust_ = std::make_shared<Trust>();
  std::vector<Fingerprint> contents_;  // hashes of all that went in, for the id
};

}  // namespace sluice::tls
