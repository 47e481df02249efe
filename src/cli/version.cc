#include "cli/version.h"

#include <fmt/format.h>
#include <liburing.h>
#include <link.h>
#include <netinet/in.h>
#include <pcap/pcap.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <toml++/impl/version.h>
#include <unistd.h>
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include <CLI/Version.hpp>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>
#include <vector>

#include "io/ring.h"

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

/// What wolfSSL was built with that Sluice cares about, and what it lacks.
std::string tls_features() {
  std::vector<std::string_view> has;
  std::vector<std::string_view> lacks;
  const auto feature = [&](bool present, std::string_view name) { (present ? has : lacks).push_back(name); };
#if defined(WOLFSSL_TLS13)
  feature(true, "TLS 1.3");
#else
  feature(false, "TLS 1.3");
#endif
#if defined(WOLFSSL_HAVE_MLKEM) && defined(WOLFSSL_PQC_HYBRIDS)
  feature(true, "X25519MLKEM768");
#else
  feature(false, "X25519MLKEM768 (needs wolfSSL 5.8 or newer)");
#endif
#if defined(WOLFSSL_ALT_CERT_CHAINS)
  feature(true, "alternative chains");
#else
  feature(false, "alternative chains");
#endif
  std::string text = fmt::format("{}", fmt::join(has, ", "));
  if (!lacks.empty()) text += fmt::format("; missing: {}", fmt::join(lacks, ", "));
  return text;
}

/// Assembly that was built in, and that this CPU can run.
std::string accelerations() {
  std::vector<std::string_view> on;
  std::vector<std::string_view> off;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const auto instruction = [&](bool built_in, bool cpu_has, std::string_view name) {
    (built_in && cpu_has ? on : off).push_back(name);
  };
#if defined(WOLFSSL_AESNI)
  constexpr bool has_aesni = true;
#else
  constexpr bool has_aesni = false;
#endif
#if defined(USE_INTEL_SPEEDUP)
  constexpr bool has_avx = true;
#else
  constexpr bool has_avx = false;
#endif
#if defined(WOLFSSL_SP_ASM)
  constexpr bool has_sp = true;
#else
  constexpr bool has_sp = false;
#endif
  instruction(has_aesni, __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul"), "AES-NI");
  instruction(has_avx, __builtin_cpu_supports("avx"), "AVX");
  instruction(has_avx, __builtin_cpu_supports("avx2"), "AVX2");
  instruction(has_sp, true, "SP assembly (RSA, ECC)");
#elif defined(__aarch64__)
#if defined(WOLFSSL_ARMASM)
  on.push_back("ARMv8 assembly");
#else
  off.push_back("ARMv8 assembly");
#endif
#endif
  std::string text = on.empty() ? "none" : fmt::format("{}", fmt::join(on, ", "));
  if (!off.empty()) text += fmt::format("; off: {}", fmt::join(off, ", "));
  return text;
}

/// The file name of a shared library that this process has loaded, or "": RE2 does not tell its version otherwise.
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

/// A ring as a worker opens it.
std::string io_uring_state() {
  io_uring ring{};
  const int result = io_uring_queue_init(8, &ring, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
  if (result == 0) {
    io_uring_queue_exit(&ring);
    return "usable";
  }
  return fmt::format("not usable: {}", io::explain_ring_error(-result));
}

std::string transparent_state() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return fmt::format("not usable: {}", std::strerror(errno));
  const int on = 1;
  const bool is_set = setsockopt(fd, SOL_IP, IP_TRANSPARENT, &on, sizeof on) == 0;
  const int error = errno;
  close(fd);
  if (is_set) return "usable";
  return error == EPERM ? "not allowed here: needs CAP_NET_RAW or CAP_NET_ADMIN"
                        : fmt::format("not usable: {}", std::strerror(error));
}

/// splice(2) from a pipe into a socket without waiting: splice_to_socket came with 6.5.
std::string splice_state(std::string_view release) {
  unsigned major = 0;
  unsigned minor = 0;
  const char* const end = release.data() + release.size();
  const auto after_major = std::from_chars(release.data(), end, major);
  if (after_major.ptr < end) std::from_chars(after_major.ptr + 1, end, minor);
  const bool is_new_enough = major > 6 || (major == 6 && minor >= 5);
  return is_new_enough ? "usable" : "may wait on a full socket: use a kernel of 6.5 or newer";
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
  utsname system{};
  uname(&system);
  std::string text = fmt::format("sluice {} ({}{})\n", SLUICE_VERSION, compiler(), build_kind());
  const auto line = [&](std::string_view key, std::string_view value) {
    text += fmt::format("  {:<18} {}\n", key, value);
  };
  line("wolfSSL", fmt::format("{}: {}", wolfSSL_lib_version(), tls_features()));
  line("accelerations", accelerations());
  line("liburing", fmt::format("{}.{}", io_uring_major_version(), io_uring_minor_version()));
  line("libpcap", libpcap_version());
  if (const std::string re2 = loaded_library("libre2.so"); !re2.empty()) line("RE2", re2);
  line("fmt", fmt::format("{}.{}.{}", FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100));
  line("toml++", fmt::format("{}.{}.{}", TOML_LIB_MAJOR, TOML_LIB_MINOR, TOML_LIB_PATCH));
  line("CLI11", CLI11_VERSION);
  line("kernel", fmt::format("{} {}", system.sysname, system.release));
  line("io_uring", io_uring_state());
  line("splice", splice_state(system.release));
  line("transparent proxy", transparent_state());
  return text;
}

}  // namespace sluice::cli
