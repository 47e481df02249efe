// PolicyBuilder: rules and lists in, one compiled Policy out.
//
// Used by config/, and by tests that want a policy without a file. Belongs to one thread. Values are checked
// by whoever reads them from text; misuse of the builder itself is a CHECK.
#pragma once

#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "rules/host_pattern.h"
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
  Position position;
  std::vector<RowCondition> when;  // at most one condition per slot
  std::vector<std::vector<RowCondition>> excepts;
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
  /// Slots client (an interface), alpn, ja4. A trailing '*' matches every text that begins so. 1 to 255
  /// bytes.
  [[nodiscard]] bool add_text(GroupId group, std::string_view text);
  /// Slot port, inclusive.
  void add_ports(GroupId group, uint16_t first, uint16_t last);
  /// Slot tls_version, e.g. 0x0304.
  void add_version(GroupId group, uint16_t version) { versions_.emplace_back(version, group); }
  /// Slots sni and ech.
  void add_presence(GroupId group, bool present);
  void add_schedule(GroupId group, const Schedule& schedule) { schedules_.push_back({schedule, group}); }

  void set_decrypt(bool decrypt) { decrypt_ = decrypt; }
  void set_tls_default(Action action) { tls_default_ = action; }
  void set_access_default(bool allows) { access_default_allows_ = allows; }
  void add_tls_rule(RuleSource rule) { tls_.push_back(std::move(rule)); }
  /// action: peek (allow), block or redirect.
  void add_access_rule(RuleSource rule) { access_.push_back(std::move(rule)); }

  /// Consumes what was added.
  [[nodiscard]] std::shared_ptr<const Policy> build();

 private:
  struct Texts {
    NameTableBuilder exact;
    NameTableBuilder prefixes;
    std::vector<uint8_t> prefix_lengths;
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
  void build_ports(Policy& policy) const;

  uint64_t seed_;
  std::vector<Slot> group_slots_;
  std::vector<bool> has_names_;  // per group of slot host: whether it has names, not only addresses
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
  bool decrypt_ = true;
  Action tls_default_ = Action::tunnel_sni;
  bool access_default_allows_ = true;
  std::vector<RuleSource> tls_;
  std::vector<RuleSource> access_;
};

}  // namespace sluice::rules
