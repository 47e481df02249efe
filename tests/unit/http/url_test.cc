// What a request's URL is for the rules, whatever the request says of itself.
#include "http/url.h"

#include <doctest/doctest.h>

#include "unit/http/transcript.h"

using namespace sluice::http;
using namespace sluice::http::testing;

namespace {

std::string url(const std::string& target, const std::string& host, bool is_tls = false, uint16_t port = 0,
                const std::string& method = "GET") {
  const std::string bytes = method + " " + target + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n";
  const auto lines = read_requests(bytes).lines;
  if (lines.front().starts_with("refused:")) return lines.front();
  std::string out;
  append_canonical_url(out, heads_of(bytes).front(), is_tls, "fallback.example", port);
  return out;
}

}  // namespace

TEST_CASE("the canonical URL of a request") {
  CHECK(url("/a/../b?c=%64", "Example.COM.") == "http://example.com/b?c=d");
  CHECK(url("/", "example.com:80") == "http://example.com/");
  CHECK(url("/", "example.com:443", true) == "https://example.com/");
  CHECK(url("/", "example.com:8080") == "http://example.com:8080/");
  CHECK(url("/", "[2001:db8::1]:8080") == "http://[2001:db8::1]:8080/");
  CHECK(url("/", "0x7f.1") == "http://127.0.0.1/");
  CHECK(url("//evil.example/x", "example.com") == "http://example.com/evil.example/x");
  CHECK(url("*", "example.com", false, 0, "OPTIONS") == "http://example.com");
  CHECK(url("example.com:443", "example.com", false, 0, "CONNECT").empty());
  std::string out;
  append_canonical_url(out, heads_of("GET /x HTTP/1.0\r\n\r\n").front(), true, "fallback.example");
  CHECK(out == "https://fallback.example/x");
}

TEST_CASE("the target in absolute form names the host, the connection the scheme and the port") {
  CHECK(url("http://Real.example/x", "other.example") == "http://real.example/x");
  CHECK(url("http://real.example?x", "other.example") == "http://real.example/?x");
  CHECK(url("https://real.example/x", "real.example") == "http://real.example/x");
  CHECK(url("http://real.example/x", "real.example", true) == "https://real.example/x");
  CHECK(url("/", "example.com:8080", false, 80) == "http://example.com/");
  CHECK(url("/", "example.com", false, 8080) == "http://example.com:8080/");
  CHECK(url("http://real.example:99/", "example.com", true, 443) == "https://real.example/");
}

TEST_CASE("what has two meanings is refused") {
  CHECK(url("http://user@real.example/", "real.example") == "refused:userinfo_in_target");
  CHECK(url("http://good.example\\@evil.example/", "good.example") == "refused:bad_target");
  CHECK(url("http://good.example\\.evil.example/", "good.example") == "refused:bad_target");
  CHECK(url("http:/good.example/", "good.example") == "refused:bad_target");
  CHECK(url("http:good.example/", "good.example") == "refused:bad_target");
  CHECK(url("http:///x", "good.example") == "refused:bad_target");
  CHECK(url("http://%67ood.example/", "good.example") == "refused:bad_target");
  CHECK(url("good.example/x", "good.example") == "refused:bad_target");
  CHECK(url("/#x", "good.example") == "refused:bad_target");
  CHECK(url("/", "user@good.example") == "refused:bad_host");
  CHECK(url("/", "user:pw@good.example") == "refused:bad_host");
  CHECK(url("/", "good.example, evil.example") == "refused:bad_host");
  CHECK(url("/", "good.example/evil") == "refused:bad_host");
  CHECK(url("/", "%67ood.example") == "refused:bad_host");
  CHECK(url("/",
            "b\xc3\xbc"
            "cher.example") == "refused:bad_host");
  CHECK(url("/", "good.example..") == "refused:bad_host");
  CHECK(url("/", "010.0.0.1") == "refused:bad_host");
  CHECK(url("/", "good.example\r\nHost: evil.example") == "refused:duplicate_host");
  CHECK(url("/", "") == "refused:bad_host");
  CHECK(url("http://good.example/", "evil.example:x") == "refused:bad_host");
}
