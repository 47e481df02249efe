// Host names -> addresses, for the fetcher of missing intermediates alone: c-ares asks /etc/hosts and the
// name servers of /etc/resolv.conf over sockets that bear our mark. Destinations of clients are never
// resolved (S11).
//
// Waits, so never in a worker's thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/ip.h"

namespace sluice::worker {

/// Empty: there is none, there was no answer within `timeout_ms`, or `wake_fd` became readable.
[[nodiscard]] std::vector<IpAddress> resolve(const std::string& host, uint32_t mark, int wake_fd,
                                             uint32_t timeout_ms);

}  // namespace sluice::worker
