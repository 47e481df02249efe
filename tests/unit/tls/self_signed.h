// A leaf key and a certificate for it, made on the spot: for tests, fuzz targets and benchmarks of the
// engine.
#pragma once

#include <wolfssl/options.h>
// options.h comes first: it holds the choices that the library was built with.
#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/random.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "base/check.h"
#include "tls/engine.h"

namespace sluice::tls::testing {

struct Leaf {
  Bytes key;    // SEC1 DER
  Bytes chain;  // one self-signed certificate, DER
};

/// P-256, self-signed; `name` as its common name.
inline Leaf make_leaf(const char* name) {
  WC_RNG random;
  ecc_key key;
  SLUICE_CHECK(wc_InitRng(&random) == 0);
  SLUICE_CHECK(wc_ecc_init(&key) == 0);
  SLUICE_CHECK(wc_ecc_make_key(&random, 32, &key) == 0);
  auto certificate = std::make_unique<Cert>();
  SLUICE_CHECK(wc_InitCert(certificate.get()) == 0);
  std::strncpy(certificate->subject.commonName, name, CTC_NAME_SIZE - 1);
  certificate->sigType = CTC_SHA256wECDSA;
  Leaf leaf;
  leaf.chain.resize(2048);
  leaf.key.resize(256);
  const int key_bytes = wc_EccKeyToDer(&key, leaf.key.data(), static_cast<word32>(leaf.key.size()));
  SLUICE_CHECK(key_bytes > 0);
  leaf.key.resize(static_cast<size_t>(key_bytes));
  SLUICE_CHECK(wc_MakeCert(certificate.get(), leaf.chain.data(), 2048, nullptr, &key, &random) > 0);
  const int size =
      wc_SignCert(certificate->bodySz, CTC_SHA256wECDSA, leaf.chain.data(), 2048, nullptr, &key, &random);
  SLUICE_CHECK(size > 0);
  leaf.chain.resize(static_cast<size_t>(size));
  wc_ecc_free(&key);
  wc_FreeRng(&random);
  return leaf;
}

}  // namespace sluice::tls::testing
