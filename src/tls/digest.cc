#include "tls/digest.h"

#include <wolfssl/options.h>
// options.h comes first: it holds the choices that the library was built with.
#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/sha256.h>

#include <limits>

#include "base/check.h"
#include "tls/vector_state.h"

namespace sluice::tls {

void sha256(std::span<const uint8_t> input, std::array<uint8_t, 32>& digest) {
  SLUICE_CHECK(input.size() <= std::numeric_limits<word32>::max());
  tidy_vector_state();
  // It can only fail for a null pointer or a broken build.
  SLUICE_CHECK(wc_Sha256Hash(input.data(), static_cast<word32>(input.size()), digest.data()) == 0);
}

struct RunningSha256::State {
  wc_Sha256 context;
};

RunningSha256::RunningSha256() : state_(std::make_unique<State>()) { SLUICE_CHECK(wc_InitSha256(&state_->context) == 0); }
RunningSha256::~RunningSha256() { wc_Sha256Free(&state_->context); }

void RunningSha256::update(std::span<const uint8_t> bytes) {
  SLUICE_CHECK(bytes.size() <= std::numeric_limits<word32>::max());
  tidy_vector_state();
  SLUICE_CHECK(wc_Sha256Update(&state_->context, bytes.data(), static_cast<word32>(bytes.size())) == 0);
}

std::array<uint8_t, 32> RunningSha256::finish() {
  tidy_vector_state();
  std::array<uint8_t, 32> digest;
  SLUICE_CHECK(wc_Sha256Final(&state_->context, digest.data()) == 0);
  return digest;
}

}  // namespace sluice::tls
