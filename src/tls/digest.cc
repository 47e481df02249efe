#include "tls/digest.h"

#include <wolfssl/options.h>
// options.h comes first: it holds the choices that the library was built with.
#include <wolfssl/wolfcrypt/hash.h>

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

}  // namespace sluice::tls
