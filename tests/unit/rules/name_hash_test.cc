// The eight-bytes-at-a-time walk over a host name against one that goes byte by byte.
#include "rules/name_hash.h"

#include <doctest/doctest.h>

#include <memory>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using namespace sluice::rules;

std::string lowered(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  return text;
}

}  // namespace

TEST_CASE("every end of a host name has the hash of that end alone, at every length and for every byte") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const NameHash hash(seed);
  for (size_t length = 1; length <= HostHashes::host_bytes_max; ++length) {
    for (int round = 0; round < 12; ++round) {
      // Memory of exactly this size, so that the address sanitizer sees a byte too many.
      const auto host = std::make_unique<char[]>(length);
      for (size_t i = 0; i < length; ++i)
        host[i] = random() % 5 == 0   ? '.'
                  : random() % 3 == 0 ? static_cast<char>(random())
                                      : static_cast<char>('A' + random() % 64);
      const std::string lower = lowered({host.get(), length});
      CAPTURE(lower);

      std::vector<std::pair<size_t, uint64_t>> wanted;
      for (size_t start = length; start > 0; --start)
        if (lower[start - 1] == '.') wanted.emplace_back(start, hash.of(lower.substr(start)));
      wanted.emplace_back(0, hash.of(lower));

      const HostHashes hashes(hash, {host.get(), length});
      const std::string padded = std::string(8, 'x') + lower;  // what is compared with has eight bytes in front of it
      std::vector<std::pair<size_t, uint64_t>> found;
      hashes.each([&](size_t start, uint64_t value) {
        found.emplace_back(start, value);
        CHECK(hashes.from(start) == std::string_view(padded).substr(8 + start));
      });
      CHECK(found == wanted);
    }
  }
}

TEST_CASE("names that differ in length only, or in what fills a word, differ in their hash") {
  const NameHash hash(1);
  std::set<uint64_t> seen;
  size_t names = 0;
  for (const char fill : {'\0', 'a', '\xff', '.'}) {
    for (size_t length = 1; length <= 255; ++length, ++names) seen.insert(hash.of(std::string(length, fill)));
  }
  CHECK(seen.size() == names);
  CHECK(hash.of("example.com") != NameHash(2).of("example.com"));
}
