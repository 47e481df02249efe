#include "http/file_name.h"

#include <doctest/doctest.h>

namespace sluice::http {
namespace {

std::string named_by(std::string_view disposition) {
  Headers headers;
  headers.add("Content-Disposition", disposition);
  return file_name_of(headers);
}

}  // namespace

TEST_CASE("the file name of Content-Disposition, as browsers read it (RFC 6266, RFC 8187)") {
  CHECK(file_name_of(Headers()) == "");
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
  CHECK(named_by("filename=x.exe") == "");
  CHECK(named_by(";;; = ; filename=;filename=second.exe") == "second.exe");
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
