#include "flow/verdict_page.h"

#include <fmt/format.h>

#include "config/config.h"
#include "rules/policy.h"

namespace sluice::flow {

namespace {

/// Which stage has decided, in a sentence for people (%REASON%).
std::string_view reason_of(const rules::Decision& decision, const rules::Rule* rule) {
  if (decision.threat_blocks)
    return decision.threat == rules::Threat::phishing ? "A list of phishing links has it." : "A list of malicious links has it.";
  if (rule == nullptr) return "No rule allows it.";
  return decision.bypass_rule >= 0 ? "A bypass rule forbids it." : "An access rule forbids it.";
}

}  // namespace

void write_verdict(std::string& out, const http::Audience& audience, const World& world, const Session& session,
                   const rules::Decision& decision, const RefusedRequest& request) {
  const config::Config& config = *session.ruling->config;
  const rules::Rule* const rule = config.policy->refusing_rule(decision);
  const rules::LocalTime& local = world.local;
  const std::string date = fmt::format("{:04}-{:02}-{:02}", local.year, local.month, local.day);
  // Time zones differ by whole minutes.
  const std::string time = fmt::format("{:02}:{:02}:{:02}", local.minute / 60, local.minute % 60, world.wall_us / 1'000'000 % 60);
  const std::string client = session.about.client.address.to_string();
  MacroValues values;
  values.date = date;
  values.time = time;
  values.method = request.method;
  values.url = request.url;
  values.host = request.host;
  values.client_ip = client;
  values.user = session.asked == nullptr ? std::string_view() : session.asked->user;
  values.user_agent = request.user_agent;
  const std::string_view fallback = decision.threat_blocks ? "protection.default" : "access.default";
  values.rule = rule == nullptr ? fallback : rule->name;
  if (decision.threat_blocks) values.threat = values.category = rules::to_string(*decision.threat);
  values.reason = reason_of(decision, rule);
  values.server = config.page.server.empty() ? world.host_name : config.page.server;
  if (rule != nullptr && decision.action == rules::Action::redirect)
    return http::write_redirect_to(out, audience, rule->redirect_to, values);
  http::write_block_page(out, audience, 403, config.page.text, values);
}

}  // namespace sluice::flow
