// A packet capture from disk (pcap, pcapng), read with libpcap: what each client in it began its connection
// with.
#pragma once

#include <functional>
#include <string>

#include "cli/stream_table.h"

namespace sluice::cli {

/// What of a capture could not be used.
struct CaptureSummary {
  size_t packets = 0;
  size_t malformed = 0;     // packets whose headers contradict each other or were cut off
  size_t fragments = 0;     // IP fragments
  size_t begun_before = 0;  // connections that were open when the capture began
};

/// Calls `found` for each connection, in the order in which their first bytes became clear. False with
/// `error` set when the file cannot be read to its end; what came before has been told.
[[nodiscard]] bool read_capture(const std::string& file, const StreamTable::IsWanted& is_wanted,
                                const StreamTable::Found& found, CaptureSummary& summary, std::string& error);

}  // namespace sluice::cli
