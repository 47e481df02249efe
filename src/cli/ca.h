// `sluice ca`: makes the CA whose certificates clients shall trust, shows it, and hands out its certificate.
//
// Only `init` ever holds a private key, and writes it to one place: its file, with mode 0600.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sluice::cli {

inline constexpr char default_ca_certificate_file[] = "/etc/sluice/ca.pem";
inline constexpr char default_ca_key_file[] = "/etc/sluice/ca.key";

struct CaInitOptions {
  std::string certificate_file = default_ca_certificate_file;
  std::string key_file = default_ca_key_file;
  std::string name;          // empty: "Sluice CA of HOST"
  std::string organization;  // empty: none
  uint32_t days = 3650;
  std::vector<std::string> only_for;  // domains, addresses, networks; empty: everything
  std::string owner;                  // empty: user sluice, if there is one and we are root
};

struct CaShowOptions {
  std::string certificate_file = default_ca_certificate_file;
  std::string key_file = default_ca_key_file;
};

struct CaExportOptions {
  std::string certificate_file = default_ca_certificate_file;
  std::string format = "pem";  // pem or der
  std::string out_file;        // empty: standard output
  std::string platform;        // not empty: instructions for it instead
};

/// Each returns an exit code. Results go to standard output, problems to standard error.
[[nodiscard]] int ca_init(const CaInitOptions& options);
[[nodiscard]] int ca_show(const CaShowOptions& options);
[[nodiscard]] int ca_export(const CaExportOptions& options);

/// What CaExportOptions::platform may be, besides "all".
[[nodiscard]] std::vector<std::string> ca_platforms();
/// How to install a certificate on a platform; empty for one that is not known.
[[nodiscard]] std::string ca_instructions(const std::string& platform, const std::string& certificate_file);
/// " --cert FILE" for a command in a shell; empty for the default file.
[[nodiscard]] std::string ca_option_for(const std::string& certificate_file);

}  // namespace sluice::cli
