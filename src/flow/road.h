// Road: what [tls] makes of the rules' verdict at the hello event. One function for the daemon and for `sluice explain`,
// so that they cannot disagree; and S4's two names. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "config/config.h"
#include "record/connection_record.h"
#include "rules/facts.h"
#include "rules/judge.h"

namespace sluice::flow {

/// What the client's first bytes turned out to be.
enum class FirstBytes : uint8_t {
  hello_with_sni,
  hello_without_sni,
  not_tls,     // certainly something else
  malformed,   // begins like TLS and is not a well-formed ClientHello
  too_large,   // the same, past a limit
  silence,     // nothing until hello_timeout
  unfinished,  // the beginning of a hello until hello_timeout
};

struct Road {
  rules::Action action = rules::Action::terminate;  // as it is carried out
  std::optional<record::CloseReason> close;         // why the connection ends; nullopt: it is passed on
  /// tls.non_tls or the hello itself decided, not a rule or a default.
  bool by_first_bytes = false;
};

/// `decision`: of Judge::hello. A rule that says terminate means every byte; tls.default_action = "terminate" only says what
/// is to be done with what no rule names, so for bytes that are not TLS, tls.non_tls has the last word (S8).
[[nodiscard]] Road road_at_hello(const config::Tls& tls, const rules::Decision& decision, FirstBytes first_bytes);

/// Judge::hello, with a well-formed ClientHello. `facts.host`: its SNI, empty without one. `asked_host`: the name in an explicit
/// client's CONNECT, empty in transparent mode. Of two names both are judged, and the stricter verdict wins (S4); a link list
/// that has either of them is told. Without SNI the CONNECT's name is the host.
[[nodiscard]] rules::Decision judge_hello(rules::Judge& judge, rules::Facts facts, std::string_view asked_host);

}  // namespace sluice::flow
