// What HTTP costs beside TLS: ns per request and per response head, read and written again, and per 16 KiB of
// body in chunks. Prints, asserts nothing.
#include <cstdio>
#include <ctime>
#include <string>

#include "http/reader.h"
#include "http/write.h"

using namespace sluice::http;
using sluice::ByteReader;

namespace {

/// Nanoseconds of CPU time per call, over about half a second: a busy machine does not spoil it much.
template <class Work>
double measure(const Work& work) {
  for (size_t rounds = 1;; rounds *= 2) {
    const std::clock_t begin = std::clock();
    for (size_t i = 0; i < rounds; ++i) work();
    const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    if (seconds > 0.3) return seconds * 1e9 / static_cast<double>(rounds);
  }
}

/// Keeps the compiler from leaving the work out.
template <class Value>
void use(const Value& value) {
  asm volatile("" : : "g"(&value) : "memory");
}

std::span<const uint8_t> bytes_of(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

void print(const char* name, size_t bytes, double read, double both) {
  std::printf("%-34s %6zu bytes  read %6.0f ns  read and write %6.0f ns\n", name, bytes, read, both);
}

/// `is_idle_between`: the memory is given back after each, as on a connection that pauses.
void bench_request(const char* name, const std::string& bytes, bool is_idle_between) {
  RequestReader reader;
  std::string out;
  const auto one = [&](bool is_written) {
    ByteReader in(bytes_of(bytes));
    while (reader.next(in).kind != Event::Kind::end) {
      out.clear();
      if (is_written) write_head(reader.head(), out);
    }
    use(out);
    if (is_idle_between) reader.release();
  };
  const double read = measure([&] { one(false); });
  print(name, bytes.size(), read, measure([&] { one(true); }));
}

void bench_response(const char* name, const std::string& bytes, const RequestHead& request) {
  ResponseReader reader;
  std::string out;
  const auto one = [&](bool is_written) {
    (void)reader.expect(request);
    ByteReader in(bytes_of(bytes));
    BodyWriter body;
    for (;;) {
      const Event event = reader.next(in);
      if (event.kind == Event::Kind::end) break;
      if (!is_written) continue;
      if (event.kind == Event::Kind::head) {
        out.clear();
        body = BodyWriter(write_head(reader.head(), out), reader.head().content_length);
      } else if (body.is_plain()) {
        body.count_plain(event.bytes.size());
      } else {
        body.body(event.bytes, out);
      }
    }
    use(out);
  };
  const double read = measure([&] { one(false); });
  print(name, bytes.size(), read, measure([&] { one(true); }));
}

const std::string curl =
    "GET /1k HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n";

const std::string browser =
    "GET /news/index.html?page=2&sort=date HTTP/1.1\r\n"
    "Host: www.example.com\r\n"
    "Connection: keep-alive\r\n"
    "Cache-Control: max-age=0\r\n"
    "sec-ch-ua: \"Chromium\";v=\"120\", \"Not:A-Brand\";v=\"99\"\r\n"
    "sec-ch-ua-mobile: ?0\r\n"
    "sec-ch-ua-platform: \"Linux\"\r\n"
    "Upgrade-Insecure-Requests: 1\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 "
    "Safari/537.36\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
    "Sec-Fetch-Site: same-origin\r\n"
    "Sec-Fetch-Mode: navigate\r\n"
    "Sec-Fetch-User: ?1\r\n"
    "Sec-Fetch-Dest: document\r\n"
    "Referer: https://www.example.com/news/\r\n"
    "Accept-Encoding: gzip, deflate, br\r\n"
    "Accept-Language: en-GB,en;q=0.9\r\n"
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=1700000000\r\n\r\n";

const std::string nginx =
    "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sat, 21 Nov 2026 21:00:00 GMT\r\nContent-Type: "
    "text/plain\r\n"
    "Content-Length: 1024\r\nLast-Modified: Sat, 21 Nov 2026 20:00:00 GMT\r\nConnection: keep-alive\r\n"
    "ETag: \"65b0c0de-400\"\r\nAccept-Ranges: bytes\r\n\r\n";

}  // namespace

int main() {
  bench_request("curl", curl, false);
  bench_request("curl, memory given back", curl, true);
  bench_request("a browser", browser, false);
  bench_request("a browser, memory given back", browser, true);

  RequestReader reader;
  ByteReader in(bytes_of(curl));
  (void)reader.next(in);
  bench_response("nginx, 1 KB", nginx + std::string(1024, 'x'), reader.head());
  std::string chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 4; ++i) chunked += "1000\r\n" + std::string(4096, 'x') + "\r\n";
  bench_response("16 KiB in four chunks", chunked + "0\r\n\r\n", reader.head());
  std::printf("%-34s %6zu and %zu bytes\n", "an idle reader", sizeof(RequestReader), sizeof(ResponseReader));
}
