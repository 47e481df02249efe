// A client's bytes: requests in a row. However they are cut, the events are the same; a head that is given
// out keeps its promises; and what is written of it reads as the same model and the same body, and is written
// the same again.
#include "fuzz/http_fuzz.h"

using namespace sluice;
using namespace sluice::http;
using namespace sluice::http::testing;

namespace {

void check_host(const RequestHead& head) {
  const std::string_view host = head.host();
  SLUICE_CHECK(host.size() <= limits::host_bytes_max);
  SLUICE_CHECK(!host.empty() || head.version_minor == 0);
  const bool is_address = head.host_address().has_value();
  for (const char c : host) {
    const bool is_name = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
    SLUICE_CHECK(is_name || (c == ':' && is_address));
  }
  SLUICE_CHECK(host.empty() || (host.front() != '.' && host.back() != '.'));
}

void check_promises(const RequestHead& head) {
  check_host(head);
  check_fields(head.headers);
  SLUICE_CHECK(!head.method().empty() && head.method().size() <= limits::http_method_bytes_max);
  SLUICE_CHECK(!head.target().empty() && head.target().size() <= limits::http_target_bytes_max);
  SLUICE_CHECK(head.target().find_first_of(std::string_view("\r\n\0 ", 4)) == std::string_view::npos);
  SLUICE_CHECK(head.framing != Framing::until_close);
  SLUICE_CHECK(head.headers.count(Name::host) + (head.version_minor == 0 ? 1 : 0) >= 1);
  SLUICE_CHECK(head.headers.count(Name::content_length) + head.headers.count(Name::transfer_encoding) <= 1 ||
               head.headers.count(Name::content_length) == 0);
  SLUICE_CHECK((head.framing == Framing::none) == (head.headers.count(Name::content_length) == 0 &&
                                                   head.headers.count(Name::transfer_encoding) == 0));
  const std::string_view path = head.path();
  SLUICE_CHECK(head.is_connect() ? path.empty() : path.front() == '/' || path == "*");
}

/// What the gateway would send of all complete requests, and the transcript without what belongs to one hop.
std::string rewrite(std::string_view bytes) {
  std::string out;
  std::string whole;  // the requests that were complete; a half one is not sent on as if it were whole
  BodyWriter body;
  RequestReader reader;
  ByteReader in(bytes_of(bytes));
  for (;;) {
    const Event event = reader.next(in);
    switch (event.kind) {
      case Event::Kind::head:
        check_promises(reader.head());
        write_head(reader.head(), out);
        body = BodyWriter(reader.head().framing, reader.head().content_length);
        break;
      case Event::Kind::body:
        body.body(event.bytes, out);
        break;
      case Event::Kind::end:
        SLUICE_CHECK(body.end(reader.trailers(), out));
        whole = out;
        break;
      case Event::Kind::undecided:
        reader.declined();
        break;
      case Event::Kind::need_more:
      case Event::Kind::over:
      case Event::Kind::refused:
        return whole;
      case Event::Kind::interim:
      case Event::Kind::raw:
        SLUICE_CHECK(false);
        return whole;
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes = as_text({data, size});
  const Transcript whole = read_requests(bytes);
  SLUICE_CHECK(read_requests(bytes, some_cuts(bytes)) == whole);
  if (size <= bytewise_bytes_max) SLUICE_CHECK(read_requests(bytes, every_offset(size)) == whole);
  const Protocol protocol = recognise({data, size});
  const Protocol of_half = recognise({data, size / 2});  // once told, it stays so
  if (size <= limits::http_target_bytes_max) SLUICE_CHECK(of_half == Protocol::need_more || of_half == protocol);

  const std::string once = rewrite(bytes);
  SLUICE_CHECK(rewrite(once) == once);
  SLUICE_CHECK(essence(read_requests(once, {}, false)) ==
               essence(complete_part(read_requests(bytes, {}, false))));
  return 0;
}
