// The verdict on an origin's certificate (S10, S12): RFC 5280 path building and validation over what the
// origin sent, roots, intermediates, CRLs and the stapled OCSP response; the name by RFC 6125.
//
// Pure but for the caches that it is lent. Signatures are checked with wolfCrypt, never by a wolfSSL context.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/origin_problem.h"
#include "tls/certificate.h"
#include "tls/trust.h"

namespace sluice::tls {

/// What an origin sent in its handshake. Views only.
struct SentChain {
  std::span<const ByteView> certificates;  // as sent, the origin's own first
  ByteView staple;                         // OCSPResponse; empty: none
  bool staple_was_asked = false;           // only then does must-staple (RFC 7633) want one
  const Fingerprint* digest = nullptr;     // of the certificates (Chain::digest); null: VerdictCache makes it
};

struct OriginVerdict {
  OriginProblems problems;
  bool trusted_by_fingerprint = false;  // tls.trusted_origins names it: no problems, whatever it is (S10)
  int64_t valid_until = 0;              // seconds since 1970; past that, judge again
  const char* detail = "";  // static text: what exactly is wrong first, for the error page and the log
  std::shared_ptr<const Certificate>
      leaf;  // the origin's own, parsed: for the mint; null when it is malformed
  /// The certificate of the chain whose issuer is not known; null unless that is why it is untrusted.
  std::shared_ptr<const Certificate> missing_issuer_of;

  [[nodiscard]] bool is_good() const { return problems.none(); }
  /// With that certificate of an issuer, it might be good.
  [[nodiscard]] bool lacks_only_an_issuer() const;
  /// For the log: "ok", "trusted_origin", or the problems as "expired,name_mismatch".
  [[nodiscard]] std::string text() const;
};

/// What makes later verdicts cheaper and better: intermediates that were part of a good chain, so that an
/// origin that forgets to send one is not refused, and signatures already found good. Bounded, oldest out
/// first. One per worker.
class ChainMemory {
 public:
  ChainMemory();
  ~ChainMemory();
  ChainMemory(ChainMemory&&) noexcept;
  ChainMemory& operator=(ChainMemory&&) noexcept;

  /// Intermediates with that subject, at most a few.
  [[nodiscard]] std::vector<std::shared_ptr<const Certificate>> by_subject(ByteView name) const;
  void remember(const std::shared_ptr<const Certificate>& intermediate);
  [[nodiscard]] size_t intermediates() const;

  /// Whether the signature of `certificate` by the key in `issuer` was found good before.
  [[nodiscard]] bool is_known_good(const Certificate& certificate, const Certificate& issuer) const;
  void remember_good(const Certificate& certificate, const Certificate& issuer);

 private:
  struct Rooms;
  std::unique_ptr<Rooms> rooms_;
};

/// `name`: the SNI that we sent, or the address when there was none. `now_s`: seconds since 1970.
[[nodiscard]] OriginVerdict judge_chain(const Trust& trust, const SentChain& chain, const RequestedName& name,
                                        int64_t now_s, ChainMemory& memory);

}  // namespace sluice::tls
