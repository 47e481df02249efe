#include "http/file_name.h"

#include <doctest/doctest.h>

#include <initializer_list>
#include <string>
#include <vector>

namespace sluice::http {
namespace {

struct Names {
  std::string name;
  std::vector<std::string> others;
  bool operator==(const Names&) const = default;
};

Names names_of(std::initializer_list<std::string_view> dispositions) {
  Headers headers;
  for (const std::string_view disposition : dispositions) headers.add("Content-Disposition", disposition);
  Names names;
  names.name = file_name_of(headers, names.others);
  return names;
}
Names names_of(std::string_view disposition) { return names_of({disposition}); }
std::string named_by(std::string_view disposition) { return names_of(disposition).name; }

}  // namespace

TEST_CASE("the file name of Content-Disposition, as browsers read it (RFC 6266, RFC 8187)") {
  CHECK(names_of(std::initializer_list<std::string_view>{}) == Names{});
  CHECK(named_by("attachment") == "");
  CHECK(named_by("attachment; filename=setup.exe") == "setup.exe");
  CHECK(named_by("ATTACHMENT;FileName = \"set up.exe\"; size=3") == "set up.exe");
  CHECK(named_by("attachment; filename=\"a\\\"b;c.exe\"; x=y") == "a\"b;c.exe");
  CHECK(named_by("inline; filename=\"..\\\\..\\\\evil.exe\"") == "evil.exe");
  CHECK(named_by("inline; filename=/tmp/evil.exe") == "evil.exe");
  CHECK(named_by("attachment; filename=\"x.txt\"; filename*=UTF-8''na%C3%AFve%20plan.exe") == "na\xc3\xafve plan.exe");
  CHECK(named_by("attachment; filename*=iso-8859-1'en'%A3%20rates.pdf; filename=x") == "\xc2\xa3 rates.pdf");
  CHECK(named_by("attachment; filename*=utf-16''x; filename=y.exe") == "y.exe");
  CHECK(named_by("attachment; filename*=broken; filename=y.exe") == "y.exe");
  CHECK(named_by("attachment; filename=\"never closed") == "never closed");
  CHECK(named_by("attachment; filename=\"ends\\") == "");  // a folder
  CHECK(named_by("filename=x.exe") == "x.exe");  // Chromium needs no type before it
  CHECK(named_by(";;; = ; filename=;filename=second.exe") == "second.exe");
}

TEST_CASE("every other name that some program may save a file under") {
  using Others = std::vector<std::string>;
  CHECK(names_of("attachment; filename=setup.exe") == Names{"setup.exe", {}});
  CHECK(names_of("attachment; filename=\"evil%2Eexe\"") == Names{"evil%2Eexe", {"evil.exe"}});
  CHECK(names_of("attachment; filename=\"evil.exe\"; filename*=UTF-8''good.txt") == Names{"good.txt", {"evil.exe"}});
  CHECK(names_of("attachment; filename*=latin9''good.txt; filename=\"evil.exe\"") == Names{"evil.exe", {}});
  CHECK(names_of("attachment; filename=\"evil.exe/\"") == Names{"", {"evil.exe"}});
  CHECK(names_of("attachment; filename*0=\"evil\"; filename*1*=%2Eexe") == Names{"", {"evil.exe"}});
  CHECK(names_of("attachment; filename*0*=UTF-8''ev; filename*1=il.exe; filename=a") == Names{"a", {"evil.exe"}});
  const std::string word = "=?UTF-8?Q?evil=2Eexe?=";
  CHECK(names_of("attachment; filename=\"" + word + "\"") == Names{word, {"evil.exe"}});
  const std::string words = "=?utf-8?b?ZXZpbA==?= =?ISO-8859-1?q?_1=2Eexe?=.txt";
  CHECK(names_of("attachment; filename=\"" + words + "\"") == Names{words, {"evil 1.exe.txt"}});
  // Of several nobody knows which is taken.
  CHECK(names_of("attachment; filename=a.txt; filename=b.exe") == Names{"", {"a.txt", "b.exe"}});
  CHECK(names_of("attachment; filename*=UTF-8''a.txt; filename*=UTF-8''b.exe").name == "");
  CHECK(names_of("attachment; filename*=UTF-8''a.txt; filename*=UTF-8''b.exe").others == Others{"a.txt", "b.exe"});
  CHECK(names_of({"attachment; filename=a.txt", "attachment; filename=b.exe"}) == Names{"", {"a.txt", "b.exe"}});
  CHECK(names_of({"inline", "attachment; filename=b.exe"}) == Names{"", {"b.exe"}});
  CHECK(names_of({"attachment; filename=a.txt", "attachment; filename=a.txt"}) == Names{"a.txt", {}});
  for (const std::string_view broken : {"a; filename==?x", "a; filename==?x?", "a; filename==?x?q", "a; filename==?x?q?=", "=?=?=?=?=",
                                        "a; filename*0*=x'", "a; filename*"})
    (void)names_of(broken);
}

TEST_CASE("the file name of a URL: the last segment, decoded") {
  CHECK(file_name_in("http://a.test/x/setup.exe?y=/z") == "setup.exe");
  CHECK(file_name_in("http://a.test/a%20b.exe") == "a b.exe");
  CHECK(file_name_in("http://a.test/%zz%4") == "%zz%4");
  CHECK(file_name_in("http://a.test/") == "");
  CHECK(file_name_in("http://a.test") == "");
  CHECK(file_name_in("") == "");
}

}  // namespace sluice::http
