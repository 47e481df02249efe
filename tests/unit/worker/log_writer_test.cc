// The log writer and its sinks. journald is a datagram socket of the test's own.
#include "worker/log_writer.h"

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

using sluice::Log;
using sluice::worker::LogWriter;

namespace {

constexpr int deadline_ms = 20'000;

class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "sluice-log-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] std::string operator/(const char* name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

/// Takes datagrams, as journald does, from its construction to its destruction.
class Journal {
 public:
  explicit Journal(const std::string& path)
      : path_(path), fd_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    REQUIRE(fd_ >= 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    REQUIRE(path.size() < sizeof address.sun_path);
    path.copy(address.sun_path, path.size());
    REQUIRE(::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  }
  ~Journal() {
    ::close(fd_);
    ::unlink(path_.c_str());
  }
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  void wait_for_datagram() const {
    pollfd wait{fd_, POLLIN, 0};
    REQUIRE(::poll(&wait, 1, deadline_ms) == 1);
  }
  /// The next datagram; empty when none comes within `wait_ms`.
  [[nodiscard]] std::string take(int wait_ms = deadline_ms) {
    pollfd wait{fd_, POLLIN, 0};
    if (::poll(&wait, 1, wait_ms) <= 0) return "";
    std::string datagram(65536, '\0');
    const ssize_t length = ::recv(fd_, datagram.data(), datagram.size(), MSG_DONTWAIT);
    datagram.resize(length < 0 ? 0 : static_cast<size_t>(length));
    return datagram;
  }

 private:
  std::string path_;
  int fd_;
};

std::string entry(const std::string& line) {
  return "PRIORITY=6\nSYSLOG_IDENTIFIER=sluice\nMESSAGE=" + line + "\n";
}

/// A writer with one queue, and a worker's part of it.
struct Fixture {
  explicit Fixture(const std::string& to = "journald")
      : messages(std::tmpfile()),
        writer(LogWriter::open(to, 1, Log(fileno(messages), Log::Style::plain), error, folder / "socket")) {
    REQUIRE_MESSAGE(writer, error);
  }
  ~Fixture() {
    writer.reset();
    std::fclose(messages);
  }
  void append(const std::string& line) {
    if (!writer->queue(0).append(line + "\n")) ++dropped;
  }
  /// Until the writer has fetched what was handed over before.
  void hand_over() {
    for (int tries = 0; !writer->queue(0).hand_over(); ++tries) {
      REQUIRE(tries < deadline_ms);
      ::usleep(1'000);
    }
    writer->wake();
  }
  void write(const std::string& line) {
    append(line);
    hand_over();
  }
  void wait_for_lost(uint64_t lines) {
    for (int tries = 0; writer->lines_lost() < lines && tries < deadline_ms; ++tries) ::usleep(1'000);
    CHECK(writer->lines_lost() == lines);
  }
  /// How many times the daemon said that the log cannot be written.
  [[nodiscard]] size_t announced() const {
    std::string all(1 << 16, '\0');
    const ssize_t length = ::pread(fileno(messages), all.data(), all.size(), 0);
    all.resize(length < 0 ? 0 : static_cast<size_t>(length));
    CHECK(static_cast<size_t>(std::count(all.begin(), all.end(), '\n')) ==
          count_of(all, "the access log cannot be written"));
    return count_of(all, "the access log cannot be written");
  }

  Folder folder;
  std::unique_ptr<Journal> journal = std::make_unique<Journal>(folder / "socket");
  FILE* messages;
  std::string error;
  std::unique_ptr<LogWriter> writer;
  size_t dropped = 0;

 private:
  static size_t count_of(const std::string& text, const std::string& part) {
    size_t count = 0;
    for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
    return count;
  }
};

}  // namespace

TEST_CASE("journald: each line is a datagram with a priority and a name") {
  Fixture at;
  at.append("{\"id\":1}");
  at.append("{\"id\":2}");
  at.hand_over();
  CHECK(at.journal->take() == entry("{\"id\":1}"));
  CHECK(at.journal->take() == entry("{\"id\":2}"));
  at.write("{\"id\":3}");
  CHECK(at.journal->take() == entry("{\"id\":3}"));
  CHECK(at.writer->lines_lost() == 0);
  CHECK(at.announced() == 0);
}

TEST_CASE("journald takes no more: every line either arrives or is counted as lost") {
  Fixture at;
  constexpr uint64_t lines = 5'000;  // more than a datagram socket queues
  for (uint64_t i = 0; i < lines; ++i) at.append(std::to_string(i));
  at.hand_over();
  at.journal->wait_for_datagram();  // it is at it, and will be stuck; told to open its sink anew, it gives up
                                    // the rest
  REQUIRE(at.writer->reopen("journald", at.error));
  for (int tries = 0; at.writer->lines_lost() == 0 && tries < deadline_ms; ++tries) ::usleep(1'000);
  uint64_t arrived = 0;
  for (std::string datagram = at.journal->take(0); !datagram.empty(); datagram = at.journal->take(0))
    CHECK(datagram == entry(std::to_string(arrived++)));
  CHECK(arrived > 0);
  CHECK(at.writer->lines_lost() > 0);
  CHECK(arrived + at.writer->lines_lost() == lines);
  at.write("there is room again");
  CHECK(at.journal->take() == entry("there is room again"));
  CHECK(arrived + at.writer->lines_lost() == lines);
  CHECK(at.announced() == 1);
}

TEST_CASE("journald is started anew: the next line connects again, and each outage is announced once") {
  Fixture at;
  at.write("one");
  CHECK(at.journal->take() == entry("one"));
  SUBCASE("and is back before the next line: nothing is lost") {
    at.journal.reset();
    at.journal = std::make_unique<Journal>(at.folder / "socket");
    at.write("two");
    CHECK(at.journal->take() == entry("two"));
    CHECK(at.writer->lines_lost() == 0);
    CHECK(at.announced() == 0);
  }
  SUBCASE("and is away for some lines, twice") {
    for (uint64_t outage = 1; outage <= 2; ++outage) {
      at.journal.reset();
      at.append("lost");
      at.append("lost as well");
      at.hand_over();
      at.wait_for_lost(outage * 3 - 1);
      at.write("and this");
      at.wait_for_lost(outage * 3);
      CHECK(at.announced() == outage);
      at.journal = std::make_unique<Journal>(at.folder / "socket");
      at.write("back");
      CHECK(at.journal->take() == entry("back"));
    }
    CHECK(at.writer->lines_lost() == 6);
    CHECK(at.announced() == 2);
  }
}

TEST_CASE("journald that is not there at the start is told with its socket") {
  Folder folder;
  std::string error;
  for (const std::string& path : {folder / "nobody", std::string(200, 'x')}) {
    CHECK_FALSE(LogWriter::open("journald", 1, Log(STDERR_FILENO, Log::Style::plain), error, path));
    CHECK(error.starts_with("log.to = \"journald\": cannot connect to " + path + ": "));
  }
}

TEST_CASE("a file gets every line once, and a new one after it was rotated") {
  Folder folder;
  const std::string path = folder / "access.log";
  Fixture at(path);
  at.write("one");
  const auto text_of = [](const std::string& name) {
    std::ifstream file(name);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  const auto wait_for = [&](const std::string& name, const std::string& text) {
    for (int tries = 0; text_of(name) != text && tries < deadline_ms; ++tries) ::usleep(1'000);
    CHECK(text_of(name) == text);
  };
  wait_for(path, "one\n");
  std::filesystem::rename(path, path + ".1");
  REQUIRE(at.writer->reopen(path, at.error));
  at.write("two");
  wait_for(path, "two\n");
  CHECK(text_of(path + ".1") == "one\n");
  CHECK(at.writer->lines_lost() == 0);
}
