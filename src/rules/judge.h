// The one evaluator: daemon, `explain` and the tests all ask a Judge.
//
// A Judge refers to an immutable Policy (shared by all threads) and owns the scratch memory of a verdict, so
// it belongs to one thread. A verdict allocates nothing.
#pragma once

#include <cstdint>
#include <memory>

#include "rules/facts.h"

namespace sluice::rules {

class Policy;

/// What is to be done with a connection. `peek`: an unknown was met before a match; decide again at the hello
/// event.
enum class Action : uint8_t { peek, tunnel, tunnel_sni, bump, terminate, block, redirect };
[[nodiscard]] const char* to_string(Action action);  // "tunnel-sni", as in the log

/// Index of a rule in its table, in the order of rules.toml; or one of these.
using RuleIndex = int32_t;
inline constexpr RuleIndex rule_none =
    -1;  // the stage was not reached, or no rule matched and it has no default
inline constexpr RuleIndex rule_default = -2;  // the table's default applied

struct Decision {
  Action action = Action::peek;
  RuleIndex tls_rule = rule_none;
  RuleIndex access_rule = rule_none;
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
  [[nodiscard]] Decision http_connect(const Facts& facts);
  /// A request, of plain HTTP or inside a bumped connection; `facts.host` is the request's. block, redirect, or peek for
  /// "not forbidden".
  [[nodiscard]] Decision request(const Facts& facts);

  /// The hello event, after a well-formed ClientHello, or with hello_known = never after non-TLS bytes or
  /// silence. Never peek.
  [[nodiscard]] Decision hello(const Facts& facts);

 private:
  struct Scratch;
  std::shared_ptr<const Policy> policy_;
  std::unique_ptr<Scratch> scratch_;
};

}  // namespace sluice::rules
