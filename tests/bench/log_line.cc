// What one access log line costs in each format: it is written once per connection, on the worker's thread.
#include <array>
#include <chrono>
#include <cstdio>

#include "record/format.h"

namespace {

using namespace sluice;

record::ConnectionRecord typical_record() {
  record::ConnectionRecord record;
  record.time_us = 1'795'284'000'123'456;
  record.id = 123'456;
  record.mode = "transparent";
  record.client = *Endpoint::parse("[2001:db8:1:2:a8bb:ccff:fedd:eeff]:50000");
  record.destination = *Endpoint::parse("[2001:db8:4006:80b::200e]:443");
  record.interface = "lan0";
  record.sni = record.host = "www.subdomain.example.com";
  record.alpn = "h2,http/1.1";
  record.tls_version = "1.3";
  record.ja4 = "t13d1516h2_8daaf6152771_b186095e22b6";
  record.ech = true;
  record.action = "tunnel-sni";
  record.tls_rule = "Banks stay private";
  record.access_rule = "default";
  record.scan = "skipped";
  record.scan_reason = "tunnel";
  record.bytes_up = 1'830;
  record.bytes_down = 61'234;
  record.peek_us = 1'234;
  record.connect_us = 8'100;
  record.total_us = 61'000'009;
  return record;
}

void measure(const char* name, record::Format format) {
  constexpr int rounds = 1'000'000;
  std::array<char, record::line_bytes_max> line;
  record::ConnectionRecord record = typical_record();
  size_t bytes = 0;
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < rounds; ++i) {
    ++record.id;
    bytes += record::format(record, format, line);
  }
  const std::chrono::duration<double, std::nano> elapsed = std::chrono::steady_clock::now() - begin;
  std::printf("%-10s %6.0f ns per line of %zu bytes\n", name, elapsed.count() / rounds, bytes / rounds);
}

}  // namespace

int main() {
  measure("json", record::Format::json);
  measure("key_value", record::Format::key_value);
  measure("cef", record::Format::cef);
}
