// The limits of fetching missing intermediates (tls.fetch_intermediates): limits.h for the one file that asks others on an
// origin's word, apart so that the rest need not be built anew with it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice::limits {

// Where it is the origin who says what to fetch, everything is small. Resolving, connecting and the answer together:
inline constexpr uint32_t fetch_timeout_ms = 5'000;
inline constexpr uint32_t fetch_connect_timeout_ms = 2'000;  // to one address of a name
inline constexpr size_t fetch_addresses_max = 4;             // of one name that are tried
// Public CAs' certificates are 1 to 2 KB, their PKCS#7 files 2 to 6 KB.
inline constexpr size_t fetch_bytes_max = 64 * 1024;
inline constexpr size_t fetch_url_bytes_max = 1024;
inline constexpr size_t fetch_queue_max = 64;  // requests that wait for the one thread; more are refused
// Intermediates fetched one above the other until a trusted root is reached. Public chains miss one, seldom two.
inline constexpr size_t fetch_hops_max = 3;
// A URL is not asked again for so long, nor one on behalf of the same certificate; so many are remembered, and with as many
// nothing more is fetched until the oldest may be forgotten.
inline constexpr uint32_t fetch_again_s = 3600;
inline constexpr size_t fetch_tried_max = 1024;

}  // namespace sluice::limits
