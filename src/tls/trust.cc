#include "tls/trust.h"

#include <fmt/format.h>

#include <algorithm>

#include "tls/digest.h"
#include "tls/pem.h"

namespace sluice::tls {
namespace {

std::string_view text_view(ByteView bytes) { return as_text(bytes); }

ByteView byte_view(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

/// One certificate or CRL of a file.
struct Block {
  Bytes der;
  std::string place;  // "the certificate in line 31", for messages
};

struct Blocks {
  std::vector<Block> wanted;
  size_t others = 0;  // PEM blocks with other labels
  std::string other_label;
  std::string error;
};

/// `labels` are those that are wanted; `what` they are, for people.
Blocks read_blocks(std::string_view file, std::initializer_list<std::string_view> labels,
                   std::string_view what) {
  Blocks blocks;
  constexpr char der_sequence = 0x30;
  if (file.starts_with(der_sequence)) {
    const ByteView bytes = byte_view(file);
    blocks.wanted.push_back({Bytes(bytes.begin(), bytes.end()), fmt::format("the {}", what)});
    return blocks;
  }
  auto read = read_pem(file);
  if (!read) {
    blocks.error = fmt::format("line {}: {}", read.error().line, read.error().what);
    return blocks;
  }
  for (PemBlock& block : *read) {
    if (std::ranges::find(labels, block.label) != labels.end()) {
      blocks.wanted.push_back({std::move(block.content), fmt::format("the {} in line {}", what, block.line)});
    } else {
      ++blocks.others;
      blocks.other_label = block.label;
      wipe(block.content);
    }
  }
  if (blocks.wanted.empty())
    blocks.error = blocks.others == 0
                       ? fmt::format("holds no {}: neither PEM nor DER", what)
                       : fmt::format("holds no {}, but a PEM block \"{}\"", what, blocks.other_label);
  return blocks;
}

Blocks read_certificates(std::string_view file) {
  return read_blocks(file, {"CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"}, "certificate");
}

std::string shown(const Certificate& certificate) {
  std::string name = name_text(certificate.subject);
  return name.empty() ? "sha256:" + hex_text(certificate.fingerprint).substr(0, 16) : name;
}

void warn_of_dates(const Block& block, const Certificate& certificate, int64_t now_s,
                   std::vector<std::string>& warnings) {
  if (certificate.not_after < now_s)
    warnings.push_back(fmt::format("{} ({}) has expired", block.place, shown(certificate)));
  else if (certificate.not_before > now_s)
    warnings.push_back(fmt::format("{} ({}) is not valid yet", block.place, shown(certificate)));
}

Fingerprint with_kind(uint8_t kind, const Fingerprint& content) {
  std::array<uint8_t, 33> text{};
  text[0] = kind;
  std::ranges::copy(content, text.begin() + 1);
  Fingerprint mixed{};
  sha256(text, mixed);
  return mixed;
}

// Kinds of content, mixed into the id.
constexpr uint8_t root_kind = 1;
constexpr uint8_t intermediate_kind = 2;
constexpr uint8_t crl_kind = 3;
constexpr uint8_t origin_kind = 4;

}  // namespace

bool CertificateStore::add(std::shared_ptr<const Certificate> certificate) {
  if (holds(*certificate)) return false;
  const std::string_view subject = text_view(certificate->subject);
  auto found = by_subject_.find(subject);
  if (found == by_subject_.end()) found = by_subject_.emplace(subject, 0).first;
  found->second.push_back(std::move(certificate));
  ++size_;
  return true;
}

std::span<const std::shared_ptr<const Certificate>> CertificateStore::by_subject(ByteView name) const {
  const auto found = by_subject_.find(text_view(name));
  if (found == by_subject_.end()) return {};
  return found->second;
}

bool CertificateStore::holds(const Certificate& certificate) const {
  return std::ranges::any_of(by_subject(certificate.subject), [&](const auto& other) {
    return other->fingerprint == certificate.fingerprint;
  });
}

std::span<const std::shared_ptr<const Crl>> Trust::crls_of(ByteView issuer_name) const {
  const auto found = crls_.find(text_view(issuer_name));
  if (found == crls_.end()) return {};
  return found->second;
}

bool Trust::trusts(const Fingerprint& fingerprint) const {
  return std::binary_search(trusted_.begin(), trusted_.end(), fingerprint);
}

TrustBuilder::Added TrustBuilder::add_roots(std::string_view file, int64_t now_s) {
  Added added;
  Blocks blocks = read_certificates(file);
  added.error = blocks.error;
  for (Block& block : blocks.wanted) {
    auto parsed = parse_certificate(std::move(block.der));
    if (!parsed) {
      added.error = fmt::format("{} is malformed: {}", block.place, text_of(parsed.error()));
      return added;
    }
    warn_of_dates(block, *parsed, now_s, added.warnings);
    if (!parsed->is_ca && parsed->version == 3 && !parsed->is_self_issued())
      added.warnings.push_back(
          fmt::format("{} ({}) is not a CA's: it makes that one certificate trusted, no others", block.place,
                      shown(*parsed)));
    contents_.push_back(with_kind(root_kind, parsed->fingerprint));
    added.count += trust_->roots_.add(std::make_shared<const Certificate>(std::move(*parsed)));
  }
  return added;
}

TrustBuilder::Added TrustBuilder::add_intermediates(std::string_view file, int64_t now_s) {
  Added added;
  Blocks blocks = read_certificates(file);
  added.error = blocks.error;
  for (Block& block : blocks.wanted) {
    auto parsed = parse_certificate(std::move(block.der));
    if (!parsed) {
      added.error = fmt::format("{} is malformed: {}", block.place, text_of(parsed.error()));
      return added;
    }
    warn_of_dates(block, *parsed, now_s, added.warnings);
    if (!parsed->is_ca)
      added.warnings.push_back(
          fmt::format("{} ({}) is not a CA's: it cannot complete any chain", block.place, shown(*parsed)));
    contents_.push_back(with_kind(intermediate_kind, parsed->fingerprint));
    added.count += trust_->intermediates_.add(std::make_shared<const Certificate>(std::move(*parsed)));
  }
  return added;
}

TrustBuilder::Added TrustBuilder::add_system_roots(std::string_view file) {
  Added added;
  Blocks blocks = read_certificates(file);
  added.error = blocks.error;
  size_t left_out = 0;
  for (Block& block : blocks.wanted) {
    auto parsed = parse_certificate(std::move(block.der));
    if (!parsed) {
      ++left_out;
      continue;
    }
    contents_.push_back(with_kind(root_kind, parsed->fingerprint));
    added.count += trust_->roots_.add(std::make_shared<const Certificate>(std::move(*parsed)));
  }
  if (left_out > 0)
    added.warnings.push_back(fmt::format("{} certificates are malformed and left out", left_out));
  return added;
}

TrustBuilder::Added TrustBuilder::add_crls(std::string_view file, int64_t now_s) {
  Added added;
  Blocks blocks = read_blocks(file, {"X509 CRL", "CRL"}, "CRL");
  added.error = blocks.error;
  for (Block& block : blocks.wanted) {
    auto parsed = parse_crl(std::move(block.der));
    if (!parsed) {
      added.error = fmt::format("{}: {}", block.place, text_of(parsed.error()));
      return added;
    }
    if (parsed->next_update && *parsed->next_update < now_s)
      added.warnings.push_back(fmt::format(
          "{} (of {}) is past its next update: it still revokes what it lists, but a newer one may list "
          "more",
          block.place, name_text(parsed->issuer)));
    if (parsed->this_update > now_s)
      added.warnings.push_back(
          fmt::format("{} (of {}) is from the future", block.place, name_text(parsed->issuer)));
    Fingerprint hash{};
    sha256(parsed->der, hash);
    contents_.push_back(with_kind(crl_kind, hash));
    auto crl = std::make_shared<const Crl>(std::move(*parsed));
    const std::string_view issuer = text_view(crl->issuer);
    auto found = trust_->crls_.find(issuer);
    if (found == trust_->crls_.end()) found = trust_->crls_.emplace(issuer, 0).first;
    found->second.push_back(std::move(crl));
    ++trust_->crl_count_;
    ++added.count;
  }
  return added;
}

std::shared_ptr<const Trust> TrustBuilder::build() {
  std::ranges::sort(trust_->trusted_);
  for (const Fingerprint& fingerprint : trust_->trusted_)
    contents_.push_back(with_kind(origin_kind, fingerprint));
  std::ranges::sort(contents_);
  Bytes all;
  all.reserve(contents_.size() * sizeof(Fingerprint));
  for (const Fingerprint& content : contents_) all.insert(all.end(), content.begin(), content.end());
  Fingerprint mixed{};
  sha256(all, mixed);
  for (size_t i = 0; i < sizeof trust_->id_; ++i) trust_->id_ = trust_->id_ << 8 | mixed[i];
  contents_.clear();
  return std::exchange(trust_, std::make_shared<Trust>());
}

}  // namespace sluice::tls
