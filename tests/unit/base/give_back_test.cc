#include "base/give_back.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <vector>

TEST_CASE("give_back leaves neither contents nor capacity") {
  std::vector<uint8_t> bytes(1000);
  sluice::give_back(bytes);
  CHECK(bytes.empty());
  CHECK(bytes.capacity() == 0);
  std::string text(1000, 'x');
  sluice::give_back(text);
  CHECK(text.empty());
  CHECK(text.capacity() == std::string().capacity());
}
