// Asked: what a client that is configured for a proxy has asked for: the head of its first request, and what has been found
// out about it. Session::asked; null in a transparent connection. One worker.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/ip.h"

namespace sluice::flow {

struct Asked {
  std::string host;  // as http::RequestHead::host(): lower case, no trailing dot, no brackets
  uint16_t port = 0;
  std::string user;        // who has proved it; empty: nobody was asked
  std::string user_agent;  // at most limits::user_agent_bytes_max
  bool has_user_agent = false;
  bool is_connect = false;
  bool established = false;           // CONNECT: the 200 has been sent
  uint64_t established_us = 0;        // from here on the ClientHello is waited for
  std::vector<Endpoint> addresses{};  // where the host is, in the order in which they are to be tried; empty once one is there

  // Answers of Lookups.
  bool password_is_right = false;
};

}  // namespace sluice::flow
