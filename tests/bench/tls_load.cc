// bench_tls_load: the load generator of the bump measures: real TLS, real HTTP/1.1 (docs/bench.md).
//
//   bench_tls_load LOAD ADDRESS:PORT ADDRESSES PATH CONNECTIONS WARM_SECONDS SECONDS [PID…] [/ PID…]
//
// where LOAD is conns, resumed, resumed12 (TLS 1.2), requests or bulk;
//
//   bench_tls_load hold|bare ADDRESS:PORT ADDRESSES PATH
//
// reads numbers of connections, one per line, and answers "open N failed M";
//
//   bench_tls_load check ADDRESS:PORT NAME PATH CA_FILE
//
// prints "ok TLSv1.3 CIPHER KEY; origin …" or "failed: WHY".
//
// As with bench_load, CPU of the gateway (the PIDs before the slash) and of the lab is sampled at both edges
// of the measured window by the client itself. Results go to stdout as JSON.
#include <openssl/objects.h>
#include <openssl/x509.h>
#include <sys/prctl.h>

#include <csignal>
#include <iostream>
#include <map>

#include "bench/cpu.h"
#include "bench/tls_client.h"

namespace {

constexpr double setup_limit_s = 30;

/// The driver reads this and says it; nothing measured half is ever reported.
int give_up(const char* why, const bench::TlsCounters& counters) {
  std::printf("{\"error\":\"%s; last failure: %s\",\"failures\":%lu,\"connections\":%lu}\n", why,
              counters.last_failure, counters.failures, counters.connections);
  return 1;
}

int measure(bench::TlsClient& client, bool stays_open, size_t connections, double warm_s, double seconds,
            const bench::Watched& watched) {
  client.resize(connections);
  if (stays_open && (!client.run_until(bench::now_s() + setup_limit_s, true) || !client.all_established())) {
    return give_up("connections were not established", client.counters());
  }
  if (!client.run_until(bench::now_s() + warm_s)) return give_up("too many failures", client.counters());
  const bench::TlsCounters start = client.counters();
  const bench::CpuSample before = bench::sample_cpu(watched);
  const double begun_s = bench::now_s();
  if (!client.run_until(begun_s + seconds)) return give_up("too many failures", client.counters());
  const double took_s = bench::now_s() - begun_s;
  const bench::CpuSample after = bench::sample_cpu(watched);
  const bench::TlsCounters& end = client.counters();
  std::printf("{\"seconds\":%.6f,\"gateway_cpu_s\":%.6f,\"lab_cpu_s\":%.6f,", took_s,
              after.gateway_s - before.gateway_s, after.lab_s - before.lab_s);
  std::printf(
      "\"connections\":%lu,\"client_resumed\":%lu,\"origin_resumed\":%lu,\"answers\":%lu,\"bytes\":%lu,"
      "\"reconnects\":%lu,\"failures\":%lu}\n",
      end.connections - start.connections, end.client_resumed - start.client_resumed,
      end.origin_resumed - start.origin_resumed, end.answers - start.answers, end.bytes - start.bytes,
      end.reconnects - start.reconnects, end.failures - start.failures);
  return 0;
}

int hold(bench::TlsClient& client) {
  size_t count = 0;
  while (std::cin >> count) {
    client.resize(count);
    if (!client.run_until(bench::now_s() + 2 * setup_limit_s, true)) {
      return give_up("too many failures", client.counters());
    }
    const bench::TlsCounters& seen = client.counters();
    std::cout << "open " << seen.connections << " failed " << seen.failures << std::endl;
  }
  return 0;
}

/// The head's line of that name, without the name.
std::string header_of(const std::string& head, const std::string& name) {
  const size_t at = head.find("\r\n" + name + ": ");
  if (at == std::string::npos) return "–";
  const size_t begin = at + name.size() + 4;
  return head.substr(begin, head.find("\r\n", begin) - begin);
}

std::string tls_error() {
  const unsigned long code = ERR_get_error();
  return code != 0 ? ERR_reason_error_string(code) : "closed";
}

/// One verified connection with blocking sockets: is there really a gateway with that CA in between?
std::string check(const sockaddr_in& address, const std::string& name, const std::string& path,
                  const std::string& ca) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval limit{.tv_sec = 5, .tv_usec = 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return "failed: no connection";
  auto context = bench::make_client_context();
  if (SSL_CTX_load_verify_locations(context.get(), ca.c_str(), nullptr) != 1) return "failed: " + ca;
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  auto ssl = bench::make_client_tls(*context, name, fd);
  SSL_set1_host(ssl.get(), name.c_str());
  if (SSL_connect(ssl.get()) != 1) return "failed: handshake: " + tls_error();
  const std::string request =
      bench::https_request(name + ":" + std::to_string(ntohs(address.sin_port)), path);
  char answer[4096];
  int got = 0;
  if (SSL_write(ssl.get(), request.data(), static_cast<int>(request.size())) <= 0 ||
      (got = SSL_read(ssl.get(), answer, sizeof answer)) <= 0) {
    return "failed: no answer: " + tls_error();
  }
  const std::string head(answer, static_cast<size_t>(got));
  if (!head.starts_with("HTTP/1.1 200")) return "failed: answered " + head.substr(0, head.find('\r'));
  const bench::TlsPtr<X509> certificate(SSL_get1_peer_certificate(ssl.get()));
  const EVP_PKEY* key = X509_get0_pubkey(certificate.get());
  return std::string("ok ") + SSL_get_version(ssl.get()) + " " + SSL_get_cipher_name(ssl.get()) + " " +
         OBJ_nid2sn(EVP_PKEY_get_base_id(key)) + "-" + std::to_string(EVP_PKEY_get_bits(key)) + "; origin " +
         header_of(head, "X-Origin");
}

int usage() {
  std::cerr << "usage: bench_tls_load conns|resumed|requests|bulk|hold|bare|check … (see "
               "tests/bench/tls_load.cc)\n";
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  using bench::TlsLoad;
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // the driver's end is ours
  signal(SIGPIPE, SIG_IGN);          // OpenSSL writes without MSG_NOSIGNAL
  const std::map<std::string, TlsLoad> loads = {
      {"resumed12", TlsLoad::resumed}, {"conns", TlsLoad::conns}, {"resumed", TlsLoad::resumed},
      {"requests", TlsLoad::requests}, {"bulk", TlsLoad::bulk},   {"hold", TlsLoad::hold},
      {"bare", TlsLoad::bare}};
  const std::vector<std::string> args(argv + 1, argv + argc);
  if (args.size() < 4) return usage();
  const sockaddr_in address = bench::parse_address(args[1]);
  if (args[0] == "check" && args.size() == 5) {
    const std::string result = check(address, args[2], args[3], args[4]);
    std::cout << result << std::endl;
    return result.starts_with("ok") ? 0 : 1;
  }
  const auto load = loads.find(args[0]);
  if (load == loads.end()) return usage();
  bench::TlsClient client(load->second, {address, static_cast<uint32_t>(std::stoul(args[2]))}, args[3],
                          args[0] == "resumed12" ? TLS1_2_VERSION : TLS1_3_VERSION);
  if (load->second == TlsLoad::hold || load->second == TlsLoad::bare) return hold(client);
  if (args.size() < 7) return usage();
  const bool stays_open = load->second == TlsLoad::requests || load->second == TlsLoad::bulk;
  return measure(client, stays_open, std::stoul(args[4]), std::stod(args[5]), std::stod(args[6]),
                 bench::watched_from(std::span(args).subspan(7)));
}
