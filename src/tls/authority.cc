#include "tls/authority.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/limits.h"
#include "tls/certificate_writer.h"
#include "tls/der_oid.h"
#include "tls/leaf_key.h"
#include "tls/mint.h"
#include "tls/pem.h"

namespace sluice::tls {
namespace {

using der::Writer;
using Fault = AuthorityFault;
using Problem = AuthorityProblem;

constexpr int64_t day_s = 86400;

std::string date_text(int64_t unix_s) {
  return fmt::format("{:%Y-%m-%d %H:%M} UTC", fmt::gmtime(static_cast<std::time_t>(unix_s)));
}

Problem problem_of(Fault fault, const Certificate& certificate) {
  Problem problem;
  problem.fault = fault;
  problem.subject = name_text(certificate.subject);
  return problem;
}

Problem problem_of_key(Fault fault, size_t line) {
  Problem problem;
  problem.fault = fault;
  problem.of_key = true;
  problem.line = line;
  return problem;
}

/// Wipes what it holds when it goes.
struct SecretBlocks {
  std::vector<PemBlock> blocks;
  ~SecretBlocks() { wipe(blocks); }
};

tl::expected<std::vector<PemBlock>, Problem> read_blocks(std::string_view text, bool of_key) {
  auto blocks = read_pem(text);
  if (blocks) return *std::move(blocks);
  Problem problem;
  problem.fault = Fault::not_pem;
  problem.of_key = of_key;
  problem.line = blocks.error().line;
  problem.detail = blocks.error().what;
  return tl::unexpected(problem);
}

tl::expected<std::vector<Certificate>, Problem> read_certificates(std::string_view text) {
  auto blocks = read_blocks(text, false);
  if (!blocks) return tl::unexpected(blocks.error());
  const SecretBlocks owned{*std::move(blocks)};  // the key may be in the same file
  std::vector<Certificate> certificates;
  for (const PemBlock& block : owned.blocks) {
    if (block.label != "CERTIFICATE" && block.label != "X509 CERTIFICATE") continue;
    Problem problem;
    problem.line = block.line;
    problem.fault = Fault::too_many;
    if (certificates.size() == limits::authority_chain_max) return tl::unexpected(problem);
    auto certificate = parse_certificate(ByteView(block.content));
    if (!certificate) {
      problem.fault = Fault::bad_certificate;
      problem.detail = text_of(certificate.error());
      return tl::unexpected(problem);
    }
    certificates.push_back(*std::move(certificate));
  }
  if (!certificates.empty()) return certificates;
  Problem problem;
  problem.fault = Fault::no_certificate;
  return tl::unexpected(problem);
}

tl::expected<PrivateKey, Problem> read_key(std::string_view text) {
  auto blocks = read_blocks(text, true);
  if (!blocks) return tl::unexpected(blocks.error());
  const SecretBlocks owned{*std::move(blocks)};
  for (const PemBlock& block : owned.blocks) {
    if (!PrivateKey::is_key_label(block.label)) continue;
    if (block.is_encrypted) return tl::unexpected(problem_of_key(Fault::encrypted_key, block.line));
    auto key = PrivateKey::parse(block.label, block.content);
    if (key) return *std::move(key);
    Problem problem = problem_of_key(Fault::bad_key, block.line);
    problem.detail = text_of(key.error());
    return tl::unexpected(problem);
  }
  return tl::unexpected(problem_of_key(Fault::no_key, 0));
}

bool may_have_signed(const Certificate& above, const Certificate& below) {
  if (!std::ranges::equal(above.subject, below.issuer)) return false;
  return above.subject_key_id.empty() || below.authority_key_id.empty() ||
         std::ranges::equal(above.subject_key_id, below.authority_key_id);
}

/// Ours first, then what signed it and so on. What belongs to no chain is dropped.
std::vector<Certificate> chain_from(std::vector<Certificate> pool, size_t ours) {
  std::vector<Certificate> chain;
  const auto move_over = [&](size_t index) {
    chain.push_back(std::move(pool[index]));
    pool.erase(pool.begin() + static_cast<std::ptrdiff_t>(index));
  };
  move_over(ours);
  while (!chain.back().is_self_issued()) {
    const auto above = std::ranges::find_if(
        pool, [&](const Certificate& other) { return may_have_signed(other, chain.back()); });
    if (above == pool.end()) break;
    move_over(static_cast<size_t>(above - pool.begin()));
  }
  return chain;
}

/// `below` counts the CA certificates between this one and the leaf, self-issued ones left out (RFC
/// 5280, 6.1.4 (l)).
std::optional<Fault> fault_of(const Certificate& certificate, uint32_t below, int64_t now) {
  if (!certificate.is_ca) return Fault::not_ca;
  if (certificate.key_usage && (*certificate.key_usage & key_cert_sign_usage) == 0)
    return Fault::no_cert_sign;
  const auto& purposes = certificate.extended_key_usage;
  if (purposes && !purposes->any && !purposes->server_auth) return Fault::not_for_servers;
  if (certificate.public_key.kind == KeyKind::rsa && certificate.public_key.bits < limits::rsa_bits_min)
    return Fault::weak_key;
  if (certificate.path_length && *certificate.path_length < below) return Fault::path_length;
  if (now > certificate.not_after) return Fault::expired;
  if (now < certificate.not_before) return Fault::not_yet_valid;
  return std::nullopt;
}

std::optional<Problem> problem_of_chain(const std::vector<Certificate>& chain, int64_t now) {
  uint32_t below = 0;
  for (const Certificate& certificate : chain) {
    if (const auto fault = fault_of(certificate, below, now)) {
      Problem problem = problem_of(*fault, certificate);
      if (*fault == Fault::expired) problem.detail = date_text(certificate.not_after);
      if (*fault == Fault::not_yet_valid) problem.detail = date_text(certificate.not_before);
      return problem;
    }
    if (!certificate.is_self_issued()) ++below;
  }
  return std::nullopt;
}

}  // namespace

Authority::Authority(std::vector<Certificate> chain, PrivateKey key)
    : chain_(std::move(chain)), key_(std::move(key)) {
  const Certificate& ours = chain_.front();
  key_id_ = Bytes(ours.subject_key_id.begin(), ours.subject_key_id.end());
  if (key_id_.empty()) key_id_ = key_id_of(key_.public_key());
  not_before_ = ours.not_before;
  not_after_ = ours.not_after;
  for (const Certificate& certificate : chain_) {
    not_before_ = std::max(not_before_, certificate.not_before);
    not_after_ = std::min(not_after_, certificate.not_after);
    has_name_constraints_ |= certificate.name_constraints.has_value();
    if (!certificate.is_self_issued())
      sent_chain_.insert(sent_chain_.end(), certificate.der.begin(), certificate.der.end());
  }
}

tl::expected<Authority, AuthorityProblem> Authority::from_pem(std::string_view certificates,
                                                              std::string_view key_text, int64_t now) {
  auto pool = read_certificates(certificates);
  if (!pool) return tl::unexpected(pool.error());
  auto key = read_key(key_text);
  if (!key) return tl::unexpected(key.error());
  const auto ours = std::ranges::find_if(
      *pool, [&](const Certificate& certificate) { return key->is_key_of(certificate.public_key); });
  if (ours == pool->end()) {
    Problem problem = problem_of(Fault::key_mismatch, pool->front());
    problem.of_key = true;
    return tl::unexpected(problem);
  }
  const auto index = static_cast<size_t>(ours - pool->begin());
  std::vector<Certificate> chain = chain_from(*std::move(pool), index);
  if (auto problem = problem_of_chain(chain, now)) return tl::unexpected(*std::move(problem));
  return Authority(std::move(chain), *std::move(key));
}

Authority Authority::make_untrusted(int64_t now) {
  PrivateKey key = PrivateKey::generate_p256();
  RootRequest request;
  request.common_name = "NOT TRUSTED: the origin's certificate is invalid";
  request.organization = "Sluice";
  // Long enough to clip nothing for as long as a process lives.
  request.not_before = now - 365 * day_s;
  request.not_after = now + 3650 * day_s;
  auto certificate = parse_certificate(make_root(request, key));
  SLUICE_CHECK(certificate.has_value());
  std::vector<Certificate> chain;
  chain.push_back(*std::move(certificate));
  return Authority(std::move(chain), std::move(key));
}

bool Authority::may_certify(const Certificate& certificate) const {
  return std::ranges::all_of(chain_, [&](const Certificate& above) {
    return !above.name_constraints || is_within(*above.name_constraints, certificate);
  });
}

namespace {

/// GeneralSubtree, minimum left at its default.
void write_subtree(Writer& out, uint8_t tag, ByteView value) {
  const size_t mark = out.mark();
  out.element(tag, value);
  out.wrap(der::sequence_tag, mark);
}

Bytes address_and_mask(const Cidr& network) {
  const bool is_v4 = network.network.is_v4() && network.prefix_bits >= 96;
  const size_t skip = is_v4 ? 12 : 0;
  Bytes value(network.network.bytes.begin() + static_cast<std::ptrdiff_t>(skip), network.network.bytes.end());
  for (size_t octet = skip; octet < 16; ++octet) {
    const size_t bits =
        std::min<size_t>(8, network.prefix_bits > 8 * octet ? network.prefix_bits - 8 * octet : 0);
    value.push_back(static_cast<uint8_t>(0xff00u >> bits));
  }
  return value;
}

void write_name_constraints(Writer& out, const RootRequest& request) {
  const size_t extension = out.mark();
  // A kind of name that is not mentioned would be unconstrained.
  if (request.networks.empty()) {
    write_subtree(out, der::context(7), Bytes(32));
    write_subtree(out, der::context(7), Bytes(8));
  }
  if (request.domains.empty()) write_subtree(out, der::context(2), ByteView{});
  if (out.mark() != extension) out.wrap(der::context_constructed(1), extension);
  const size_t permitted = out.mark();
  for (auto network = request.networks.rbegin(); network != request.networks.rend(); ++network)
    write_subtree(out, der::context(7), address_and_mask(*network));
  for (auto domain = request.domains.rbegin(); domain != request.domains.rend(); ++domain)
    write_subtree(out, der::context(2),
                  ByteView(reinterpret_cast<const uint8_t*>(domain->data()), domain->size()));
  out.wrap(der::context_constructed(0), permitted);
  out.wrap(der::sequence_tag, extension);
  wrap_extension(out, extension, der_oid::name_constraints, true);
}

void write_ca_constraints(Writer& out) {
  const size_t mark = out.mark();
  out.integer(0);  // path length: leaves alone
  out.boolean(true);
  out.wrap(der::sequence_tag, mark);
  wrap_extension(out, mark, der_oid::basic_constraints, true);
}

}  // namespace

Bytes make_root(const RootRequest& request, const PrivateKey& key) {
  const Bytes name = make_name(request.common_name, request.organization);
  const Bytes key_id = key_id_of(key.public_key());
  Writer extensions;
  if (!request.domains.empty() || !request.networks.empty()) write_name_constraints(extensions, request);
  write_authority_key_id(extensions, key_id);
  write_subject_key_id(extensions, key_id);
  write_key_usage(extensions, key_cert_sign_usage | crl_sign_usage);
  write_ca_constraints(extensions);
  Serial serial = random_serial();
  serial[0] = static_cast<uint8_t>((serial[0] & 0x3f) | 0x40);
  Draft draft;
  draft.serial = serial;
  draft.issuer = name;
  draft.subject = name;
  draft.spki = key.spki();
  draft.not_before = request.not_before;
  draft.not_after = request.not_after;
  auto certificate = sign_certificate(draft, std::move(extensions), key);
  SLUICE_CHECK(certificate.has_value());
  return *std::move(certificate);
}

namespace {

std::string sentence_of(const Problem& problem) {
  const std::string whose =
      problem.subject.empty() ? "this certificate" : fmt::format("'{}'", problem.subject);
  switch (problem.fault) {
    case Fault::cannot_read:
      return fmt::format("cannot read it: {}", problem.detail);
    case Fault::not_pem:
      return fmt::format("not PEM: {}", problem.detail);
    case Fault::no_certificate:
      return "no certificate in it (a BEGIN CERTIFICATE line)";
    case Fault::bad_certificate:
      return fmt::format("this certificate cannot be read: {}", problem.detail);
    case Fault::too_many:
      return fmt::format("more than {} certificates", limits::authority_chain_max);
    case Fault::no_key:
      return "no private key in it (a BEGIN PRIVATE KEY, EC PRIVATE KEY or RSA PRIVATE KEY line)";
    case Fault::encrypted_key:
      return "the private key is encrypted, and nobody is there to type a passphrase; decrypt it with "
             "'openssl pkey -in FILE -out FILE2' and mode 0600";
    case Fault::bad_key:
      return problem.detail;
    case Fault::exposed_key:
      return fmt::format("everybody on this machine can read or change the private key; {}", problem.detail);
    case Fault::key_mismatch:
      return fmt::format("the private key does not belong to {}, nor to another certificate there", whose);
    case Fault::not_ca:
      return fmt::format("{} is not a CA (basicConstraints CA:TRUE is missing)", whose);
    case Fault::no_cert_sign:
      return fmt::format("{} may not sign certificates (its key usage lacks keyCertSign)", whose);
    case Fault::not_for_servers:
      return fmt::format("{} may not sign for servers (its extended key usage lacks serverAuth)", whose);
    case Fault::weak_key:
      return fmt::format("the RSA key of {} has fewer than 2,048 bits, which clients refuse", whose);
    case Fault::path_length:
      return fmt::format("the path length of {} is too short for the CA certificates below it", whose);
    case Fault::expired:
      return fmt::format("{} expired on {}", whose, problem.detail);
    case Fault::not_yet_valid:
      return fmt::format("{} is not valid before {}", whose, problem.detail);
  }
  return "?";
}

}  // namespace

std::string text_of(const AuthorityProblem& problem) { return sentence_of(problem); }

}  // namespace sluice::tls
