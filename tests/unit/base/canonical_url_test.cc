// One form for all spellings of a URL.
#include "base/canonical_url.h"

#include <doctest/doctest.h>

#include "base/host_name.h"

using namespace sluice;

namespace {

std::string path(std::string_view text) {
  std::string out = "before";
  append_canonical_path(out, text);
  REQUIRE(out.starts_with("before/"));
  std::string again;
  append_canonical_path(again, out.substr(6));
  CHECK(again == out.substr(6));
  return again;
}

std::string query(std::string_view text) {
  std::string out;
  append_canonical_query(out, text);
  std::string again;
  append_canonical_query(again, out);
  CHECK(again == out);
  return out;
}

std::string url(std::string_view text) {
  std::string error;
  const auto canonical = canonical_url(text, error);
  if (!canonical) {
    CHECK_FALSE(error.empty());
    return "none";
  }
  CHECK(canonical_url(*canonical, error) == canonical);
  return *canonical;
}

std::string host(std::string_view text) {
  std::string name;
  std::string error;
  if (canonical_host(text, name, error)) return name;
  CHECK_FALSE(error.empty());
  return "none";
}

}  // namespace

TEST_CASE("a path that is canonical stays as it is") {
  for (const char* text : {"/", "/a", "/a/", "/a/b.html", "/~user/x;v=1,2", "/*", "/a*b/*", "/%25", "/a%20b",
                           "/%C3%A9", "/...", "/.a"})
    CHECK(path(text) == text);
}

TEST_CASE("dot segments and double slashes go, however they are written") {
  CHECK(path("") == "/");
  CHECK(path("a") == "/a");
  CHECK(path("//") == "/");
  CHECK(path("//a///b//") == "/a/b/");
  CHECK(path("/a/./b") == "/a/b");
  CHECK(path("/a/.") == "/a/");
  CHECK(path("/a/..") == "/");
  CHECK(path("/a/../b") == "/b");
  CHECK(path("/../../b") == "/b");
  CHECK(path("/a/b/../../c") == "/c");
  CHECK(path("/a/%2e%2E/b") == "/b");
  CHECK(path("/a/%252e./b") == "/b");
  CHECK(path("/a%2f..%5Cb") == "/b");
  CHECK(path("\\a\\..\\b") == "/b");
  CHECK(path("/a//../b") == "/b");  // merged first: some servers do, and "/a/b" is reached without tricks
}

TEST_CASE("a path is decoded until nothing is left to decode") {
  CHECK(path("/%61dmin") == "/admin");
  CHECK(path("/%2561dmin") == "/admin");
  CHECK(path("/%25252561dmin") == "/admin");
  CHECK(path("/%%361dmin") == "/admin");
  CHECK(path("/%25%36%31dmin") == "/admin");
  CHECK(path("/%2%3561dmin") == "/admin");
  CHECK(path("/100%") == "/100%25");
  CHECK(path("/%zz%4") == "/%25zz%254");
  CHECK(path("/%00%1f%7F%80") == "/%00%1F%7F%80");
  CHECK(path("/a%3fb%23c") == "/a%3Fb%23c");
  CHECK(path("/caf\xc3\xa9") == "/caf%C3%A9");
  CHECK(path("/a b") == "/a%20b");
}

TEST_CASE("a query keeps what it means") {
  CHECK(query("") == "");
  CHECK(query("a=b&c=%64") == "a=b&c=d");
  CHECK(query("u=http%3a%2f%2fx/../y//z") == "u=http%3A%2F%2Fx/../y//z");
  CHECK(query("%2541") == "%2541");  // once: twice would make another value of it
  CHECK(query("%%36%31") == "%2561");
  CHECK(query("100%") == "100%25");
  CHECK(query("%4") == "%254");
  CHECK(query("a b\xc3\xa9#") == "a%20b%C3%A9%23");
  CHECK(query("a?b+c%2B") == "a?b+c%2B");
}

TEST_CASE("whole URLs") {
  CHECK(url("HTTP://Example.COM") == "http://example.com/");
  CHECK(url("http://example.com:80/") == "http://example.com/");
  CHECK(url("https://example.com:443/") == "https://example.com/");
  CHECK(url("https://example.com:80/") == "https://example.com:80/");
  CHECK(url("http://example.com:0080/x?") == "http://example.com/x?");
  CHECK(url("http://example.com.?a#b?c") == "http://example.com/?a");
  CHECK(url("http://user:pass@example.com@evil.example/") == "http://evil.example/");
  CHECK(url("http:\\\\evil.example\\@good.example") == "http://evil.example/@good.example");
  CHECK(url(" https:/\texample.com/a\n ") == "https://example.com/a");
  CHECK(url("http://%65xample.com/") == "http://example.com/");
  CHECK(url("http://b\xc3\xbc"
            "cher.example/") == "http://xn--bcher-kva.example/");
  CHECK(url("http://B%C3%9Ccher.example/") == "http://xn--bcher-kva.example/");
  CHECK(url("http://[2001:DB8:0:0::1]:8080/") == "http://[2001:db8::1]:8080/");
  CHECK(url("http://[::ffff:192.0.2.1]/") == "http://192.0.2.1/");
  CHECK(url("http://0x7f.1/") == "http://127.0.0.1/");
}

TEST_CASE("what is no URL") {
  for (const char* text : {"",
                           "example.com",
                           "ftp://example.com/",
                           "http:",
                           "http://",
                           "http:///",
                           "http://:80/",
                           "http://a:65536/",
                           "http://a:0/",
                           "http://a:8a/",
                           "http://a b/",
                           "http://a..b/",
                           "http://[::1",
                           "http://[::1]x/",
                           "http://[::1%25eth0]/",
                           "http://[192.0.2.1]/",
                           "http://::1/",
                           "http://1.2.3.4.5/",
                           "http://a.256x.09/",
                           "http://a%00b/",
                           "http://a%2fb/",
                           "http://a%40b%3a80/",
                           "http://*.example.com/"}) {
    CAPTURE(text);
    CHECK(url(text) == "none");
  }
}

TEST_CASE("hosts that are addresses in other notations (WHATWG URL section 3.5)") {
  CHECK(host("127.0.0.1") == "127.0.0.1");
  CHECK(host("127.0.0.1.") == "127.0.0.1");
  CHECK(host("127.1") == "127.0.0.1");
  CHECK(host("127.0.1") == "127.0.0.1");
  CHECK(host("2130706433") == "127.0.0.1");
  CHECK(host("0x7F000001") == "127.0.0.1");
  CHECK(host("0x7f.0.0.0x1") == "127.0.0.1");
  CHECK(host("0177.0.0.01") == "127.0.0.1");
  CHECK(host("010.0.0.1") == "8.0.0.1");
  CHECK(host("0") == "0.0.0.0");
  CHECK(host("0x") == "0.0.0.0");
  CHECK(host("4294967295") == "255.255.255.255");
  CHECK(host("1.16777215") == "1.255.255.255");
  CHECK(host("%31%32%37.1") == "127.0.0.1");
  CHECK(host("\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.1") == "127.0.0.1");  // full-width digits
  CHECK(host("127\xe3\x80\x82"
             "1") == "127.0.0.1");  // an ideographic full stop
  for (const char* text :
       {"4294967296", "1.16777216", "256.0.0.1", "1.2.3.256", "1.2.3.4.5", "08.0.0.1", "0xg.1", "a.1",
        "1.a.0x1", "99999999999999999999", "0x100000000", "1..2", "[::1]."}) {
    CAPTURE(text);
    CHECK(host(text) == "none");
  }
  CHECK(host("1.2.3.4a") == "1.2.3.4a");
  CHECK(host("0x1.example") == "0x1.example");
}

TEST_CASE("leading zeros are ambiguous only where octal and decimal differ") {
  const auto kind = [](std::string_view text) { return read_numeric_host(text).kind; };
  CHECK(kind("192.168.000.001") == NumericHost::Kind::address);
  CHECK(kind("192.168.0.010") == NumericHost::Kind::ambiguous);
  CHECK(kind("0x0a.0.0.1") == NumericHost::Kind::address);
  CHECK(kind("example.com") == NumericHost::Kind::not_numeric);
  CHECK(kind("") == NumericHost::Kind::not_numeric);
  CHECK(kind(".") == NumericHost::Kind::not_numeric);
}
