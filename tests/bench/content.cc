// What the looks at a request and at its content cost: the canonical URL, the type of a content's first 8
// KiB, Content-Encoding undone, and a block page. Prints, asserts nothing.
#include <zlib.h>

#include <cstdio>
#include <ctime>
#include <string>
#include <vector>

#include "base/canonical_url.h"
#include "base/limits.h"
#include "http/page.h"
#include "scan/decoder.h"
#include "scan/file_type.h"

using namespace sluice;

namespace {

/// Microseconds of CPU time per call, over about a third of a second: a busy machine does not spoil it much.
template <class Work>
double measure_us(const Work& work) {
  for (size_t rounds = 1;; rounds *= 2) {
    const std::clock_t begin = std::clock();
    for (size_t i = 0; i < rounds; ++i) work();
    const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    if (seconds > 0.3) return seconds * 1e6 / static_cast<double>(rounds);
  }
}

template <class Value>
void use(const Value& value) {
  asm volatile("" : : "g"(&value) : "memory");
}

void bench_target(const char* title, const std::string& target) {
  std::string out;
  const double us = measure_us([&] {
    out.clear();
    append_canonical_origin(out, true, "www.example.com", 443);
    append_canonical_target(out, target);
    use(out);
  });
  std::printf("canonical URL, %-32s %8.3f us\n", title, us);
}

void bench_type(const char* title, std::string content) {
  content.resize(limits::content_prefix_bytes, content.back());
  const std::vector<uint8_t> bytes(content.begin(), content.end());
  const double us = measure_us([&] { use(scan::file_types_of(bytes)); });
  std::printf("file type, %-36s %8.3f us\n", title, us);
}

void bench_gzip() {
  std::string text;
  for (int i = 0; text.size() < 1'000'000; ++i)
    text += "<li class=\"entry-" + std::to_string(i * 7919 % 10007) + "\">some text of a page</li>\n";
  std::vector<uint8_t> packed(compressBound(text.size()) + 64);
  z_stream stream{};
  (void)deflateInit2(&stream, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY);
  stream.next_in = reinterpret_cast<Bytef*>(text.data());
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = packed.data();
  stream.avail_out = static_cast<uInt>(packed.size());
  (void)deflate(&stream, Z_FINISH);
  packed.resize(packed.size() - stream.avail_out);
  deflateEnd(&stream);
  scan::Codings codings;
  (void)codings.add_field("gzip");
  std::vector<uint8_t> out(16 * 1024);
  const double us = measure_us([&] {
    scan::Decoder decoder(codings);
    ByteReader in(packed);
    while (decoder.run(in, out).status == scan::Decoder::Status::output_full) use(out);
  });
  std::printf("gzip, %zu to %zu bytes: %.0f us, %.0f MB/s decoded\n", packed.size(), text.size(), us,
              static_cast<double>(text.size()) / us);
}

void bench_page() {
  MacroValues values;
  values.url = "https://www.example.com/games/index.html?from=home";
  values.host = "www.example.com";
  values.rule = "No games at school";
  values.reason = "an access rule blocks it";
  http::Audience audience;
  audience.wants_html = true;
  std::string out;
  const double us = measure_us([&] {
    out.clear();
    http::write_block_page(out, audience, 403, {}, values);
    use(out);
  });
  std::printf("built-in block page, %zu bytes: %.2f us\n", out.size(), us);
}

}  // namespace

int main() {
  bench_target("a short path", "/index.html");
  bench_target("64 bytes with a query", "/assets/app/main.js?version=3.141.59&locale=en_GB&theme=dark-blue");
  bench_target("encoded and with dot segments", "/a/../%61pp//%e4%b8%ad/./main.js?x=%20y");
  bench_target("2 KiB of query", "/search?" + std::string(2000, 'x'));
  bench_type("a JPEG", "\xff\xd8\xff\xe0JFIF");
  bench_type("HTML", "<!doctype html><html><head><title>x</title></head><body>");
  bench_type("plain text", "some text that is nothing else than text, word after word. ");
  bench_type("nothing known", std::string("\x01\x02\x03\0", 4));
  bench_gzip();
  bench_page();
  return 0;
}
