#include "http/url.h"

#include "base/canonical_url.h"

namespace sluice::http {

void append_canonical_url(std::string& out, const RequestHead& head, bool is_tls,
                          std::string_view fallback_host, uint16_t connection_port) {
  if (head.is_connect()) return;
  append_canonical_origin(out, is_tls, head.host().empty() ? fallback_host : head.host(),
                          connection_port != 0 ? connection_port : head.port);
  if (head.target_form != TargetForm::asterisk) append_canonical_target(out, head.path());
}

}  // namespace sluice::http
