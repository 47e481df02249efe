#include "tls/leaf_key.h"

#include <array>
#include <utility>

#include "base/check.h"
#include "tls/certificate_writer.h"
#include "tls/digest.h"
#include "tls/pem.h"

namespace sluice::tls {
namespace {

constexpr size_t key_id_bytes = 20;

Bytes make_placeholder(const PrivateKey& key) {
  static constexpr std::array<uint8_t, 1> serial{1};
  const Bytes name = make_name("placeholder", "");
  der::Writer extensions;
  write_key_usage(extensions, digital_signature_usage);
  Draft draft;
  draft.serial = serial;
  draft.issuer = name;
  draft.subject = name;
  draft.spki = key.spki();
  draft.not_before = 0;
  draft.not_after = 4102444800;  // 2100-01-01
  auto certificate = sign_certificate(draft, std::move(extensions), key);
  SLUICE_CHECK(certificate.has_value());
  return *std::move(certificate);
}

}  // namespace

Bytes key_id_of(ByteView public_key) {
  std::array<uint8_t, 32> digest{};
  sha256(public_key, digest);
  return {digest.begin(), digest.begin() + key_id_bytes};
}

LeafKey LeafKey::generate(LeafKeyKind kind) {
  switch (kind) {
    case LeafKeyKind::rsa_2048:
      return LeafKey(PrivateKey::generate_rsa_2048());
    case LeafKeyKind::p256:
      break;
  }
  return LeafKey(PrivateKey::generate_p256());
}

LeafKey::LeafKey(PrivateKey key)
    : key_(std::move(key)),
      key_id_(key_id_of(key_.public_key())),
      private_der_(key_.traditional()),
      placeholder_(make_placeholder(key_)) {}

LeafKey::~LeafKey() { wipe(std::span(private_der_)); }

}  // namespace sluice::tls
