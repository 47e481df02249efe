// Step ask: a client that is configured for a proxy says what it wants. Its first request is read, its password checked if
// [explicit] wants one, the name resolved; then the rules are asked with all that is known (decide).
//
// CONNECT: the connect event (S23, S24) comes before anything is dialled, and `200` only after it allows. What follows is
// what a redirected connection has from its first byte. A request in absolute form is plain HTTP.

#include <algorithm>
#include <cerrno>

#include "flow/lookups.h"
#include "flow/session.h"
#include "http/page.h"
#include "http/reader.h"

namespace sluice::flow {

struct Asking {
  enum class Stage : uint8_t { reading, checking_password, resolving };
  Stage stage = Stage::reading;
  http::RequestReader reader;
};

void AskingDeleter::operator()(Asking* asking) const { delete asking; }

namespace {

using record::CloseReason;

Asking& asking_of(Session& session) { return *std::get<AskRoom>(session.room).asking; }

Next wait_for_bytes(Session& session) {
  session.world->kernel.receive(session.up, session.client_fd);
  return Next::wait;
}

Next say(Session& session, const std::string& text, CloseReason reason, const char* detail) {
  const ssize_t sent = session.world->kernel.send_now(session.client_fd, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  if (sent != static_cast<ssize_t>(text.size())) return close(session, reason, Farewell::reset, detail);
  return close(session, reason, Farewell::linger, detail);
}

/// The defaults suit a request that could not be read.
http::Audience audience(Session& session) {
  http::Audience audience;
  if (const auto* room = std::get_if<AskRoom>(&session.room); room != nullptr && room->asking != nullptr) {
    const http::RequestHead& head = room->asking->reader.head();
    if (!head.method().empty()) audience = http::audience_of(head);
  }
  audience.keep_alive = false;
  return audience;
}

Next enter(Session& session) {
  World& world = *session.world;
  session.room.emplace<AskRoom>().asking.reset(new Asking);
  world.timers.start(session.timer, session.accepted_us + session.ruling->config->limits.hello_timeout_ms * 1000ull);
  world.kernel.receive_at_once(session.up, session.client_fd);
  return Next::wait;
}

Next refuse(Session& session, http::Refusal refusal) {
  ++session.world->counters.requests_refused;
  session.detail = http::name_of(refusal);
  return answer_in_words(session, http::status_of_request(refusal), http::text_of(refusal), CloseReason::request_refused);
}

// --- who asks --------------------------------------------------------------------------------------------------------

Next ask_who(Session& session) {
  const config::Explicit& explicit_proxy = session.ruling->config->explicit_proxy;
  ++session.world->counters.proxy_auth_required;
  std::string text;
  http::write_response(text, audience(session), 407, "text/plain; charset=utf-8", "This proxy wants a name and a password.\n",
                       "Proxy-Authenticate: Basic realm=\"" + explicit_proxy.realm + "\", charset=\"UTF-8\"\r\n");
  return say(session, text, CloseReason::proxy_auth_required, "");
}

std::optional<std::string> decode_base64(std::string_view text) {
  while (text.ends_with('=')) text.remove_suffix(1);
  std::string out;
  uint32_t bits = 0;
  unsigned count = 0;
  for (const char c : text) {
    constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const size_t value = digits.find(c);
    if (value == std::string_view::npos) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(value);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out += static_cast<char>(bits >> count & 0xff);
  }
  return out;
}

/// RFC 7617: "Basic " and name:password in base64.
std::optional<std::pair<std::string, std::string>> credentials_of(const http::RequestHead& head) {
  const auto field = head.headers.find("Proxy-Authorization");
  if (!field) return std::nullopt;
  const size_t space = field->find(' ');
  if (space == std::string_view::npos || !http::same_name(field->substr(0, space), "Basic")) return std::nullopt;
  const size_t begin = field->find_first_not_of(' ', space);
  if (begin == std::string_view::npos) return std::nullopt;
  const auto plain = decode_base64(field->substr(begin));
  const size_t colon = plain ? plain->find(':') : std::string::npos;
  if (colon == std::string::npos) return std::nullopt;
  return std::pair(plain->substr(0, colon), plain->substr(colon + 1));
}

Next resolve(Session& session);

Next check_who(Session& session) {
  const auto& users = session.ruling->config->explicit_proxy.users;
  if (users == nullptr) return resolve(session);
  const auto credentials = credentials_of(asking_of(session).reader.head());
  if (!credentials) return ask_who(session);
  const auto user = users->find(credentials->first);
  // A hash that no password has: who guesses names must not see from the time that there is no such user.
  static const std::string nobody = "$6$sluicesluice$nobody";
  session.asked->user = credentials->first;
  asking_of(session).stage = Asking::Stage::checking_password;
  const std::string& hash = user == users->end() ? nobody : user->second;
  if (session.world->lookups->check_password(session, credentials->second, hash)) return Next::wait;
  return answer_in_words(session, 503, "Too many passwords are being checked. Try again later.", CloseReason::overload);
}

Next on_password(Session& session) {
  if (session.asked->password_is_right) return resolve(session);
  session.asked->user.clear();
  return ask_who(session);
}

// --- where to --------------------------------------------------------------------------------------------------------

/// Nothing that is the gateway's own, or next to it by accident: what its firewall keeps from its clients must not be within
/// reach through it.
bool may_dial(Session& session, const IpAddress& address) {
  if (address.is_unspecified() || address.is_multicast()) return false;
  if (session.ruling->config->explicit_proxy.local_destinations) return true;
  return !address.is_loopback() && !address.is_link_local() && !session.world->kernel.is_own(address);
}

Next decide_with(Session& session, std::vector<Endpoint> addresses) {
  session.asked->addresses = std::move(addresses);
  session.about.destination = session.asked->addresses.empty() ? Endpoint{IpAddress{}, session.asked->port}
                                                               : session.asked->addresses.front();
  io::TimerWheel::stop(session.timer);
  session.step = session.asked->is_connect ? Step::decide : Step::connect;
  if (!session.asked->is_connect && session.asked->addresses.empty())
    return answer_in_words(session, 502, "There is no such host.", CloseReason::origin_unresolved);
  return Next::go;
}

Next on_addresses(Session& session) {
  std::vector<Endpoint> addresses = session.asked->addresses;
  const bool has_some = !addresses.empty();
  std::erase_if(addresses, [&](const Endpoint& endpoint) { return !may_dial(session, endpoint.address); });
  if (has_some && addresses.empty())
    return answer_in_words(session, 403, "This proxy does not connect to the gateway itself.", CloseReason::local_destination);
  return decide_with(session, std::move(addresses));
}

/// A rule may name a destination, so the name's addresses are needed before the rules have their say.
Next resolve(Session& session) {
  Asked& asked = *session.asked;
  if (const auto address = IpAddress::parse(asked.host)) {
    asked.addresses = {{*address, asked.port}};
    return on_addresses(session);
  }
  // What the rules forbid by its name is not even asked of the name server.
  if (asked.is_connect)
    if (const Next next = refuse_by_name(session); next != Next::go) return next;
  asking_of(session).stage = Asking::Stage::resolving;
  if (session.world->lookups->resolve(session, asked.host, asked.port)) return Next::wait;
  return answer_in_words(session, 503, "Too many names are being looked up. Try again later.", CloseReason::overload);
}

// --- what it asks ----------------------------------------------------------------------------------------------------

bool has_come_by(const Session& session, const http::RequestHead& head) {
  const std::string& via = session.world->via;
  for (size_t i = 0; i < head.headers.size(); ++i)
    if (http::same_name(head.headers[i].name, "Via") && head.headers[i].value.find(via) != std::string_view::npos) return !via.empty();
  return false;
}

Next on_head(Session& session, size_t behind_head) {
  Asked& asked = *session.asked;
  const http::RequestHead& head = asking_of(session).reader.head();
  if (const auto agent = head.headers.find("User-Agent")) {
    asked.has_user_agent = true;
    asked.user_agent = agent->substr(0, limits::user_agent_bytes_max);
  }
  asked.is_connect = head.is_connect();
  asked.host = head.host();
  asked.port = head.port;
  if (has_come_by(session, head))
    return answer_in_words(session, 508, "This request has come by here before: two proxies ask each other in a circle.", CloseReason::loop);
  if (!asked.is_connect) {
    if (head.target_form != http::TargetForm::absolute)
      return answer_in_words(session, 400, "This is the port of a proxy: a browser must be configured for it.", CloseReason::request_refused);
    if (head.scheme != http::Scheme::http)
      return answer_in_words(session, 501, "This proxy passes on http:// requests, and CONNECT for everything else.", CloseReason::request_refused);
    // The bytes are read again by exchange, which judges the request itself.
    if (asked.port == 0) asked.port = 80;
    session.is_http = session.speaks_http = session.peeked = true;
    return check_who(session);
  }
  // What came behind the head is the first of what is to be tunnelled.
  session.world->relay_memory_bytes -= session.replay.size() - behind_head;
  session.replay.erase(session.replay.begin(), session.replay.end() - static_cast<ptrdiff_t>(behind_head));
  return check_who(session);
}

Next read(Session& session, std::span<const uint8_t> bytes) {
  ByteReader in(bytes);
  const http::Event event = asking_of(session).reader.next(in);
  switch (event.kind) {
    case http::Event::Kind::need_more: return wait_for_bytes(session);
    case http::Event::Kind::head: return on_head(session, in.rest().size());
    case http::Event::Kind::refused: return refuse(session, event.refusal);
    case http::Event::Kind::interim:
    case http::Event::Kind::body:
    case http::Event::Kind::end:
    case http::Event::Kind::undecided:
    case http::Event::Kind::raw:
    case http::Event::Kind::over: break;  // not before a head
  }
  return close(session, CloseReason::gateway_error, Farewell::reset);
}

Next on_received(Session& session, const Answer& answer) {
  World& world = *session.world;
  if (answer.result > 0) {
    const auto bytes = world.kernel.received(answer.result, answer.flags);
    const bool kept = keep_for_replay(session, bytes);
    const Next next = kept ? read(session, bytes) : close(session, CloseReason::overload, Farewell::reset, "relay_memory");
    world.kernel.release(answer.flags);
    return next;
  }
  switch (-answer.result) {
    case 0: return close(session, CloseReason::client_closed_early, Farewell::in_order);
    case ENOBUFS:
    case EINTR: return wait_for_bytes(session);
    default: return peer_failed(session, Side::client, -answer.result);
  }
}

Next on_looked_up(Session& session) {
  switch (asking_of(session).stage) {
    case Asking::Stage::checking_password: return on_password(session);
    case Asking::Stage::resolving: return on_addresses(session);
    case Asking::Stage::reading: break;
  }
  return close(session, CloseReason::gateway_error, Farewell::reset);
}

/// Of the request, the password and the name together: hello_timeout.
Next on_timer(Session& session) {
  switch (asking_of(session).stage) {
    case Asking::Stage::reading: return close(session, CloseReason::hello_timeout, Farewell::reset);
    case Asking::Stage::checking_password: return answer_in_words(session, 503, "The gateway is too busy to check passwords.", CloseReason::overload);
    case Asking::Stage::resolving: return decide_with(session, {});
  }
  return Next::close;
}

}  // namespace

Next answer_in_words(Session& session, uint16_t status, std::string_view sentence, CloseReason reason) {
  std::string text;
  if (sentence.empty())
    http::write_response(text, audience(session), status, "", "");
  else
    http::write_page(text, audience(session), status, sentence);
  return say(session, text, reason, session.detail);
}

bool establish(Session& session) {
  Asked* const asked = session.asked.get();
  if (asked == nullptr || !asked->is_connect || asked->established) return true;
  asked->established = true;
  asked->established_us = session.world->kernel.now_us();
  constexpr std::string_view text = "HTTP/1.1 200 Connection established\r\n\r\n";
  for (;;) {  // nothing has been sent before, so there is room
    const ssize_t sent = session.world->kernel.send_now(session.client_fd, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
    if (sent != -EINTR) return sent == static_cast<ssize_t>(text.size());
  }
}

Next ask(Session& session, const Answer* answer) {
  if (answer == nullptr) return enter(session);
  switch (answer->from) {
    case Answer::From::up: return on_received(session, *answer);
    case Answer::From::looked_up: return on_looked_up(session);
    case Answer::From::timer: return on_timer(session);
    case Answer::From::down:
    case Answer::From::dial:
    case Answer::From::client_writable:
    case Answer::From::origin_writable: break;
  }
  return close(session, CloseReason::gateway_error, Farewell::reset);
}

}  // namespace sluice::flow
