#include "http/head.h"

#include <fmt/format.h>

#include <iterator>

namespace sluice::http {

std::string_view RequestHead::path() const {
  switch (target_form) {
    case TargetForm::origin:
    case TargetForm::asterisk:
      return target();
    case TargetForm::absolute:
      return headers.text(path_);
    case TargetForm::authority:
      return {};
  }
  return {};
}

void RequestHead::use_origin_form() {
  if (target_form != TargetForm::absolute) return;
  target_ = path_;
  target_form = TargetForm::origin;
}

void RequestHead::append_url(std::string& out, bool is_tls, std::string_view fallback) const {
  const std::string_view name = host().empty() ? fallback : host();
  const bool is_ipv6 = name.find(':') != std::string_view::npos;
  const bool is_https = scheme == Scheme::none ? is_tls : scheme == Scheme::https;
  if (!is_connect()) out.append(is_https ? "https://" : "http://");
  if (is_ipv6) out.push_back('[');
  out.append(name);
  if (is_ipv6) out.push_back(']');
  const uint16_t default_port = is_connect() ? 0 : is_https ? 443 : 80;
  if (port != 0 && port != default_port) fmt::format_to(std::back_inserter(out), ":{}", port);
  if (target_form != TargetForm::asterisk) out.append(path());  // RFC 9110 section 7.1: no path
}

void RequestHead::clear() {
  Headers kept = std::move(headers);
  kept.clear();
  *this = RequestHead();
  headers = std::move(kept);
}

void RequestHead::release() {
  headers.release();
  clear();
}

void ResponseHead::clear() {
  Headers kept = std::move(headers);
  kept.clear();
  *this = ResponseHead();
  headers = std::move(kept);
}

void ResponseHead::release() {
  headers.release();
  clear();
}

}  // namespace sluice::http
