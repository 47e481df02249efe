// Asked: what a client that is configured for a proxy has asked for: the head of its latest request, and what has been found
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
  std::string proof;       // the Proxy-Authorization with which: who sends it again has proved it
  std::string user_agent;  // at most limits::user_agent_bytes_max
  bool is_connect = false;
  bool has_asked_before = false;      // on this connection
  bool is_resolved = false;           // where the host is is known; not necessarily whether it answers
  bool established = false;           // CONNECT: the 200 has been sent
  uint64_t established_us = 0;        // from here on the ClientHello is waited for
  std::vector<Endpoint> addresses{};  // where the host is, in the order in which they are to be tried; empty once one is there

  // What passed of requests in clear, whose exchange is over.
  uint64_t bytes_up = 0;
  uint64_t bytes_down = 0;

  // Answers of Lookups.
  bool password_is_right = false;
};

}  // namespace sluice::flow
