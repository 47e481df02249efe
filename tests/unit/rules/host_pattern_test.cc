#include "rules/host_pattern.h"

#include <doctest/doctest.h>

using sluice::rules::HostPattern;

namespace {
std::string parsed(std::string_view text) {
  std::string error;
  const auto pattern = HostPattern::parse(text, error);
  return pattern ? pattern->to_string() : "error: " + error;
}
bool refused_with(std::string_view text, std::string_view part) {
  const std::string result = parsed(text);
  CAPTURE(text);
  CAPTURE(result);
  return result.starts_with("error: ") && result.find(part) != std::string::npos;
}
}  // namespace

TEST_CASE("S20: patterns are normalised: case, trailing dot, U-labels") {
  CHECK(parsed("Example.COM") == "example.com");
  CHECK(parsed(".Example.com.") == ".example.com");
  CHECK(parsed("*.example.com") == "*.example.com");
  CHECK(parsed("*.Bücher.example") == "*.xn--bcher-kva.example");
  CHECK(parsed("例え.テスト") == "xn--r8jz45g.xn--zckzah");
  CHECK(parsed("a。example") == "a.example");  // the ideographic full stop is a dot (RFC 3490 section 3.1)
  CHECK(parsed("a_b.example") == "a_b.example");
}

TEST_CASE("S20: nonsense patterns are refused with a suggestion") {
  CHECK(refused_with("", "cannot be empty"));
  CHECK(refused_with("*", "match every host"));
  CHECK(refused_with("*.", "match every host"));
  CHECK(refused_with("*foo.com", "did you mean \".foo.com\""));
  CHECK(refused_with("www.*", "may only stand in front"));
  CHECK(refused_with("a.*.b", "did you mean \".b\""));
  CHECK(refused_with("*.*.b", "did you mean \".b\""));
  CHECK(refused_with("http://foo.com/x", "\"foo.com\""));
  CHECK(refused_with("foo.com/x", "\"foo.com\""));
  CHECK(refused_with("foo.com:443", "condition port"));
  CHECK(refused_with("foo..com", "empty label"));
  CHECK(refused_with("..foo.com", "empty label"));
  CHECK(refused_with(".", "cannot be empty"));
  CHECK(refused_with("foo com", "not a host name"));
  CHECK(refused_with("foo\tcom", "0x09"));
  CHECK(refused_with("192.0.2.256", "ends in a number"));
  CHECK(refused_with("1.2.3", "ends in a number"));
  CHECK(refused_with(".192.0.2.1", "write \"192.0.2.1\""));
  CHECK(refused_with("a\xff.example", "internationalised"));
}

TEST_CASE("what is a pattern elsewhere is told what to write here") {
  CHECK(refused_with("[2001:db8::1]", "write \"2001:db8::1\""));
  CHECK(refused_with("192.168.1.*", "a network is written \"192.168.1.0/24\""));
  CHECK(refused_with("10.0.0.1-10.0.0.9", "is a range"));
  CHECK(refused_with("re:^ads", "a host takes no regular expression; those go into url"));
  CHECK(refused_with("lists/l.txt", "did you mean the list file, \"@lists/l.txt\"?"));
  CHECK(refused_with("||a.example^", "here write \".a.example\""));
  CHECK(refused_with("||a.example^$important", "here write \".a.example\""));
  CHECK(refused_with("a.example ", "'a.example ' is not a host name: it has a space around it; write \"a.example\""));
  CHECK(refused_with(" a.example", "write \"a.example\""));
  CHECK(refused_with("a example", "'a example' is not a host name: it has a space inside"));
  CHECK(refused_with(" ", "not a host name"));
  CHECK(refused_with("a.example, b.example", "write a list, [\"a.example\", \"…\"]"));
  CHECK(refused_with("foo.com/x.txt", "did you mean the list file"));
  CHECK(refused_with("http://foo.com/x.txt", "\"foo.com\""));
}

TEST_CASE("a name has labels of 63 bytes and 253 bytes in all, and not one more") {
  const std::string label63(63, 'a');
  const std::string full = label63 + "." + label63 + "." + label63 + "." + std::string(61, 'b');
  CHECK(full.size() == 253);
  CHECK(parsed(full) == full);
  CHECK(parsed("*." + full) == "*." + full);
  CHECK(refused_with(full + "b", "at most 253 bytes"));
  CHECK(parsed(label63 + ".example") == label63 + ".example");
  CHECK(refused_with("a" + label63 + ".example", "at most 63"));
}
