// An origin's bytes: the first one says what was asked (HEAD, an upgrade, CONNECT or GET, for each of four
// requests), the rest are the responses. The same properties as for requests.
#include "fuzz/http_fuzz.h"

using namespace sluice;
using namespace sluice::http;
using namespace sluice::http::testing;

namespace {

std::string requests_of(uint8_t choice) {
  constexpr std::string_view rest = " HTTP/1.1\r\nHost: a.example\r\n";
  std::string text;
  for (int i = 0; i < 4; ++i, choice = static_cast<uint8_t>(choice >> 2)) {
    const int kind = choice & 3;
    text += kind == 1 ? "HEAD /" : kind == 3 ? "CONNECT a.example:443" : "GET /";
    text += rest;
    text += kind == 2 ? "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" : "\r\n";
  }
  return text;
}

void check_promises(const ResponseHead& head) {
  check_fields(head.headers);
  SLUICE_CHECK(head.status >= 100 && head.status <= 999);
  SLUICE_CHECK(head.reason().find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos);
  SLUICE_CHECK(head.framing != Framing::until_close || !head.keep_alive);
  SLUICE_CHECK((head.status >= 200 && head.status != 204 && head.status != 304) ||
               head.framing == Framing::none);
  SLUICE_CHECK(!head.upgraded || head.status == 101 || head.status / 100 == 2);
}

/// What the gateway would send to an HTTP/1.1 client. A response that is not complete is left out.
std::string rewrite(const std::string& requests, std::string_view bytes) {
  std::string out;
  std::string whole;
  BodyWriter body;
  ResponseReader reader;
  for (const RequestHead& head : heads_of(requests)) SLUICE_CHECK(reader.expect(head));
  ByteReader in(bytes_of(bytes));
  for (;;) {
    const Event event = reader.next(in);
    switch (event.kind) {
      case Event::Kind::interim:
        SLUICE_CHECK(write_head(reader.head(), out) == Framing::none);
        whole = out;
        break;
      case Event::Kind::head: {
        check_promises(reader.head());
        const Framing framing = write_head(reader.head(), out);
        SLUICE_CHECK(framing == reader.head().framing);
        body = BodyWriter(framing, reader.head().content_length);
        if (framing == Framing::until_close || reader.head().upgraded) whole = out;
        break;
      }
      case Event::Kind::body:
        body.body(event.bytes, out);
        if (reader.finish() == Ending::complete) whole = out;
        break;
      case Event::Kind::raw:
        out.append(as_text(event.bytes));
        whole = out;
        break;
      case Event::Kind::end:
        SLUICE_CHECK(body.end(reader.trailers(), out));
        whole = out;
        break;
      case Event::Kind::need_more:
      case Event::Kind::over:
      case Event::Kind::refused:
        return whole;
      case Event::Kind::undecided:
        SLUICE_CHECK(false);
        return whole;
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string requests = requests_of(data[0]);
  const std::string_view bytes = as_text({data + 1, size - 1});
  const Transcript whole = read_responses(requests, bytes);
  SLUICE_CHECK(read_responses(requests, bytes, some_cuts(bytes)) == whole);
  if (size <= bytewise_bytes_max) {
    SLUICE_CHECK(read_responses(requests, bytes, every_offset(bytes.size())) == whole);
  }
  const std::string once = rewrite(requests, bytes);
  SLUICE_CHECK(rewrite(requests, once) == once);
  SLUICE_CHECK(essence(read_responses(requests, once)) == essence(complete_part(whole)));
  return 0;
}
