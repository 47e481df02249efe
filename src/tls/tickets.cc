#include "tls/tickets.h"

#include <wolfssl/options.h>
// options.h comes first: it holds the choices that the library was built with.
#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/hmac.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "base/check.h"

namespace sluice::tls {

namespace {

/// HMAC-SHA-256(secret, label): one step of the chain, or a key that hangs from it.
void derive_from(const std::array<uint8_t, 32>& secret, std::string_view label,
                 std::array<uint8_t, 32>& out) {
  Hmac hmac;
  SLUICE_CHECK(wc_HmacInit(&hmac, nullptr, INVALID_DEVID) == 0);
  SLUICE_CHECK(wc_HmacSetKey(&hmac, WC_SHA256, secret.data(), static_cast<word32>(secret.size())) == 0);
  SLUICE_CHECK(wc_HmacUpdate(&hmac, reinterpret_cast<const byte*>(label.data()),
                             static_cast<word32>(label.size())) == 0);
  SLUICE_CHECK(wc_HmacFinal(&hmac, out.data()) == 0);
  wc_HmacFree(&hmac);
}

constexpr size_t key_name_bytes = 16;
using Authenticated = std::array<uint8_t, key_name_bytes + sizeof(TicketBinding)>;

/// What the seal covers beside the content.
Authenticated authenticated(std::span<const uint8_t, key_name_bytes> key_name, const TicketBinding& binding) {
  Authenticated bytes;
  std::copy(key_name.begin(), key_name.end(), bytes.begin());
  std::copy(binding.begin(), binding.end(), bytes.begin() + key_name_bytes);
  return bytes;
}

void wipe(std::array<uint8_t, 32>& secret) { explicit_bzero(secret.data(), secret.size()); }

}  // namespace

TicketKeys::TicketKeys(std::span<const uint8_t, 32> seed, int64_t start_s) : start_s_(start_s) {
  std::copy(seed.begin(), seed.end(), secret_.begin());
  current_ = derive();
}

TicketKeys::~TicketKeys() {
  wipe(secret_);
  wipe(current_.key);
  wipe(previous_.key);
}

bool TicketKeys::advance(int64_t now_s) {
  if (now_s < start_s_) return false;
  const int64_t period = (now_s - start_s_) / period_s;
  if (period <= period_) return false;
  while (period_ < period) next();
  return true;
}

void TicketKeys::next() {
  std::array<uint8_t, 32> stepped{};
  derive_from(secret_, "sluice ticket next", stepped);
  secret_ = stepped;
  wipe(stepped);
  ++period_;
  previous_ = current_;
  current_ = derive();
}

TicketKeys::Key TicketKeys::derive() const {
  Key key;
  key.period = period_;
  std::array<uint8_t, 32> name{};
  derive_from(secret_, "sluice ticket name", name);
  std::copy_n(name.begin(), key.name.size(), key.name.begin());
  derive_from(secret_, "sluice ticket key", key.key);
  return key;
}

void TicketSealer::AesDeleter::operator()(Aes* aes) const {
  wc_AesFree(aes);
  delete aes;
}

TicketSealer::AesPointer TicketSealer::prepared(const TicketKeys::Key& key) {
  if (key.period < 0) return nullptr;
  auto* aes = new Aes;
  SLUICE_CHECK(wc_AesInit(aes, nullptr, INVALID_DEVID) == 0);
  AesPointer owner(aes);
  SLUICE_CHECK(wc_AesGcmSetKey(aes, key.key.data(), static_cast<word32>(key.key.size())) == 0);
  return owner;
}

TicketSealer::TicketSealer(const TicketKeys& keys)
    : keys_(keys), current_(prepared(keys_.current())), previous_(prepared(keys_.previous())) {}

TicketSealer::~TicketSealer() = default;

void TicketSealer::advance(int64_t now_s) {
  if (!keys_.advance(now_s)) return;
  current_ = prepared(keys_.current());
  previous_ = prepared(keys_.previous());
}

bool TicketSealer::seal(int64_t now_s, const TicketBinding& binding, uint8_t depth,
                        std::span<const uint8_t, nonce_bytes> nonce, std::span<uint8_t> content,
                        std::span<uint8_t, 16> key_name, std::span<uint8_t, tag_bytes> tag) {
  SLUICE_CHECK(content.size() >= depth_bytes);
  advance(now_s);
  std::copy(keys_.current().name.begin(), keys_.current().name.end(), key_name.begin());
  content.back() = depth;
  const Authenticated beside = authenticated(key_name, binding);
  const auto size = static_cast<word32>(content.size());
  return wc_AesGcmEncrypt(current_.get(), content.data(), content.data(), size, nonce.data(),
                          static_cast<word32>(nonce.size()), tag.data(), static_cast<word32>(tag.size()),
                          beside.data(), static_cast<word32>(beside.size())) == 0;
}

bool TicketSealer::open(int64_t now_s, const TicketBinding& binding, std::span<const uint8_t, 16> key_name,
                        std::span<const uint8_t, nonce_bytes> nonce, std::span<const uint8_t, tag_bytes> tag,
                        std::span<uint8_t> content, uint8_t& depth) {
  if (content.size() < depth_bytes) return false;
  advance(now_s);
  Aes* aes = nullptr;
  // The names are public: no constant-time comparison needed.
  if (std::equal(key_name.begin(), key_name.end(), keys_.current().name.begin()))
    aes = current_.get();
  else if (previous_ && std::equal(key_name.begin(), key_name.end(), keys_.previous().name.begin()))
    aes = previous_.get();
  if (aes == nullptr) return false;
  const Authenticated beside = authenticated(key_name, binding);
  const auto size = static_cast<word32>(content.size());
  if (wc_AesGcmDecrypt(aes, content.data(), content.data(), size, nonce.data(),
                       static_cast<word32>(nonce.size()), tag.data(), static_cast<word32>(tag.size()),
                       beside.data(), static_cast<word32>(beside.size())) != 0)
    return false;
  depth = content.back();
  return true;
}

}  // namespace sluice::tls
