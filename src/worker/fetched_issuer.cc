#include "worker/fetched_issuer.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/fetch_limits.h"
#include "base/limits.h"
#include "http/authority.h"
#include "tls/pem.h"
#include "tls/signature.h"

namespace sluice::worker {
namespace {

Cidr network(std::string_view text) {
  const auto parsed = Cidr::parse(text);
  SLUICE_CHECK(parsed.has_value());
  return *parsed;
}

/// The content of a PKCS#7 SignedData: its certificates, whatever else is in it.
std::vector<tls::ByteView> pkcs7_certificates(tls::ByteView body) {
  // 1.2.840.113549.1.7.2
  constexpr std::array<uint8_t, 9> signed_data = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02};
  std::vector<tls::ByteView> found;
  tls::der::Reader outer(body);
  auto content_info = outer.inside(tls::der::sequence_tag);
  if (!content_info) return found;
  const auto type = content_info->element(tls::der::oid_tag);
  auto wrapped = content_info->inside(tls::der::context_constructed(0));
  if (!type || !std::ranges::equal(type->content, signed_data) || !wrapped) return found;
  auto data = wrapped->inside(tls::der::sequence_tag);
  if (!data || !data->element(tls::der::integer_tag) || !data->element(tls::der::set_tag) ||
      !data->element(tls::der::sequence_tag))
    return found;
  auto certificates = data->inside(tls::der::context_constructed(0));
  while (certificates && !certificates->empty() && found.size() < limits::chain_certificates_max) {
    const auto element = certificates->element();
    if (!element) break;
    if (element->tag == tls::der::sequence_tag) found.push_back(element->whole);
  }
  return found;
}

void add_if_readable(tls::ByteView der, std::vector<tls::Certificate>& certificates) {
  if (certificates.size() >= limits::chain_certificates_max) return;
  if (auto parsed = tls::parse_certificate(der)) certificates.push_back(std::move(*parsed));
}

}  // namespace

std::optional<FetchUrl> FetchUrl::parse(std::string_view text) {
  constexpr std::string_view scheme = "http://";
  if (text.size() > limits::fetch_url_bytes_max || text.size() < scheme.size()) return std::nullopt;
  const bool is_http = std::ranges::equal(text.substr(0, scheme.size()), scheme, [](char a, char b) {
    return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b;
  });
  const bool is_printable = std::ranges::all_of(text, [](char c) { return c > ' ' && c < '\x7f'; });
  if (!is_http || !is_printable) return std::nullopt;
  text.remove_prefix(scheme.size());
  text = text.substr(0, text.find('#'));
  const size_t path = std::min(text.find_first_of("/?"), text.size());
  FetchUrl url;
  http::HostBuffer buffer{};
  const auto authority = http::parse_authority(text.substr(0, path), buffer);
  if (!authority) return std::nullopt;
  url.host = authority->host;
  if (authority->port != 0) url.port = authority->port;
  url.target = text.substr(path);
  if (!url.target.starts_with('/')) url.target.insert(0, "/");
  return url;
}

std::string FetchUrl::request() const {
  const bool is_v6 = host.find(':') != std::string::npos;
  std::string text = "GET " + target + " HTTP/1.1\r\nHost: " + (is_v6 ? "[" + host + "]" : host);
  if (port != 80) text += ":" + std::to_string(port);
  return text +
         "\r\nAccept: application/pkix-cert, application/pkcs7-mime, */*;q=0.1\r\nConnection: close\r\n\r\n";
}

std::optional<FetchUrl> issuer_url(const tls::Certificate& certificate) {
  for (const std::string_view text : certificate.ca_issuer_urls)
    if (auto url = FetchUrl::parse(text)) return url;
  return std::nullopt;
}

bool is_public_unicast(const IpAddress& address) {
  // IANA's registries of special-purpose addresses, what is not globally reachable; multicast and reserved.
  static const std::array<Cidr, 15> special_v4 = {
      network("0.0.0.0/8"),      network("10.0.0.0/8"),     network("100.64.0.0/10"),
      network("127.0.0.0/8"),    network("169.254.0.0/16"), network("172.16.0.0/12"),
      network("192.0.0.0/24"),   network("192.0.2.0/24"),   network("192.88.99.0/24"),
      network("192.168.0.0/16"), network("198.18.0.0/15"),  network("198.51.100.0/24"),
      network("203.0.113.0/24"), network("224.0.0.0/4"),    network("240.0.0.0/4")};
  static const std::array<Cidr, 4> special_v6 = {network("2001::/23"), network("2001:db8::/32"),
                                                 network("2002::/16"), network("3fff::/20")};
  const auto has = [&](const Cidr& one) { return one.contains(address); };
  if (address.is_v4()) return std::ranges::none_of(special_v4, has);
  return (address.bytes[0] & 0xe0) == 0x20 && std::ranges::none_of(special_v6, has);
}

bool may_fetch_from(const Endpoint& endpoint, std::span<const Cidr> allowed) {
  if (std::ranges::any_of(allowed, [&](const Cidr& one) { return one.contains(endpoint.address); }))
    return true;
  return endpoint.port == 80 && is_public_unicast(endpoint.address);
}

FetchReply::FetchReply() { SLUICE_CHECK(reader_.expect(http::RequestHead{})); }

FetchReply::State FetchReply::take(std::span<const uint8_t> bytes) {
  ByteReader in(bytes);
  while (state_ == State::more) {
    const http::Event event = reader_.next(in);
    switch (event.kind) {
      case http::Event::Kind::need_more:
        return state_;
      case http::Event::Kind::head:
        if (reader_.head().status != 200 || reader_.head().content_length > limits::fetch_bytes_max)
          state_ = State::refused;
        break;
      case http::Event::Kind::interim:
        break;
      case http::Event::Kind::body:
        if (body_.size() + event.bytes.size() > limits::fetch_bytes_max)
          state_ = State::refused;
        else
          body_.insert(body_.end(), event.bytes.begin(), event.bytes.end());
        break;
      case http::Event::Kind::end:
        state_ = State::complete;
        break;
      case http::Event::Kind::undecided:
      case http::Event::Kind::raw:
      case http::Event::Kind::over:
      case http::Event::Kind::refused:
        state_ = State::refused;
        break;
    }
  }
  return state_;
}

FetchReply::State FetchReply::finish() {
  if (state_ == State::more)
    state_ = reader_.finish() == http::Ending::complete ? State::complete : State::refused;
  return state_;
}

std::vector<tls::Certificate> certificates_of(std::span<const uint8_t> body) {
  std::vector<tls::Certificate> certificates;
  add_if_readable(body, certificates);
  if (!certificates.empty()) return certificates;
  for (const tls::ByteView der : pkcs7_certificates(body)) add_if_readable(der, certificates);
  if (!certificates.empty()) return certificates;
  const auto blocks = tls::read_pem(as_text(body));
  if (!blocks) return certificates;
  for (const tls::PemBlock& block : *blocks) {
    if (block.label == "CERTIFICATE") add_if_readable(block.content, certificates);
    if (block.label == "PKCS7")
      for (const tls::ByteView der : pkcs7_certificates(block.content)) add_if_readable(der, certificates);
  }
  return certificates;
}

bool has_issued(const tls::Certificate& issuer, const tls::Certificate& child) {
  return issuer.is_ca && std::ranges::equal(issuer.subject, child.issuer) &&
         tls::check_signature(child.signature_algorithm, issuer.public_key, child.tbs, child.signature) ==
             tls::SignatureCheck::good;
}

Tried::Noted Tried::note(const std::string& what, int64_t now_s) {
  std::erase_if(since_, [&](const auto& entry) { return now_s - entry.second >= limits::fetch_again_s; });
  if (since_.contains(what)) return Noted::before;
  if (since_.size() >= limits::fetch_tried_max) return Noted::full;
  since_.emplace(what, now_s);
  return Noted::fresh;
}

bool Tried::has(const std::string& what, int64_t now_s) const {
  const auto found = since_.find(what);
  return found != since_.end() && now_s - found->second < limits::fetch_again_s;
}

}  // namespace sluice::worker
