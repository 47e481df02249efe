#include "cli/version.h"

#include <ares.h>
#include <fmt/format.h>
#include <link.h>
#include <pcap/pcap.h>

#include <CLI/Version.hpp>
#include <string_view>
#if __has_include(<toml++/impl/version.hpp>)
#include <toml++/impl/version.hpp>  // since 3.4
#else
#include <toml++/impl/version.h>
#endif

#include "http/about.h"
#include "io/about.h"
#include "scan/about.h"
#include "tls/about.h"

namespace sluice::cli {
namespace {

std::string compiler() {
#if defined(__clang__)
  return fmt::format("clang {}.{}.{}", __clang_major__, __clang_minor__, __clang_patchlevel__);
#else
  return fmt::format("g++ {}.{}.{}", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#endif
}

std::string build_kind() {
#if defined(__SANITIZE_ADDRESS__)
  return ", with AddressSanitizer";
#elif defined(__SANITIZE_THREAD__)
  return ", with ThreadSanitizer";
#else
  return "";
#endif
}

/// The file name of a shared library that this process has loaded, or "": RE2 does not tell its version
/// otherwise.
std::string loaded_library(std::string_view prefix) {
  struct Search {
    std::string_view prefix;
    std::string found;
  } search{prefix, ""};
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* data) {
        auto& wanted = *static_cast<Search*>(data);
        std::string_view name = info->dlpi_name;
        name.remove_prefix(name.rfind('/') + 1);  // npos + 1 is 0
        if (!name.starts_with(wanted.prefix)) return 0;
        wanted.found = name;
        return 1;
      },
      &search);
  return search.found;
}

/// pcap_lib_version() says "libpcap version 1.10.3 (with TPACKET_V3)".
std::string libpcap_version() {
  std::string_view text = pcap_lib_version();
  constexpr std::string_view head = "libpcap version ";
  if (text.starts_with(head)) text.remove_prefix(head.size());
  return std::string(text.substr(0, text.find(' ')));
}

}  // namespace

std::string version_text() {
  std::string text = fmt::format("sluice {} ({}{})\n", SLUICE_VERSION, compiler(), build_kind());
  const auto line = [&](std::string_view key, std::string_view value) {
    text += fmt::format("  {:<18} {}\n", key, value);
  };
  line("wolfSSL", fmt::format("{}: {}", tls::library_version(), tls::features()));
  line("accelerations", tls::accelerations());
  line("llhttp", http::llhttp_version());
  line("liburing", io::liburing_version());
  line("libpcap", libpcap_version());
  line("c-ares", ares_version(nullptr));
  if (const std::string re2 = loaded_library("libre2.so"); !re2.empty()) line("RE2", re2);
  line("zlib", scan::version_of_zlib());
  line("brotli", scan::version_of_brotli());
  line("zstd", scan::version_of_zstd());
  line("fmt", fmt::format("{}.{}.{}", FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100));
  line("toml++", fmt::format("{}.{}.{}", TOML_LIB_MAJOR, TOML_LIB_MINOR, TOML_LIB_PATCH));
  line("CLI11", CLI11_VERSION);
  line("kernel", io::kernel_version());
  line("io_uring", io::io_uring_state());
  line("transparent proxy", io::transparent_state());
  return text;
}

}  // namespace sluice::cli
