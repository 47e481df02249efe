// CPU time of processes with all their threads, read from /proc at the edges of the measured window.
//
// utime + stime of /proc/PID/stat also counts threads that have ended and io_uring's kernel helper threads.
// With tick accounting the kernel scales both to the scheduler's exact run time, so their sum is good to one
// tick.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <span>
#include <sstream>
#include <string>
#include <vector>

namespace bench {

struct ThreadTime {
  std::string name;
  double cpu_s = 0;
};

/// Whose CPU time is read: the gateway's processes, and those that the lab consists of beside it (origin, the
/// kernel's softirq threads). The calling process always counts to the lab.
struct Watched {
  std::vector<long> gateway;
  std::vector<long> beside;
};

/// "PID… / PID…": the gateway's before the slash.
inline Watched watched_from(std::span<const std::string> words) {
  Watched watched;
  std::vector<long>* group = &watched.gateway;
  for (const std::string& word : words) {
    if (word == "/") {
      group = &watched.beside;
    } else {
      group->push_back(std::stol(word));
    }
  }
  return watched;
}

struct CpuSample {
  double gateway_s = 0;
  double lab_s = 0;                    // gateway, the processes beside it, and this one
  std::map<long, ThreadTime> threads;  // of the gateway, by thread id
};

namespace detail {

inline std::string read_text(const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

/// utime + stime (fields 14 and 15, proc(5)) in seconds; 0 when the process is gone.
inline double stat_cpu_s(const std::string& path) {
  const std::string text = read_text(path);
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream fields(text.substr(name_end + 1));
  std::string skipped;
  for (int field = 3; field < 14; ++field) fields >> skipped;
  uint64_t user_ticks = 0, system_ticks = 0;
  fields >> user_ticks >> system_ticks;
  return static_cast<double>(user_ticks + system_ticks) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

/// Run time of each thread in nanoseconds is the first field of schedstat.
inline void add_threads(long pid, std::map<long, ThreadTime>& threads) {
  std::error_code gone;
  for (const auto& entry :
       std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task", gone)) {
    std::string name = read_text(entry.path() / "comm");
    if (!name.empty() && name.back() == '\n') name.pop_back();
    const double cpu_s = std::strtod(read_text(entry.path() / "schedstat").c_str(), nullptr) / 1e9;
    threads[std::strtol(entry.path().filename().c_str(), nullptr, 10)] = {name, cpu_s};
  }
}

}  // namespace detail

inline CpuSample sample_cpu(const Watched& watched) {
  const auto cpu_s = [](long pid) { return detail::stat_cpu_s("/proc/" + std::to_string(pid) + "/stat"); };
  CpuSample sample;
  for (const long pid : watched.gateway) {
    sample.gateway_s += cpu_s(pid);
    detail::add_threads(pid, sample.threads);
  }
  sample.lab_s = sample.gateway_s + cpu_s(getpid());
  for (const long pid : watched.beside) sample.lab_s += cpu_s(pid);
  return sample;
}

}  // namespace bench
