#include "cli/explain_request.h"

#include <doctest/doctest.h>

#include <string>

#include "cli/check.h"
#include "cli/explain_many.h"
#include "unit/config/loading.h"

using namespace sluice;
using namespace sluice::cli;
using sluice::testing::config_of;

namespace {

Request request_to(const std::string& url) {
  Request request;
  request.client = *IpAddress::parse("10.20.0.5");
  request.url = url;
  request.user_agent = "curl/8.5";
  request.now = {2026, 11, 21, 6, 720};
  request.hello.versions = {0x0304};
  return request;
}
std::string explained(const std::string& rules, const Request& request) {
  return explain_request(*config_of("[gateway]\nhttp_ports = [80]\n" + rules), request);
}
bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("a request: the winning rule, and the first condition that failed in each rule above it") {
  const std::string rules =
      "[[bypass.rules]]\nname = \"staff\"\nwhen = { client = \"10.20.0.7\" }\naction = \"allow\"\n"
      "[[access.rules]]\nname = \"uploads\"\nwhen = { method = \"POST\", host = \"a.example\" }\n"
      "[[access.rules]]\nname = \"here\"\nwhen = { url = \"a.example/private/*\" }\n";
  const std::string text = explained(rules, request_to("http://a.example/private/x"));
  CAPTURE(text);
  CHECK(has(text, "request event: GET http://a.example/private/x from 10.20.0.5\n"));
  CHECK(has(text, "no       bypass rule \"staff\" (line 3, allow): client = \"10.20.0.7\" (line 5) does not hold: the client is"));
  CHECK(has(text, "no       access rule \"uploads\" (line 7, block): method = \"POST\" (line 9) does not hold: the method is GET"));
  CHECK(has(text, "MATCH    access rule \"here\" (line 10, block): url = \"a.example/private/*\" (line 12): the URL is http://"));
  CHECK(has(text, "=> block by access rule \"here\": the client gets a page\n"));
}

TEST_CASE("a response: what is given decides, what is not given leaves it open") {
  const std::string rules = "[[access.rules]]\nname = \"programs\"\nwhen = { file_type = \"executable\", direction = \"response\" }\n";
  Request request = request_to("http://a.example/setup.exe");
  CHECK(has(explained(rules, request), "not yet  access rule \"programs\""));
  CHECK(has(explained(rules, request), "=> cannot be told"));
  std::string error;
  request.types = parse_file_types("pe", error);
  REQUIRE(request.types);
  const std::string text = explained(rules, request);
  CAPTURE(text);
  CHECK(has(text, "response event: file name setup.exe\n"));
  CHECK(has(text, "=> block by access rule \"programs\""));
  request.types = parse_file_types("pdf", error);
  CHECK(has(explained(rules, request), "=> allow by access.default: passed on\n"));
  CHECK(!parse_file_types("nothing", error));
}

TEST_CASE("the URL's file name counts at both events, beside the one that is given; an upload has the content itself") {
  const std::string rules = "[[access.rules]]\nname = \"exe\"\nwhen = { file_name = \"a b.exe\" }\n";
  Request request = request_to("http://a.example/x/a%20b.exe?q");
  CHECK(has(explained(rules, request), "=> block by access rule \"exe\""));
  request.has_response = false;  // as the daemon: nobody is asked for it
  CHECK(has(explained(rules, request), "=> block by access rule \"exe\""));
  request = request_to("http://a.example/x/a%20b.exe?q");
  request.file_name = "other.txt";
  CHECK(has(explained(rules, request), "=> block by access rule \"exe\""));
  request = request_to("http://a.example/x/c");
  CHECK(has(explained(rules, request), "=> allow"));
  request.file_name = "a b.exe";
  CHECK(has(explained(rules, request), "=> block by access rule \"exe\""));
  const std::string up = "[[access.rules]]\nname = \"big\"\nwhen = { direction = \"request\", size = \"> 1 KiB\" }\n";
  request.size = 4096;
  CHECK(has(explained(up, request), "=> allow"));
  request.is_upload = true;
  CHECK(has(explained(up, request), "=> block by access rule \"big\""));
}

TEST_CASE("redirects say where to; a bypass says that nothing is scanned") {
  CHECK(has(explained("[[access.rules]]\nname = \"r\"\nwhen = { method = \"GET\" }\naction = \"redirect\"\nto = \"https://b.example/\"\n",
                      request_to("http://a.example/")),
            "=> redirect by access rule \"r\": the client is sent to https://b.example/\n"));
  CHECK(has(explained("[[bypass.rules]]\nname = \"b\"\nwhen = { host = \"a.example\" }\naction = \"allow\"\n",
                      request_to("http://a.example/")),
            "=> allow by bypass rule \"b\": passed on, unscanned\n"));
}

TEST_CASE("a request in a connection that is not read: the last line is the connection's, and a note says why") {
  const std::string here = "[[access.rules]]\nname = \"here\"\nwhen = { url = \"a.example/private/*\" }\n";
  const auto last = [&](const std::string& rules, Request request) {
    const std::string text = explain_request(*config_of(rules + here), request);
    CHECK(has(text, "MATCH    access rule \"here\""));
    return text.substr(text.find("note: ") == std::string::npos ? text.find("=> ") : text.find("note: "));
  };
  const std::string bump = "[tls]\ndefault_action = \"bump\"\nca_cert = \"ca.pem\"\nca_key = \"ca.key\"\n";
  const std::string block = "=> block by access rule \"here\": the client gets a page\n";
  Request request = request_to("https://a.example/private/x");
  CHECK(last("", request) ==
        "note: this request is never seen, because its connection is a tunnel (tls.default_action: tunnel-sni)\n"
        "=> tunnel-sni by tls.default_action: passed through, nothing inside is scanned\n");
  CHECK(last(bump, request) == block);
  CHECK(last(bump + "[[tls.rules]]\nname = \"t\"\nwhen = { host = \"a.example\" }\naction = \"terminate\"\n", request) ==
        "note: this request is never seen, because its connection is closed (tls rule \"t\": terminate)\n"
        "=> terminate by tls rule \"t\": closed, nothing is sent to the origin\n");
  CHECK(last(bump + "[[tls.rules]]\nname = \"m\"\nwhen = { host = \"a.example\" }\naction = \"bump\"\ninspect = false\n", request) ==
        "note: this request is never seen, because its connection is decrypted but not read (tls rule \"m\": bump)\n"
        "=> bump by tls rule \"m\": decrypted, and what is inside is passed on unread (inspect = false)\n");

  const std::string guests = "[[access.rules]]\nname = \"guests\"\nwhen = { client = \"10.20.0.0/24\", method = \"CONNECT\" }\n";
  CHECK(last(bump + guests, request) ==
        "note: this request is never seen, because its connection is closed (access rule \"guests\": block)\n"
        "=> block by access rule \"guests\": closed, nothing is sent to the origin\n");
  const std::string page = bump + "[access]\nhttps_page = true\n" + guests;
  CHECK(last(page, request) == "note: its connection is blocked, and read just to show the page (access.https_page)\n"
                               "=> block by access rule \"guests\": the client gets a page\n");
  request.hello.alpn = {"h2"};  // a page can be shown in HTTP/1.1 alone
  CHECK(has(last(page, request), "=> block by access rule \"guests\": closed"));

  request = request_to("http://a.example/private/x");
  CHECK(last("[gateway]\nhttp_ports = [80]\n", request) == block);
  CHECK(last("", request) ==
        "note: port 80 is in neither gateway.tls_ports nor gateway.http_ports, so the kernel does not redirect it; "
        "the above is what would be if it did\n"
        "=> not redirected: forwarded as it is, it never reaches the daemon\n");
  CHECK(has(last("[explicit]\nlisten = [\"192.0.2.1:3128\"]\n", request), "--user"));
  request.user = "alice";  // asks the proxy, whose port is another matter
  CHECK(last("[explicit]\nlisten = [\"192.0.2.1:3128\"]\n", request) == block);
  CHECK(last("", request).starts_with("note: --user is of a client of the proxy, and explicit.listen is empty"));
  request = request_to("http://a.example:443/private/x");
  CHECK(has(last("", request), "=> terminate by tls.non_tls = \"terminate\": the client speaks HTTP"));
}

TEST_CASE("the connection of a request: the URL's host and port, or what is given besides") {
  Request request = request_to("https://a.example:8443/");
  Connection connection = connection_of(request);
  CHECK(connection.destination == Endpoint{IpAddress{}, 8443});
  CHECK(std::get<hello::ClientHello>(connection.first_bytes).sni == "a.example");
  CHECK(!connection.asked);
  request.hello.sni = "front.example";
  request.hello.has_sni = true;
  CHECK(std::get<hello::ClientHello>(connection_of(request).first_bytes).sni == "front.example");
  request.destination = *Endpoint::parse("198.51.100.1:443");
  CHECK(connection_of(request).destination == *Endpoint::parse("198.51.100.1:443"));
  connection = connection_of(request_to("https://198.51.100.2/"));
  CHECK(connection.destination == *Endpoint::parse("198.51.100.2:443"));
  CHECK(!std::get<hello::ClientHello>(connection.first_bytes).has_sni);
  CHECK(std::holds_alternative<PlainHttp>(connection_of(request_to("http://a.example/")).first_bytes));
  request.user = "alice";
  REQUIRE(connection_of(request).asked);
  CHECK(connection_of(request).asked->host == "a.example");
}

TEST_CASE("a logged request whose connection would be a tunnel, or not redirected, is told by that") {
  const std::string line =
      R"({"time":"2026-11-21T18:00:00.000001Z","type":"request","id":7,"client":"10.20.0.5:4000","method":"GET",)"
      R"("url":"https://a.example/x","status":200,"action":"allow"})";
  std::string error;
  const auto logged = read_request_line(line, error);
  REQUIRE_MESSAGE(logged, error);
  Connection connection = connection_of(request_to("https://a.example/x"));
  connection.destination = *Endpoint::parse("198.51.100.1:443");
  const std::string bump = "[tls]\ndefault_action = \"bump\"\nca_cert = \"ca.pem\"\nca_key = \"ca.key\"\n";
  std::string told;
  const auto against = [&](const std::string& other) {
    told.clear();
    Report report(config_of(bump), config_of(other), [&](std::string_view text) { told = text; });
    report.add(*logged, &connection);
    return told.substr(told.find("a.example/x ") + 12);
  };
  CHECK(against("") == "allow->tunnel-sni access.default -> tls.default_action");
  CHECK(against("[gateway]\nexempt_clients = [\"10.20.0.0/16\"]\n" + bump) ==
        "allow->not-redirected access.default -> the client is in gateway.exempt_clients (10.20.0.0/16)");
  CHECK(against(bump + "[[tls.rules]]\nname = \"m\"\nwhen = { port = 443 }\naction = \"bump\"\ninspect = false\n") ==
        "allow->unread access.default -> tls rule \"m\"");
  CHECK(against(bump + "[access]\nhttps_page = true\n[[access.rules]]\nname = \"g\"\nwhen = { method = \"CONNECT\" }\n") ==
        "allow->block access.default -> access rule \"g\"");
}

TEST_CASE("a request's line of the log, judged by the rules and by others") {
  const std::string line =
      R"({"time":"2026-11-21T18:00:00.000001Z","type":"request","id":7,"client":"10.20.0.5:4000","method":"GET",)"
      R"("url":"https://WWW.a.example/x/../video.mp4","status":200,"mime":"video/mp4","bytes_down":5000,"action":"allow"})";
  std::string error;
  const auto logged = read_request_line(line, error);
  REQUIRE_MESSAGE(logged, error);
  CHECK(logged->connection == 7);
  CHECK(logged->request.url == "https://www.a.example/video.mp4");
  CHECK(logged->request.has_response);
  std::vector<std::string> lines;
  const auto report = [&](const std::string& against) {
    lines.clear();
    Report judged(config_of(""), config_of("[gateway]\nhttp_ports = [80]\n" + against),
                  [&](std::string_view text) { lines.emplace_back(text); });
    judged.add(*logged);
    return judged.summary();
  };
  CHECK(report("[[access.rules]]\nname = \"video\"\nwhen = { mime = \"video/*\", size = \"> 1 KiB\" }\n") ==
        "1 of 0 connections and 1 request would change");
  REQUIRE(lines.size() == 1);
  CHECK(has(lines[0], "10.20.0.5 GET https://www.a.example/video.mp4 allow->block access.default -> access rule \"video\""));
  CHECK(report("[[access.rules]]\nwhen = { mime = \"text/*\" }\n") == "0 of 0 connections and 1 request would change");
  CHECK(report("[[access.rules]]\nwhen = { user_agent = \"x\" }\n") ==
        "0 of 0 connections and 1 request would change (of 1 request it cannot be told)");
  CHECK(!read_request_line(R"({"type":"request"})", error));
  CHECK(error.empty());  // refused before it could be read
  CHECK(!read_request_line(R"({"type":"request","method":"GET","url":"nowhere"})", error));
  CHECK(error.find("missing or wrong") != std::string::npos);
}

namespace {

LoggedRequest logged_request(const std::string& fields) {
  std::string error;
  auto logged = read_request_line(
      R"({"time":"2026-11-21T18:00:00.000001Z","type":"request","id":7,"client":"10.20.0.5:4000",)" + fields +
          "}",
      error);
  REQUIRE_MESSAGE(logged, error);
  return *logged;
}

/// "block by access rule \"x\"", "?" …
std::string judged(const std::string& rules, const Request& request) {
  const auto config = config_of("[gateway]\nhttp_ports = [80]\n" + rules);
  rules::Judge judge(config->policy);
  const RequestVerdict verdict = verdict_of(judge, request);
  return verdict.action + (verdict.by.empty() ? "" : " by " + verdict.by);
}

Connection connection_to(const char* destination) {
  Connection connection;
  connection.destination = *Endpoint::parse(destination);
  connection.interface = "lan0";
  return connection;
}

}  // namespace

TEST_CASE("the log has the origin's spelling of a media type, the rules have lower case") {
  const Request request =
      logged_request(
          R"("method":"GET","url":"http://a.example/x","status":200,"action":"allow","mime":"Text/HTML")")
          .request;
  CHECK(judged("[[access.rules]]\nname = \"pages\"\nwhen = { mime = \"text/html\" }\n", request) ==
        "block by access rule \"pages\"");
}

TEST_CASE("the user of a request is in its connection's line; without that line he is not known") {
  const std::string rules = "[[access.rules]]\nname = \"guests\"\nwhen = { user = \"guest-*\" }\n";
  const auto request = [] {
    return logged_request(R"("method":"GET","url":"http://a.example/x","status":200,"action":"allow")");
  };
  CHECK(judged(rules, request().request) == "?");
  Connection connection = connection_to("198.51.100.1:80");
  LoggedRequest redirected = request();
  join(redirected, connection);
  CHECK(judged(rules, redirected.request) == "allow by access.default");
  CHECK(redirected.request.interface == "lan0");
  connection.asked = Asked{"a.example", "guest-7", false};
  LoggedRequest guest = request();
  join(guest, connection);
  CHECK(judged(rules, guest.request) == "block by access rule \"guests\"");
  connection.asked->user = "alice";
  LoggedRequest alice = request();
  join(alice, connection);
  CHECK(judged(rules, alice.request) == "allow by access.default");
}

TEST_CASE(
    "the destination of a request is its connection's, unless the proxy's client may have asked for another "
    "host") {
  const std::string rules =
      "[[access.rules]]\nname = \"net\"\nwhen = { destination = \"198.51.100.0/24\" }\n";
  const auto verdict = [&](const std::string& url, const Connection& connection) {
    LoggedRequest logged =
        logged_request(R"("method":"GET","status":200,"action":"allow","url":")" + url + "\"");
    CHECK(judged(rules, logged.request) == "?");
    join(logged, connection);
    return judged(rules, logged.request);
  };
  Connection connection = connection_to("198.51.100.1:80");
  CHECK(verdict("http://b.example/x", connection) == "block by access rule \"net\"");
  connection.asked = Asked{"a.example", "", false};
  CHECK(verdict("http://a.example/x", connection) == "block by access rule \"net\"");
  CHECK(verdict("http://b.example/x", connection) == "?");
  CHECK(verdict("http://a.example:8080/x", connection) == "?");
  CHECK(verdict("https://b.example/x", connection) == "block by access rule \"net\"");  // inside a CONNECT
  connection.destination = *Endpoint::parse("0.0.0.0:80");
  CHECK(verdict("http://a.example/x", connection) == "?");
}

TEST_CASE("the body of a logged request has the size that was logged; what else it was is not known") {
  const std::string big =
      "[[access.rules]]\nname = \"big\"\nwhen = { direction = \"request\", size = \"> 25 MiB\" }\n";
  const auto post = [](const std::string& more) {
    return logged_request(R"("method":"POST","url":"http://a.example/up","bytes_down":3,)" + more).request;
  };
  const Request large = post(R"("status":201,"action":"allow","bytes_up":52428800)");
  const Request small = post(R"("status":201,"action":"allow","bytes_up":1000)");
  const Request empty = post(R"("status":201,"action":"allow","bytes_up":0)");
  CHECK(judged(big, large) == "block by access rule \"big\"");
  CHECK(judged(big, small) == "allow by access.default");
  CHECK(judged(big, empty) == "allow by access.default");
  // Of a body that was not read to its end, or at all, there may have been more.
  CHECK(judged(big, post(R"("status":413,"action":"allow","bytes_up":1000)")) == "?");
  CHECK(judged(big, post(R"("status":403,"action":"block","bytes_up":0)")) == "?");
  CHECK(judged(big, post(R"("status":403,"action":"block","bytes_up":52428800)")) ==
        "block by access rule \"big\"");
  CHECK(judged(big,
               logged_request(
                   R"("method":"GET","url":"http://a.example/","status":403,"action":"block","bytes_up":0)")
                   .request) == "allow by access.default");

  const auto over = [](const char* condition) {
    return std::string("[[access.rules]]\nname = \"r\"\nwhen = { direction = \"request\", ") + condition +
           " }\n";
  };
  for (const char* const condition :
       {"file_type = \"executable\"", "mime = \"application/zip\"",
        "sha256 = \"0000000000000000000000000000000000000000000000000000000000000000\""}) {
    CHECK_MESSAGE(judged(over(condition), small) == "?", condition);
    CHECK_MESSAGE(judged(over(condition), empty) == "allow by access.default", condition);
  }
  CHECK(judged(over("mime = \"application/zip\", host = \"b.example\""), small) == "allow by access.default");
  CHECK(judged(over("mime = \"application/zip\"") + "[[access.rules]]\nname = \"all\"\n", small) ==
        "block by access rule \"all\"");
  CHECK(judged("[[access.rules]]\nname = \"all\"\nexcept = [ { mime = \"image/*\" } ]\n", small) == "?");
}
