// What wolfSSL calls while an engine's call is running. Private to engine.cc, which defines them, and
// context.cc, which registers them. Stateless: each finds its engine through the Wire that the call left in
// the WOLFSSL.
#pragma once

#include <wolfssl/options.h>
// options.h comes first: it holds the choices that the library was built with.
#include <wolfssl/ssl.h>

namespace sluice::tls {

struct EngineCallbacks {
  static int receive(WOLFSSL* ssl, char* buffer, int size, void* wire);
  static int send(WOLFSSL* ssl, char* buffer, int size, void* wire);
  static int collect_chain(int verified, WOLFSSL_X509_STORE_CTX* store);
  static int staple_came(WOLFSSL* ssl, int error, unsigned char* response, unsigned int size, unsigned int index,
                         void* unused);
  static int certificate_asked(WOLFSSL* ssl, void* unused);
  static int ticket_came(WOLFSSL* ssl, const unsigned char* ticket, int size, void* unused);
  static int ticket(WOLFSSL* ssl, unsigned char key_name[WOLFSSL_TICKET_NAME_SZ],
                    unsigned char iv[WOLFSSL_TICKET_IV_SZ], unsigned char mac[WOLFSSL_TICKET_MAC_SZ],
                    int sealing, unsigned char* content, int size, int* size_out, void* sealer);
};

}  // namespace sluice::tls
