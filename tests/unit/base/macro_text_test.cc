// Texts with macros: what is one, what it becomes, and where a wrong one is.
#include "base/macro_text.h"

#include <doctest/doctest.h>

#include "base/limits.h"

using namespace sluice;

namespace {

const MacroValues values = {.date = "2026-11-22",
                            .time = "14:05:09",
                            .method = "GET",
                            .url = "http://a.example/x?y=<1>&z",
                            .host = "a.example",
                            .client_ip = "192.0.2.7",
                            .user = "",
                            .user_agent = "Browser \"1\"",
                            .rule = "games",
                            .reason = "it's so",
                            .threat = "",
                            .category = "",
                            .server = "gw"};

std::string expand(std::string_view text, Escape escape = Escape::text) {
  std::string out;
  expand_macros(out, text, values, escape);
  return out;
}

std::string fault(std::string_view text) {
  const auto found = find_macro_fault(text);
  if (!found) return "none";
  return std::to_string(found->line) + ":" + std::to_string(found->column) + " " + std::string(found->name);
}

}  // namespace

TEST_CASE("every macro of S31 is replaced") {
  CHECK(expand("%DATE% %TIME% %METHOD% %URL% %HOST% %CLIENT_IP% %USER% %USER_AGENT% %RULE% %REASON% %THREAT% "
               "%CATEGORY% %SERVER%") ==
        "2026-11-22 14:05:09 GET http://a.example/x?y=<1>&z a.example 192.0.2.7  Browser \"1\" games it's so "
        "  gw");
  CHECK(macro_names().size() == 13);
  for (size_t i = 0; i < macro_names().size(); ++i) {
    CHECK(fault("%" + std::string(macro_names()[i]) + "%") == "none");
    CHECK_FALSE(macro_meaning(i).empty());
  }
}

TEST_CASE("values are escaped for where they go, the text around them is not") {
  CHECK(expand("<b>%URL%</b>", Escape::html) == "<b>http://a.example/x?y=&lt;1&gt;&amp;z</b>");
  CHECK(expand("<i title='%USER_AGENT%'>%REASON%", Escape::html) ==
        "<i title='Browser &quot;1&quot;'>it&#39;s so");
  CHECK(expand("https://b.example/?u=%URL%&r=%REASON%", Escape::url) ==
        "https://b.example/?u=http%3A%2F%2Fa.example%2Fx%3Fy%3D%3C1%3E%26z&r=it%27s%20so");
}

TEST_CASE("what is no macro stays") {
  for (const char* text : {"", "no macros", "width: 50%; height: 100%", "50%auto%", "%20%C3%A4%AB%CD", "%",
                           "a%", "%A", "%URL", "% URL%", "%U RL%", "%abc%", "%1%"}) {
    CAPTURE(text);
    CHECK(expand(text) == text);
    CHECK(fault(text) == "none");
  }
  CHECK(expand("100%% of %%URL%%") == "100% of %URL%");
  CHECK(expand("%%%HOST%%%") == "%a.example%");
  CHECK(expand("%C3%A4%HOST%") == "%C3%A4a.example");
  CHECK(expand("10%%HOST%") == "10%HOST%");
}

TEST_CASE("a macro that there is not has a place") {
  CHECK(fault("%HOTS%") == "1:1 HOTS");
  CHECK(fault("a\n<p>\xc3\xa4 %HOST% %URI%\n%XX_Y%") == "2:13 URI");
  CHECK(fault("%url%") == "1:1 url");
  CHECK(fault("%%NOPE%%") == "none");
  CHECK(expand("%NOPE% %HOST%") == "%NOPE% a.example");
  std::string many;
  for (size_t i = 0; i < limits::macros_max; ++i) many += "%RULE%";
  CHECK(fault(many) == "none");
  CHECK(fault(many + "\n%RULE%") == "2:1 ");
  CHECK(expand(many + "%RULE%").ends_with("games%RULE%"));
}

TEST_CASE("long values are cut between characters, unsafe ones made harmless") {
  const std::string room(limits::macro_value_bytes_max - 1, 'a');
  std::string out;
  append_macro_value(out, room + "b", Escape::text);
  CHECK(out == room + "b");
  out.clear();
  append_macro_value(out, room + "\xc3\xa4", Escape::html);
  CHECK(out == room + "\u2026");
  out.clear();
  append_macro_value(out, room + "\xc3\xa4", Escape::url);
  CHECK(out == room);
  out.clear();
  append_macro_value(out, "a\x1b[1m\xe2\x80\xae\xff\r\n", Escape::html);
  CHECK(out == "a\\x1b[1m\\xe2\\x80\\xae\\xff\\x0d\\x0a");
  out.clear();
  append_macro_value(out, "\r\nSet-Cookie: x", Escape::url);
  CHECK(out == "%0D%0ASet-Cookie%3A%20x");
}
