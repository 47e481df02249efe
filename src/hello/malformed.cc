#include "hello/client_hello.h"

namespace sluice::hello {

const char* name_of(Malformed reason) {
  switch (reason) {
#define SLUICE_MALFORMED(name, text) \
  case Malformed::name:              \
    return #name;
#include "hello/malformed.def"
#undef SLUICE_MALFORMED
  }
  return "?";
}

const char* text_of(Malformed reason) {
  switch (reason) {
#define SLUICE_MALFORMED(name, text) \
  case Malformed::name:              \
    return text;
#include "hello/malformed.def"
#undef SLUICE_MALFORMED
  }
  return "?";
}

bool is_tls_like(Malformed reason) { return reason != Malformed::not_tls; }

}  // namespace sluice::hello
