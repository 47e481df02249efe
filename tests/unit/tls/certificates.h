// Certificates of tests/data/certificates for tests of tls/, and openssl as a second opinion on what we make.
#pragma once

#include <doctest/doctest.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tls/authority.h"
#include "tls/certificate.h"
#include "tls/pem.h"

namespace sluice::tls::testing {

/// 2026-11-21 12:00:00 UTC: today, for every test.
inline constexpr int64_t now_s = 1795262400;
inline constexpr int64_t test_day_s = 86400;

inline std::string data_file(const std::string& name) {
  // This header is tests/unit/tls/certificates.h.
  const std::filesystem::path here(__FILE__);
  return (here.parent_path().parent_path().parent_path() / "data/certificates" / name).string();
}

inline std::string read_text(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  REQUIRE_MESSAGE(stream.good(), file);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

inline Certificate origin(const std::string& name) {
  auto blocks = read_pem(read_text(data_file("origins/" + name + ".pem")));
  REQUIRE(blocks.has_value());
  REQUIRE(blocks->size() == 1);
  auto certificate = parse_certificate(ByteView(blocks->front().content));
  REQUIRE_MESSAGE(certificate.has_value(), name);
  return *std::move(certificate);
}

inline tl::expected<Authority, AuthorityProblem> load(const std::string& name, int64_t now = now_s) {
  return Authority::from_pem(read_text(data_file("authorities/" + name + ".pem")),
                             read_text(data_file("authorities/" + name + ".key")), now);
}

inline Authority authority(const std::string& name) {
  auto loaded = load(name);
  REQUIRE_MESSAGE(loaded.has_value(), name, ": ", loaded ? "" : text_of(loaded.error()));
  return *std::move(loaded);
}

/// A directory of its own, gone at the end.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    char name[] = "/tmp/sluice-unit-XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    path_ = name;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }
  std::string write(const std::string& name, const std::string& content) const {
    std::ofstream(file(name), std::ios::binary) << content;
    return file(name);
  }

 private:
  std::string path_;
};

struct Ran {
  int code = -1;
  std::string output;  // standard output and error
};
/// `openssl ARGUMENTS`, without anything that a shell would change.
inline Ran openssl(const std::string& arguments) {
  Ran ran;
  FILE* const pipe = popen(("openssl " + arguments + " 2>&1").c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::array<char, 4096> piece{};
  while (const size_t got = fread(piece.data(), 1, piece.size(), pipe)) ran.output.append(piece.data(), got);
  const int status = pclose(pipe);
  ran.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return ran;
}

}  // namespace sluice::tls::testing
