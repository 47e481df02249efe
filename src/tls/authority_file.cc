#include "tls/authority_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "tls/pem.h"

namespace sluice::tls {
namespace {

// A chain of eight certificates of 10 KB each, and text around them.
constexpr size_t file_bytes_max = 1024 * 1024;

struct OwnedFd {
  int fd = -1;
  ~OwnedFd() {
    if (fd >= 0) close(fd);
  }
};

/// Key material: wiped when it goes.
struct Content {
  std::string text;
  mode_t mode = 0;
  ~Content() { wipe(text); }
};

AuthorityProblem unreadable(int error, const char* reason, bool of_key) {
  AuthorityProblem problem;
  problem.fault = AuthorityFault::cannot_read;
  problem.of_key = of_key;
  problem.sys_errno = error;
  problem.detail = reason;
  return problem;
}

std::optional<AuthorityProblem> read_whole(const std::string& file, bool of_key, Content& content) {
  // O_NONBLOCK: opening a FIFO without a writer would wait for one.
  const OwnedFd opened{open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  struct stat status {};
  if (opened.fd < 0 || fstat(opened.fd, &status) != 0) return unreadable(errno, std::strerror(errno), of_key);
  if (S_ISDIR(status.st_mode)) return unreadable(EISDIR, std::strerror(EISDIR), of_key);
  if (!S_ISREG(status.st_mode)) return unreadable(EINVAL, "not a regular file", of_key);
  if (static_cast<uint64_t>(status.st_size) > file_bytes_max)
    return unreadable(EFBIG, "larger than 1 MiB", of_key);
  content.mode = status.st_mode;
  content.text.resize(static_cast<size_t>(status.st_size));
  size_t have = 0;
  while (have < content.text.size()) {
    const ssize_t got = read(opened.fd, content.text.data() + have, content.text.size() - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return unreadable(errno, std::strerror(errno), of_key);
    if (got == 0) break;
    have += static_cast<size_t>(got);
  }
  content.text.resize(have);
  return std::nullopt;
}

bool has_certificate(const Content& content) { return content.text.find("-----BEGIN CERTIFICATE") != std::string::npos; }
bool has_key(const Content& content) { return content.text.find("PRIVATE KEY-----") != std::string::npos; }

// The key file holds a certificate and the other a key: to be told before its mode, which is right for a certificate.
bool are_swapped(const Content& certificates, const Content& key) {
  return has_key(certificates) && !has_certificate(certificates) && has_certificate(key) && !has_key(key);
}

std::optional<AuthorityProblem> problem_of_place(const std::string& certificate_file, const Content& certificates,
                                                 const Content& key) {
  AuthorityProblem problem;
  problem.of_key = true;
  if (are_swapped(certificates, key)) {
    problem.fault = AuthorityFault::bad_key;
    problem.detail = fmt::format("it holds a certificate, and {} the private key: ca_cert and ca_key are swapped", certificate_file);
    return problem;
  }
  if ((key.mode & (S_IROTH | S_IWOTH)) == 0) return std::nullopt;
  problem.fault = AuthorityFault::exposed_key;
  problem.detail = fmt::format("its mode is {:04o}: chmod 0600", key.mode & 07777u);
  return problem;
}

}  // namespace

std::string text_of(const AuthorityFileProblem& problem) {
  if (problem.problem.line == 0) return fmt::format("{}: {}", problem.file, text_of(problem.problem));
  return fmt::format("{}:{}: {}", problem.file, problem.problem.line, text_of(problem.problem));
}

tl::expected<std::shared_ptr<const Authority>, AuthorityFileProblem> load_authority(
    const std::string& certificate_file, const std::string& key_file, int64_t now) {
  Content certificates;
  Content key;
  if (auto problem = read_whole(certificate_file, false, certificates))
    return tl::unexpected(AuthorityFileProblem{certificate_file, *std::move(problem)});
  if (auto problem = read_whole(key_file, true, key))
    return tl::unexpected(AuthorityFileProblem{key_file, *std::move(problem)});
  if (auto problem = problem_of_place(certificate_file, certificates, key))
    return tl::unexpected(AuthorityFileProblem{key_file, *std::move(problem)});
  auto authority = Authority::from_pem(certificates.text, key.text, now);
  if (!authority) {
    const std::string& file = authority.error().of_key ? key_file : certificate_file;
    return tl::unexpected(AuthorityFileProblem{file, std::move(authority.error())});
  }
  return std::make_shared<const Authority>(*std::move(authority));
}

}  // namespace sluice::tls
