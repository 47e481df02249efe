#include "http/media_type.h"

#include <doctest/doctest.h>

#include <initializer_list>

namespace sluice::http {
namespace {

struct Types {
  std::string type;
  std::vector<std::string> others;
  bool operator==(const Types&) const = default;
};

Types types_of(std::initializer_list<std::string_view> fields) {
  Headers headers;
  for (const std::string_view field : fields) headers.add("Content-Type", field);
  Types types;
  media_types_of(headers, types.type, types.others);
  return types;
}

}  // namespace

TEST_CASE("the media type of Content-Type: lower case, without parameters") {
  CHECK(types_of({}) == Types{});
  CHECK(types_of({"Text/HTML; charset=x"}) == Types{"text/html", {}});
  CHECK(types_of({"application/x-msdownload\t;x"}) == Types{"application/x-msdownload", {}});
  CHECK(types_of({"nonsense"}) == Types{"nonsense", {}});
  CHECK(types_of({"text/plain; title=\"a, b\""}) == Types{"text/plain", {}});
}

TEST_CASE("what is no type, or said twice, does not hide the one that is") {
  CHECK(types_of({"", "application/x-msdownload"}) == Types{"application/x-msdownload", {}});
  CHECK(types_of({"nonsense, application/x-msdownload"}) == Types{"application/x-msdownload", {}});
  CHECK(types_of({"*/*", "application/x-msdownload"}) == Types{"application/x-msdownload", {}});
  CHECK(types_of({"text/html", "TEXT/html; charset=utf-8"}) == Types{"text/html", {}});
}

TEST_CASE("several types: none is certain, all are possible") {
  const Types both{"", {"application/x-msdownload", "text/plain"}};
  CHECK(types_of({"text/plain", "application/x-msdownload"}) == both);
  CHECK(types_of({"text/plain, application/x-msdownload"}) == both);
  CHECK(types_of({"text/plain; x=y,application/x-msdownload; z, text/plain"}) == both);
}

}  // namespace sluice::http
