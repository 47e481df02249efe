// The one evaluator: daemon, `explain` and the tests all ask a Judge.
//
// A Judge refers to an immutable Policy (shared by all threads) and owns the scratch memory of a verdict, so
// it belongs to one thread. A verdict allocates nothing, except inside RE2 where a rule has a regular expression.
//
// Every transaction (a CONNECT, or a request with its response) passes bypass rules, access rules, protection rules, in this
// order (S22 to S27).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "rules/facts.h"

namespace sluice::rules {

class Policy;
struct Rule;

/// What is to be done with a connection. `peek`: an unknown was met before a match; decide again at the hello
/// event. Of a request or response: nothing forbids it (so far, when the decision is pending).
enum class Action : uint8_t { peek, tunnel, tunnel_sni, bump, terminate, block, redirect };
[[nodiscard]] const char* to_string(Action action);  // "tunnel-sni", as in the log

/// Index of a rule in its table, in the order of rules.toml; or one of these.
using RuleIndex = int32_t;
inline constexpr RuleIndex rule_none =
    -1;  // the stage was not reached, or no rule matched and it has no default
inline constexpr RuleIndex rule_default = -2;  // the table's default applied

/// What a protection module can find.
enum class Threat : uint8_t { malware, phishing, malicious_link, encrypted, macro };
inline constexpr size_t threat_count = 5;
[[nodiscard]] const char* to_string(Threat threat);  // "malicious_link", as in rules.toml

/// Those that link lists name (`[links]`).
inline constexpr std::array<Threat, 2> link_threats = {Threat::phishing, Threat::malicious_link};

enum class ThreatAction : uint8_t { block, skip };

/// What a protection rule, or [protection.default], says of each class.
struct ThreatActions {
  std::array<ThreatAction, threat_count> actions{};  // by Threat; all block

  [[nodiscard]] ThreatAction of(Threat threat) const { return actions[static_cast<size_t>(threat)]; }
  void set(Threat threat, ThreatAction action) { actions[static_cast<size_t>(threat)] = action; }
  bool operator==(const ThreatActions&) const = default;
};

/// Bits: what more of a body would decide what is pending.
using Needs = uint8_t;
inline constexpr Needs needs_nothing = 0;
inline constexpr Needs needs_prefix = 1;      // the beginning of the decoded body: file_type
inline constexpr Needs needs_whole_body = 2;  // all of it, decoded: md5, sha256
inline constexpr Needs needs_size = 4;        // its length
inline constexpr Needs needs_destination = 8;  // explicit mode: the address behind the name

struct Decision {
  Action action = Action::peek;
  RuleIndex tls_rule = rule_none;
  RuleIndex access_rule = rule_none;
  RuleIndex bypass_rule = rule_none;
  RuleIndex protection_rule = rule_none;
  /// Request and response: not decided; ask again with more of the body known (`needs` says what), at last with `last`. Nothing of the
  /// message may be released meanwhile.
  bool pending = false;
  Needs needs = needs_nothing;
  /// False after a bypass rule that allows: no protection module sees the message.
  bool scan = true;
  /// What is done with a threat in it. Those of [protection.default] until the protection stage is decided (protection_rule is
  /// rule_none then).
  ThreatActions threats{};
  /// What a protection module has found: a link list has the name or the URL (S24, S32). With `threat_blocks` the action is block
  /// because of it; else it was skipped, as the protection rule said.
  std::optional<Threat> threat{};
  bool threat_blocks = false;
};

class Judge {
 public:
  explicit Judge(std::shared_ptr<const Policy> policy);
  ~Judge();
  Judge(Judge&&) noexcept;
  Judge& operator=(Judge&&) noexcept;

  [[nodiscard]] const Policy& policy() const;

  /// The connect event. block/redirect: close at once, dial nothing. tunnel: connect and splice without
  /// reading a byte. peek: read the ClientHello, then ask hello(). Never tunnel_sni, bump or terminate: those
  /// need the hello (S4, S6, S7), so they come back as peek.
  [[nodiscard]] Decision connect(const Facts& facts);

  /// The connect event of plain HTTP, to which TLS rules do not apply: block, redirect, or peek for "not forbidden so far".
  /// `last`: no request will follow (the bytes are no HTTP), so what is not known now does not match.
  [[nodiscard]] Decision http_connect(const Facts& facts, bool last = false);

  /// The hello event, after a well-formed ClientHello, or with hello_known = never after non-TLS bytes or
  /// silence. Never peek.
  [[nodiscard]] Decision hello(const Facts& facts);

  /// A request, of plain HTTP or inside a bumped connection; its conditions over content mean the request's body. block, redirect, or peek
  /// for "not forbidden". `last`: no more of it will become known, so the decision is not pending.
  [[nodiscard]] Decision request(const Facts& facts, bool last = true);
  /// The response to a request that was not refused: the same rules again, read with the response's content (S25).
  [[nodiscard]] Decision response(const Facts& facts, bool last = true);

 private:
  struct Scratch;
  std::shared_ptr<const Policy> policy_;
  std::unique_ptr<Scratch> scratch_;
};

}  // namespace sluice::rules
