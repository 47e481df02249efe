// S28: what `sluice check` warns of.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "unit/config/loading.h"

namespace {

using namespace sluice;
using testing::load;
using testing::problems_of;

std::string warnings(const std::string& rules, std::map<std::string, std::string> lists = {}) {
  const auto loaded = load(rules, std::move(lists));
  REQUIRE_MESSAGE(loaded.config, problems_of(loaded));
  return problems_of(loaded);
}

// Two access rules, one condition each: whether the second is found to be shadowed.
bool shadowed(const std::string& first, const std::string& second) {
  const std::string text =
      warnings("gateway.tls_ports = [443, 8000, 8050]\n[[access.rules]]\nname = \"first\"\nwhen = { " +
                   first + " }\n[[access.rules]]\nname = \"second\"\nwhen = { " + second + " }\n",
               {{"hosts.txt", "a.example\n.b.example\n192.0.2.0/24\n"}, {"other.txt", "a.example\n"}});
  return text.find("5:1: warning: rule \"second\" can never match: rule \"first\" in line 2 is read first") !=
         std::string::npos;
}

}  // namespace

TEST_CASE("S28: a rule that an earlier one shadows") {
  CHECK(shadowed("", "host = \"a.example\""));
  CHECK(shadowed("host = \".example\"", "host = \"a.example\""));
  CHECK(shadowed("host = \".example\"", "host = [\"example\", \"*.a.example\"], port = 443"));
  CHECK(shadowed("host = \"*.example\"", "host = \".a.example\""));
  CHECK(!shadowed("host = \"*.example\"", "host = \".example\""));
  CHECK(!shadowed("host = \"a.example\"", "host = \".a.example\""));
  CHECK(!shadowed("host = \"a.example\"", "host = \"*.a.example\""));
  CHECK(!shadowed("host = \".example\", port = 443", "host = \"a.example\""));
  CHECK(shadowed("host = \"@lists/hosts.txt\"", "host = \"@lists/hosts.txt\""));
  CHECK(shadowed("host = \"@lists/hosts.txt\"", "host = [\"a.example\", \"x.b.example\", \"192.0.2.7\"]"));
  CHECK(!shadowed("host = \"@lists/hosts.txt\"", "host = \"x.a.example\""));
  CHECK(!shadowed("host = \"@lists/hosts.txt\"", "host = [\"@lists/other.txt\", \"c.example\"]"));
  CHECK(shadowed("client = \"10.0.0.0/8\"", "client = [\"10.1.0.0/16\", \"10.2.3.4\"]"));
  CHECK(shadowed("client = [\"10.0.0.0/9\", \"10.128.0.0/9\"]", "client = \"10.0.0.0/8\""));
  CHECK(!shadowed("client = \"10.0.0.0/9\"", "client = \"10.0.0.0/8\""));
  CHECK(!shadowed("client = \"0.0.0.0/0\"", "client = \"::/0\""));
  CHECK(shadowed("client = \"eth*\"", "client = \"eth1\""));
  CHECK(!shadowed("client = \"eth1\"", "client = \"eth*\""));
  CHECK(!shadowed("client = \"10.0.0.0/8\"", "destination = \"10.0.0.1\""));
  CHECK(shadowed("port = [443, \"8000-8100\"]", "port = \"8001-8050\""));
  CHECK(!shadowed("port = \"8001-8049\"", "port = \"8001-8050\""));
  CHECK(shadowed("sni = \"absent\"", "sni = false"));
  CHECK(!shadowed("sni = \"absent\"", "sni = \"present\""));
  CHECK(shadowed("ja4 = \"t13*\"", "ja4 = \"t13d15*\""));
  CHECK(shadowed("alpn = [\"h2\", \"h3\"]", "alpn = \"h2\""));
  CHECK(shadowed("schedule = \"Mon-Fri\"", "schedule = \"Mon 08:00-10:00 until 2030-01-01\""));
  CHECK(!shadowed("schedule = \"Mon-Fri\"", "schedule = \"Fri 22:00-06:00\""));
  CHECK(!shadowed("schedule = \"Mon-Fri until 2029-01-01\"", "schedule = \"Mon until 2030-01-01\""));
}

TEST_CASE("S28: an earlier rule with exceptions shadows nothing") {
  CHECK(warnings("[[access.rules]]\nexcept = [ { client = \"10.0.0.1\" } ]\n[[access.rules]]\nwhen = { port "
                 "= 443 }\n")
            .empty());
}

TEST_CASE("S28: access conditions that a plain tunnel makes void") {
  const std::string ads = "[[access.rules]]\nname = \"ads\"\nwhen = { host = \".ads.example\" }\n";
  CHECK(warnings(
            "[[tls.rules]]\nname = \"t\"\nwhen = { destination = \"192.0.2.0/24\" }\naction = \"tunnel\"\n" +
            ads)
            .find("7:10: warning: rule \"ads\" does not apply to connections that the TLS rule \"t\" in line "
                  "1 tunnels") != std::string::npos);
  // Read with its hello; decided by the hello; or of other connections.
  CHECK(warnings("[[tls.rules]]\nwhen = { destination = \"192.0.2.0/24\" }\naction = \"tunnel-sni\"\n" + ads)
            .empty());
  CHECK(warnings("[[tls.rules]]\nwhen = { host = \".b.example\" }\naction = \"tunnel\"\n" + ads).empty());
  CHECK(warnings("[[tls.rules]]\nwhen = { host = \".b.example\" }\naction = "
                 "\"terminate\"\n[[tls.rules]]\nwhen = { port = 443 }\naction = \"tunnel\"\n" +
                 ads)
            .empty());
  CHECK(warnings("[[tls.rules]]\nwhen = { client = \"10.1.0.0/16\" }\naction = "
                 "\"tunnel\"\n[[access.rules]]\nwhen = { client = \"10.2.0.0/16\", alpn = \"h2\" }\n")
            .empty());
  CHECK(warnings("[[tls.rules]]\nwhen = { port = 443 }\naction = \"tunnel\"\n[[access.rules]]\nwhen = { host "
                 "= \"192.0.2.1\" }\n")
            .empty());
}

TEST_CASE("S1, S28: with decrypt = false neither TLS rules nor hello conditions work") {
  const std::string text = warnings(
      "tls.decrypt = false\n[[tls.rules]]\naction = \"terminate\"\n[[access.rules]]\nname = \"ads\"\nwhen = "
      "{ host = \".ads.example\" }\n");
  CHECK(text.find("2:1: warning: tls.decrypt = false: the TLS rules are not applied") != std::string::npos);
  CHECK(text.find("6:10: warning: rule \"ads\" can never match: with tls.decrypt = false") !=
        std::string::npos);
}

TEST_CASE("S28: ports that are not redirected, names without SNI, empty lists") {
  CHECK(warnings("[[access.rules]]\nname = \"p\"\nwhen = { port = [80, \"8000-8100\"] }\n")
            .find("3:10: warning: rule \"p\" can never match: none of its ports") != std::string::npos);
  CHECK(warnings("[[access.rules]]\nwhen = { port = \"400-500\" }\n").empty());
  CHECK(warnings("[explicit]\nlisten = [\"192.0.2.1:3128\"]\n[[access.rules]]\nwhen = { port = 25 }\n[[tls.rules]]\n"
                 "when = { port = 22 }\naction = \"tunnel\"\n").empty());
  CHECK(warnings("[[access.rules]]\nname = \"n\"\nwhen = { sni = \"absent\", host = \"a.example\" }\n")
            .find("3:10: warning: rule \"n\": without SNI") != std::string::npos);
  CHECK(warnings("[[access.rules]]\nwhen = { sni = \"absent\", host = \"192.0.2.1\" }\n").empty());
  CHECK(warnings("[[access.rules]]\nwhen = { host = \"@lists/e.txt\" }\n", {{"e.txt", "# nothing\n"}})
            .find("2:17: warning: the list /etc/sluice/lists/e.txt is empty") != std::string::npos);
  CHECK(warnings("[[access.rules]]\nwhen = { host = \"@lists/e.txt\" }\n",
                 {{"e.txt", "||a.example^\n@@||b.example^\n##.x\n"}})
            .find("/etc/sluice/lists/e.txt:2:1: warning: 1 lines of this Adblock list are left out") !=
        std::string::npos);
}

TEST_CASE("S28: shadows among conditions over requests and content") {
  CHECK(shadowed("mime = \"video/*\"", "mime = [\"video/mp4\", \"video/webm\"]"));
  CHECK(!shadowed("mime = \"video/mp4\"", "mime = \"video/*\""));
  CHECK(shadowed("file_type = \"archive\"", "file_type = \"rar\""));
  CHECK(!shadowed("file_type = \"rar\"", "file_type = \"archive\""));
  CHECK(shadowed("host = \".a.example\"", "url = [\"a.example/x\", \"https://www.a.example/*\"]"));
  CHECK(!shadowed("host = \"a.example\"", "url = \"*/x\""));
  CHECK(shadowed("method = [\"GET\", \"POST\"]", "method = \"GET\""));
  CHECK(!shadowed("method = \"GET\"", "method = [\"GET\", \"POST\"]"));
  CHECK(!shadowed("alpn = \"h2\"", "alpn = \"h3\""));
  CHECK(!shadowed("tls_version = \"1.3\"", "tls_version = \"1.2\""));
  CHECK(!shadowed("method = \"CONNECT\"", "host = \"a.example\""));
  CHECK(shadowed("url = \"a.example/x\"", "url = \"a.example/x\", method = \"GET\""));
}

namespace {

const std::string ca = "[tls]\nca_cert = \"ca.pem\"\nca_key = \"ca.key\"\n";
const std::string bump_all = ca + "default_action = \"bump\"\n";
std::string access(const std::string& when) {
  return "[[access.rules]]\nname = \"it\"\nwhen = { " + when + " }\n";
}
bool warns(const std::string& rules, const char* of) {
  const std::string text = warnings(rules);
  CAPTURE(text);
  const bool found = text.find(of) != std::string::npos;
  CHECK(found);
  return found;
}

}  // namespace

TEST_CASE("S28: conditions over requests where none are read") {
  for (const char* condition : {"mime = \"video/*\"", "url = \"a.example/x\"", "url = \"re:x\"", "method = \"GET\"",
                                "file_name = \"*.exe\"", "size = \"> 1 KiB\"", "direction = \"response\""}) {
    CAPTURE(condition);
    warns(access(condition), "rule \"it\" can never match: ");
    warns(access(condition), "none are read: nothing is bumped, and gateway.http_ports is empty");
    CHECK(warnings("[gateway]\nhttp_ports = [80]\n" + access(condition)) == "");
    CHECK(warnings(bump_all + access(condition)) == "");
  }
  CHECK(warnings(access("method = \"CONNECT\"")) == "");
  CHECK(warnings(access("url = \"a.example\"")) == "");
}

TEST_CASE("S28: conditions that contradict each other") {
  warns(bump_all + access("method = \"CONNECT\", mime = \"a/b\""), "can never match: a CONNECT has no mime");
  warns(bump_all + access("alpn = \"h2\", mime = \"a/b\""), "alpn is known of connections, mime of the requests inside");
  warns(access("user = \"anna\""), "there is no [explicit] listener");
  warns(bump_all + access("method = \"CONNECT\", user_agent = \"x\""), "a transparent CONNECT has no user agent");
  CHECK(warnings(bump_all + access("method = [\"CONNECT\", \"GET\"], url = \"a.example/x\"")) == "");
}

TEST_CASE("S28: content that a tunnel carries unseen, and what is blocked but can be reached") {
  const std::string tunnel =
      "[[tls.rules]]\nname = \"private\"\nwhen = { host = \".bank.example\" }\naction = \"tunnel-sni\"\n";
  warns(bump_all + tunnel + access("host = \"www.bank.example\", mime = \"video/*\""),
        "rule \"it\" does not apply over HTTPS: the TLS rule \"private\" in line 5 tunnels these connections, so mime is never "
        "known there");
  warns(bump_all + tunnel + access("url = \"www.bank.example/x\""), "does not apply over HTTPS");
  CHECK(warnings(bump_all + tunnel + access("host = \"www.other.example\", mime = \"video/*\"")) == "");
  CHECK(warnings(bump_all + tunnel + access("mime = \"video/*\"")) == "");

  // The default's tunnel: nothing else is read, or only requests in clear.
  const std::string bump_a = ca + "[[tls.rules]]\nwhen = { host = \".a.example\" }\naction = \"bump\"\n";
  for (const char* condition : {"host = \"b.example\", mime = \"video/*\"", "url = [\"b.example/x\", \"*.b.example/y\"]",
                                "host = \"b.example\", method = [\"GET\", \"PUT\"]"}) {
    CAPTURE(condition);
    warns(bump_a + access(condition), "rule \"it\" can never match: ");
    warns(bump_a + access(condition),
          "needs the requests inside, and none are read: tls.default_action = \"tunnel-sni\" tunnels these connections, and "
          "gateway.http_ports is empty");
    warns(bump_a + access(condition) + "action = \"allow\"\n", "rule \"it\" can never match: ");
    for (const char* reads_plain : {"gateway.http_ports = [80, 8080]\n", "explicit.listen = [\"192.0.2.1:3128\"]\n"}) {
      warns(reads_plain + bump_a + access(condition),
            "rule \"it\" does not apply over HTTPS: tls.default_action = \"tunnel-sni\" tunnels these connections, so ");
      CHECK(warnings(reads_plain + bump_a + access(condition) + "action = \"allow\"\n") == "");
      CHECK(warnings(reads_plain + bump_a + access(condition + std::string(", port = 80"))) == "");
    }
    CHECK(warnings("gateway.http_ports = [80, 8080, 8081]\n" + bump_a + access(condition + std::string(", port = \"8080-8081\""))) == "");
    warns("gateway.http_ports = [80]\n" + bump_a + access(condition + std::string(", port = [80, 443]")), "does not apply over HTTPS");
    CHECK(warnings(bump_all + access(condition)) == "");
  }
  for (const char* condition : {"mime = \"video/*\"", "host = \"x.a.example\", mime = \"video/*\"", "url = \"*/x\"",
                                "url = \"a.example/x\"", "url = \"re:x\""}) {
    CAPTURE(condition);
    CHECK(warnings(bump_a + access(condition)) == "");  // some of them are bumped
  }
  CHECK(warnings("gateway.http_ports = [80]\n" + bump_a + access("url = \"http://b.example/x\"")) == "");
  warns("gateway.http_ports = [80]\n" + bump_a + access("url = [\"http://b.example/x\", \"b.example/y\"]"), "does not apply over HTTPS");
  CHECK(warnings("gateway.http_ports = [80]\ntls.decrypt = false\n" + access("mime = \"video/*\"")) == "");

  const std::string without_connect = "except = [ { method = \"CONNECT\" } ]\n";
  warns(access("host = \"ads.example\"") + without_connect,
        "1:1: warning: rule \"it\" leaves CONNECT out, and tls.default_action = \"tunnel-sni\" tunnels these connections: what it "
        "blocks can be reached over HTTPS");
  warns(bump_all + tunnel + access("host = \".bank.example\"") + without_connect, "the TLS rule \"private\" in line 5 tunnels");
  warns("tls.decrypt = false\n" + access("client = \"10.0.0.0/8\"") + without_connect, "tls.decrypt = false tunnels all");
  CHECK(warnings(bump_all + access("host = \"ads.example\"") + without_connect) == "");
  CHECK(warnings(ca + "[[tls.rules]]\nwhen = { host = \".ads.example\" }\naction = \"bump\"\n" +
                 access("host = \"www.ads.example\"") + without_connect) == "");
  CHECK(warnings(access("host = \"ads.example\"") + without_connect + "action = \"allow\"\n") == "");
}

TEST_CASE("S27, S28: a bypass rule lets CONNECT pass, and so all that a later rule blocks inside a tunnel") {
  const auto bypass = [](const std::string& when, const std::string& action = "allow") {
    return "[[bypass.rules]]\nname = \"" + std::string(action == "allow" ? "pages" : "above") + "\"\nwhen = { " + when + " }\naction = \"" + action + "\"\n";
  };
  const std::string connect = bypass("method = \"CONNECT\", host = \".ads.example\"");
  warns(connect + access("host = \"www.ads.example\""),
        "5:1: warning: rule \"it\" is not asked of CONNECT, which the bypass rule \"pages\" in line 1 lets pass, and "
        "tls.default_action = \"tunnel-sni\" tunnels these connections: what it blocks can be reached over HTTPS");
  warns(bypass("method = \"CONNECT\"") + access("host = \"www.ads.example\""), "the bypass rule \"pages\" in line 1 lets pass");
  warns("tls.decrypt = false\n" + bypass("method = \"CONNECT\"") + access("client = \"10.0.0.0/8\""),
        "tls.decrypt = false tunnels all");
  // The page is shown; it is another host's CONNECT; some of them only; requests pass as well, as is meant; nothing is blocked.
  CHECK(warnings(bump_all + connect + access("host = \"www.ads.example\"")) == "");
  CHECK(warnings(connect + access("host = \"other.example\"")) == "");
  CHECK(warnings(connect + access("client = \"10.0.0.0/8\"")) == "");
  CHECK(warnings(bypass("host = \".ads.example\"") + access("host = \"www.ads.example\"")) == "");
  CHECK(warnings(connect + access("host = \"www.ads.example\"") + "action = \"allow\"\n") == "");
  CHECK(warnings(connect + "except = [ { client = \"10.0.0.1\" } ]\n" + access("host = \"www.ads.example\"")) == "");
  // A rule above it blocks the CONNECT.
  CHECK(warnings(bypass("host = \".ads.example\", client = \"10.0.0.0/8\"", "block") + connect + access("host = \"www.ads.example\"")) == "");
}

TEST_CASE("S28: beyond the rules that are compared it is said once that nothing more is") {
  std::string rules;
  for (int i = 0; i < 1000; ++i)
    for (const char* table : {"access", "tls"})
      rules += fmt::format("[[{}.rules]]\nwhen = {{ host = \"h{}.example\" }}\naction = \"{}\"\n", table, i,
                           table == std::string("tls") ? "terminate" : "block");
  CHECK(warnings(rules) == "");
  for (const char* action : {"", "action = \"block\"\n"}) rules += "[[access.rules]]\nwhen = { host = \"more.example\" }\n" + std::string(action);
  rules += "[[tls.rules]]\nwhen = { host = \"more.example\" }\naction = \"terminate\"\n";
  const std::string text = warnings(rules);
  CHECK(text.find("6001:1: warning: there are 1002 access rules: those from here on are not compared with others") != std::string::npos);
  CHECK(std::count(text.begin(), text.end(), '\n') == 1);
}

TEST_CASE("S28: what has no effect in this version or with these settings") {
  warns("[protection.default]\nmalware = \"block\"\n", "2:11: warning: protection: this version finds links alone");
  warns("[[protection.rules]]\nwhen = { host = \"a.example\" }\n", "[links] names none: nothing will be found");
  warns("[tls]\ndecrypt = false\n[access]\nhttps_page = true\n", "4:14: warning: access.https_page has no effect");
  warns(bump_all + access("method = \"PSOT\""), "PSOT is not a registered method; did you mean POST?");
}

TEST_CASE("interfaces that no client of the LAN comes from") {
  const std::string lan = "[gateway]\nlan = [\"eth1\", \"wg*\"]\n";
  const auto client = [](const std::string& texts) { return access("client = [" + texts + "]"); };
  warns(lan + client("\"eth2\""),
        "5:10: warning: rule \"it\": no interface of gateway.lan is called \"eth2\", so no client comes from there");
  warns(lan + client("\"10.0.0.0/8\", \"pc7\""), "is called \"pc7\"");
  warns(lan + client("\"eth1*\", \"br*\""), "is called \"br*\"");
  warns(lan + "[[tls.rules]]\nname = \"t\"\naction = \"terminate\"\nwhen = { client = \"eth10\" }\n", "rule \"t\": no interface");
  for (const char* known : {"\"eth1\"", "\"eth*\"", "\"wg0\"", "\"wg1*\"", "\"w*\"", "\"10.0.0.1\", \"wg*\"", "\"2001:db8::/32\""})
    CHECK_MESSAGE(warnings(lan + client(known)) == "", known);
  CHECK(warnings(client("\"eth2\"")) == "");  // the kernel is set up by hand
  CHECK(warnings(lan + "own_traffic = true\n" + client("\"eth2\"")) == "");
  CHECK(warnings(lan + "[explicit]\nlisten = [\"192.0.2.1:3128\"]\n" + client("\"eth2\"")) == "");
}

TEST_CASE("a bypass rule without an action blocks") {
  warns("[[bypass.rules]]\nname = \"b\"\nwhen = { host = \"a.example\" }\n",
        "1:1: warning: bypass rule \"b\" has no action, so it blocks; write action = \"allow\", or \"block\" if that is meant");
  CHECK(warnings("[[bypass.rules]]\nwhen = { host = \"a.example\" }\naction = \"block\"\n") == "");
  CHECK(warnings("[[access.rules]]\nwhen = { host = \"a.example\" }\n") == "");
}

TEST_CASE("conditions that no TLS rule can meet") {
  const auto rule = [](const std::string& when) {
    return "[[tls.rules]]\nname = \"t\"\naction = \"terminate\"\nwhen = { " + when + " }\n";
  };
  const std::string plain = "[gateway]\nhttp_ports = [80]\n";
  warns(plain + rule("url = \"a.example/x\""), "6:10: warning: rule \"t\" can never match: TLS rules are asked of the CONNECT that "
                                               "stands for a connection, and a CONNECT has a host and no path");
  warns(rule("url = \"re:x\""), "a host and no path");
  warns(rule("method = [\"GET\", \"POST\"]"), "which has no other method");
  warns(rule("user = \"anna\""), "there is no [explicit] listener");
  warns(plain + rule("user_agent = \"x\""), "a transparent CONNECT has no user agent");
  for (const char* good : {"url = \"a.example\"", "url = [\"a.example\", \"b.example/x\"]", "method = \"CONNECT\"",
                           "method = [\"CONNECT\", \"GET\"]", "host = \"a.example\""})
    CHECK_MESSAGE(warnings(rule(good)) == "", good);
  const std::string listener = "[explicit]\nlisten = [\"192.0.2.1:3128\"]\n";
  CHECK(warnings(listener + rule("user = \"anna\", user_agent = \"x\"")) == "");
  // The same of a rule that needs requests.
  warns(access("user_agent = \"x\""), "user_agent needs the requests inside, and none are read");
  CHECK(warnings(plain + access("user_agent = \"x\"")) == "");
  CHECK(warnings(bump_all + access("user_agent = \"x\"")) == "");
  CHECK(warnings(listener + access("user_agent = \"x\"")) == "");
}
