#include "base/log.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <string>

#include "base/utf8.h"

using sluice::Log;

namespace {

/// What a Log wrote: a pipe holds the few lines of a test.
class Captured {
 public:
  Captured() { REQUIRE(pipe(ends_) == 0); }
  ~Captured() { close(ends_[0]); }
  [[nodiscard]] int fd() const { return ends_[1]; }
  [[nodiscard]] std::string text() {
    close(ends_[1]);
    std::string all(4096, '\0');
    const ssize_t got = read(ends_[0], all.data(), all.size());
    all.resize(got < 0 ? 0 : static_cast<size_t>(got));
    return all;
  }

 private:
  int ends_[2] = {-1, -1};
};

}  // namespace

TEST_CASE("messages have their level in words for people, and as a priority for journald") {
  Captured people;
  const Log log(people.fd(), Log::Style::plain);
  log.error("cannot bind {}: {}", "[::]:12345", "Address already in use");
  log.warning("w");
  log.info("i");
  CHECK(people.text() ==
        "sluice: error: cannot bind [::]:12345: Address already in use\nsluice: warning: w\nsluice: i\n");

  Captured journal;
  const Log journal_log(journal.fd(), Log::Style::journald);
  journal_log.error("e");
  journal_log.warning("w");
  journal_log.info("i");
  CHECK(journal.text() == "<3>e\n<4>w\n<6>i\n");
}

TEST_CASE("a message is one line, whatever is in it") {
  Captured people;
  Log(people.fd(), Log::Style::plain).error("{}", "a\nb\x1b[31m\xff\u00fc");
  CHECK(people.text() == "sluice: error: a\\x0ab\\x1b[31m\\xff\u00fc\n");
}

TEST_CASE("what is shown to people is printable UTF-8") {
  CHECK(sluice::printable("") == "");
  CHECK(sluice::printable("b\u00fccher \U0001f512") == "b\u00fccher \U0001f512");
  CHECK(sluice::printable(std::string_view("\0", 1)) == "\\x00");
  CHECK(sluice::printable("\x7f\u009b\u202e") == "\\x7f\\xc2\\x9b\\xe2\\x80\\xae");
  CHECK(sluice::printable("\xc3") == "\\xc3");
  CHECK(sluice::printable("\xed\xa0\x80") == "\\xed\\xa0\\x80");
}
