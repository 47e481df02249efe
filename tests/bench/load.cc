// bench_load: the load generator of `make bench`, both roles (docs/bench.md). Results go to stdout as JSON.
//
//   bench_load origin ADDRESS:PORT
//   bench_load bulk|conns|requests ADDRESS:PORT ADDRESSES CONNECTIONS WARM_SECONDS SECONDS [PID…] [/ PID…]
//   bench_load hold     ADDRESS:PORT ADDRESSES       stdin: a number of connections per line; stdout: "open N
//   failed M" bench_load latency  ADDRESS:PORT ADDRESSES SECONDS bench_load check    ADDRESS:PORT SNI prints
//   "passed" or "closed"
//
// ADDRESS is the first of ADDRESSES consecutive ones of the origin. CPU of the gateway (the PIDs before the
// slash) and of the lab (those after it, and this process) is sampled at both edges of the measured window by
// the client itself, so that window and count belong together.
#include <sys/prctl.h>

#include <csignal>
#include <iostream>

#include "bench/client.h"
#include "bench/cpu.h"
#include "bench/origin.h"

namespace {

constexpr double setup_limit_s = 30;

/// The driver reads this and says it; nothing measured half is ever reported.
int give_up(const char* why, const bench::Counters& counters) {
  std::printf("{\"error\":\"%s\",\"failures\":%lu,\"connections\":%lu}\n", why, counters.failures,
              counters.connections);
  return 1;
}

/// CPU of each thread over the window; a name that could break the JSON loses those characters.
void print_threads(const bench::CpuSample& before, const bench::CpuSample& after) {
  const char* separator = "";
  for (const auto& [id, thread] : after.threads) {
    const auto earlier = before.threads.find(id);
    const double begun_s = earlier == before.threads.end() ? 0 : earlier->second.cpu_s;
    std::string name = thread.name;
    std::erase_if(name, [](char c) { return c == '"' || c == '\\' || c < ' '; });
    std::printf("%s{\"name\":\"%s\",\"cpu_s\":%.6f}", separator, name.c_str(), thread.cpu_s - begun_s);
    separator = ",";
  }
}

void print_window(const bench::CpuSample& before, const bench::CpuSample& after, const bench::Counters& start,
                  const bench::Counters& end, double seconds) {
  std::printf("{\"seconds\":%.6f,\"gateway_cpu_s\":%.6f,\"lab_cpu_s\":%.6f,", seconds,
              after.gateway_s - before.gateway_s, after.lab_s - before.lab_s);
  std::printf("\"connections\":%lu,\"requests\":%lu,\"bytes\":%lu,\"failures\":%lu,\"threads\":[",
              end.connections - start.connections, end.requests - start.requests, end.bytes - start.bytes,
              end.failures - start.failures);
  print_threads(before, after);
  std::printf("]}\n");
}

int measure(bench::Load load, const bench::Targets& targets, size_t connections, double warm_s,
            double seconds, const bench::Watched& watched) {
  bench::Client client(load, targets);
  client.resize(connections);
  if (load != bench::Load::conns) {
    if (!client.run_until(bench::now_s() + setup_limit_s, true) || !client.all_established()) {
      return give_up("connections were not established", client.counters());
    }
  }
  if (!client.run_until(bench::now_s() + warm_s)) return give_up("too many failures", client.counters());
  const bench::Counters start = client.counters();
  const bench::CpuSample before = bench::sample_cpu(watched);
  const double begun_s = bench::now_s();
  if (!client.run_until(begun_s + seconds)) return give_up("too many failures", client.counters());
  const double ended_s = bench::now_s();
  const bench::CpuSample after = bench::sample_cpu(watched);
  print_window(before, after, start, client.counters(), ended_s - begun_s);
  return 0;
}

int hold(const bench::Targets& targets) {
  bench::Client client(bench::Load::hold, targets);
  size_t count = 0;
  while (std::cin >> count) {
    client.resize(count);
    if (!client.run_until(bench::now_s() + 2 * setup_limit_s, true)) {
      return give_up("too many failures", client.counters());
    }
    std::cout << "open " << client.counters().connections << " failed " << client.counters().failures
              << std::endl;
  }
  return 0;
}

void print_percentiles(const char* name, std::vector<double>& seconds) {
  std::sort(seconds.begin(), seconds.end());
  const auto at_us = [&](double share) {
    return seconds[static_cast<size_t>(share * static_cast<double>(seconds.size() - 1))] * 1e6;
  };
  std::printf("\"%s\":{\"p50_us\":%.1f,\"p90_us\":%.1f,\"p99_us\":%.1f,\"samples\":%zu}", name, at_us(0.5),
              at_us(0.9), at_us(0.99), seconds.size());
}

/// One connection at a time, then one request at a time on one connection: nothing queues behind anything.
int latency(const bench::Targets& targets, double seconds) {
  std::vector<double> setup, request;
  bench::Counters counters;
  const double setup_end_s = bench::now_s() + seconds;
  for (uint32_t i = 0; bench::now_s() < setup_end_s; ++i) {
    bench::Probe probe(targets.at(i), bench::name_of(targets, i));
    const double took_s = probe.handshake();
    if (took_s < 0 && ++counters.failures > 20) return give_up("too many failures", counters);
    if (took_s >= 0) setup.push_back(took_s);
  }
  bench::Probe probe(targets.at(0), bench::name_of(targets, 0));
  if (probe.handshake() < 0) return give_up("no connection", counters);
  const double request_end_s = bench::now_s() + seconds;
  while (bench::now_s() < request_end_s) {
    const double took_s = probe.request();
    if (took_s < 0) return give_up("a request failed", counters);
    request.push_back(took_s);
  }
  if (setup.empty() || request.empty()) return give_up("nothing was measured", counters);
  std::printf("{");
  print_percentiles("setup", setup);
  std::printf(",");
  print_percentiles("request", request);
  std::printf(",\"failures\":%lu}\n", counters.failures);
  return 0;
}

int check(const sockaddr_in& address, const std::string& sni) {
  bench::Probe probe(address, sni);
  std::cout << (probe.handshake() >= 0 ? "passed" : "closed") << std::endl;
  return 0;
}

int usage() {
  std::cerr
      << "usage: bench_load origin|bulk|conns|requests|hold|latency|check … (see tests/bench/load.cc)\n";
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // the driver's end is ours
  const std::vector<std::string> args(argv + 1, argv + argc);
  if (args.size() < 2) return usage();
  const sockaddr_in address = bench::parse_address(args[1]);
  if (args[0] == "origin") bench::Origin(address).run();
  if (args.size() < 3) return usage();
  if (args[0] == "check") return check(address, args[2]);
  const bench::Targets targets{address, static_cast<uint32_t>(std::stoul(args[2]))};
  if (args[0] == "hold") return hold(targets);
  if (args[0] == "latency" && args.size() == 4) return latency(targets, std::stod(args[3]));
  if (args.size() < 6) return usage();
  const bench::Watched watched = bench::watched_from(std::span(args).subspan(6));
  const bench::Load load = args[0] == "bulk"    ? bench::Load::bulk
                           : args[0] == "conns" ? bench::Load::conns
                                                : bench::Load::requests;
  return measure(load, targets, std::stoul(args[3]), std::stod(args[4]), std::stod(args[5]), watched);
}
