#include "worker/log_writer.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "io/ring.h"

namespace sluice::worker {
namespace {

// A pipe or socket that poll(2) calls writable takes this much without blocking (PIPE_BUF).
constexpr size_t stream_piece_bytes = 4096;
constexpr int poll_ms = 100;
constexpr uint64_t stop_us = 2'000'000;

/// -1 and errno on failure.
int open_journal(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  path.copy(address.sun_path, path.size());
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
  const int error = errno;
  ::close(fd);
  errno = error;
  return -1;
}

/// What send(2) says when the socket that we are connected to has been closed: another may have taken its place.
bool has_left(int sys_errno) { return sys_errno == ECONNREFUSED || sys_errno == ENOTCONN || sys_errno == ECONNRESET; }

int open_file(const std::string& path) {
  // O_NONBLOCK: opening a FIFO that nobody reads must not hang. Then it is opened for both, which never waits.
  const int flags = O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK;
  int fd = ::open(path.c_str(), O_WRONLY | flags, 0640);
  if (fd < 0 && errno == ENXIO) fd = ::open(path.c_str(), O_RDWR | flags, 0640);
  return fd;
}

}  // namespace

LogWriter::LogWriter(size_t queues, const Log& log, std::string journal_socket)
    : journal_socket_(std::move(journal_socket)), log_(log) {
  for (size_t i = 0; i < queues; ++i) queues_.push_back(std::make_unique<LogQueue>());
}

bool LogWriter::open_sink(const std::string& to, Sink& sink, std::string& error) const {
  if (to == "journald") {
    sink = {Sink::Kind::journal, open_journal(journal_socket_), true};
    if (sink.fd < 0) {
      error = std::string("log.to = \"journald\": cannot connect to ") + journal_socket_ + ": " + std::strerror(errno) +
              "; is systemd-journald running? Use \"stdout\" or a file path otherwise";
      return false;
    }
    return true;
  }
  sink = to == "stdout" ? Sink{Sink::Kind::stream, STDOUT_FILENO, false} : Sink{Sink::Kind::stream, open_file(to), true};
  if (sink.fd < 0) {
    error = "log.to = \"" + to + "\": cannot open it for writing: " + std::strerror(errno) +
            "; its directory must exist and be writable by the user that sluice runs as";
    return false;
  }
  struct stat about {};
  if (fstat(sink.fd, &about) == 0 && S_ISREG(about.st_mode)) sink.kind = Sink::Kind::file;
  return true;
}

void LogWriter::close_sink(Sink& sink) {
  if (sink.owned && sink.fd >= 0) ::close(sink.fd);
  sink.fd = -1;
}

std::unique_ptr<LogWriter> LogWriter::open(const std::string& to, size_t queues, const Log& log,
                                           std::string& error, std::string journal_socket) {
  std::unique_ptr<LogWriter> self(new LogWriter(queues, log, std::move(journal_socket)));
  if (!self->open_sink(to, self->sink_, error)) return nullptr;
  self->wake_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (self->wake_fd_ < 0) {
    error = std::string("cannot make an eventfd for the log: ") + std::strerror(errno);
    return nullptr;
  }
  self->thread_ = std::thread([writer = self.get()] {
    pthread_setname_np(pthread_self(), "log-writer");
    writer->run();
  });
  return self;
}

LogWriter::~LogWriter() {
  stop();
  close_sink(sink_);
  if (has_fresh_) close_sink(fresh_);
  if (wake_fd_ >= 0) ::close(wake_fd_);
}

void LogWriter::wake() {
  const uint64_t one = 1;
  (void)!::write(wake_fd_, &one, sizeof one);
}

bool LogWriter::reopen(const std::string& to, std::string& error) {
  Sink fresh;
  if (!open_sink(to, fresh, error)) return false;
  {
    const std::lock_guard lock(fresh_mutex_);
    if (has_fresh_) close_sink(fresh_);
    fresh_ = fresh;
    has_fresh_ = true;
  }
  wake();
  return true;
}

void LogWriter::take_fresh_sink() {
  if (!has_fresh_) return;
  const std::lock_guard lock(fresh_mutex_);
  close_sink(sink_);
  sink_ = fresh_;
  has_fresh_ = false;
  last_errno_ = 0;
}

void LogWriter::stop() {
  if (!thread_.joinable()) return;
  give_up_us_ = io::Ring::clock_us() + stop_us;
  stopping_ = true;
  wake();
  thread_.join();
}

void LogWriter::run() {
  for (;;) {
    const bool last = stopping_.load();  // read before fetching: what is handed over before stop() is still written
    for (auto& queue : queues_) {
      while (std::string* chunk = queue->fetch()) {
        write_all(*chunk);
        queue->done(chunk);
        if (last) (void)queue->hand_over();  // the workers have ended: their last chunk is ours
      }
      if (last && queue->hand_over()) {
        if (std::string* chunk = queue->fetch()) {
          write_all(*chunk);
          queue->done(chunk);
        }
      }
    }
    if (last) return;
    pollfd wait{wake_fd_, POLLIN, 0};
    (void)::poll(&wait, 1, -1);
    uint64_t count = 0;
    (void)!::read(wake_fd_, &count, sizeof count);
  }
}

bool LogWriter::wait_writable() {
  while (io::Ring::clock_us() < give_up_us_.load()) {
    pollfd wait{sink_.fd, POLLOUT, 0};
    if (::poll(&wait, 1, poll_ms) > 0) return true;
    // Stuck, and a new sink is there: what is left of this chunk is lost (and counted), the next goes to the new one.
    if (has_fresh_) return false;
  }
  return false;
}

void LogWriter::lose(std::string_view text, int sys_errno) {
  lines_lost_ += static_cast<uint64_t>(std::count(text.begin(), text.end(), '\n'));
  if (sys_errno == last_errno_) return;  // said once until it changes
  last_errno_ = sys_errno;
  log_.warning("the access log cannot be written: {}; records are lost until it can", std::strerror(sys_errno));
}

bool LogWriter::reconnect_journal() {
  const int fd = open_journal(journal_socket_);
  if (fd < 0) return false;
  close_sink(sink_);
  sink_.fd = fd;
  return true;
}

int LogWriter::send_to_journal(std::string_view datagram) {
  bool reconnected = false;
  for (;;) {
    if (!wait_writable()) return EAGAIN;
    if (::send(sink_.fd, datagram.data(), datagram.size(), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return 0;
    if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS) continue;
    // journald was started anew. Only one try per line: its next one, or the next line's, is soon enough.
    if (!has_left(errno) || reconnected || !reconnect_journal()) return errno;
    reconnected = true;
  }
}

void LogWriter::write_journal(std::string_view text) {
  constexpr std::string_view head = "PRIORITY=6\nSYSLOG_IDENTIFIER=sluice\nMESSAGE=";
  std::string datagram;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, std::min(text.find('\n'), text.size() - 1) + 1);
    datagram.assign(head).append(line);
    const int sys_errno = send_to_journal(datagram);
    if (sys_errno == EAGAIN) return lose(text, sys_errno);  // it takes no more: this line and all behind it
    if (sys_errno != 0)
      lose(line, sys_errno);
    else
      last_errno_ = 0;
    text.remove_prefix(line.size());
  }
}

void LogWriter::write_all(std::string_view text) {
  take_fresh_sink();
  if (sink_.kind == Sink::Kind::journal) return write_journal(text);
  while (!text.empty()) {
    const bool stream = sink_.kind == Sink::Kind::stream;
    if (stream && !wait_writable()) return lose(text, EAGAIN);
    const ssize_t written = ::write(sink_.fd, text.data(), stream ? std::min(text.size(), stream_piece_bytes) : text.size());
    if (written < 0) {
      if (errno == EINTR || errno == EAGAIN) continue;
      return lose(text, errno);
    }
    last_errno_ = 0;
    text.remove_prefix(static_cast<size_t>(written));
  }
}

}  // namespace sluice::worker
