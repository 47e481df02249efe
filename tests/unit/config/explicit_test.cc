// rules.toml: [explicit], and the htpasswd file that it names.
#include "config/explicit_reader.h"

#include <doctest/doctest.h>

#include "unit/config/loading.h"

namespace {

using namespace sluice;
using testing::load;
using testing::problems_of;

void check_refused(const std::string& text, const std::string& problem) {
  const auto loaded = load(text);
  const std::string problems = problems_of(loaded);
  CAPTURE(text);
  CAPTURE(problems);
  CHECK(loaded.config == nullptr);
  CHECK(problems.find("/etc/sluice/rules.toml:" + problem) != std::string::npos);
}

constexpr const char* bcrypt = "$2y$05$abcdefghijklmnopqrstuuKDKsAtYi2VDHwXCMWXDDnvXXIKcgGUC";

}  // namespace

TEST_CASE("every key of [explicit] is taken") {
  testing::Files files;
  files.texts["/etc/sluice/rules.toml"] = R"(
[explicit]
listen = ["192.0.2.1:3128", "[2001:db8::1]:3128"]
users = "htpasswd"
realm = "The office"
blocked_connect = "403"
local_destinations = true
)";
  files.texts["/etc/sluice/htpasswd"] = std::string("# who may\n\nalice:") + bcrypt + "\r\n";
  const auto loaded = files.load();
  CHECK(problems_of(loaded) == "");
  REQUIRE(loaded.config != nullptr);
  const config::Explicit& proxy = loaded.config->explicit_proxy;
  CHECK(proxy.listen == std::vector{*Endpoint::parse("192.0.2.1:3128"), *Endpoint::parse("[2001:db8::1]:3128")});
  REQUIRE(proxy.users != nullptr);
  CHECK(*proxy.users == config::Users{{"alice", bcrypt}});
  CHECK(proxy.realm == "The office");
  CHECK(proxy.blocked_connect == config::BlockedConnect::status);
  CHECK(proxy.local_destinations);
}

TEST_CASE("without [explicit] nothing listens and nobody is asked") {
  const auto config = testing::config_of("");
  CHECK(config->explicit_proxy.listen.empty());
  CHECK(config->explicit_proxy.users == nullptr);
  CHECK_FALSE(config->explicit_proxy.local_destinations);
}

TEST_CASE("what is wrong in [explicit] is told with its place and what is right") {
  check_refused("[explicit]\nlisten = [\"192.0.2.1\"]\n", "2:11: error: explicit.listen: '192.0.2.1' is not an address with a port; write \"192.0.2.1:3128\"");
  check_refused("[explicit]\nlisten = [\"proxy:3128\"]\n", "2:11: error: explicit.listen: 'proxy:3128' is not an address with a port");
  check_refused("[explicit]\nlisten = [\"192.0.2.1:0\"]\n", "2:11: error: explicit.listen: '192.0.2.1:0' is not an address");
  check_refused("[explicit]\nlisten = [3128]\n", "2:11: error: explicit.listen must be a list of strings, not of");
  check_refused("[explicit]\nlisten = [\"192.0.2.1:12345\"]\n", "2:11: error: explicit.listen: port 12345 is gateway.tproxy_port");
  check_refused("[explicit]\nlisten = [\"192.0.2.1:1\", \"192.0.2.1:1\"]\n", "2:26: error: explicit.listen names 192.0.2.1:1 twice");
  check_refused("[explicit]\nusers = \"nowhere\"\n", "2:9: error: explicit.users: cannot read /etc/sluice/nowhere: No such file or directory");
  check_refused("[explicit]\nrealm = \"a \\\"b\\\"\"\n", "2:9: error: explicit.realm must be");
  check_refused("[explicit]\nblocked_connect = \"page\"\n", "2:19: error: explicit.blocked_connect");
  check_refused("[explicit]\nlisen = []\n", "2:1: error:");
}

TEST_CASE("an htpasswd file: good lines are taken, every bad one is told with its number") {
  std::vector<std::pair<uint32_t, std::string>> told;
  const auto users = config::parse_users(std::string("a:") + bcrypt + "\nnobody\n:" + bcrypt + "\nb:$apr1$x$y\nc:{SHA}abc\nd:secret\ne:$6$cut\na:" + bcrypt + "\n",
                                         [&](uint32_t line, std::string message) { told.emplace_back(line, std::move(message)); });
  CHECK(users.size() == 1);
  REQUIRE(told.size() == 7);
  const char* const reasons[] = {"no colon", "the name in front", "MD5", "SHA-1", "no hash that is known", "cut off", "twice"};
  for (size_t i = 0; i < told.size(); ++i) {
    CHECK(told[i].first == i + 2);
    CHECK(told[i].second.find(reasons[i]) != std::string::npos);
    CHECK(told[i].second.find("secret") == std::string::npos);
  }
}
