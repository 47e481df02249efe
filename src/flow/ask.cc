// Step ask: a client that is configured for a proxy says what it wants. Its request is read, its password checked if [explicit]
// wants one; then the rules are asked with all that is known.
//
// CONNECT: the connect event (S23, S24) comes before anything is dialled, and `200` only after it allows. What follows is
// what a redirected connection has from its first byte. A request in absolute form is plain HTTP: step exchange judges it, has
// it dialled, and comes back here for the next one, which may be for another host, or a CONNECT.

#include <algorithm>
#include <cerrno>
#include <optional>

#include "base/give_back.h"
#include "flow/lookups.h"
#include "flow/session.h"
#include "http/page.h"
#include "http/reader.h"
#include "rules/policy.h"

namespace sluice::flow {

struct Asking {
  enum class Stage : uint8_t { idle, reading, checking_password };
  Stage stage = Stage::reading;  // idle: nothing has come of the request behind the last
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

/// The rules' turn. What they forbid by its name is not even asked of the name server.
Next judge(Session& session) {
  Asked& asked = *session.asked;
  io::TimerWheel::stop(session.timer);
  session.about.destination = {IpAddress{}, asked.port};
  if (const auto address = IpAddress::parse(asked.host)) {
    session.about.destination.address = *address;
    asked.is_resolved = true;
  }
  session.is_http = session.speaks_http = session.peeked = !asked.is_connect;
  session.decision = {};
  if (asked.is_connect) {
    session.step = Step::resolve;
    return asked.is_resolved ? Next::go : refuse_by_name(session);
  }
  session.step = Step::exchange;  // which reads the bytes again
  return Next::go;
}

Next check_who(Session& session) {
  const auto& users = session.ruling->config->explicit_proxy.users;
  if (users == nullptr) return judge(session);
  const std::string_view proof = asking_of(session).reader.head().headers.find("Proxy-Authorization").value_or("");
  if (!session.asked->user.empty() && proof == session.asked->proof) return judge(session);
  session.asked->proof = proof;
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
  if (session.asked->password_is_right) return judge(session);
  session.asked->user.clear();
  return ask_who(session);
}

// --- what it asks ----------------------------------------------------------------------------------------------------

bool has_come_by(const Session& session, const http::RequestHead& head) {
  const std::string& via = session.world->via;
  for (size_t i = 0; i < head.headers.size(); ++i)
    if (http::same_name(head.headers[i].name, "Via") && head.headers[i].value.find(via) != std::string_view::npos) return !via.empty();
  return false;
}

/// An explicit client's connection may be kept for as long as it asks for something now and then, so the rules and the passwords
/// that it began with say nothing about what it asks for today.
void take_current_ruling(Session& session) {
  World& world = *session.world;
  if (session.ruling == world.ruling) return;
  --session.ruling->sessions;
  ++world.ruling->sessions;
  session.ruling = world.ruling;
  session.decision = {};  // its rules were the old ones
  session.asked->user.clear();
  session.asked->proof.clear();
  io::Accepted about;
  if (session.about.interface_index == 0 && world.ruling->judge.policy().needs_interface() &&
      world.kernel.describe(session.client_fd, true, about) == 0)
    session.about.interface_index = about.interface_index;
}

Next on_head(Session& session, size_t behind_head) {
  take_current_ruling(session);
  Asked& asked = *session.asked;
  const http::RequestHead& head = asking_of(session).reader.head();
  asked.user_agent = head.headers.find("User-Agent").value_or("").substr(0, limits::user_agent_bytes_max);
  asked.is_connect = head.is_connect();
  asked.is_resolved = false;
  give_back(asked.addresses);
  asked.host = head.host();
  asked.port = head.port;
  if (has_come_by(session, head))
    return answer_in_words(session, 508, "This request has come by here before: two proxies ask each other in a circle.", CloseReason::loop);
  if (!asked.is_connect) {
    if (head.target_form != http::TargetForm::absolute)
      return answer_in_words(session, 400, "This is the port of a proxy: a browser must be configured for it.", CloseReason::request_refused);
    if (head.scheme != http::Scheme::http)
      return answer_in_words(session, 501, "This proxy passes on http:// requests, and CONNECT for everything else.", CloseReason::request_refused);
    if (asked.port == 0) asked.port = 80;
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
    Asking& asking = asking_of(session);
    if (asking.stage == Asking::Stage::idle) {
      asking.stage = Asking::Stage::reading;
      world.timers.start(session.timer, world.kernel.now_us() + hello_timeout_us(session));
    }
    const bool kept = keep_for_replay(session, bytes);
    const Next next = kept ? read(session, bytes) : close(session, CloseReason::overload, Farewell::reset, "relay_memory");
    world.kernel.release(answer.flags);
    return next;
  }
  switch (-answer.result) {
    case 0:
      if (asking_of(session).stage == Asking::Stage::idle) return close(session, CloseReason::finished, Farewell::in_order);
      return close(session, CloseReason::client_closed_early, Farewell::in_order);
    case ENOBUFS:
    case EINTR: return wait_for_bytes(session);
    default: return peer_failed(session, Side::client, -answer.result);
  }
}

/// Of the request and the password together: hello_timeout.
Next on_timer(Session& session) {
  switch (asking_of(session).stage) {
    case Asking::Stage::idle: return close(session, CloseReason::idle_timeout, Farewell::in_order);
    case Asking::Stage::reading: return close(session, CloseReason::hello_timeout, Farewell::reset);
    case Asking::Stage::checking_password: return answer_in_words(session, 503, "The gateway is too busy to check passwords.", CloseReason::overload);
  }
  return Next::close;
}

Next enter(Session& session) {
  World& world = *session.world;
  Asked& asked = *session.asked;
  session.room.emplace<AskRoom>().asking.reset(new Asking);
  if (!asked.has_asked_before) {
    asked.has_asked_before = true;
    world.timers.start(session.timer, session.accepted_us + hello_timeout_us(session));
    world.kernel.receive_at_once(session.up, session.client_fd);
    return Next::wait;
  }
  // The request before this one has been dealt with; some of this one may have come behind it.
  const uint64_t now_us = world.kernel.now_us();
  if (!session.replay.empty()) {
    world.timers.start(session.timer, now_us + hello_timeout_us(session));
    return read(session, session.replay);
  }
  asking_of(session).stage = Asking::Stage::idle;
  world.timers.start(session.timer, now_us + quiet_limit_us(session, false));
  return wait_for_bytes(session);
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
    case Answer::From::looked_up: return on_password(session);
    case Answer::From::timer: return on_timer(session);
    case Answer::From::down:
    case Answer::From::dial:
    case Answer::From::client_writable:
    case Answer::From::origin_writable: break;
  }
  return close(session, CloseReason::gateway_error, Farewell::reset);
}

}  // namespace sluice::flow
