// What a client is told in place of the origin when a rule blocks or redirects its request: the page and the redirect of S31, with what
// they say of request, rule and time. One worker.
#pragma once

#include <string>
#include <string_view>

#include "flow/session.h"
#include "http/page.h"

namespace sluice::flow {

/// Of the request that is answered; the views are used during the call alone.
struct RefusedRequest {
  std::string_view method;
  std::string_view url;
  std::string_view host;  // as http::RequestHead::host(); empty: none was sent
  std::string_view user_agent;
};

/// Appends the whole answer: 302 when the decision is to redirect, else 403 with a page.
void write_verdict(std::string& out, const http::Audience& audience, const World& world, const Session& session,
                   const rules::Decision& decision, const RefusedRequest& request);

}  // namespace sluice::flow
