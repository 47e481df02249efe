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
  const std::string text = explained(rules, request_to("https://a.example/private/x"));
  CAPTURE(text);
  CHECK(has(text, "request event: GET https://a.example/private/x from 10.20.0.5\n"));
  CHECK(has(text, "no       bypass rule \"staff\" (line 3, allow): client = \"10.20.0.7\" (line 5) does not hold: the client is"));
  CHECK(has(text, "no       access rule \"uploads\" (line 7, block): method = \"POST\" (line 9) does not hold: the method is GET"));
  CHECK(has(text, "MATCH    access rule \"here\" (line 10, block): url = \"a.example/private/*\" (line 12): the URL is https://"));
  CHECK(has(text, "=> block by access rule \"here\": the client gets a page\n"));
}

TEST_CASE("a response: what is given decides, what is not given leaves it open") {
  const std::string rules = "[[access.rules]]\nname = \"programs\"\nwhen = { file_type = \"executable\", direction = \"response\" }\n";
  Request request = request_to("https://a.example/setup.exe");
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

TEST_CASE("the file name is the URL's, unless another is given; an upload has the content itself") {
  const std::string rules = "[[access.rules]]\nname = \"exe\"\nwhen = { file_name = \"a b.exe\" }\n";
  Request request = request_to("https://a.example/x/a%20b.exe?q");
  CHECK(has(explained(rules, request), "=> block by access rule \"exe\""));
  request.file_name = "other.txt";
  CHECK(has(explained(rules, request), "=> allow"));
  const std::string up = "[[access.rules]]\nname = \"big\"\nwhen = { direction = \"request\", size = \"> 1 KiB\" }\n";
  request.size = 4096;
  CHECK(has(explained(up, request), "=> allow"));
  request.is_upload = true;
  CHECK(has(explained(up, request), "=> block by access rule \"big\""));
}

TEST_CASE("redirects say where to; a bypass says that nothing is scanned") {
  CHECK(has(explained("[[access.rules]]\nname = \"r\"\naction = \"redirect\"\nto = \"https://b.example/\"\n",
                      request_to("http://a.example/")),
            "=> redirect by access rule \"r\": the client is sent to https://b.example/\n"));
  CHECK(has(explained("[[bypass.rules]]\nname = \"b\"\nwhen = { host = \"a.example\" }\naction = \"allow\"\n",
                      request_to("http://a.example/")),
            "=> allow by bypass rule \"b\": passed on, unscanned\n"));
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
