#include "http/refusal.h"

namespace sluice::http {

const char* name_of(Refusal reason) {
  switch (reason) {
#define SLUICE_REFUSAL(name, status, text) \
  case Refusal::name:                      \
    return #name;
#include "http/refusal.def"
#undef SLUICE_REFUSAL
  }
  return "?";
}

const char* text_of(Refusal reason) {
  switch (reason) {
#define SLUICE_REFUSAL(name, status, text) \
  case Refusal::name:                      \
    return text;
#include "http/refusal.def"
#undef SLUICE_REFUSAL
  }
  return "?";
}

uint16_t status_of_request(Refusal reason) {
  switch (reason) {
#define SLUICE_REFUSAL(name, status, text) \
  case Refusal::name:                      \
    return status;
#include "http/refusal.def"
#undef SLUICE_REFUSAL
  }
  return 400;
}

}  // namespace sluice::http
