// `sluice explain`: which rule decides about a connection, and why each earlier one did not; for a capture or
// an access log, what would become of every connection in it.
#pragma once

#include <optional>
#include <string>

namespace sluice::cli {

/// As on the command line; nothing is checked yet.
struct ExplainOptions {
  std::string config_file;
  std::string client;
  std::string destination;
  std::optional<std::string> sni;
  std::string alpn;
  std::string tls_versions = "1.3,1.2";
  std::string ja4;
  bool ech = false;
  bool no_tls = false;
  std::string interface;
  std::string at;
  // a request
  std::string url;
  std::string method = "GET";
  std::optional<std::string> user;
  std::optional<std::string> user_agent;
  bool is_upload = false;
  std::string mime;
  std::optional<std::string> file_name;
  std::string file_type;
  std::string size;
  std::string md5;
  std::string sha256;
  std::string pcap_file;
  bool all_ports = false;
  std::string log_file;
  std::string against_file;
};

/// Returns an exit code.
[[nodiscard]] int explain(const ExplainOptions& options);

}  // namespace sluice::cli
