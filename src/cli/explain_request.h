// `sluice explain` for a request: which rule decides about it and about its response, stage by stage; and
// what an access log's lines of requests say again.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/file_type.h"
#include "base/ip.h"
#include "cli/verdict.h"
#include "config/config.h"
#include "hello/client_hello.h"
#include "rules/facts.h"
#include "rules/judge.h"

namespace sluice::cli {

/// A request and what is known of its response. What is not known stays unknown: a rule that hangs on it
/// cannot be decided.
struct Request {
  IpAddress client;
  std::string interface;                // empty: not known
  std::optional<Endpoint> destination;  // absent: never known, and the port is the URL's
  bool destination_is_hidden = false;   // absent, but there is one: of a log that does not tell
  rules::LocalTime now;
  std::string method = "GET";
  std::string url;                        // canonical
  std::optional<std::string> user;        // absent: no proxy
  bool user_is_hidden = false;            // absent, but there may be one
  std::optional<std::string> user_agent;  // absent: not known

  /// Of the message that has content: the response, or the request with `is_upload`.
  bool is_upload = false;
  std::string mime;                      // empty: none
  std::optional<std::string> file_name;  // of Content-Disposition; the last part of the URL's path counts as well
  std::optional<uint64_t> size;
  std::optional<FileTypes> types;
  std::optional<std::array<uint8_t, 16>> md5;
  std::optional<std::array<uint8_t, 32>> sha256;
  /// Of the connection that it comes in, with https: what the ClientHello has besides the URL's host; without a name in it, that is the
  /// SNI.
  hello::ClientHello hello;
  std::string ja4;  // empty: not known
  bool has_response = true;  // false: it was refused, so nothing is known of what would have come

  /// Of the request's own body, when what is above is the response's: only its size.
  struct Sent {
    uint64_t bytes = 0;
    bool is_all = false;  // false: there may have been more
  };
  std::optional<Sent> sent;  // absent: it had no body
};

/// The facts of an event; they view into `request` and into what they are given.
struct RequestFacts {
  rules::Facts facts;
  std::string file_name;  // that the message names itself
  std::string url_name;
  std::vector<std::string> also_file_names;
};
void facts_of(const Request& request, rules::Event event, RequestFacts& out);

/// Both events. peek with `pending`: it hangs on something that is not known here.
struct RequestVerdict {
  rules::Decision decision;
  rules::Event event = rules::Event::request;  // which one decided
  std::string action;                          // "allow", "block", "redirect", or "?" when it cannot be told
  std::string by;                              // `access rule "Ads"`, `access.default` …; empty with "?"
};
[[nodiscard]] RequestVerdict verdict_of(rules::Judge& judge, const Request& request);

/// The connection that a request comes in.
[[nodiscard]] Connection connection_of(const Request& request);

/// Some lines of text, ending in what becomes of the request; of its connection, when that means that it is never seen.
[[nodiscard]] std::string explain_request(const config::Config& config, const Request& request);

/// "text" of `--file-type`: names of types, comma-separated, with what contains them; nullopt with `error`
/// set.
[[nodiscard]] std::optional<FileTypes> parse_file_types(std::string_view text, std::string& error);

/// A line of our access log in JSON that tells of a request; nullopt with `error` set when it is not whole,
/// or with `error` empty when it is of a request that could not be read.
struct LoggedRequest {
  Request request;
  int64_t time_us = 0;
  uint64_t connection = 0;  // whose line, with the destination and the user, comes later
};
[[nodiscard]] std::optional<LoggedRequest> read_request_line(std::string_view line, std::string& error);

}  // namespace sluice::cli
