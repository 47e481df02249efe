// What the fetcher of missing intermediates reads and decides: where a URL leads, whether that may be asked,
// what the answer holds, and whether it is the issuer that was wanted. Pure; any thread.
//
// It is the origin who names the URL, and whoever answers is anybody: nothing here believes either.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip.h"
#include "http/reader.h"
#include "tls/certificate.h"

namespace sluice::worker {

/// "http://HOST[:PORT]/PATH" (RFC 3986) in its parts.
struct FetchUrl {
  std::string host;  // a name in lower case, or an address without brackets
  uint16_t port = 80;
  std::string target;  // path and query, beginning with '/'

  /// Nothing for any other scheme (what TLS protects would need a verdict of its own), user information, a
  /// character that has no place in a URL, or more than limits::fetch_url_bytes_max.
  [[nodiscard]] static std::optional<FetchUrl> parse(std::string_view text);
  /// The request, whole.
  [[nodiscard]] std::string request() const;
};

/// The URL that a certificate names for its issuer: the first that can be asked.
[[nodiscard]] std::optional<FetchUrl> issuer_url(const tls::Certificate& certificate);

/// An address that anybody may be asked to talk to: public unicast, none of the special ones (RFC 6890 and
/// its successors). Of IPv6 only 2000::/3, without what is carried over IPv4 (6to4, Teredo).
[[nodiscard]] bool is_public_unicast(const IpAddress& address);
/// Public ones on port 80, those of `allowed` on any port: an origin must not make the gateway talk to inner
/// hosts, nor to other services of outer ones.
[[nodiscard]] bool may_fetch_from(const Endpoint& endpoint, std::span<const Cidr> allowed);

/// The answer to one GET, as its bytes come: 200 with a body of at most limits::fetch_bytes_max. No
/// redirects.
class FetchReply {
 public:
  FetchReply();
  enum class State : uint8_t { more, complete, refused };
  [[nodiscard]] State take(std::span<const uint8_t> bytes);
  /// The server has closed.
  [[nodiscard]] State finish();
  [[nodiscard]] std::span<const uint8_t> body() const { return body_; }

 private:
  http::ResponseReader reader_;
  std::vector<uint8_t> body_;
  State state_ = State::more;
};

/// The certificates of a body: one in DER, any in PEM, or a PKCS#7 file that holds nothing but certificates
/// (RFC 5652 section 5.1, "certs-only"). What cannot be read is left out; limits::chain_certificates_max at
/// most.
[[nodiscard]] std::vector<tls::Certificate> certificates_of(std::span<const uint8_t> body);

/// Whether it is a CA's, has the subject that `child` names as its issuer, and the key that signed it.
[[nodiscard]] bool has_issued(const tls::Certificate& issuer, const tls::Certificate& child);

/// What has been tried within limits::fetch_again_s: at most limits::fetch_tried_max at any time.
class Tried {
 public:
  enum class Noted : uint8_t { fresh, before, full };
  /// Notes it, if it is fresh. `now_s`: seconds of any clock that only goes forward.
  [[nodiscard]] Noted note(const std::string& what, int64_t now_s);
  [[nodiscard]] bool has(const std::string& what, int64_t now_s) const;

 private:
  std::map<std::string, int64_t> since_;
};

}  // namespace sluice::worker
