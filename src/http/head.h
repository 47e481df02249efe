// The head of a request and of a response, above any version of HTTP: what flow, the rules, the scanners and
// the log see.
//
// A head owns its text (Headers' arena); its views are valid until it is changed or destroyed. Heads may be
// moved and kept. A head that a reader gave out can be trusted to have exactly one meaning: whatever two
// readers could read differently was refused (refusal.def). One thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/ip.h"
#include "http/headers.h"

namespace sluice::http {

/// How the end of the body is known (RFC 9112 section 6.3).
enum class Framing : uint8_t {
  none,         // there is no body
  length,       // content_length bytes; 0 is possible
  chunked,      // chunks, then perhaps trailers
  until_close,  // a response that ends with its connection
};

enum class Scheme : uint8_t { none, http, https };

/// The shape of a request's target (RFC 9112 section 3.2).
enum class TargetForm : uint8_t { origin, absolute, authority, asterisk };

class RequestHead {
 public:
  Headers headers;
  uint8_t version_minor = 1;  // HTTP/1.x: 0 or 1
  Framing framing = Framing::none;
  uint64_t content_length = 0;    // with Framing::length
  bool keep_alive = true;         // the client wants the connection to stay open after the response
  bool connection_named = false;  // it said so itself: "keep-alive" in its Connection field
  bool expects_continue = false;  // Expect: 100-continue (and HTTP/1.1)
  bool upgrade = false;           // asks for another protocol that may be let through, WebSocket for instance
  bool trailers_wanted = false;   // TE: trailers
  TargetForm target_form = TargetForm::origin;
  Scheme scheme = Scheme::none;  // of a target in absolute form
  uint16_t port = 0;             // of the target's or Host's authority; 0: none was given

  [[nodiscard]] std::string_view method() const { return headers.text(method_); }
  [[nodiscard]] std::string_view target() const { return headers.text(target_); }  // as it came
  [[nodiscard]] bool is_head() const { return method() == "HEAD"; }
  [[nodiscard]] bool is_connect() const { return target_form == TargetForm::authority; }

  /// The host that the request is for, which is the target's when that names one (RFC 9112 section 3.2.2),
  /// else that of Host: lower case, no trailing dot, no port, no brackets. Empty only in HTTP/1.0 without
  /// Host.
  [[nodiscard]] std::string_view host() const { return headers.text(host_); }
  [[nodiscard]] std::optional<IpAddress> host_address() const { return IpAddress::parse(host()); }
  /// "example.com:8443" as the target names it (absolute and authority form), else empty. What Host is
  /// rewritten to.
  [[nodiscard]] std::string_view target_authority() const { return headers.text(target_authority_); }
  /// Path and query, beginning with '/'; "*" in asterisk form; empty in authority form.
  [[nodiscard]] std::string_view path() const;
  /// From absolute to origin form, for an origin that must not see the former. Otherwise nothing.
  void use_origin_form();

  /// Appends "https://example.com:8443/path?query" for rules and the log; a default port is left out.
  /// `is_tls` says how the connection came, `fallback` (an SNI, or the destination's address) stands in for a
  /// missing host; a target in absolute form speaks for itself. Authority form: "example.com:443"; asterisk
  /// form: without a path.
  void append_url(std::string& out, bool is_tls, std::string_view fallback) const;

  void clear();    // keeps the memory
  void release();  // gives it back

  // Set by the reader, of text that is in the arena of `headers`.
  void set_start_line(Slice method, Slice target) { method_ = method, target_ = target; }
  void set_host(Slice host) { host_ = host; }
  void set_target_parts(Slice authority, Slice path) { target_authority_ = authority, path_ = path; }
  [[nodiscard]] Slice target_slice() const { return target_; }

 private:
  Slice method_;
  Slice target_;
  Slice path_;  // only in absolute form
  Slice host_;
  Slice target_authority_;
};

class ResponseHead {
 public:
  Headers headers;
  uint16_t status = 0;  // 100 to 999
  uint8_t version_minor = 1;
  Framing framing = Framing::none;
  uint64_t content_length = 0;  // with Framing::length; with none, what a HEAD or 304 says of its absent body
  bool keep_alive = true;       // the origin keeps the connection open after this response
  bool connection_named = false;  // as in RequestHead
  bool upgraded = false;          // 101, or 2xx to CONNECT: what follows is no longer HTTP

  [[nodiscard]] std::string_view reason() const { return headers.text(reason_); }  // as it came; may be empty
  [[nodiscard]] bool is_interim() const { return status < 200 && status != 101; }

  void clear();
  void release();

  void set_reason(Slice reason) { reason_ = reason; }  // text that is in the arena of `headers`

 private:
  Slice reason_;
};

}  // namespace sluice::http
