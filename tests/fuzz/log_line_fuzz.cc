// Every text of a record comes from the input: whatever it is, each format must give one line of valid UTF-8
// that reads back with all its keys.
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/byte_reader.h"
#include "base/check.h"
#include "fuzz/driver.h"
#include "record/format.h"

using namespace sluice;

namespace {

/// The next text: a length byte times `scale`, and as many bytes as there are.
std::string_view next_text(ByteReader& input, size_t scale) {
  const size_t wanted = input.u8().value_or(0) * scale;
  const auto text = input.bytes(std::min(wanted, input.left()));
  return text ? as_text(*text) : std::string_view();
}

void check_line(std::string_view line) {
  SLUICE_CHECK(line.ends_with('\n'));
  line.remove_suffix(1);
  SLUICE_CHECK(std::all_of(line.begin(), line.end(),
                           [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f; }));
  // nlohmann-json validates UTF-8: as the content of a string, the line must be accepted.
  SLUICE_CHECK(!nlohmann::json(line).dump().empty());
}

/// All texts of the record from the input; returns how many are not empty.
size_t fill(std::span<std::string_view* const> texts, ByteReader& input, size_t scale) {
  size_t present = 0;
  for (std::string_view* text : texts) {
    *text = next_text(input, scale);
    present += text->empty() ? 0u : 1u;
  }
  return present;
}

/// A record with `keys` keys.
template <class Record>
void check_formats(const Record& record, size_t keys) {
  std::array<char, record::line_bytes_max> buffer;
  for (const auto format : {record::Format::json, record::Format::key_value, record::Format::cef}) {
    const std::string_view line(buffer.data(), record::format(record, format, buffer));
    check_line(line);
    if (format == record::Format::json) SLUICE_CHECK(nlohmann::json::parse(line).size() == keys);
  }
}

void check_connection(ByteReader input, size_t scale) {
  record::ConnectionRecord record;
  std::string_view* const texts[] = {
      &record.sni,         &record.alpn,        &record.host,   &record.interface,       &record.mode,
      &record.tls_version, &record.ja4,         &record.action, &record.tls_rule,        &record.bypass_rule,
      &record.access_rule, &record.scan_reason, &record.scan,   &record.protection_rule, &record.detail,
      &record.origin_cert};
  const size_t present = fill(texts, input, scale);
  record.time_us = static_cast<int64_t>(input.u32().value_or(0)) << 24;
  record.close = static_cast<record::CloseReason>(input.u8().value_or(0) % record::close_reason_count);
  constexpr size_t always_present = 10;
  check_formats(record, always_present + present);
}

/// The first text is the URL, so that it can be long.
void check_request(ByteReader input, size_t scale) {
  record::RequestRecord record;
  std::string_view* const texts[] = {
      &record.url,        &record.method, &record.mime,        &record.threat,
      &record.scan,       &record.action, &record.access_rule, &record.protection_rule,
      &record.bypass_rule};
  const size_t present = fill(texts, input, scale);
  record.time_us = static_cast<int64_t>(input.u32().value_or(0)) << 24;
  if (const auto status = input.u16()) record.status = *status;
  constexpr size_t always_present = 7;
  check_formats(record, always_present + present + (record.status ? 1u : 0u));
}

}  // namespace

/// The same bytes once as the record of a connection and once as that of a request.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ByteReader input(std::span(data, size));
  const size_t scale = 1 + input.u8().value_or(0) % 64;
  check_connection(input, scale);
  check_request(input, scale);
  return 0;
}
