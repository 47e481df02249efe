// What `sluice check` says of a text that is not TOML: the parser's words, and what to write.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <string>

#include "unit/config/loading.h"

namespace {

using namespace sluice;

// The one problem of a text, without the path.
std::string problem(const std::string& text) {
  const auto loaded = testing::load(text);
  REQUIRE(loaded.config == nullptr);
  REQUIRE(loaded.problems.size() == 1);
  return fmt::format("{}: {}", loaded.problems[0].line, loaded.problems[0].message);
}
bool hints(const std::string& text, const std::string& place, const std::string& hint) {
  const std::string message = problem(text);
  CAPTURE(text);
  CAPTURE(message);
  const bool found = message.starts_with(place + ": not TOML: ") && message.ends_with("; " + hint);
  CHECK(found);
  return found;
}
bool has_no_hint(const std::string& text) {
  const std::string message = problem(text);
  CAPTURE(message);
  const bool found = message.find("; ") == std::string::npos;
  CHECK(found);
  return found;
}

}  // namespace

TEST_CASE("values without quotes") {
  hints("[gateway]\nlan = eth1\n", "2", "write it in quotes: \"eth1\"");
  hints("[gateway]\nlan = [eth1, \"eth2\"]\n", "2", "write it in quotes: \"eth1\"");
  hints("[gateway]\nlan = [\"ü\", eth1] # x\n", "2", "write it in quotes: \"eth1\"");
  hints("[gateway]\r\nlan = eth1\r\n", "2", "write it in quotes: \"eth1\"");
  hints("\xef\xbb\xbf[gateway]\nlan = eth1", "2", "write it in quotes: \"eth1\"");
  hints("[[access.rules]]\nwhen = { port = 8000-8100 }\n", "2", "write it in quotes: \"8000-8100\"");
  hints("[[access.rules]]\nwhen = { port = [443, 8000-8100] }\n", "2", "write it in quotes: \"8000-8100\"");
  hints("[gateway]\nexempt_clients = [10.0.0.0/8]\n", "2", "write it in quotes: \"10.0.0.0/8\"");
  hints("[limits]\nidle_timeout = 10s\n", "2", "write it in quotes: \"10s\"");
  hints("[limits]\nrelay_memory = 64 MiB\n", "2", "write it in quotes: \"64 MiB\"");
  hints("[log]\nto = stdout;\n", "2", "write it in quotes: \"stdout\"");
  has_no_hint("[gateway]\nworkers = 04\n");
  has_no_hint("[gateway]\nmark = 0X100\n");
  has_no_hint("[log]\nto = \n");
}

TEST_CASE("truth in other words") {
  for (const char* yes : {"yes", "on", "True", "TRUE"}) hints("[tls]\ndecrypt = " + std::string(yes) + "\n", "2", "write true");
  for (const char* no : {"no", "off", "False", "no # not yet"}) hints("[tls]\ndecrypt = " + std::string(no) + "\n", "2", "write false");
}

TEST_CASE("quotes that are none, or miss") {
  hints("[gateway]\nlan = [“eth1”]\n", "2", "“ is no quote here: write straight ones, \"…\"");
  hints("[log]\nto = ‘stdout’\n", "2", "‘ is no quote here: write straight ones, \"…\"");
  hints("[log]\nto = \"stdout”\n", "2", "” is no quote here: write straight ones, \"…\"");
  hints("[log]\nto = \"stdout\n", "2", "the closing quote is missing");
  hints("[log]\nto = 'stdout\n", "2", "the closing quote is missing");
  hints("[gateway]\nlan = [\"eth1]\n", "2", "the closing quote is missing");
  has_no_hint("[log]\nto = \"std\x01out\"\n");
}

TEST_CASE("backslashes in double quotes") {
  hints("[[access.rules]]\nwhen = { url = \"re:\\d+\" }\n", "2",
        "in double quotes a backslash is written twice; single quotes take it as it is: 're:\\d+'");
  hints("[page]\ntemplate = \"C:\\users\\x\"\n", "2",
        "in double quotes a backslash is written twice; single quotes take it as it is: 'C:\\users\\x'");
}

TEST_CASE("a table over several lines") {
  const std::string lines = "braces stay on one line: close them there, or write a line for each, when.host = …, when.port = …";
  hints("[[access.rules]]\nwhen = {\n  host = \"a.example\"\n}\n", "2", lines);
  hints("[[access.rules]]\nwhen = { host = \"a.example\",\n  port = 443 }\n", "2", lines);
  hints("[[access.rules]]\nexcept = [ { host = \"a.example\"\n", "2", "braces stay on one line: close them there");
  hints("[[access.rules]]\nwhen = { host = \"a\", }\n", "2", "leave the last comma out");
  hints("[gateway]\nlan = [\"a\"\n", "2", "a closing ] is missing");
  CHECK(testing::load("[[access.rules]]\nwhen.host = \"a.example\"\nwhen.port = 443\n").config);  // what the hint says
}

TEST_CASE("tables and keys that are there twice") {
  hints("[gateway]\nworkers = 1\n[tls]\n[ gateway ] # again\nipv6 = true\n", "4", "[gateway] is there already, in line 1: put the keys there");
  hints("# [tls]\n[tls] # here\n[tls]\n", "3", "[tls] is there already, in line 2: put the keys there");
  hints("[access.rules]\nname = \"a\"\n[[access.rules]]\n", "3", "line 1 has [access.rules]: write [[access.rules]] there, too");
  hints("[gateway]\nlan = [\"a\"]\n\nlan = [\"b\"]\n", "4", "'lan' is there already, in line 2");
  hints("tls.decrypt = true\n[tls]\n", "2", "line 1 has a key of it, tls.…: put that below [tls]");
}

TEST_CASE("headers") {
  hints("[[access.rules]\nname = \"x\"\n", "1", "write [[access.rules]]");
  hints("[access.rules]]\nname = \"x\"\n", "1", "write [[access.rules]]");
  hints("[tls\ndecrypt = true\n", "1", "write [tls]");
  has_no_hint("[!tls]\n");
}

TEST_CASE("characters and encodings") {
  hints("[log]\nto\u00a0= \"stdout\"\n", "2", "this is a no-break space: write a plain one");
  hints("[log]\nto\u3000= \"stdout\"\n", "2", "this only looks like a space: write a plain one");
  hints("[log]\n// to\n", "2", "a comment begins with #");
  hints("[log]\n; to\n", "2", "a comment begins with #");
  hints("[log]\nto = \"stdout\";\n", "2", "a line ends without ;");
  hints(std::string("\xff\xfe[\0t\0l\0s\0]\0", 12), "1", "this file is UTF-16: save it as UTF-8");
  hints(std::string("[\0t\0l\0s\0]\0", 10), "1", "this file is UTF-16: save it as UTF-8");
  hints("[log] # \xfc\n", "1", "save the file as UTF-8");
}
