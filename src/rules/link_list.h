// Link lists: phishing and malicious links, as feeds publish them and as people write them (S32).
//
//   plain    one entry a line: a host, a URL (scheme and port do not matter), an address or a network
//   hosts    "0.0.0.0 name name …": every name
//   Adblock  "||host^": what list.h says of that form
//   CSV      the column "url" of a header, which may be a comment: `"id","dateadded","url",…` of URLhaus,
//            `phish_id,url,…` of PhishTank
//
// A host, or a URL without a path and a query, means the whole host: everything at it and at the names under it, CONNECT
// included. A URL with more than that means its path at the host and the names under it (Safe Browsing, "URLs and Hashing"):
// with a query just that; else with any query; and when it ends in '/' what lies under it. Spellings do not matter: every
// entry is taken as its canonical form. '#' begins a comment (';' too, in plain form). Pure: the text is an argument.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/ip.h"
#include "rules/url_pattern.h"

namespace sluice::rules {

struct Link {
  std::optional<Cidr> network;  // in place of `url`: matches the destination, and a host that is written as an address
  UrlPattern url;               // without scheme and port

  /// It means a whole host, so a CONNECT can meet it.
  [[nodiscard]] bool is_host() const { return network.has_value() || url.is_host(); }
};

/// One entry in plain form; false with `error` set to what is wrong and what is allowed. `link` and `error` may be used again and
/// again, for lists of a million lines.
[[nodiscard]] bool parse_link(std::string_view text, Link& link, std::string& error);

enum class LinkForm : uint8_t { plain, adblock, csv };

class LinkSink {
 public:
  virtual ~LinkSink() = default;
  virtual void link(const Link& link) = 0;
  /// Lines and columns count from 1; columns in bytes.
  virtual void problem(uint32_t line, uint32_t column, std::string message) = 0;
};

struct LinkSummary {
  LinkForm form = LinkForm::plain;
  size_t entries = 0;
  size_t skipped = 0;               // Adblock lines that cannot be applied to a host name, exceptions included
  uint32_t first_skipped_line = 0;  // 0: none
};

LinkSummary read_link_list(std::string_view text, LinkSink& sink);

}  // namespace sluice::rules
