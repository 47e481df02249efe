#include "cli/capture.h"

#include <fmt/format.h>
#include <pcap/pcap.h>

#include <cstdint>
#include <fstream>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "cli/text.h"

namespace sluice::cli {
namespace {

std::optional<LinkType> link_type_of(int datalink) {
  switch (datalink) {  // libpcap's numbers, not an enum
    case DLT_EN10MB:
      return LinkType::ethernet;
    case DLT_LINUX_SLL:
      return LinkType::linux_sll;
    case DLT_LINUX_SLL2:
      return LinkType::linux_sll2;
    case DLT_RAW:
    case DLT_IPV4:
    case DLT_IPV6:
      return LinkType::raw_ip;
    case DLT_NULL:
    case DLT_LOOP:
      return LinkType::loopback;
    default:
      return std::nullopt;
  }
}

/// Why libpcap cannot open it: its reason may begin with the file's name, and of other formats it says little.
std::string why_not_opened(const std::string& file, std::string_view reason) {
  if (reason.starts_with(file + ": ")) reason.remove_prefix(file.size() + 2);
  if (reason != "unknown file format") return std::string(reason);
  std::string first_bytes(6, '\0');
  if (file != "-") std::ifstream(file, std::ios::binary).read(first_bytes.data(), static_cast<std::streamsize>(first_bytes.size()));
  const char* const compression = compression_of(first_bytes);
  return compression == nullptr
             ? "neither pcap nor pcapng"
             : fmt::format("compressed with {}: unpack it first, - reads from standard input", compression);
}

void add_packet(StreamTable& streams, CaptureSummary& summary, LinkType link_type, const pcap_pkthdr& header,
                const u_char* bytes) {
  ++summary.packets;
  const Decoded decoded = decode_packet(link_type, {bytes, header.caplen});
  if (decoded.segment) {
    streams.add(*decoded.segment, int64_t{header.ts.tv_sec} * 1'000'000 + header.ts.tv_usec);
    return;
  }
  switch (decoded.why_not) {
    case NotTcp::other:
      break;
    case NotTcp::fragment:
      ++summary.fragments;
      break;
    case NotTcp::malformed:
      ++summary.malformed;
      break;
  }
}

}  // namespace

bool read_capture(const std::string& file, const StreamTable::IsWanted& is_wanted,
                  const StreamTable::Found& found, CaptureSummary& summary, std::string& error) {
  char reason[PCAP_ERRBUF_SIZE] = "";
  const std::unique_ptr<pcap_t, decltype(&pcap_close)> capture(pcap_open_offline(file.c_str(), reason),
                                                               pcap_close);
  if (!capture) {
    error = why_not_opened(file, reason);
    return false;
  }
  const int datalink = pcap_datalink(capture.get());
  const auto link_type = link_type_of(datalink);
  if (!link_type) {
    const char* const name = pcap_datalink_val_to_name(datalink);
    error = fmt::format(
        "packets of link type {} ({}) are not understood; Ethernet, Linux cooked, raw IP and loopback are",
        name != nullptr ? name : "?", datalink);
    return false;
  }
  StreamTable streams(is_wanted, found);
  pcap_pkthdr* header = nullptr;
  const u_char* bytes = nullptr;
  int result = 0;
  while ((result = pcap_next_ex(capture.get(), &header, &bytes)) == 1)
    add_packet(streams, summary, *link_type, *header, bytes);
  streams.finish();
  summary.begun_before = streams.begun_before();
  if (result == PCAP_ERROR_BREAK) return true;  // the end of the file
  error = pcap_geterr(capture.get());
  return false;
}

}  // namespace sluice::cli
