// A capture's packets are peers' bytes too: whatever is in them, every connection is told once and memory is
// given back.
//
// Input: a byte that chooses the link type, then packets, each behind its length in two bytes.
#include <algorithm>
#include <map>
#include <utility>

#include "base/byte_reader.h"
#include "base/check.h"
#include "cli/packet.h"
#include "cli/stream_table.h"
#include "fuzz/driver.h"

using namespace sluice;
using namespace sluice::cli;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ByteReader input(std::span(data, size));
  const auto link_type = static_cast<LinkType>(input.u8().value_or(0) % 5);

  int64_t now_us = 0;
  std::map<std::pair<Endpoint, Endpoint>, int64_t> last_told;
  StreamTable table([](const Endpoint& destination) { return destination.port != 80; },
                    [&](const Beginning& beginning) {
                      SLUICE_CHECK(beginning.destination.port != 80);
                      SLUICE_CHECK(beginning.time_us >= 0 && beginning.time_us <= now_us);
                      // The same two endpoints again: only as a later connection.
                      const auto key = std::pair(beginning.client, beginning.destination);
                      const auto [told, is_first] = last_told.try_emplace(key, beginning.time_us);
                      SLUICE_CHECK(is_first || told->second < beginning.time_us);
                      told->second = beginning.time_us;
                    });
  while (const auto length = input.u16()) {
    const auto packet = input.bytes(std::min<size_t>(*length, input.left()));
    SLUICE_CHECK(packet.has_value());
    const Decoded decoded = decode_packet(link_type, *packet);
    ++now_us;
    if (!decoded.segment) continue;
    const auto payload = decoded.segment->payload;
    SLUICE_CHECK(payload.size() <= decoded.segment->payload_bytes);
    SLUICE_CHECK(payload.empty() || (payload.data() >= packet->data() &&
                                     payload.data() + payload.size() <= packet->data() + packet->size()));
    table.add(*decoded.segment, now_us);
  }
  ++now_us;
  table.finish();
  return 0;
}
