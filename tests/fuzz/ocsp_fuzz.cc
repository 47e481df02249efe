// OCSP responses, as an origin staples them: whatever the bytes, a definite answer, and no answer about a
// certificate unless the response is signed (nothing that a fuzzer makes is).
#include <algorithm>

#include "base/check.h"
#include "base/limits.h"
#include "fuzz/driver.h"
#include "tls/revocation.h"

using namespace sluice;
using namespace sluice::tls;

namespace {

bool is_within(ByteView part, ByteView whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

/// A certificate whose key fits no signature: what is said about it is said by nobody.
const Certificate& nobody() {
  static const Certificate certificate = [] {
    Certificate made;
    static const Bytes serial = {0x10, 0x00};
    made.serial = serial;
    return made;
  }();
  return certificate;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes copy(data, data + size);  // of exactly that size, so that a sanitizer sees a read past the end
  const auto response = parse_ocsp_response(copy);
  if (!response) {
    SLUICE_CHECK(*text_of(response.error()) != '\0');
  } else {
    SLUICE_CHECK(response->responder_name.empty() != response->responder_key_hash.empty());
    SLUICE_CHECK(response->answers.size() <= limits::ocsp_answers_max);
    SLUICE_CHECK(response->certificates.size() <= limits::ocsp_certificates_max);
    SLUICE_CHECK(is_within(response->tbs, copy) && is_within(response->signature, copy));
    for (const OcspAnswer& answer : response->answers)
      SLUICE_CHECK(is_within(answer.serial, copy) && is_within(answer.issuer_key_hash, copy));
    for (const ByteView certificate : response->certificates) SLUICE_CHECK(is_within(certificate, copy));
  }
  constexpr int64_t now_s = 1811808000;
  SLUICE_CHECK(judge_staple(copy, nobody(), nobody(), now_s).verdict == StapleVerdict::none);
  return 0;
}
