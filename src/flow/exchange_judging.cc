// Step exchange, what the rules see of requests and responses.

#include <algorithm>

#include "flow/exchange.h"
#include "http/file_name.h"
#include "http/media_type.h"
#include "http/page.h"
#include "http/url.h"
#include "rules/policy.h"

namespace sluice::flow::exchanging {

namespace {

std::string_view fallback_host(const Session& session, std::string& text) {
  if (const std::string_view name = name_from_client(session); !name.empty()) return name;
  text = session.about.destination.address.to_string();
  return text;
}

const rules::Policy& policy_of(const View& at) { return *at.session.ruling->config->policy; }

/// What a head alone says of the body behind it.
rules::Content content_of_head(http::Framing framing, uint64_t content_length) {
  rules::Content content;
  const bool has_body = framing != http::Framing::none && !(framing == http::Framing::length && content_length == 0);
  const bool has_length = framing == http::Framing::none || framing == http::Framing::length;
  if (has_length) {
    content.size_known = rules::Known::yes;
    content.size = content_length;
  }
  if (!has_body) content.type_known = content.hashes_known = rules::Known::yes;
  return content;
}

/// The URL's name is the file's where the message gives it no other.
void add_file_names(rules::Facts& facts, JudgingTexts& texts, const http::Headers& headers) {
  texts.disposition_name = http::file_name_of(headers, texts.also_file_names);
  texts.url_name = http::file_name_in(facts.url);
  const bool is_named_by_url = texts.disposition_name.empty() && texts.also_file_names.empty();
  facts.file_names[0] = is_named_by_url ? texts.url_name : texts.disposition_name;
  if (!is_named_by_url && !texts.url_name.empty()) texts.also_file_names.push_back(texts.url_name);
  facts.also_file_names = texts.also_file_names;
}

void add_message(const View& at, rules::Facts& facts, JudgingTexts& texts, const http::Headers& headers, const Content* content,
                 http::Framing framing, uint64_t content_length) {
  const rules::Policy& policy = policy_of(at);
  if (policy.needs_mime()) {
    http::media_types_of(headers, texts.mime, texts.also_mimes);
    facts.mime = texts.mime;
    facts.also_mimes = texts.also_mimes;
  }
  if (policy.needs_file_names()) add_file_names(facts, texts, headers);
  facts.content = content != nullptr ? content->facts() : content_of_head(framing, content_length);
}

rules::Facts message_facts(const View& at, rules::Event event) {
  rules::Facts facts = connect_facts(at.session);
  facts.event = event;
  // Of a host's several addresses the one that answers counts.
  if (at.session.asked != nullptr && at.session.asked->addresses.size() > 1) facts.destination_known = rules::Known::not_yet;
  facts.host_known = rules::Known::yes;
  facts.hello_known = rules::Known::never;
  return facts;
}

}  // namespace

Exchange::Request describe(const View& at, const http::RequestHead& head) {
  Exchange::Request request;
  request.wall_us = at.world.wall_us;
  request.begun_us = at.world.kernel.now_us();
  request.method = head.method();
  std::string fallback;
  head.append_url(request.url, !at.session.is_http, fallback_host(at.session, fallback));
  request.version_minor = head.version_minor;
  request.keeps_alive = head.keep_alive;
  request.waits_for_continue = head.expects_continue;
  const rules::Policy& policy = policy_of(at);
  if (!policy.judges_responses()) return request;
  request.asked = std::make_unique<Exchange::Asked>();
  std::string& text = request.asked->text;
  const std::string_view agent = head.headers.find("User-Agent").value_or("");
  text.reserve(2 * head.target().size() + 2 * head.host().size() + agent.size() + 16);  // one allocation, most often
  if (policy.needs_url() || policy.needs_file_names())
    http::append_canonical_url(text, head, !at.session.is_http, fallback_host(at.session, fallback),
                               at.session.about.destination.port);
  request.asked->url_bytes = text.size();
  text += head.host().empty() ? fallback_host(at.session, fallback) : head.host();
  request.asked->host_bytes = text.size() - request.asked->url_bytes;
  text += agent;
  request.asked->wants_html = http::accepts_html(head);
  return request;
}

rules::Decision judge_request(const View& at, const Exchange::Request* request, const Content* content, bool last) {
  const rules::Policy& policy = policy_of(at);
  const http::RequestHead& head = at.state.codec().requests.head();
  rules::Facts facts = message_facts(at, rules::Event::request);
  JudgingTexts& texts = at.world.judging;
  texts.clear();
  facts.host = head.host().empty() ? fallback_host(at.session, texts.host) : head.host();
  facts.method = head.method();
  if (request != nullptr && request->asked != nullptr) {
    facts.url = request->asked->url();
  } else if (policy.needs_url() || policy.needs_file_names()) {
    std::string fallback;
    http::append_canonical_url(texts.url, head, !at.session.is_http, fallback_host(at.session, fallback),
                               at.session.about.destination.port);
    facts.url = texts.url;
  }
  facts.user_agent_known = rules::Known::yes;
  if (policy.needs_user_agent()) facts.user_agent = head.headers.find("User-Agent").value_or("");
  add_message(at, facts, texts, head.headers, content, head.framing, head.content_length);
  return at.session.ruling->judge.request(facts, last);
}

rules::Decision judge_response(const View& at, const Content* content, bool last) {
  const http::ResponseHead& head = at.state.codec().responses.head();
  const Exchange::Request& request = at.state.outstanding.front();
  rules::Facts facts = message_facts(at, rules::Event::response);
  JudgingTexts& texts = at.world.judging;
  texts.clear();
  facts.host = request.asked->host();
  facts.method = request.method;
  facts.url = request.asked->url();
  facts.user_agent_known = rules::Known::yes;
  facts.user_agent = request.asked->user_agent();
  add_message(at, facts, texts, head.headers, content, head.framing, head.content_length);
  return at.session.ruling->judge.response(facts, last);
}

bool refuses(const rules::Decision& decision) {
  return decision.action == rules::Action::block || decision.action == rules::Action::redirect;
}

void merge(rules::Decision& into, const rules::Decision& later) {
  const auto take = [](rules::RuleIndex& rule, rules::RuleIndex next) {
    if (next >= 0 || rule < 0) rule = next;
  };
  into.action = later.action;
  take(into.bypass_rule, later.bypass_rule);
  take(into.access_rule, later.access_rule);
  take(into.protection_rule, later.protection_rule);
  into.pending = later.pending;
  into.needs = later.needs;
  into.scan = later.scan;
  into.threats = later.threats;
  if (later.threat) into.threat = later.threat;
  into.threat_blocks = later.threat_blocks;
}

std::unique_ptr<Content> begin_content(const View& at, rules::Needs wanted, const http::Headers& headers, http::Framing framing,
                                       uint64_t content_length) {
  Content::About about;
  about.wanted = wanted;
  if (framing == http::Framing::length) about.length = content_length;
  about.codings.emplace();
  for (size_t i = 0; i < headers.size() && about.codings; ++i)
    if (http::same_name(headers[i].name, "Content-Encoding") && !about.codings->add_field(headers[i].value)) about.codings.reset();
  about.hold_max_bytes = at.session.ruling->config->http.hold_limit_bytes;
  return std::make_unique<Content>(at.world, about);
}

void ask_for_readable(http::RequestHead& head, rules::Needs wanted) {
  head.headers.remove("Range");
  head.headers.remove("If-Range");
  const auto offered = head.headers.find("Accept-Encoding");
  if ((wanted & (rules::needs_prefix | rules::needs_whole_body)) == 0 || !offered) return;
  // "*" would allow any other, and the weights of what is left say nothing new.
  std::string readable;
  for (size_t i = 0; i < head.headers.size(); ++i) {
    if (!http::same_name(head.headers[i].name, "Accept-Encoding")) continue;
    http::for_each_token(head.headers[i].value, [&readable](std::string_view element) {
      std::string_view name = element.substr(0, element.find(';'));
      while (!name.empty() && (name.back() == ' ' || name.back() == '\t')) name.remove_suffix(1);
      const auto is = [name](std::string_view coding) { return http::same_name(name, coding); };
      if (!is("gzip") && !is("x-gzip") && !is("deflate") && !is("br") && !is("zstd") && !is("identity")) return;
      if (!readable.empty()) readable += ", ";
      readable += element;
    });
  }
  head.headers.set("Accept-Encoding", readable.empty() ? "identity" : readable);
}

}  // namespace sluice::flow::exchanging
