// S9: the CA's files, roots, intermediates and CRLs that rules.toml names: read, or refused with the place.
#include "control/load_material.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "control/load_config.h"
#include "tls/pem.h"
#include "unit/config/loading.h"
#include "unit/tls/origin_data.h"

namespace {

using namespace sluice;
namespace fs = std::filesystem;
using testing::now_s;

class Directory {
 public:
  Directory() {
    std::string pattern = (fs::temp_directory_path() / "sluice-material-XXXXXX").string();
    REQUIRE(mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~Directory() { fs::remove_all(path_); }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  void write(const std::string& name, const std::string& text, mode_t mode = 0600) const {
    std::ofstream(path_ / name, std::ios::binary) << text;
    REQUIRE(chmod((path_ / name).c_str(), mode) == 0);
  }
  [[nodiscard]] std::string of(const std::string& name) const { return (path_ / name).string(); }

 private:
  fs::path path_;
};

/// A fresh CA in ca.pem and ca.key.
void write_authority(const Directory& directory, int64_t not_after = now_s + 1000) {
  const tls::PrivateKey key = tls::PrivateKey::generate_p256();
  tls::RootRequest request;
  request.common_name = "Test CA";
  request.not_before = now_s - 1000;
  request.not_after = not_after;
  directory.write("ca.pem", tls::write_pem("CERTIFICATE", tls::make_root(request, key)));
  directory.write("ca.key", tls::write_pem("PRIVATE KEY", key.pkcs8()));
}

struct Outcome {
  std::shared_ptr<const tls::Material> material;
  std::string problems;
};

/// `tls` are lines of [tls] behind the two of the CA, so the first is line 4. `/T/` in it is the directory.
Outcome load(const Directory& directory, std::string tls, bool bumps = true,
             const std::string& roots = "tests/data/origin/root.pem",
             const tls::Material* previous = nullptr) {
  for (size_t at = tls.find("/T/"); at != std::string::npos; at = tls.find("/T/"))
    tls.replace(at, 3, directory.of(""));
  const std::string text = "[tls]\nca_cert = \"" + directory.of("ca.pem") + "\"\nca_key = \"" +
                           directory.of("ca.key") + "\"\n" + tls +
                           (bumps ? "\n[[tls.rules]]\naction = \"bump\"\n" : "\n");
  const auto loaded = testing::load_bumping(text);
  REQUIRE_MESSAGE(loaded.config, testing::problems_of(loaded));
  std::vector<config::Problem> problems;
  Outcome outcome;
  const std::string root_files[] = {directory.of("no-such-bundle"), roots};
  outcome.material = control::load_material(*loaded.config, now_s, previous, root_files, problems);
  for (const auto& problem : problems) outcome.problems += problem.to_string() + "\n";
  return outcome;
}

}  // namespace

TEST_CASE("what the files hold becomes the material") {
  const Directory directory;
  write_authority(directory);
  for (const char* name : {"root-other.pem", "intermediate.pem", "intermediate.crl"})
    directory.write(name, testing::origin_file(name), 0644);
  const auto outcome =
      load(directory,
           "extra_roots = [\"/T/root-other.pem\"]\nintermediates = [\"/T/intermediate.pem\"]\n"
           "crl_files = [\"/T/intermediate.crl\"]");
  REQUIRE_MESSAGE(outcome.material, outcome.problems);
  CHECK(outcome.problems.empty());
  CHECK(outcome.material->authority->certificate().common_name == "Test CA");
  CHECK(outcome.material->trust->roots().size() == 2);
  CHECK(outcome.material->trust->intermediates().size() == 1);
  CHECK(outcome.material->trust->crl_count() == 1);
  REQUIRE(outcome.material->untrusted);
  CHECK(outcome.material->untrusted->certificate().fingerprint !=
        outcome.material->authority->certificate().fingerprint);
  // A reload keeps the untrusted CA, so that what clients saw stays the same.
  const auto again = load(directory, "", true, "tests/data/origin/root.pem", outcome.material.get());
  REQUIRE(again.material);
  CHECK(again.material->untrusted == outcome.material->untrusted);
  CHECK(again.material->trust->id() != outcome.material->trust->id());
}

TEST_CASE(
    "S9: a CA that cannot be used is an error where something bumps, and a warning where nothing does") {
  const auto check_refused = [](const Directory& directory, const std::string& place,
                                const std::string& fault) {
    const auto outcome = load(directory, "");
    CAPTURE(outcome.problems);
    CAPTURE(fault);
    CHECK(outcome.material == nullptr);
    CHECK(outcome.problems.find("/etc/sluice/rules.toml:" + place) == 0);
    CHECK(outcome.problems.find(fault) != std::string::npos);
    const auto unused = load(directory, "", false);
    CHECK(unused.material == nullptr);
    CHECK(unused.problems.find(": warning: ") != std::string::npos);
    CHECK(unused.problems.find(": error: ") == std::string::npos);
  };
  {
    const Directory empty;
    check_refused(empty, "2:11: error: tls.ca_cert: " + empty.of("ca.pem"), "No such file or directory");
  }
  {
    const Directory empty;
    const std::string both = "; `sluice ca init` makes both files\n";
    check_refused(empty, "2:11: error: tls.ca_cert: " + empty.of("ca.pem"), both);
    check_refused(empty, "2:11:", "rules.toml:3:10: error: tls.ca_key: " + empty.of("ca.key") + ": cannot read it: No such file or directory" + both);
    write_authority(empty);
    fs::remove(empty.of("ca.key"));
    check_refused(empty, "3:10: error: tls.ca_key: " + empty.of("ca.key"), "No such file or directory\n");
  }
  {
    const Directory swapped;
    write_authority(swapped);
    fs::rename(swapped.of("ca.key"), swapped.of("x"));
    fs::rename(swapped.of("ca.pem"), swapped.of("ca.key"));
    fs::rename(swapped.of("x"), swapped.of("ca.pem"));
    REQUIRE(chmod(swapped.of("ca.key").c_str(), 0644) == 0);  // as is right for the certificate that it is
    check_refused(swapped, "3:10: error: tls.ca_key: " + swapped.of("ca.key") + ": it holds a certificate, and " + swapped.of("ca.pem"),
                  "ca_cert and ca_key are swapped");
  }
  {
    const Directory expired;
    write_authority(expired, now_s - 1);
    check_refused(expired, "2:11: error: tls.ca_cert: " + expired.of("ca.pem"), "expired");
  }
  {
    const Directory exposed;
    write_authority(exposed);
    REQUIRE(chmod(exposed.of("ca.key").c_str(), 0644) == 0);
    check_refused(exposed, "3:10: error: tls.ca_key: " + exposed.of("ca.key"), "0644");
  }
  {
    const Directory mixed;
    const Directory other;
    write_authority(mixed);
    write_authority(other);
    fs::copy_file(other.of("ca.key"), mixed.of("ca.key"), fs::copy_options::overwrite_existing);
    check_refused(mixed, "", "key");
  }
  {
    const Directory rubbish;
    write_authority(rubbish);
    rubbish.write("ca.pem", "hello\n");
    check_refused(rubbish, "2:11: error: tls.ca_cert: " + rubbish.of("ca.pem"), "");
  }
}

TEST_CASE(
    "files of roots, intermediates and CRLs that are not what they should be: the place, the file, the "
    "fault") {
  const Directory directory;
  write_authority(directory);
  directory.write("root.pem", testing::origin_file("root.pem"), 0644);
  directory.write("delta.crl", testing::origin_file("delta.crl"), 0644);
  directory.write("expired.pem", testing::origin_file("root-expired.pem"), 0644);
  const auto outcome =
      load(directory,
           "extra_roots = [\"/T/root.pem\", \"/T/absent.pem\"]\nintermediates = [\"/T/delta.crl\"]\n"
           "crl_files = [\"/T/delta.crl\"]");
  CHECK(outcome.material == nullptr);
  CAPTURE(outcome.problems);
  CHECK(outcome.problems.find("error: tls.extra_roots: cannot read " + directory.of("absent.pem") +
                              ": No such file or directory") != std::string::npos);
  CHECK(outcome.problems.find("rules.toml:5:18: error: tls.intermediates: " + directory.of("delta.crl") +
                              ": holds no certificate, but a PEM block \"X509 CRL\"") != std::string::npos);
  CHECK(outcome.problems.find("rules.toml:6:14: error: tls.crl_files: " + directory.of("delta.crl") +
                              ": the CRL in line 1: it is a delta CRL") != std::string::npos);
  const auto warned = load(directory, "extra_roots = [\"/T/expired.pem\"]");
  CHECK(warned.material != nullptr);
  CHECK(warned.problems.find("4:16: warning: tls.extra_roots: ") != std::string::npos);
  CHECK(warned.problems.find("has expired") != std::string::npos);
}

TEST_CASE(
    "without a bundle of roots the system's are missed, and without any root a warning says what follows") {
  const Directory directory;
  write_authority(directory);
  const auto missing = load(directory, "", true, directory.of("absent"));
  CHECK(missing.material == nullptr);
  CHECK(missing.problems.find("error: tls.system_roots: this system has none of ") != std::string::npos);
  const auto none = load(directory, "system_roots = false", true, directory.of("absent"));
  CHECK(none.material != nullptr);
  CHECK(none.problems.find("warning: tls.system_roots = false and no tls.extra_roots") != std::string::npos);
}

TEST_CASE("a configuration from the disk with a broken CA is refused where it bumps") {
  if (!config::bump_is_ready) return;  // load_from_disk refuses the action itself until then
  const Directory directory;
  directory.write("rules.toml",
                  "[tls]\nca_cert = \"ca.pem\"\nca_key = \"ca.key\"\ndefault_action = \"bump\"\n");
  const auto loaded = control::load_from_disk(directory.of("rules.toml"));
  CHECK(loaded.config == nullptr);
  CHECK(testing::problems_of(loaded).find("rules.toml:2:11: error: tls.ca_cert: ") != std::string::npos);
}
