#include "rules/policy.h"

namespace sluice::rules {

const char* to_string(Slot slot) {
  switch (slot) {
    case Slot::client:
      return "client";
    case Slot::destination:
      return "destination";
    case Slot::port:
      return "port";
    case Slot::host:
      return "host";
    case Slot::sni:
      return "sni";
    case Slot::ech:
      return "ech";
    case Slot::alpn:
      return "alpn";
    case Slot::tls_version:
      return "tls_version";
    case Slot::ja4:
      return "ja4";
    case Slot::schedule:
      return "schedule";
    case Slot::method:
      return "method";
  }
  return "?";
}

const char* to_string(Action action) {
  switch (action) {
    case Action::peek:
      return "peek";
    case Action::tunnel:
      return "tunnel";
    case Action::tunnel_sni:
      return "tunnel-sni";
    case Action::bump:
      return "bump";
    case Action::terminate:
      return "terminate";
    case Action::block:
      return "block";
    case Action::redirect:
      return "redirect";
  }
  return "?";
}

size_t Policy::memory_bytes() const {
  return hosts_.memory_bytes() + interfaces_.exact.memory_bytes() + alpn_.exact.memory_bytes() +
         ja4_.exact.memory_bytes() + ja4_.prefixes.memory_bytes();
}

}  // namespace sluice::rules
