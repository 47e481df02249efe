// The one text form in which URLs are compared: by rules (`url`), by link lists, and by people who read the
// log.
//
//   scheme://host[:port, unless it is the scheme's]/path[?query]
//
// Two URLs that some server might take for the same resource have the same form; what the origin gets is
// never changed by it. After WHATWG URL (sections 3.5 and 4.4), but the path is decoded until nothing is left
// to decode. Canonicalising twice changes nothing. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluice {

/// Appends a path, given without its query: percent-decoded as often as it is encoded, '\' as '/',
/// neighbouring slashes merged, "." and ".." segments resolved (also when they were encoded); then control
/// characters, space, '%', '?', '#' and bytes above 0x7e percent-encoded in upper case. Always begins with
/// '/'. '*' stays, so that it may be used for patterns.
void append_canonical_path(std::string& out, std::string_view path);

/// Appends a query, given without its '?': unreserved characters (RFC 3986 section 2.3) decoded, once;
/// control characters, space, '#', bytes above 0x7e and a '%' that encodes nothing encoded; hexadecimal
/// digits in upper case.
void append_canonical_query(std::string& out, std::string_view query);

/// Appends "/path?query": both of the above. A fragment is dropped.
void append_canonical_target(std::string& out, std::string_view path_and_query);

/// Appends "https://example.com:8443". `host` is canonical already, an IPv6 address without brackets. Port 0
/// and the scheme's own are left out.
void append_canonical_origin(std::string& out, bool is_https, std::string_view host, uint16_t port);

/// The host of a URL as it is written there (an IPv6 address in brackets): percent-decoded, IDNA to A-labels,
/// lower case, without a trailing dot; addresses in any notation as RFC 5952 or dotted quad, without
/// brackets. False with `error` set to a sentence for people when it is no host.
[[nodiscard]] bool canonical_host(std::string_view text, std::string& host, std::string& error);

/// A whole http or https URL. A user name and password are dropped, a path of "/" is added. Empty with
/// `error` set when it is none.
[[nodiscard]] std::optional<std::string> canonical_url(std::string_view text, std::string& error);

}  // namespace sluice
