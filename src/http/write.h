// Heads and bodies back into HTTP/1.1 bytes, from the model and never from the bytes that came.
//
// Order, spelling and duplicates of fields are kept. What belongs to one hop only is not (RFC 9110
// section 7.6.1): Connection and what it lists, Keep-Alive, Proxy-Connection, TE, Upgrade; of these only what
// this hop means is written, where the field stood. Content-Length and Transfer-Encoding are written from
// `framing`, one of them or none. Callers may change a head before. Everything is appended to a buffer of the
// caller. Pure; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/byte_reader.h"
#include "http/head.h"

namespace sluice::http {

void write_head(const RequestHead& head, std::string& out);

struct ResponseWriting {
  uint8_t client_version_minor = 1;  // of the request: an HTTP/1.0 client cannot read chunks
  bool close =
      false;  // end the client's connection after this response, whatever the origin does with its own
};
/// How the body has to be written behind it. Differs from head.framing only for an HTTP/1.0 client, which
/// gets until_close in place of chunked. When the result is until_close, or the head says so, the connection
/// must be closed behind the body.
[[nodiscard]] Framing write_head(const ResponseHead& head, std::string& out, const ResponseWriting& how = {});

/// Writes a body in the framing that write_head() announced, and counts, so that a short one is noticed.
class BodyWriter {
 public:
  BodyWriter() = default;
  BodyWriter(Framing framing, uint64_t content_length)
      : framing_(framing), left_(framing == Framing::length ? content_length : 0) {}

  /// True when body bytes go out as they are, so that the caller can send its view instead of appending a
  /// copy here.
  [[nodiscard]] bool is_plain() const { return framing_ != Framing::chunked; }
  void count_plain(size_t bytes);  // for a caller that does so
  void body(std::span<const uint8_t> bytes, std::string& out);
  /// The last chunk and the trailers. False: the body is shorter than announced, and the connection must not
  /// end cleanly.
  [[nodiscard]] bool end(const Headers& trailers, std::string& out);

 private:
  Framing framing_ = Framing::none;
  uint64_t left_ = 0;  // with Framing::length
};

}  // namespace sluice::http
