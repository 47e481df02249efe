#include "tls/origin_verdict.h"

#include <algorithm>
#include <array>
#include <deque>
#include <limits>
#include <unordered_map>
#include <unordered_set>

#include "base/limits.h"
#include "tls/signature.h"

namespace sluice::tls {

// --- what is remembered
// ---------------------------------------------------------------------------------------------

namespace {

/// Two SHA-256 fingerprints: of a certificate and of its issuer's.
using Pair = std::array<uint8_t, 64>;
struct PairHash {
  // Already a good hash: nobody can choose it without finding partial collisions of SHA-256.
  size_t operator()(const Pair& pair) const {
    size_t hash = 0;
    for (size_t i = 0; i < sizeof hash; ++i)
      hash = hash << 8 | static_cast<size_t>(pair[i] ^ pair[sizeof(Fingerprint) + i]);
    return hash;
  }
};

Pair pair_of(const Certificate& certificate, const Certificate& issuer) {
  Pair pair{};
  std::ranges::copy(certificate.fingerprint, pair.begin());
  std::ranges::copy(issuer.fingerprint, pair.begin() + sizeof(Fingerprint));
  return pair;
}

}  // namespace

struct ChainMemory::Rooms {
  // Keys own their text: which certificate of an entry goes first is not known.
  std::unordered_map<std::string, std::vector<std::shared_ptr<const Certificate>>> intermediates;
  std::deque<std::shared_ptr<const Certificate>> by_age;  // oldest in front
  std::unordered_set<Pair, PairHash> good;
  std::deque<Pair> good_by_age;

  void forget(const Certificate& certificate) {
    const auto found = intermediates.find(std::string(as_text(certificate.subject)));
    if (found == intermediates.end()) return;
    std::erase_if(found->second,
                  [&](const auto& other) { return other->fingerprint == certificate.fingerprint; });
    if (found->second.empty()) intermediates.erase(found);
  }
};

ChainMemory::ChainMemory() : rooms_(std::make_unique<Rooms>()) {}
ChainMemory::~ChainMemory() = default;
ChainMemory::ChainMemory(ChainMemory&&) noexcept = default;
ChainMemory& ChainMemory::operator=(ChainMemory&&) noexcept = default;

std::vector<std::shared_ptr<const Certificate>> ChainMemory::by_subject(ByteView name) const {
  const auto found = rooms_->intermediates.find(std::string(as_text(name)));
  return found == rooms_->intermediates.end() ? std::vector<std::shared_ptr<const Certificate>>{}
                                              : found->second;
}

void ChainMemory::remember(const std::shared_ptr<const Certificate>& intermediate) {
  auto& same = rooms_->intermediates[std::string(as_text(intermediate->subject))];
  if (std::ranges::any_of(
          same, [&](const auto& other) { return other->fingerprint == intermediate->fingerprint; }) ||
      same.size() >= limits::intermediates_per_subject_max)
    return;
  same.push_back(intermediate);
  rooms_->by_age.push_back(intermediate);
  if (rooms_->by_age.size() > limits::intermediates_per_worker_max) {
    rooms_->forget(*rooms_->by_age.front());
    rooms_->by_age.pop_front();
  }
}

size_t ChainMemory::intermediates() const { return rooms_->by_age.size(); }

bool ChainMemory::is_known_good(const Certificate& certificate, const Certificate& issuer) const {
  return rooms_->good.contains(pair_of(certificate, issuer));
}

void ChainMemory::remember_good(const Certificate& certificate, const Certificate& issuer) {
  const Pair pair = pair_of(certificate, issuer);
  if (!rooms_->good.insert(pair).second) return;
  rooms_->good_by_age.push_back(pair);
  if (rooms_->good_by_age.size() > limits::good_signatures_per_worker_max) {
    rooms_->good.erase(rooms_->good_by_age.front());
    rooms_->good_by_age.pop_front();
  }
}

// --- path building (RFC 5280, section 6; RFC 4158)
// ---------------------------------------------------------------------

namespace {

using Shared = std::shared_ptr<const Certificate>;

bool same(ByteView one, ByteView other) { return std::ranges::equal(one, other); }

/// What is wrong with one certificate or path, and the words for the first of each kind.
struct Findings {
  OriginProblems problems;
  std::array<const char*, origin_problem_count> details{};

  void add(OriginProblem problem, const char* detail) {
    if (!problems.has(problem)) details[static_cast<size_t>(problem)] = detail;
    problems.add(problem);
  }
  void add(const Findings& others) {
    for (const OriginProblem problem : all_origin_problems)
      if (others.problems.has(problem)) add(problem, others.details[static_cast<size_t>(problem)]);
  }
  /// The smaller, the better a path is.
  [[nodiscard]] uint32_t badness() const {
    uint32_t sum = 0;
    for (const OriginProblem problem : all_origin_problems)
      if (problems.has(problem)) sum += 1U << (origin_problem_count - static_cast<size_t>(problem));
    return sum;
  }
};

struct FoundPath {
  std::vector<Shared> certificates;  // the origin's own first, the trust anchor last
  Findings findings;
  int64_t valid_until = 0;
};

bool may_serve(const Certificate& certificate) {
  return !certificate.extended_key_usage || certificate.extended_key_usage->server_auth ||
         certificate.extended_key_usage->any;
}

class PathFinder {
 public:
  PathFinder(const Trust& trust, const SentChain& sent, std::vector<Shared> certificates, int64_t now_s,
             ChainMemory& memory)
      : trust_(trust),
        sent_(sent),
        sent_certificates_(std::move(certificates)),
        now_s_(now_s),
        memory_(memory) {}

  /// The best path, or null. Stops at the first without a problem.
  const FoundPath* find() {
    path_.push_back(sent_certificates_.front());
    if (trust_.roots().holds(*path_.front()))
      complete();
    else
      extend();
    return has_best_ ? &best_ : nullptr;
  }

  /// Whether some signature that would have led on is of a kind that is not checked any more.
  [[nodiscard]] bool met_weak_signature() const { return met_weak_signature_; }
  [[nodiscard]] bool met_constraint() const { return met_constraint_; }
  /// Where the likeliest path ended for want of an issuer; null when it ended otherwise.
  [[nodiscard]] const Shared& dead_end() const { return dead_end_; }

 private:
  struct Candidate {
    Shared certificate;
    bool is_anchor = false;
  };

  [[nodiscard]] bool is_done() const {
    return (has_best_ && best_.findings.problems.none()) || signatures_ == 0;
  }

  void extend() {
    if (path_.size() >= limits::path_certificates_max) return;
    const Certificate& child = *path_.back();
    bool has_issuer = false;
    for (const Candidate& candidate : issuers_of(child)) {
      if (is_done()) return;
      if (!may_issue(*candidate.certificate)) {
        has_issuer = true;
        continue;
      }
      if (!is_signed_by(child, *candidate.certificate)) continue;
      has_issuer = true;
      path_.push_back(candidate.certificate);
      if (candidate.is_anchor)
        complete();
      else
        extend();
      path_.pop_back();
    }
    // Candidates come the likeliest first, so the first end is the one to go on from.
    if (!has_issuer && !child.is_self_issued() && signatures_ > 0 && dead_end_ == nullptr)
      dead_end_ = path_.back();
  }

  /// Anchors first, then what was sent, configured, seen before; those whose key identifier does not fit
  /// last.
  std::vector<Candidate> issuers_of(const Certificate& child) const {
    std::vector<Candidate> candidates;
    const auto add = [&](const Shared& certificate, bool is_anchor) {
      if (!same(certificate->subject, child.issuer)) return;
      for (const Candidate& other : candidates)
        if (other.certificate->fingerprint == certificate->fingerprint) return;
      candidates.push_back({certificate, is_anchor});
    };
    for (const Shared& root : trust_.roots().by_subject(child.issuer)) add(root, true);
    for (size_t i = 1; i < sent_certificates_.size(); ++i) add(sent_certificates_[i], false);
    for (const Shared& known : trust_.intermediates().by_subject(child.issuer)) add(known, false);
    for (const Shared& seen : memory_.by_subject(child.issuer)) add(seen, false);
    std::stable_partition(candidates.begin(), candidates.end(), [&](const Candidate& candidate) {
      const ByteView id = candidate.certificate->subject_key_id;
      return child.authority_key_id.empty() || id.empty() || same(child.authority_key_id, id);
    });
    return candidates;
  }

  /// RFC 5280, 6.1.4 (k) to (n), (b) and 4.2.1.12: whether a CA may stand above path_ as it is.
  bool may_issue(const Certificate& issuer) {
    const auto repeated = [&](const Shared& other) {
      return same(other->subject, issuer.subject) && same(other->public_key.spki, issuer.public_key.spki);
    };
    if (std::ranges::any_of(path_, repeated)) return false;
    // Only trust anchors may be older than version 3 and its extensions.
    const bool is_old_anchor = issuer.version < 3 && trust_.roots().holds(issuer);
    const bool is_allowed = (issuer.is_ca || is_old_anchor) && !issuer.has_unknown_critical &&
                            may_serve(issuer) &&
                            (!issuer.key_usage || (*issuer.key_usage & key_cert_sign_usage) != 0) &&
                            fits_path_length(issuer) && permits_names(issuer);
    met_constraint_ |= !is_allowed;
    return is_allowed;
  }

  bool fits_path_length(const Certificate& issuer) const {
    if (!issuer.path_length) return true;
    const auto below = std::count_if(path_.begin() + 1, path_.end(), [](const Shared& certificate) {
      return !certificate->is_self_issued();
    });
    return static_cast<uint64_t>(below) <= *issuer.path_length;
  }

  bool permits_names(const Certificate& issuer) const {
    if (!issuer.name_constraints) return true;
    for (size_t i = 0; i < path_.size(); ++i) {
      if (i > 0 && path_[i]->is_self_issued()) continue;
      if (!is_within(*issuer.name_constraints, *path_[i])) return false;
    }
    return true;
  }

  bool is_signed_by(const Certificate& child, const Certificate& issuer) {
    if (memory_.is_known_good(child, issuer)) return true;
    if (signatures_ == 0) return false;
    --signatures_;
    const SignatureCheck check =
        check_signature(child.signature_algorithm, issuer.public_key, child.tbs, child.signature);
    if (check == SignatureCheck::good) memory_.remember_good(child, issuer);
    if (check == SignatureCheck::unsupported && is_weak(child.signature_algorithm))
      met_weak_signature_ = true;
    return check == SignatureCheck::good;
  }

  /// path_ ends in a trust anchor: what is wrong with it otherwise?
  void complete() {
    FoundPath found;
    found.valid_until = std::numeric_limits<int64_t>::max();
    for (size_t i = 0; i < path_.size(); ++i) check_certificate(i, found);
    for (size_t i = 0; i + 1 < path_.size(); ++i) check_crls(i, found);
    check_staple(found);
    if (has_best_ && best_.findings.badness() <= found.findings.badness()) return;
    found.certificates = path_;
    best_ = std::move(found);
    has_best_ = true;
  }

  void check_certificate(size_t index, FoundPath& found) const {
    const Certificate& certificate = *path_[index];
    const bool is_own = index == 0;
    if (now_s_ > certificate.not_after)
      found.findings.add(OriginProblem::expired, is_own ? "the certificate has expired"
                                                        : "a CA's certificate in its chain has expired");
    if (now_s_ < certificate.not_before)
      found.findings.add(
          OriginProblem::not_yet_valid,
          is_own ? "the certificate is not valid yet" : "a CA's certificate in its chain is not valid yet");
    if (is_weak(certificate.public_key))
      found.findings.add(OriginProblem::weak, is_own ? "the certificate's key is too short"
                                                     : "the key of a CA in its chain is too short");
    if (index + 1 < path_.size() && is_weak(certificate.signature_algorithm))
      found.findings.add(OriginProblem::weak, "its chain has a signature over MD5 or SHA-1");
    found.valid_until = std::min(found.valid_until, certificate.not_after);
  }

  void check_crls(size_t index, FoundPath& found) {
    const Certificate& certificate = *path_[index];
    const Certificate& issuer = *path_[index + 1];
    for (const auto& crl : trust_.crls_of(issuer.subject)) {
      if (crl->next_update && *crl->next_update >= now_s_)
        found.valid_until = std::min(found.valid_until, *crl->next_update);
      if (index == 0 ? crl->only_ca_certificates && !certificate.is_ca : crl->only_user_certificates)
        continue;
      if (!crl->lists(certificate.serial) || !is_by(*crl, issuer)) continue;
      found.findings.add(OriginProblem::revoked,
                         index == 0 ? "a CRL lists the certificate as revoked"
                                    : "a CRL lists the certificate of a CA in its chain as revoked");
    }
  }

  /// A signature is only checked for a serial that is listed, so a huge CRL costs a look-up.
  bool is_by(const Crl& crl, const Certificate& issuer) {
    if (signatures_ > 0) --signatures_;
    return crl.is_by(issuer);
  }

  void check_staple(FoundPath& found) const {
    StapleVerdict verdict = StapleVerdict::none;
    if (!sent_.staple.empty() && path_.size() > 1) {
      const Staple staple = judge_staple(sent_.staple, *path_[0], *path_[1], now_s_);
      verdict = staple.verdict;
      if (verdict != StapleVerdict::none) found.valid_until = std::min(found.valid_until, staple.valid_until);
    }
    if (verdict == StapleVerdict::revoked)
      found.findings.add(OriginProblem::revoked,
                         "the stapled OCSP response says that the certificate is revoked");
    if (verdict == StapleVerdict::none && sent_.staple_was_asked && path_[0]->must_staple)
      found.findings.add(OriginProblem::untrusted,
                         "the certificate demands a stapled OCSP response, and none that holds was sent");
  }

  const Trust& trust_;
  const SentChain& sent_;
  std::vector<Shared> sent_certificates_;
  int64_t now_s_;
  ChainMemory& memory_;
  std::vector<Shared> path_;
  FoundPath best_;
  bool has_best_ = false;
  bool met_weak_signature_ = false;
  bool met_constraint_ = false;
  Shared dead_end_;
  uint32_t signatures_ = limits::path_signatures_max;
};

/// What was sent, parsed; what cannot be read is left out. Nothing when that is the origin's own.
std::vector<Shared> parse_all(std::span<const ByteView> ders, const char*& fault) {
  std::vector<Shared> certificates;
  for (const ByteView der : ders.first(std::min(ders.size(), limits::chain_certificates_max))) {
    auto parsed = parse_certificate(der);
    if (parsed) {
      certificates.push_back(std::make_shared<const Certificate>(std::move(*parsed)));
    } else if (certificates.empty()) {
      fault = text_of(parsed.error());
      return {};
    }
  }
  return certificates;
}

/// What its own certificate tells without a chain.
void check_alone(const Certificate& leaf, const RequestedName& name, int64_t now_s, Findings& findings) {
  if (now_s > leaf.not_after) findings.add(OriginProblem::expired, "the certificate has expired");
  if (now_s < leaf.not_before) findings.add(OriginProblem::not_yet_valid, "the certificate is not valid yet");
  if (!covers_name(leaf, name))
    findings.add(OriginProblem::name_mismatch,
                 leaf.dns_names.empty() && leaf.ip_addresses.empty()
                     ? "the certificate has no alternative name, so it is for none"
                     : "the certificate is for other names");
  if (is_weak(leaf.public_key)) findings.add(OriginProblem::weak, "the certificate's key is too short");
  if (!may_serve(leaf)) findings.add(OriginProblem::untrusted, "the certificate is not meant for servers");
  if (leaf.has_unknown_critical)
    findings.add(OriginProblem::untrusted, "the certificate has a critical extension that is not known here");
}

void explain_no_path(const Certificate& leaf, const PathFinder& finder, Findings& findings) {
  if (leaf.is_self_issued() && check_signature(leaf.signature_algorithm, leaf.public_key, leaf.tbs,
                                               leaf.signature) == SignatureCheck::good) {
    findings.add(OriginProblem::self_signed, "the certificate is signed by itself");
    return;
  }
  if (finder.met_weak_signature())
    findings.add(OriginProblem::weak, "its chain has a signature over MD2 or MD5, which is not even checked");
  findings.add(OriginProblem::untrusted,
               finder.met_constraint() ? "a CA in its chain may not have issued the certificate below it"
                                       : "no chain leads to a root that is trusted");
}

const char* first_detail(const Findings& findings) {
  for (const OriginProblem problem : all_origin_problems)
    if (findings.problems.has(problem)) return findings.details[static_cast<size_t>(problem)];
  return "";
}

}  // namespace

std::string OriginVerdict::text() const {
  if (trusted_by_fingerprint) return "trusted_origin";
  if (problems.none()) return "ok";
  std::string joined;
  for (const OriginProblem problem : all_origin_problems) {
    if (!problems.has(problem)) continue;
    if (!joined.empty()) joined += ',';
    joined += to_string(problem);
  }
  return joined;
}

bool OriginVerdict::lacks_only_an_issuer() const {
  OriginProblems untrusted;
  untrusted.add(OriginProblem::untrusted);
  return missing_issuer_of != nullptr && problems == untrusted;
}

OriginVerdict judge_chain(const Trust& trust, const SentChain& chain, const RequestedName& name,
                          int64_t now_s, ChainMemory& memory) {
  OriginVerdict verdict;
  verdict.valid_until = now_s + limits::bad_verdict_s;
  const char* fault = "the origin sent no certificate";
  const std::vector<Shared> certificates = parse_all(chain.certificates, fault);
  if (certificates.empty()) {
    verdict.problems.add(OriginProblem::untrusted);
    verdict.detail = fault;
    return verdict;
  }
  verdict.leaf = certificates.front();
  if (trust.trusts(verdict.leaf->fingerprint)) {
    verdict.trusted_by_fingerprint = true;
    verdict.valid_until = std::numeric_limits<int64_t>::max();
    return verdict;
  }
  Findings findings;
  check_alone(*verdict.leaf, name, now_s, findings);
  PathFinder finder(trust, chain, certificates, now_s, memory);
  const FoundPath* path = finder.find();
  if (path == nullptr) {
    explain_no_path(*verdict.leaf, finder, findings);
    if (findings.problems.has(OriginProblem::untrusted)) verdict.missing_issuer_of = finder.dead_end();
  } else {
    findings.add(path->findings);
    if (path->findings.problems.none())
      for (size_t i = 1; i + 1 < path->certificates.size(); ++i) memory.remember(path->certificates[i]);
  }
  verdict.problems = findings.problems;
  verdict.detail = first_detail(findings);
  if (verdict.is_good()) verdict.valid_until = path->valid_until;
  return verdict;
}

}  // namespace sluice::tls
