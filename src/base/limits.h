// Every limit in one place: its unit is the end of its name, its reason the comment. Each has a counter when it bites
// (record/counters.def) and a test at the limit and one past it. Overload refuses new work early; it never grows.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice::limits {

// --- peek -----------------------------------------------------------------------------------------------------------
// The handshake message itself. Real hellos are 0.2 to 2.2 KB (post-quantum key shares included); 64 KiB leaves room
// for several more of those and bounds what one client can make us keep.
inline constexpr size_t hello_bytes_max = 64 * 1024;
// The same with its record headers. A record of one byte costs six on the wire; 128 KiB admits any hello of up to
// 21 KB in 1-byte records and any hello of 64 KiB in records of 5 bytes or more.
inline constexpr size_t hello_wire_bytes_max = 128 * 1024;
// RFC 1035 section 3.1: 253 characters of text.
inline constexpr size_t host_bytes_max = 253;
inline constexpr size_t alpn_protocols_max = 64;
inline constexpr size_t extensions_max = 256;

}  // namespace sluice::limits
