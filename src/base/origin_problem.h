// What can be wrong with an origin's certificate (S12): the vocabulary that config, tls, record and flow
// share.
//
// Values only; trivially copyable.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace sluice {

/// In the order in which they are told in the log and on the error page.
enum class OriginProblem : uint8_t {
  revoked,        // by a CRL or by the OCSP response that was stapled
  self_signed,    // signed by itself, and no root of ours
  untrusted,      // no chain leads to a root of ours
  expired,        // not_after is past, of the certificate or of one that its chain cannot do without
  not_yet_valid,  // the same with not_before
  name_mismatch,  // not for the name, or address, that was asked for
  weak            // RSA below 2048 bits, EC below 256, MD5 or SHA-1 signatures
};
inline constexpr size_t origin_problem_count = 7;
inline constexpr std::array<OriginProblem, origin_problem_count> all_origin_problems = {
    OriginProblem::revoked, OriginProblem::self_signed,   OriginProblem::untrusted,
    OriginProblem::expired, OriginProblem::not_yet_valid, OriginProblem::name_mismatch,
    OriginProblem::weak};

/// The key in [tls.invalid_origin], and the word in the log.
[[nodiscard]] constexpr const char* to_string(OriginProblem problem) {
  switch (problem) {
    case OriginProblem::revoked:
      return "revoked";
    case OriginProblem::self_signed:
      return "self_signed";
    case OriginProblem::untrusted:
      return "untrusted";
    case OriginProblem::expired:
      return "expired";
    case OriginProblem::not_yet_valid:
      return "not_yet_valid";
    case OriginProblem::name_mismatch:
      return "name_mismatch";
    case OriginProblem::weak:
      return "weak";
  }
  return "?";
}

/// A set of them.
class OriginProblems {
 public:
  constexpr OriginProblems() = default;
  constexpr void add(OriginProblem problem) { bits_ = static_cast<uint8_t>(bits_ | bit(problem)); }
  constexpr void add(OriginProblems others) { bits_ = static_cast<uint8_t>(bits_ | others.bits_); }
  [[nodiscard]] constexpr bool has(OriginProblem problem) const { return (bits_ & bit(problem)) != 0; }
  [[nodiscard]] constexpr bool none() const { return bits_ == 0; }
  [[nodiscard]] constexpr uint8_t bits() const { return bits_; }
  friend constexpr bool operator==(OriginProblems, OriginProblems) = default;

 private:
  static constexpr uint8_t bit(OriginProblem problem) {
    return static_cast<uint8_t>(1U << static_cast<unsigned>(problem));
  }
  uint8_t bits_ = 0;
};

}  // namespace sluice
