// What an event knows of a connection, a request or a response: the input of every verdict.
//
// Plain values and views; the caller owns what the views point to for the duration of the call.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/ip.h"

namespace sluice {
class FileTypes;  // base/file_type.h
}

namespace sluice::rules {

/// not_yet: more will be known later, so a condition over it is unknown. never: it cannot become known in
/// this mode (no event will bring it), so neither the condition nor its negation matches.
enum class Known : uint8_t { not_yet, never, yes };

enum class Mode : uint8_t { transparent, explicit_proxy };

/// What is being judged. connect and hello are two looks at one CONNECT, real or synthetic; request and response are
/// messages, each with its head and its body.
enum class Event : uint8_t { connect, hello, request, response };
[[nodiscard]] const char* to_string(Event event);  // "connect", as in the docs

/// Local wall-clock time, for schedules. An argument, because this room reads no clock.
struct LocalTime {
  int year = 1970;
  int month = 1;    // 1..12
  int day = 1;      // 1..31
  int weekday = 4;  // 1 = Monday … 7 = Sunday (ISO 8601)
  int minute = 0;   // of the day, 0..1439
};

/// The body of the message that is judged: of the request at the request event, of the response at the response event. Without a
/// body everything is known: size 0, no types, and hashes that are those of nothing (`has_hashes` false).
/// Not read at the connect and hello events.
struct Content {
  Known size_known = Known::not_yet;  // yes: from Content-Length, or the body has ended
  uint64_t size = 0;                  // bytes on the wire, without chunk headers
  uint64_t size_at_least = 0;         // what has come so far, while the size is not known
  Known type_known = Known::not_yet;  // yes: limits::content_prefix_bytes of the decoded body have come, or it has ended
  const FileTypes* types = nullptr;   // by content; null: none
  Known hashes_known = Known::not_yet;  // yes: the decoded body has ended
  bool has_hashes = false;              // false when known: there is no body, so no hash matches
  std::array<uint8_t, 16> md5{};
  std::array<uint8_t, 32> sha256{};
  /// The body cannot be decoded (an unknown Content-Encoding, broken compression), so type and hashes stay unknown. A rule that
  /// blocks or redirects by them counts as matched once the event is settled, and so does an `except` of a rule that allows: what a
  /// rule forbids is never let through unseen.
  bool unreadable = false;

  // Of a body with a Content-Encoding: what it is as it came. See Facts::also_mimes.
  const FileTypes* coded_types = nullptr;  // null: nothing besides `types`
  bool has_coded_hashes = false;
  std::array<uint8_t, 16> coded_md5{};
  std::array<uint8_t, 32> coded_sha256{};
};

struct Facts {
  Mode mode = Mode::transparent;
  Event event = Event::connect;  // for people; a Judge is asked by the event's own function
  LocalTime now;

  // connect event: always known
  IpAddress client;
  std::string_view
      interface;         // the LAN interface's name; empty when the kernel did not tell: then never known
  Endpoint destination;  // the original destination
  // explicit mode, before a CONNECT's name is resolved: not_yet (the port is known all the same); else yes.
  Known destination_known = Known::yes;

  // known at connect in explicit mode, at hello in transparent mode, always at request and response.
  Known host_known = Known::not_yet;
  // The SNI; else the CONNECT name; of a request its own host, an address literal included ("192.0.2.1", "[2001:db8::1]" or
  // without brackets). Else empty (then only address patterns can match).
  std::string_view host;

  // known at hello; never, when the bytes turned out not to be TLS, and at request and response
  Known hello_known = Known::not_yet;
  bool sni_present = false;
  bool ech_present = false;
  std::span<const std::string> alpn;
  std::span<const uint16_t> tls_versions;  // offered, e.g. 0x0304, 0x0303
  std::string_view ja4;

  // connect: transparent mode never, explicit mode yes (a client that sends none: yes and empty).
  // request and response: the same for the user; the user agent is the request's.
  Known user_known = Known::never;
  std::string_view user;
  Known user_agent_known = Known::never;
  std::string_view user_agent;

  // request and response: those of the request
  std::string_view method = "CONNECT";  // always that at connect and hello
  std::string_view url;                 // canonical (http/url.h); empty at connect and hello

  // request and response: those of the message that is judged
  std::string_view mime;                         // lower case, without parameters; empty: none was sent
  std::array<std::string_view, 2> file_names;    // empty: none
  Content content{};
  // What other programs than browsers may take the same message for: its other types and names, or, in `content`, its body as it
  // came. A rule that blocks or redirects is matched by any of it, and so is an `except` of one that allows. A rule that allows, and
  // an `except` of one that blocks, are matched by what stands above alone.
  std::span<const std::string> also_mimes{};
  std::span<const std::string> also_file_names{};
};

}  // namespace sluice::rules
