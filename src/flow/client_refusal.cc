#include "flow/client_refusal.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace sluice::flow {

bool refuses_certificate(const tls::Failure& failure) {
  constexpr std::array<uint8_t, 6> alerts = {42, 43, 44, 45, 46, 48};
  return failure.fault == tls::Fault::peer_alert &&
         std::find(alerts.begin(), alerts.end(), failure.alert) != alerts.end();
}

}  // namespace sluice::flow
