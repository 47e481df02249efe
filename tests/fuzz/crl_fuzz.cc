// CRLs: whatever the bytes, a definite answer; of one that is taken, every view lies within its bytes, and
// each serial number that was read is found again.
#include <algorithm>

#include "base/check.h"
#include "fuzz/driver.h"
#include "tls/revocation.h"

using namespace sluice;
using namespace sluice::tls;

namespace {

bool is_within(ByteView part, const Bytes& whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto parsed = parse_crl(Bytes(data, data + size));
  if (!parsed) {
    SLUICE_CHECK(*text_of(parsed.error()) != '\0');
    return 0;
  }
  const Crl crl = std::move(*parsed);
  SLUICE_CHECK(is_within(crl.tbs, crl.der) && is_within(crl.issuer, crl.der) &&
               is_within(crl.signature, crl.der));
  SLUICE_CHECK(!crl.issuer.empty());
  for (const ByteView serial : crl.serials) SLUICE_CHECK(is_within(serial, crl.der) && crl.lists(serial));
  SLUICE_CHECK(!crl.lists(ByteView()));
  return 0;
}
