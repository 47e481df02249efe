#include "cli/ca.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <optional>
#include <span>
#include <system_error>

#include "base/utf8.h"
#include "cli/command_line.h"
#include "cli/text.h"
#include "control/load_config.h"
#include "tls/authority_file.h"
#include "tls/pem.h"

namespace sluice::cli {
namespace {

using tls::ByteView;
using tls::Certificate;

constexpr int64_t day_s = 86400;

int complain(const std::string& text) {
  fmt::print(stderr, "sluice ca: {}\n", printable(text));
  return exit_problem;
}

int64_t now_s() { return static_cast<int64_t>(std::time(nullptr)); }

// --- init
// -----------------------------------------------------------------------------------------------------------

/// "*.example.com", ".example.com" and "Example.com." all mean "example.com" and below.
std::optional<std::string> domain_of(std::string text) {
  if (text.starts_with("*")) text.erase(0, 1);
  if (text.starts_with(".")) text.erase(0, 1);
  if (text.ends_with(".")) text.pop_back();
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    const bool is_good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
    if (!is_good) return std::nullopt;
  }
  if (text.empty() || text.starts_with('.') || text.size() > 253 || text.find("..") != std::string::npos)
    return std::nullopt;
  return text;
}

/// Null, or what is wrong.
std::optional<std::string> read_only_for(const std::vector<std::string>& texts, tls::RootRequest& request) {
  for (const std::string& text : texts) {
    std::optional<Cidr> meant;
    if (const auto network = Cidr::parse(text, &meant)) {
      request.networks.push_back(*network);
    } else if (meant) {
      return fmt::format("--only-for {}: bits are set past the prefix; its network is {}", text, meant->to_string());
    } else if (const auto domain = domain_of(text)) {
      request.domains.push_back(*domain);
    } else {
      return fmt::format("--only-for {}: neither a domain (ASCII, as in xn--…) nor an address or network",
                         text);
    }
  }
  return std::nullopt;
}

struct OwnedFd {
  int fd = -1;
  ~OwnedFd() {
    if (fd >= 0) close(fd);
  }
};

bool write_all(int fd, const std::string& text) {
  for (size_t at = 0; at < text.size();) {
    const ssize_t put = write(fd, text.data() + at, text.size() - at);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return false;
    at += static_cast<size_t>(put);
  }
  return true;
}

void sync_directory_of(const std::string& file) {
  const size_t slash = file.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : file.substr(0, slash + 1);
  const OwnedFd opened{open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (opened.fd >= 0) (void)fsync(opened.fd);
}

/// Makes the file whole or not at all, and never in place of another. Null, or what went wrong.
std::optional<std::string> write_new(const std::string& file, const std::string& text, mode_t mode,
                                     const passwd* owner) {
  const std::string temporary = fmt::format("{}.new-{}", file, getpid());
  const auto failed = [&](const char* what) {
    return fmt::format("{}: {}: {}", file, what, std::strerror(errno));
  };
  OwnedFd made{open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode & 0600)};
  if (made.fd < 0) return failed("cannot create it");
  std::optional<std::string> problem;
  if (!write_all(made.fd, text) || fsync(made.fd) != 0)
    problem = failed("cannot write it");
  else if (owner != nullptr && fchown(made.fd, owner->pw_uid, owner->pw_gid) != 0)
    problem = failed("cannot change its owner");
  else if (fchmod(made.fd, mode) != 0)
    problem = failed("cannot change its mode");
  else if (link(temporary.c_str(), file.c_str()) != 0)  // fails where something is already
    problem = failed("cannot create it");
  (void)unlink(temporary.c_str());
  sync_directory_of(file);
  return problem;
}

bool exists(const std::string& file) {
  struct stat status {};
  return lstat(file.c_str(), &status) == 0;
}

/// Who must be able to read the key: the user that the daemon runs as. Null: nobody else than who we are.
const passwd* owner_of_key(const std::string& name, std::string& error) {
  if (!name.empty()) {
    const passwd* const user = getpwnam(name.c_str());
    if (user == nullptr) error = fmt::format("there is no user '{}'", name);
    return user;
  }
  return geteuid() == 0 ? getpwnam("sluice") : nullptr;
}

/// rules.toml takes relative names from its own directory, which is hardly the current one.
std::string absolute(const std::string& file) {
  std::error_code ignored;
  const auto path = std::filesystem::absolute(file, ignored);
  return path.empty() ? file : path.lexically_normal().string();
}

std::string in_toml(const std::string& file) {
  std::string text = "\"";
  for (const char c : printable(absolute(file))) {
    if (c == '"' || c == '\\') text += '\\';
    text += c;
  }
  return text + '"';
}

std::string host_name() {
  char name[256] = {};
  return gethostname(name, sizeof name - 1) == 0 && name[0] != '\0' ? name : "this gateway";
}

// --- show
// -----------------------------------------------------------------------------------------------------------

std::string date_text(int64_t unix_s) {
  return fmt::format("{:%Y-%m-%d %H:%M} UTC", fmt::gmtime(static_cast<std::time_t>(unix_s)));
}

std::string validity_text(const Certificate& certificate, int64_t now) {
  const std::string period =
      fmt::format("{} to {}", date_text(certificate.not_before), date_text(certificate.not_after));
  if (now > certificate.not_after) return period + " (it has expired)";
  if (now < certificate.not_before) return period + " (not yet)";
  return fmt::format("{} ({} left)", period,
                     counted(static_cast<size_t>((certificate.not_after - now) / day_s), "day"));
}

std::string colons(ByteView bytes) {
  std::string text;
  for (const uint8_t octet : bytes) text += fmt::format("{}{:02X}", text.empty() ? "" : ":", octet);
  return text;
}

std::string subtree_text(const tls::GeneralName& name) {
  if (name.kind == tls::NameKind::dns)
    return name.value.empty() ? "every host name" : std::string(as_text(name.value));
  if (name.kind != tls::NameKind::ip) return "names of other kinds";
  const size_t half = name.value.size() / 2;
  size_t bits = 0;
  for (const uint8_t octet : name.value.subspan(half))
    for (int bit = 7; bit >= 0; --bit) bits += (octet >> bit) & 1u;
  IpAddress address;
  if (half == 4)
    address =
        IpAddress::v4(std::array<uint8_t, 4>{name.value[0], name.value[1], name.value[2], name.value[3]});
  else
    std::copy_n(name.value.begin(), half, address.bytes.begin());
  return fmt::format("{}/{}", address.to_string(), bits);
}

std::string constraints_text(const Certificate& certificate) {
  if (!certificate.name_constraints) return "none: it may sign for every name";
  std::string text;
  const auto add = [&](const char* word, const std::vector<tls::GeneralName>& names) {
    for (const tls::GeneralName& name : names)
      text += fmt::format("{}{} {}", text.empty() ? "" : ", ", word, printable(subtree_text(name)));
  };
  add("only", certificate.name_constraints->permitted);
  add("not", certificate.name_constraints->excluded);
  return text;
}

void print_certificate(const Certificate& certificate, int64_t now) {
  const auto line = [](const char* what, const std::string& text) { fmt::print("{:<13} {}\n", what, text); };
  line("subject", tls::name_text(certificate.subject));
  if (!certificate.is_self_issued()) line("issuer", tls::name_text(certificate.issuer));
  line("SHA-256", colons(certificate.fingerprint));
  line("valid", validity_text(certificate, now));
  line("key", tls::key_text(certificate.public_key));
  line("names", constraints_text(certificate));
  const char* const below = !certificate.is_ca        ? "it is not a CA"
                            : certificate.path_length ? ""
                                                      : "any number";
  line("CAs below it", *below != '\0' ? below : std::to_string(*certificate.path_length));
}

std::optional<std::vector<Certificate>> read_certificates(const std::string& file, std::string& error) {
  std::string reason;
  const auto text = control::read_file(file, reason);
  if (!text) {
    error = fmt::format("{}: cannot read it: {}", file, reason);
    return std::nullopt;
  }
  auto blocks = tls::read_pem(*text);
  if (!blocks) {
    error = fmt::format("{}:{}: not PEM: {}", file, blocks.error().line, blocks.error().what);
    return std::nullopt;
  }
  std::vector<Certificate> certificates;
  for (const tls::PemBlock& block : *blocks) {
    if (block.label != "CERTIFICATE") continue;
    auto certificate = tls::parse_certificate(ByteView(block.content));
    if (certificate) {
      certificates.push_back(*std::move(certificate));
      continue;
    }
    error = fmt::format("{}:{}: this certificate cannot be read: {}", file, block.line,
                        text_of(certificate.error()));
    break;
  }
  tls::wipe(*blocks);
  if (!error.empty()) return std::nullopt;
  if (certificates.empty()) {
    error = fmt::format("{}: no certificate in it (a BEGIN CERTIFICATE line)", file);
    return std::nullopt;
  }
  return certificates;
}

/// What clients have to trust: the root, or the certificate that is nearest to it.
const Certificate& anchor_of(const std::vector<Certificate>& certificates) {
  const auto has_no_issuer = [&](const Certificate& certificate) {
    return std::ranges::none_of(certificates, [&](const Certificate& other) {
      return &other != &certificate && std::ranges::equal(other.subject, certificate.issuer);
    });
  };
  const auto root =
      std::ranges::find_if(certificates, [](const Certificate& c) { return c.is_self_issued(); });
  if (root != certificates.end()) return *root;
  const auto top = std::ranges::find_if(certificates, has_no_issuer);
  return top != certificates.end() ? *top : certificates.front();
}

}  // namespace

int ca_init(const CaInitOptions& options) {
  tls::RootRequest request;
  if (const auto wrong = read_only_for(options.only_for, request)) {
    fmt::print(stderr, "sluice ca init: {}\n", printable(*wrong));
    return exit_usage;
  }
  if (absolute(options.certificate_file) == absolute(options.key_file)) {
    fmt::print(stderr, "sluice ca init: --cert and --key are the same file, {}; each needs its own\n",
               printable(options.key_file));
    return exit_usage;
  }
  for (const std::string& file : {options.certificate_file, options.key_file})
    if (exists(file))
      return complain(fmt::format("{}: exists already, and is never overwritten; move it away first", file));
  std::string error;
  const passwd* const owner = owner_of_key(options.owner, error);
  if (!error.empty()) return complain(error);

  request.common_name = options.name.empty() ? "Sluice CA of " + host_name() : options.name;
  request.organization = options.organization;
  const int64_t now = now_s();
  request.not_before = now - 3600;  // clocks of clients may be slow
  request.not_after = now + options.days * day_s;
  const tls::PrivateKey key = tls::PrivateKey::generate_p256();
  const tls::Bytes certificate = make_root(request, key);

  tls::Bytes secret = key.pkcs8();
  std::string key_text = tls::write_pem("PRIVATE KEY", secret);
  tls::wipe(std::span(secret));
  auto problem = write_new(options.key_file, key_text, 0600, owner);
  tls::wipe(key_text);
  if (problem) return complain(*problem);
  problem = write_new(options.certificate_file, tls::write_pem("CERTIFICATE", certificate), 0644, nullptr);
  if (problem) {
    (void)unlink(options.key_file.c_str());
    return complain(*problem);
  }

  const auto parsed = tls::parse_certificate(ByteView(certificate));
  if (!parsed) return complain("internal error: what was made cannot be read");
  print_certificate(*parsed, now);
  fmt::print(
      "{:<13} {}\n{:<13} {} (mode 0600{}; whoever has it can impersonate every site to your clients)\n",
      "certificate", options.certificate_file, "private key", options.key_file,
      owner != nullptr ? fmt::format(", owner {}", owner->pw_name) : "");
  fmt::print(
      "\nIn rules.toml, under [tls]:\n\n  ca_cert = {}\n  ca_key = {}\n\nThen install the "
      "certificate on the clients: "
      "'sluice ca export{} --for all' says how.\n",
      in_toml(options.certificate_file), in_toml(options.key_file), printable(ca_option_for(options.certificate_file)));
  return exit_ok;
}

int ca_show(const CaShowOptions& options) {
  const int64_t now = now_s();
  const auto authority = tls::load_authority(options.certificate_file, options.key_file, now);
  if (authority) {
    const auto& chain = (*authority)->chain();
    print_certificate(chain.front(), now);
    for (size_t i = 1; i < chain.size(); ++i)
      fmt::print("{:<13} {}{}\n", "below", tls::name_text(chain[i].subject),
                 chain[i].is_self_issued() ? " (root; not sent)" : "");
    fmt::print("{:<13} {}\n{:<13} {} (belongs to it)\n", "certificate", options.certificate_file,
               "private key", options.key_file);
    return exit_ok;
  }
  std::string error;
  // Without its key it can be looked at all the same.
  if (const auto certificates = read_certificates(options.certificate_file, error)) {
    for (const Certificate& certificate : *certificates) {
      print_certificate(certificate, now);
      fmt::print("\n");
    }
  }
  return complain(text_of(authority.error()));
}

int ca_export(const CaExportOptions& options) {
  if (!options.platform.empty()) {
    const auto platforms = options.platform == "all" ? ca_platforms() : std::vector{options.platform};
    for (const std::string& platform : platforms) {
      const std::string text = ca_instructions(platform, options.certificate_file);
      if (text.empty()) {
        fmt::print(stderr, "sluice ca export: --for {}: not one of {}, all\n", printable(platform),
                   fmt::join(ca_platforms(), ", "));
        return exit_usage;
      }
      fmt::print("{}{}", &platform == &platforms.front() ? "" : "\n", text);
    }
    return exit_ok;
  }
  std::string error;
  const auto certificates = read_certificates(options.certificate_file, error);
  if (!certificates) return complain(error);
  const Certificate& anchor = anchor_of(*certificates);
  if (!anchor.is_self_issued())
    fmt::print(stderr,
               "sluice ca: '{}' is no root: clients must have the root above it, which is not in {}\n",
               tls::name_text(anchor.subject), printable(options.certificate_file));
  const std::string text =
      options.format == "der" ? std::string(as_text(anchor.der)) : tls::write_pem("CERTIFICATE", anchor.der);
  if (options.out_file.empty()) {
    std::fwrite(text.data(), 1, text.size(), stdout);  // the caller flushes, and sees whether it went well
    return exit_ok;
  }
  if (exists(options.out_file))
    return complain(fmt::format("{}: exists already, and is never overwritten", options.out_file));
  if (const auto problem = write_new(options.out_file, text, 0644, nullptr)) return complain(*problem);
  return exit_ok;
}

}  // namespace sluice::cli
