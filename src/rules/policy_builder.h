// PolicyBuilder: rules and lists in, one compiled Policy out.
//
// Used by config/, and by tests that want a policy without a file. Belongs to one thread. Values are checked
// by whoever reads them from text; misuse of the builder itself is a CHECK.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "rules/host_pattern.h"
#include "rules/link_list.h"
#include "rules/policy.h"

namespace sluice::rules {

/// A set of alternatives over one slot that conditions refer to: what stands in one value, or one list file.
using GroupId = uint32_t;

struct RowCondition {
  Condition shown;
  std::vector<GroupId> groups;  // any of them; all of the same slot as `shown`
};

struct RuleSource {
  std::string name;
  Action action = Action::peek;
  bool inspect = true;
  std::string redirect_to;
  ThreatActions threats{};
  Position position{};
  std::vector<RowCondition> when{};  // at most one condition per slot
  std::vector<std::vector<RowCondition>> excepts{};
};

class PolicyBuilder {
 public:
  explicit PolicyBuilder(uint64_t hash_seed) : seed_(hash_seed) {}

  [[nodiscard]] GroupId new_group(Slot slot);
  [[nodiscard]] Slot slot_of(GroupId group) const { return group_slots_[group]; }

  /// Room for a big list.
  void reserve_hosts(size_t count, size_t bytes) { hosts_.reserve(count, bytes); }
  /// Slot host. False when there are too many names to number them.
  [[nodiscard]] bool add_host(GroupId group, HostPattern::Kind kind, std::string_view name) {
    has_names_[group] = true;
    return hosts_.add(name, HostTable::element(group, kind));
  }
  /// Slots client, destination, and host (an address literal there matches the destination, S20).
  void add_network(GroupId group, const Cidr& network);
  /// Slots client (an interface), alpn, ja4, method, user, mime. A trailing '*' matches every text that begins so. 1 to 255
  /// bytes.
  [[nodiscard]] bool add_text(GroupId group, std::string_view text);
  /// Slot file_name: '*' any bytes, '?' one; letter case does not matter.
  [[nodiscard]] bool add_glob(GroupId group, std::string_view glob);
  /// Slots user_agent, url (over the whole canonical URL) and file_name. It has passed check_regex().
  void add_regex(GroupId group, std::string_view regex);
  /// Slot url.
  [[nodiscard]] bool add_url(GroupId group, const UrlPattern& pattern);
  /// Slot file_type.
  void add_file_type(GroupId group, FileType type) { file_types_.emplace_back(type, group); }
  void add_file_class(GroupId group, FileClass file_class) { file_classes_.emplace_back(file_class, group); }
  /// Slot size, inclusive; `most` of the largest number means no bound.
  void add_size(GroupId group, uint64_t least, uint64_t most) { sizes_.push_back({least, most, group}); }
  /// Slot direction.
  void add_direction(GroupId group, bool is_response) { directions_.emplace_back(is_response, group); }
  /// Slots md5 (16 bytes) and sha256 (32).
  [[nodiscard]] bool add_hash(GroupId group, std::string_view bytes);
  /// Slot port, inclusive.
  void add_ports(GroupId group, uint16_t first, uint16_t last);
  /// Slot tls_version, e.g. 0x0304.
  void add_version(GroupId group, uint16_t version) { versions_.emplace_back(version, group); }
  /// Slots sni and ech.
  void add_presence(GroupId group, bool present);
  void add_schedule(GroupId group, const Schedule& schedule) { schedules_.push_back({schedule, group}); }

  void set_decrypt(bool decrypt) { decrypt_ = decrypt; }
  /// The link lists of one class, at most once each: groups of slot url, filled with add_link(). `entries`: how many they hold.
  void set_links(Threat threat, RowCondition lists, size_t entries);
  [[nodiscard]] bool add_link(GroupId group, const Link& link);

  void set_tls_default(Action action) { tls_default_ = action; }
  void set_access_default(bool allows) { access_default_allows_ = allows; }
  void set_https_page(bool https_page) { https_page_ = https_page; }
  void set_protection_default(const ThreatActions& threats) { protection_default_ = threats; }
  void add_tls_rule(RuleSource rule) { tls_.push_back(std::move(rule)); }
  /// action: peek (allow), block or redirect.
  void add_bypass_rule(RuleSource rule) { bypass_.push_back(std::move(rule)); }
  /// action: peek (allow), block or redirect.
  void add_access_rule(RuleSource rule) { access_.push_back(std::move(rule)); }
  /// action: peek.
  void add_protection_rule(RuleSource rule) { protection_.push_back(std::move(rule)); }

  /// Consumes what was added.
  [[nodiscard]] std::shared_ptr<const Policy> build();

 private:
  struct Texts {
    NameTableBuilder exact;
    NameTableBuilder prefixes;
    std::vector<uint8_t> prefix_lengths;
    NameTableBuilder suffixes;
    std::vector<uint8_t> suffix_lengths;
  };
  struct SizeRange {
    uint64_t least;
    uint64_t most;
    GroupId group;
  };
  struct PortRange {
    uint16_t first;
    uint16_t last;
    GroupId group;
  };
  struct Presence {
    Slot slot;
    bool present;
    GroupId group;
  };
  struct Row {
    uint32_t number;
    const std::vector<RowCondition>* conditions;
  };

  [[nodiscard]] Texts& texts_of(Slot slot);
  [[nodiscard]] std::vector<Row> number_rows(Policy& policy);
  void compile_rows(Policy& policy, const std::vector<Row>& rows) const;
  [[nodiscard]] Policy::Texts build_texts(Texts& texts, Policy& policy) const;
  void build_hello(Policy& policy);
  void build_message(Policy& policy);
  void build_ports(Policy& policy) const;
  void build_sizes(Policy& policy);
  [[nodiscard]] Needs needs_of(const RuleSource& rule, bool is_response) const;

  uint64_t seed_;
  std::vector<Slot> group_slots_;
  std::vector<bool> has_names_;     // per group of slot host or url: whether it names hosts …
  std::vector<bool> has_networks_;  // … or addresses
  PrefixTableBuilder clients_;
  PrefixTableBuilder destinations_;
  NameTableBuilder hosts_;
  Texts interfaces_;
  Texts alpn_;
  Texts ja4_;
  std::vector<PortRange> ports_;
  std::vector<std::pair<uint16_t, GroupId>> versions_;
  std::vector<Presence> presences_;
  std::vector<Policy::TimedGroup> schedules_;
  Texts methods_;
  Texts users_;
  Texts mimes_;
  Texts file_names_;
  RegexSet user_agents_;
  RegexSet url_regexes_;
  RegexSet file_name_regexes_;
  UrlTableBuilder urls_;
  std::vector<std::pair<FileType, GroupId>> file_types_;
  std::vector<std::pair<FileClass, GroupId>> file_classes_;
  std::vector<SizeRange> sizes_;
  std::vector<std::pair<bool, GroupId>> directions_;
  NameTableBuilder md5_;
  NameTableBuilder sha256_;
  ThreatActions protection_default_;
  bool https_page_ = false;
  bool decrypt_ = true;
  Action tls_default_ = Action::tunnel_sni;
  bool access_default_allows_ = true;
  struct Links {
    std::vector<RowCondition> lists;  // one, or none
    size_t entries = 0;
  };
  std::array<Links, threat_count> links_;
  std::vector<RuleSource> tls_;
  std::vector<RuleSource> bypass_;
  std::vector<RuleSource> access_;
  std::vector<RuleSource> protection_;
};

}  // namespace sluice::rules
