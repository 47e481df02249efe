// [page], and what `to` of a redirect may be.
#include <doctest/doctest.h>

#include "base/limits.h"
#include "config/page_reader.h"
#include "unit/config/loading.h"

using namespace sluice;
using namespace sluice::testing;

namespace {

config::Loaded load_page(const std::string& page, const std::string& text) {
  Files files;
  files.texts["/etc/sluice/rules.toml"] = "[page]\n" + page;
  files.texts["/etc/sluice/block.html"] = text;
  return files.load();
}

std::string problems(const std::string& page, const std::string& text = "x") {
  return problems_of(load_page(page, text));
}

std::string redirect(std::string_view to) { return config::redirect_problem(to).value_or("fine"); }

}  // namespace

TEST_CASE("the page has a template beside the configuration, and a name for the gateway") {
  const auto loaded = load_page("template = \"block.html\"\nserver = \"gw.example\"\n", "<p>%URL% 100%");
  REQUIRE_MESSAGE(loaded.config != nullptr, problems_of(loaded));
  CHECK(loaded.config->page.text == "<p>%URL% 100%");
  CHECK(loaded.config->page.server == "gw.example");
  CHECK(config_of("")->page.text.empty());
  CHECK(config_of("")->page.server.empty());
}

TEST_CASE("what is wrong with a template is told with its place in it") {
  CHECK(problems("template = \"block.html\"", "<p>\n  %HOTS%\n") ==
        "/etc/sluice/block.html:2:3: error: there is no macro %HOTS%; did you mean %HOST%?\n");
  CHECK(problems("template = \"block.html\"", "%url%") ==
        "/etc/sluice/block.html:1:1: error: there is no macro %url%; did you mean %URL%?\n");
  CHECK(problems("template = \"block.html\"", "%COPYRIGHT_YEAR%").find("there are %DATE% %TIME% ") !=
        std::string::npos);
  CHECK(problems("template = \"none.html\"") ==
        "/etc/sluice/rules.toml:2:12: error: cannot read the template /etc/sluice/none.html: No such file or "
        "directory (names are relative to the "
        "directory of this file)\n");
  CHECK(
      problems("template = \"block.html\"", "").find(":2:12: error: the template /etc/sluice/block.html is empty") !=
      std::string::npos);
  CHECK(problems("template = \"\"").find("page.template is empty") != std::string::npos);
  CHECK(problems("template = 1").find("page.template") != std::string::npos);
  CHECK(problems("server = \"\"").find("page.server is empty") != std::string::npos);
  CHECK(problems("server = \"" + std::string(254, 'a') + "\"").find("at most 253") != std::string::npos);
  CHECK(problems("templat = \"block.html\"").find("template") != std::string::npos);
}

TEST_CASE("a template has a limit") {
  const std::string most(limits::page_template_bytes_max, 'x');
  CHECK(problems("template = \"block.html\"", most).empty());
  CHECK(problems("template = \"block.html\"", most + "x").find("at most 256 KiB are allowed") !=
        std::string::npos);
  std::string many;
  for (size_t i = 0; i <= limits::macros_max; ++i) many += "%RULE%\n";
  CHECK(problems("template = \"block.html\"", many)
            .find("block.html:257:1: error: too many macros: at most 256 are allowed") != std::string::npos);
}

TEST_CASE("where a redirect may lead") {
  CHECK(redirect("https://intranet.example/blocked?u=%URL%&r=%REASON%") == "fine");
  CHECK(redirect("http://[2001:db8::1]:8080/%20x#y") == "fine");
  CHECK(redirect("ftp://a.example/") ==
        "must be a URL that begins with \"http://\" or \"https://\", not \"ftp://a.example/\"");
  CHECK(redirect("") == "must be a URL that begins with \"http://\" or \"https://\", not \"\"");
  CHECK(redirect("https://") == "is a URL without a host: \"https://\"");
  CHECK(redirect("https://a.example/ x") ==
        "has a character that must be percent-encoded in a URL, 0x20: \"https://a.example/ x\"");
  CHECK(redirect("https://a.example/\r\nX: y").find("0x0d") != std::string::npos);
  CHECK(redirect("https://a.example/\xc3\xa4").find("0xc3") != std::string::npos);
  CHECK(redirect("https://a.example/\"").find("0x22") != std::string::npos);
  CHECK(redirect("https://a.example/?%UR%") ==
        "\"https://a.example/?%UR%\": there is no macro %UR%; did you mean %URL%?");
}
