// Responses that the gateway makes: right length, right for their readers. And authorities.
#include "http/page.h"

#include <doctest/doctest.h>

#include "http/authority.h"
#include "unit/http/transcript.h"

using namespace sluice::http;
using namespace sluice::http::testing;

namespace {

RequestHead request(const std::string& first_line, const std::string& fields = "") {
  auto heads = heads_of(first_line + "\r\nHost: a.example\r\n" + fields + "\r\n");
  REQUIRE(heads.size() == 1);
  return std::move(heads.front());
}

std::string page(const RequestHead& to, uint16_t status = 502) {
  std::string out;
  write_page(out, audience_of(to), status, "<b> & \"c\"");
  return out;
}

bool html(const std::string& fields) { return accepts_html(request("GET / HTTP/1.1", fields)); }

std::string authority(std::string_view text) {
  HostBuffer buffer;
  const auto parsed = parse_authority(text, buffer);
  return parsed ? fmt::format("{} {}", parsed->host, parsed->port) : "none";
}

}  // namespace

TEST_CASE("a page is a whole response, escaped, never to be cached, and leaves the connection usable") {
  const std::string get = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
  const std::string text = page(request("GET / HTTP/1.1"));
  const auto lines = read_responses(get + get, text + text).lines;
  REQUIRE(lines.size() == 7);
  CHECK(lines[0].starts_with("head:HTTP/1.1 502 Bad Gateway body=length "));
  CHECK(lines[0].find(" keep\n") != std::string::npos);
  CHECK(lines[0].find("[Cache-Control]=[no-store]") != std::string::npos);
  CHECK(lines[0].find("[Content-Type]=[text/html; charset=utf-8]") != std::string::npos);
  CHECK(lines[1].find("<h1>502 Bad Gateway</h1>\n<p>&lt;b&gt; &amp; &quot;c&quot;</p>") != std::string::npos);
  CHECK(lines[6] == "finish:idle");
}

TEST_CASE("the page for HEAD has the same head and no body") {
  const std::string get = page(request("GET / HTTP/1.1"));
  CHECK(page(request("HEAD / HTTP/1.1")) == get.substr(0, get.find("\r\n\r\n") + 4));
}

TEST_CASE("who does not accept HTML gets short text") {
  const std::string text = page(request("GET / HTTP/1.1", "Accept: application/json\r\n"), 421);
  CHECK(text.find("Content-Type: text/plain; charset=utf-8\r\n") != std::string::npos);
  CHECK(text.ends_with("\r\n\r\n421 Misdirected Request\n<b> & \"c\"\n"));
  CHECK(html(""));
  CHECK(html("Accept: */*\r\n"));
  CHECK(html("Accept: image/png, Text/*;q=0.1\r\n"));
  CHECK(html("Accept: image/png\r\nAccept: text/html\r\n"));
  CHECK_FALSE(html("Accept: image/png\r\n"));
  CHECK_FALSE(html("Accept: text/html;q=0, */*\r\n"));
  CHECK_FALSE(html("Accept: */*, text/html; level=1; q=0.000\r\n"));
}

TEST_CASE("the connection stays only when the next request can be read from it") {
  const auto keeps = [](const RequestHead& head) { return audience_of(head).keep_alive; };
  CHECK(keeps(request("GET / HTTP/1.1")));
  CHECK(keeps(request("POST / HTTP/1.1", "Content-Length: 0\r\n")));
  CHECK_FALSE(keeps(request("POST / HTTP/1.1", "Content-Length: 1\r\n")));
  CHECK_FALSE(keeps(request("POST / HTTP/1.1", "Transfer-Encoding: chunked\r\n")));
  CHECK_FALSE(keeps(request("GET / HTTP/1.1", "Connection: close\r\n")));
  CHECK_FALSE(keeps(request("GET / HTTP/1.0")));
  CHECK(page(request("GET / HTTP/1.0")).find("Connection: close\r\n") != std::string::npos);
  CHECK(page(request("GET / HTTP/1.0", "Connection: keep-alive\r\n")).find("Connection: keep-alive\r\n") !=
        std::string::npos);
}

TEST_CASE("a request that could not be read gets plain text and a close") {
  std::string out;
  write_page(out, Audience(), status_of_request(Refusal::bare_lf), text_of(Refusal::bare_lf));
  CHECK(out.starts_with("HTTP/1.1 400 Bad Request\r\n"));
  CHECK(out.find("Connection: close\r\n") != std::string::npos);
  CHECK(out.ends_with("400 Bad Request\nan LF without its CR\n"));
}

TEST_CASE("extra fields come before the empty line") {
  std::string out;
  write_response(out, Audience(), 302, {}, {}, "Location: https://b.example/\r\n");
  CHECK(out ==
        "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nCache-Control: no-store\r\nConnection: close\r\n"
        "Location: https://b.example/\r\n\r\n");
}

TEST_CASE("every status that a refusal leads to has a name") {
#define SLUICE_REFUSAL(name, status, text) CHECK_FALSE(reason_phrase(status).empty());
#include "http/refusal.def"
#undef SLUICE_REFUSAL
  CHECK_FALSE(reason_phrase(status_of_response).empty());
}

TEST_CASE("authorities have one canonical form") {
  CHECK(authority("Example.COM") == "example.com 0");
  CHECK(authority("example.com.") == "example.com 0");
  CHECK(authority("example.com.:443") == "example.com 443");
  CHECK(authority("example.com:") == "example.com 0");
  CHECK(authority("a_b.example:0080") == "a_b.example 80");
  CHECK(authority("192.0.2.1:8443") == "192.0.2.1 8443");
  CHECK(authority("0x7f.1:80") == "127.0.0.1 80");
  CHECK(authority("2130706433") == "127.0.0.1 0");
  CHECK(authority("127.0.0.1.") == "127.0.0.1 0");
  CHECK(authority("[::FFFF:127.0.0.1]") == "127.0.0.1 0");
  CHECK(authority("[2001:DB8:0:0::1]") == "2001:db8::1 0");
  CHECK(authority("[2001:db8::1]:65535") == "2001:db8::1 65535");
  const std::string label(63, 'a');
  CHECK(authority(label + "." + label + "." + label + "." + label.substr(2)) != "none");  // 253 bytes
}

TEST_CASE("what is no authority") {
  const std::string label(63, 'a');
  for (const std::string& text : {std::string(""),
                                  std::string("."),
                                  std::string(".a"),
                                  std::string("a..b"),
                                  std::string("a b"),
                                  std::string("a,b"),
                                  std::string("user@a"),
                                  std::string("a/b"),
                                  std::string("a?"),
                                  std::string("a#"),
                                  std::string("a\\b"),
                                  std::string("%61.example"),
                                  std::string("caf\xc3\xa9.example"),
                                  std::string("a:0"),
                                  std::string("010.0.0.1"),
                                  std::string("0177.0.0.1"),
                                  std::string("1.2.3.256"),
                                  std::string("1.2.3.4.5"),
                                  std::string("a.example.1"),
                                  std::string("08.1"),
                                  std::string("a%2eb"),
                                  std::string("a.."),
                                  std::string("a@b:80"),
                                  std::string("\xef\xbc\x91.1"),
                                  std::string("a:65536"),
                                  std::string("a:+1"),
                                  std::string("a:80:80"),
                                  std::string("a:80 "),
                                  std::string("a:000080"),
                                  std::string(":80"),
                                  std::string("2001:db8::1"),
                                  std::string("[2001:db8::1"),
                                  std::string("[2001:db8::1]80"),
                                  std::string("[::1%eth0]"),
                                  std::string("[v1.x]"),
                                  std::string("[192.0.2.1]"),
                                  std::string("[]"),
                                  std::string("a\0b", 3),
                                  label + "a",
                                  label + "." + label + "." + label + "." + label}) {
    CAPTURE(text);
    CHECK(authority(text) == "none");
  }
}

// --- block pages and redirects (S31)
// ------------------------------------------------------------------------------------

namespace {

sluice::MacroValues block_values() {
  return {.date = "2026-11-22",
          .time = "14:05:09",
          .method = "GET",
          .url = "http://a.example/?<script>",
          .host = "a.example",
          .client_ip = "192.0.2.7",
          .user = {},
          .user_agent = "x",
          .rule = "no \"games\"",
          .reason = "an access rule blocks it",
          .threat = {},
          .category = {},
          .server = "gw"};
}

std::string block_page(const RequestHead& to, std::string_view page_template = {}) {
  std::string out;
  write_block_page(out, audience_of(to), 403, page_template, block_values());
  return out;
}

}  // namespace

TEST_CASE("the block page tells what there is to tell, escaped, and asks nothing from elsewhere") {
  const std::string get = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
  const std::string text = block_page(request("GET / HTTP/1.1"));
  const auto lines = read_responses(get + get, text + text).lines;
  REQUIRE(lines.size() == 7);
  CHECK(lines[0].starts_with("head:HTTP/1.1 403 Forbidden body=length "));
  CHECK(lines[0].find("[Cache-Control]=[no-store]") != std::string::npos);
  CHECK(lines[0].find("[Content-Security-Policy]=[default-src 'none';") != std::string::npos);
  const std::string& body = lines[1];
  CHECK(body.find("<dt>Address</dt><dd>http://a.example/?&lt;script&gt;</dd>") != std::string::npos);
  CHECK(body.find("<dt>Rule</dt><dd>no &quot;games&quot;</dd>") != std::string::npos);
  CHECK(body.find("<dt>Time</dt><dd>2026-11-22 14:05:09</dd>") != std::string::npos);
  CHECK(body.find("<html lang=\"en\">") != std::string::npos);
  CHECK(body.find("prefers-color-scheme: dark") != std::string::npos);
  CHECK(body.find("<dt>Threat</dt>") == std::string::npos);
  CHECK(body.find("<dt>User</dt>") == std::string::npos);
  for (const char* other : {"<script", "<link", "<img", "@import", "url(", "src=", "href="})
    CHECK(body.find(other) == std::string::npos);
}

TEST_CASE("a template replaces the page, and only for who accepts HTML") {
  const std::string page = block_page(request("GET / HTTP/1.1"), "<p>%RULE% 100%%</p>");
  CHECK(page.ends_with("\r\n\r\n<p>no &quot;games&quot; 100%</p>"));
  CHECK(page.find("Content-Length: 32\r\n") != std::string::npos);
  CHECK(page.find("Content-Security-Policy") == std::string::npos);  // it may want its own pictures
  const std::string text =
      block_page(request("GET / HTTP/1.1", "Accept: application/json\r\n"), "<p>%RULE%</p>");
  CHECK(text.find("Content-Type: text/plain; charset=utf-8\r\n") != std::string::npos);
  CHECK(text.find("\r\n\r\n403 Forbidden\n") != std::string::npos);
  CHECK(text.find("Rule: no \"games\"\n") != std::string::npos);
  CHECK(text.find("Address: http://a.example/?<script>\n") != std::string::npos);
}

TEST_CASE("block pages for HEAD and HTTP/1.0") {
  const std::string get = block_page(request("GET / HTTP/1.1"));
  CHECK(block_page(request("HEAD / HTTP/1.1")) == get.substr(0, get.find("\r\n\r\n") + 4));
  CHECK(block_page(request("GET / HTTP/1.0")).find("Connection: close\r\n") != std::string::npos);
  CHECK(block_page(request("GET / HTTP/1.0", "Connection: keep-alive\r\n"))
            .find("Connection: keep-alive\r\n") != std::string::npos);
}

TEST_CASE("a redirect with macros is one header line, whatever the values are") {
  std::string out;
  auto values = block_values();
  values.user_agent = "x\r\nSet-Cookie: a=b";
  write_redirect_to(out, audience_of(request("GET / HTTP/1.1")), "https://b.example/?u=%URL%&a=%USER_AGENT%",
                    values);
  const auto lines = read_responses("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", out).lines;
  REQUIRE(lines.size() == 4);
  CHECK(lines[0].starts_with("head:HTTP/1.1 302 Found body=length "));
  CHECK(lines[0].find("[Location]=[https://b.example/"
                      "?u=http%3A%2F%2Fa.example%2F%3F%3Cscript%3E&a=x%0D%0ASet-Cookie%3A%20a%3Db]") !=
        std::string::npos);
  CHECK(lines[0].find("[Set-Cookie]") == std::string::npos);
  CHECK(lines[0].find("[Cache-Control]=[no-store]") != std::string::npos);
  CHECK(lines[1].find("<a href=\"https://b.example/?u=http%3A") != std::string::npos);
  CHECK(lines[1].find("&amp;a=x") != std::string::npos);
}
