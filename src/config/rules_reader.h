// [[bypass.rules]], [[access.rules]], [[protection.rules]], [[tls.rules]] and [links]: sections of rules.toml and the lists that they name
// -> a PolicyBuilder.
//
// One per load; holds the lists read so far, so that a file named by many rules is read once.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/section.h"
#include "rules/list.h"
#include "rules/policy_builder.h"

namespace sluice::config {

/// A name that `ip link` could show, or the beginning of one with a trailing '*'.
[[nodiscard]] bool is_interface_name(std::string_view name);

/// A rule as read, with what `check` needs to compare rules with each other.
struct ReadRule {
  std::string name;
  rules::Action action = rules::Action::peek;
  rules::Position position;
  std::vector<rules::RowCondition> when;
  std::vector<std::vector<rules::RowCondition>> excepts{};
};

/// What [links] names for one class of threats.
struct ReadLinks {
  std::optional<rules::Position> position;  // of its key; nullopt: it is not there
  size_t hosts = 0;                         // entries that mean a whole host …
  size_t paths = 0;                         // … and those that have a path
};

class RulesReader {
 public:
  RulesReader(const std::string& file, const ReadFile& read_file, rules::PolicyBuilder& builder,
              Problems& problems, bool may_bump)
      : directory_(file.substr(0, file.rfind('/') + 1)),
        read_file_(read_file),
        builder_(builder),
        problems_(problems),
        may_bump_(may_bump) {}

  /// The sections: their defaults and rules.
  void read_bypass(Section& bypass);
  void read_access(Section& access);
  void read_protection(Section& protection);
  void read_tls(Section& tls);
  /// [links] (links_reader.cc).
  void read_links(Section& links);

  /// A list of networks outside the rules (gateway.exempt_…), with "@FILE" entries.
  [[nodiscard]] std::vector<Cidr> networks(Section& section, std::string_view key);

  /// A list of strings outside the rules, with "@FILE" entries. `take` sets `error` when an entry is not one;
  /// `what` the list must be of, for messages.
  using TakeEntry = std::function<void(std::string_view text, std::string& error)>;
  void entries(Section& section, std::string_view key, std::string_view what, const TakeEntry& take);

  /// Where the file is that a key names.
  [[nodiscard]] std::string path_of(std::string_view name) const {
    return name.starts_with('/') ? std::string(name) : directory_ + std::string(name);
  }

  /// The default, or the first rule, whose action is "bump"; nullopt when nothing bumps.
  struct Bump {
    std::string key;  // "tls.default_action"
    rules::Position position;
  };
  [[nodiscard]] const std::optional<Bump>& first_bump() const { return first_bump_; }

  [[nodiscard]] const std::vector<ReadRule>& rules(rules::TableKind table) const {
    return read_[static_cast<size_t>(table)];
  }
  [[nodiscard]] const std::vector<ReadRule>& tls_rules() const { return rules(rules::TableKind::tls); }
  [[nodiscard]] const std::vector<ReadRule>& access_rules() const { return rules(rules::TableKind::access); }
  /// Where [protection.default] or the first protection rule stands; nullopt when neither is written.
  [[nodiscard]] const std::optional<rules::Position>& protection_at() const { return protection_at_; }
  /// Where one of the classes stands that nothing in this version finds: malware, encrypted, macro.
  [[nodiscard]] const std::optional<rules::Position>& unscanned_at() const { return unscanned_at_; }
  [[nodiscard]] const ReadLinks& links(rules::Threat threat) const { return links_[static_cast<size_t>(threat)]; }
  /// Where access.https_page = true stands.
  [[nodiscard]] const std::optional<rules::Position>& https_page_at() const { return https_page_at_; }
  /// The list files that were read, as paths.
  [[nodiscard]] const std::vector<std::string>& list_files() const { return list_files_; }
  /// What an inline group holds, as written; empty for the group of a list file.
  [[nodiscard]] const std::vector<std::string>& written(rules::GroupId group) const;

 private:
  void read_rules(Section& section, rules::TableKind kind);
  [[nodiscard]] bool read_rule(const Table& table, const std::string& path, rules::Position position,
                               rules::TableKind kind, rules::RuleSource& rule);
  void read_name(Section& section, const std::string& path, rules::RuleSource& rule);
  void read_excepts(Section& section, const std::string& path, rules::TableKind kind, rules::RuleSource& rule);
  void read_traffic_action(Section& section, const std::string& path, rules::Position position,
                           rules::RuleSource& rule);
  void read_threats(Section& section, rules::ThreatActions& threats);
  [[nodiscard]] std::vector<rules::RowCondition> read_conditions(const Table& table, const std::string& path,
                                                                 rules::Position position,
                                                                 rules::TableKind kind);
  [[nodiscard]] std::vector<rules::GroupId> read_groups(rules::Slot slot, const Value& value,
                                                        const std::string& key);

  /// One alternative, inline or from a list; false with `error` set when it is not one.
  [[nodiscard]] bool add_alternative(rules::GroupId group, std::string_view text, bool in_list, std::string& error);
  /// The same for what only requests and responses have (message_conditions.cc). `in_list`: from a list file.
  [[nodiscard]] bool add_message_alternative(rules::GroupId group, std::string_view text, bool in_list,
                                             std::string& error);
  [[nodiscard]] bool add_url(rules::GroupId group, std::string_view text, bool in_list, std::string& error);
  [[nodiscard]] std::optional<rules::GroupId> list_group(rules::Slot slot, std::string_view name,
                                                         rules::Position at);
  void read_action(Section& section, const std::string& path, rules::Position position,
                   rules::RuleSource& rule);
  /// `value` is "bump": notes it, or tells that this version cannot; `others` are the other allowed words.
  [[nodiscard]] bool take_bump(const std::string& key, const Value& value, std::string_view others);
  [[nodiscard]] std::optional<std::string> read_list(std::string_view name, rules::Position at);
  void read_hosts(rules::GroupId group, const std::string& path, const std::string& text, rules::Position at);
  void list_problem(const std::string& path, rules::Position at, std::string message, size_t& count,
                    Severity severity = Severity::error);
  void read_links_of(Section& section, rules::Threat threat);
  void read_link_list(rules::GroupId group, const std::string& path, const std::string& text, rules::Position at,
                      ReadLinks& read);

  std::string directory_;  // of the configuration file, with a slash behind; empty for the current one
  const ReadFile& read_file_;
  rules::PolicyBuilder& builder_;
  Problems& problems_;
  bool may_bump_;
  std::optional<Bump> first_bump_;
  std::map<std::pair<rules::Slot, std::string>, std::optional<rules::GroupId>> lists_;
  std::map<std::pair<rules::Slot, std::string>, rules::GroupId> inline_groups_;
  std::map<rules::GroupId, std::vector<std::string>> written_;
  std::array<std::vector<ReadRule>, 4> read_;  // by TableKind
  std::optional<rules::Position> protection_at_;
  std::optional<rules::Position> unscanned_at_;
  std::array<ReadLinks, rules::threat_count> links_;  // by Threat
  std::optional<rules::Position> https_page_at_;
  std::vector<std::string> list_files_;
};

}  // namespace sluice::config
