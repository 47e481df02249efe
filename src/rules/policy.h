// Policy: the compiled rule tables. Immutable, shared by all threads; a session keeps the one that it started
// with.
//
// Made by PolicyBuilder (policy_builder.h), asked through a Judge (judge.h), explained by explain.h.
//
// How a verdict is compiled. Every `when` and every `except` entry is a *row*: a conjunction with at most one
// condition per Slot. Every condition is made of *groups* of alternatives (one for what stands in rules.toml,
// one per list file). One look-up per attribute, over all rules at once, gives the groups that hold; each
// group knows its rows. So the cost is one look-up per attribute plus a few words of bit arithmetic per 64
// rows, whatever the lists hold.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_type.h"
#include "rules/facts.h"
#include "rules/host_table.h"
#include "rules/judge.h"
#include "rules/prefix_table.h"
#include "rules/regex_set.h"
#include "rules/schedule.h"
#include "rules/set_pool.h"
#include "rules/url_table.h"

namespace sluice::rules {

/// What a condition is about: its key in `when = { … }`.
enum class Slot : uint8_t {
  client,
  destination,
  port,
  host,
  sni,
  ech,
  alpn,
  tls_version,
  ja4,
  schedule,
  method,
  user,
  user_agent,
  url,
  mime,
  file_name,
  file_type,
  size,
  direction,
  md5,
  sha256
};
inline constexpr size_t slot_count = 21;
constexpr uint32_t bit_of(Slot slot) { return 1u << static_cast<unsigned>(slot); }
/// What no CONNECT has: neither of these conditions nor their negation matches there (S29).
inline constexpr uint32_t content_slots = bit_of(Slot::mime) | bit_of(Slot::file_name) | bit_of(Slot::file_type) |
                                          bit_of(Slot::size) | bit_of(Slot::md5) | bit_of(Slot::sha256);
/// What the ClientHello tells.
inline constexpr uint32_t hello_slots = bit_of(Slot::sni) | bit_of(Slot::ech) | bit_of(Slot::alpn) |
                                        bit_of(Slot::tls_version) | bit_of(Slot::ja4);
[[nodiscard]] const char* to_string(Slot slot);  // "tls_version", as in rules.toml

/// Words of a row set that are combined at once.
inline constexpr uint32_t row_words_step = 4;

/// The tables of rules.toml, in the order in which they are read.
enum class TableKind : uint8_t { bypass, access, protection, tls };
[[nodiscard]] const char* to_string(TableKind table);  // "bypass"

/// Where something stands in a configuration file; line 0 when it does not.
struct Position {
  uint32_t line = 0;
  uint32_t column = 0;
};

/// One `key = value` of a `when` or `except` entry, for people.
struct Condition {
  Slot slot = Slot::client;
  std::string text;  // as in rules.toml, shortened: `host = [".bank.example", "@lists/banking.txt"]`
  Position position;
};

struct Rule {
  std::string name;              // as written, or "tls rule 3"
  // TLS: tunnel, tunnel_sni, bump, terminate; bypass and access: block, redirect, and peek stands for allow; protection: peek
  Action action = Action::peek;
  bool inspect = true;           // of bump: read the HTTP inside; false relays any bytes
  std::string redirect_to;
  ThreatActions threats;  // of a protection rule
  Position position;
  uint32_t row = 0;            // of its `when`
  uint32_t excepts_first = 0;  // rows of its `except` entries
  uint32_t excepts_count = 0;
};

class Policy {
 public:
  /// The rule's name; "default" for rule_default, "" for rule_none.
  [[nodiscard]] std::string_view tls_rule_name(RuleIndex index) const { return name_of(tls_.rules, index); }
  [[nodiscard]] std::string_view access_rule_name(RuleIndex index) const {
    return name_of(access_.rules, index);
  }

  [[nodiscard]] std::string_view bypass_rule_name(RuleIndex index) const { return name_of(bypass_.rules, index); }
  [[nodiscard]] std::string_view protection_rule_name(RuleIndex index) const {
    return name_of(protection_.rules, index);
  }

  [[nodiscard]] std::span<const Rule> tls_rules() const { return tls_.rules; }
  [[nodiscard]] std::span<const Rule> bypass_rules() const { return bypass_.rules; }
  [[nodiscard]] std::span<const Rule> access_rules() const { return access_.rules; }
  [[nodiscard]] std::span<const Rule> protection_rules() const { return protection_.rules; }
  /// The bypass, access or protection rule that a block or redirect comes from; null when it was access.default or
  /// [protection.default], or nothing refused.
  [[nodiscard]] const Rule* refusing_rule(const Decision& decision) const;
  [[nodiscard]] bool decrypt() const { return decrypt_; }
  [[nodiscard]] Action tls_default() const { return tls_default_; }
  [[nodiscard]] bool access_default_allows() const { return access_default_allows_; }
  [[nodiscard]] const ThreatActions& protection_default() const { return protection_default_; }
  /// S26: a block on CONNECT is shown as a page, by bumping the connection for just that. Never without tls.decrypt.
  [[nodiscard]] bool https_page() const { return https_page_ && decrypt_; }

  /// What the daemon need not find out when it is false.
  [[nodiscard]] bool needs_interface() const { return !interfaces_.empty(); }
  [[nodiscard]] bool needs_ja4() const { return !ja4_.empty(); }
  [[nodiscard]] bool needs_time() const { return !schedules_.empty(); }
  [[nodiscard]] bool needs_user() const { return uses(Slot::user); }
  [[nodiscard]] bool needs_user_agent() const { return uses(Slot::user_agent); }
  [[nodiscard]] bool needs_url() const { return uses(Slot::url); }
  [[nodiscard]] bool needs_mime() const { return uses(Slot::mime); }
  [[nodiscard]] bool needs_file_names() const { return uses(Slot::file_name); }
  /// What some bypass or access rule may want of the body of a request or response: needs_prefix, needs_whole_body, needs_size. A
  /// body of which nothing is wanted is never pending.
  [[nodiscard]] Needs needs_request_content() const { return request_needs_; }
  [[nodiscard]] Needs needs_response_content() const { return response_needs_; }
  /// Whether a response can be judged otherwise than its request was. Only then it is asked about.
  [[nodiscard]] bool judges_responses() const {
    return uses(Slot::mime) || uses(Slot::file_name) || uses(Slot::file_type) || uses(Slot::size) || uses(Slot::direction) ||
           uses(Slot::md5) || uses(Slot::sha256);
  }
  /// Whether a connection may be bumped: by a TLS rule, by the default, or to show a page.
  [[nodiscard]] bool can_bump() const { return can_bump_; }
  /// Whether a connection that this TLS rule bumps has its HTTP read (`inspect`); true for rule_default.
  [[nodiscard]] bool inspects(RuleIndex tls_rule) const {
    return tls_rule < 0 || static_cast<size_t>(tls_rule) >= tls_.rules.size() ||
           tls_.rules[static_cast<size_t>(tls_rule)].inspect;
  }

  /// The conditions of a row, in the order of rules.toml. Row numbers are those in Rule.
  [[nodiscard]] std::span<const Condition> conditions_of(uint32_t row) const {
    return std::span(conditions_)
        .subspan(row_conditions_[row], row_conditions_[row + 1] - row_conditions_[row]);
  }

  /// Entries of the link lists of one class, and where rules.toml names them.
  [[nodiscard]] size_t link_entries(Threat threat) const { return links_[static_cast<size_t>(threat)].entries; }
  [[nodiscard]] const Condition* link_lists(Threat threat) const;
  [[nodiscard]] bool has_links() const { return has_links_; }

  [[nodiscard]] size_t host_patterns() const { return hosts_.size(); }
  [[nodiscard]] size_t memory_bytes() const;

 private:
  friend class PolicyBuilder;
  friend class Evaluator;
  friend class Coverage;

  /// Rules occupy the rows first_word * 64 + index, so that a table is a run of whole words.
  struct Table {
    std::vector<Rule> rules;
    uint32_t first_word = 0;
    uint32_t words = 0;
  };
  /// What the link lists of one class say is a row with one condition, over `url`, that no table reads.
  struct Links {
    uint32_t row = no_row;
    size_t entries = 0;
  };
  static constexpr uint32_t no_row = ~uint32_t{0};
  struct Ports {
    std::vector<uint32_t> starts;  // sorted; the range ends where the next begins
    std::vector<SetId> sets;
  };
  /// Texts that match whole, by the part in front of a trailing '*', or by the part behind a leading one.
  struct Texts {
    NameTable exact;
    NameTable prefixes;
    std::vector<uint8_t> prefix_lengths;  // ascending, different
    NameTable suffixes;
    std::vector<uint8_t> suffix_lengths;
    [[nodiscard]] bool empty() const { return exact.empty() && prefixes.empty() && suffixes.empty(); }
  };
  struct SizeGroups {
    uint64_t least = 0;  // inclusive, both
    uint64_t most = 0;
    SetId groups = set_empty;
  };
  /// Rows of which a condition could hold if only more were known: of slot host and of slot url.
  struct HostRows {
    std::vector<uint64_t> naming_hosts;
    std::vector<uint64_t> naming_networks;
  };
  struct TimedGroup {
    Schedule schedule;
    uint32_t group = 0;
  };
  struct VersionGroups {
    uint16_t version = 0;
    SetId groups = set_empty;
  };
  struct PresenceGroups {
    SetId present = set_empty;
    SetId absent = set_empty;
  };

  static std::string_view name_of(const std::vector<Rule>& rules, RuleIndex index) {
    if (index == rule_default) return "default";
    if (index < 0 || static_cast<size_t>(index) >= rules.size()) return "";
    return rules[static_cast<size_t>(index)].name;
  }
  [[nodiscard]] std::span<const uint32_t> rows_of(uint32_t group) const {
    return std::span(group_rows_)
        .subspan(group_row_starts_[group], group_row_starts_[group + 1] - group_row_starts_[group]);
  }
  [[nodiscard]] std::span<const uint64_t> rows_without(Slot slot) const {
    return std::span(rows_without_).subspan(static_cast<size_t>(slot) * words_, words_);
  }

  [[nodiscard]] bool uses(Slot slot) const { return (slots_used_ & bit_of(slot)) != 0; }

  Table bypass_;
  Table access_;
  Table protection_;
  Table tls_;
  std::array<Links, threat_count> links_;  // by Threat
  bool has_links_ = false;
  ThreatActions protection_default_;
  bool https_page_ = false;
  Needs request_needs_ = needs_nothing;
  Needs response_needs_ = needs_nothing;
  bool decrypt_ = true;
  Action tls_default_ = Action::tunnel_sni;
  bool access_default_allows_ = true;
  bool can_bump_ = false;

  // Words per row set, a multiple of row_words_step: bypass, access, protection, TLS rules, then except entries and link lists.
  uint32_t words_ = 0;
  uint32_t slots_used_ = 0;  // bit per Slot that some row has a condition on
  std::vector<uint64_t> rows_without_;       // per slot: rows with no condition on it
  HostRows host_rows_;                       // rows whose host condition has names, and those where it has addresses
  HostRows url_rows_;                        // the same of url; a pattern with a path counts as neither
  std::vector<uint64_t> connect_rows_;       // rows without a condition that no CONNECT can meet
  std::vector<uint32_t> group_row_starts_;
  std::vector<uint32_t> group_rows_;
  std::vector<Slot> group_slots_;
  // Groups with many rows have them as a row set instead: group_sets_[g] is where it begins in row_sets_, or
  // no_row_set.
  static constexpr uint32_t no_row_set = ~uint32_t{0};
  std::vector<uint32_t> group_sets_;
  std::vector<uint64_t> row_sets_;

  SetPool sets_;
  NameHash hash_{0};
  PrefixTable clients_;
  Texts interfaces_;
  PrefixTable destinations_;  // of `destination`, and of address literals in `host`
  Ports ports_;
  HostTable hosts_;
  PresenceGroups sni_;
  PresenceGroups ech_;
  Texts alpn_;
  std::vector<VersionGroups> versions_;
  Texts ja4_;
  std::vector<TimedGroup> schedules_;
  Texts methods_;
  Texts users_;
  RegexSet user_agents_;
  UrlTable urls_;
  RegexSet url_regexes_;
  Texts mimes_;
  Texts file_names_;  // in lower case
  RegexSet file_name_regexes_;
  std::array<SetId, file_type_count> file_types_{};
  std::array<SetId, file_class_count> file_classes_{};
  std::vector<SizeGroups> sizes_;  // by least, then most
  SetId requests_ = set_empty;  // direction
  SetId responses_ = set_empty;
  NameTable md5_;
  NameTable sha256_;

  std::vector<uint32_t>
      row_conditions_;  // row r has conditions_[row_conditions_[r] .. row_conditions_[r + 1])
  std::vector<Condition> conditions_;
};

}  // namespace sluice::rules
