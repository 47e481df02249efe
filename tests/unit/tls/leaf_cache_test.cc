#include "tls/leaf_cache.h"

#include <doctest/doctest.h>

#include <string>
#include <thread>
#include <vector>

#include "base/limits.h"

using namespace sluice;
using namespace sluice::tls;

namespace {

constexpr int64_t now_s = 1'000'000'000;

std::shared_ptr<const Leaf> leaf_of(size_t bytes = 100, int64_t not_after = now_s + 86400) {
  auto leaf = std::make_shared<Leaf>();
  leaf->chain.resize(bytes);
  leaf->not_after = not_after;
  return leaf;
}

LeafCache::Key key_of(std::string_view name, uint8_t origin = 1, uint8_t authority = 1) {
  LeafCache::Key key;
  key.origin.fill(origin);
  key.authority.fill(authority);
  key.name = name;
  return key;
}

}  // namespace

TEST_CASE("S17: what was kept is found, by origin certificate, name, CA and dates alone") {
  LeafCache cache(1);
  const auto leaf = leaf_of();
  CHECK(cache.keep(key_of("www.example.com"), leaf, now_s) == leaf);
  CHECK(cache.find(key_of("www.example.com"), now_s) == leaf);
  CHECK(cache.find(key_of("WWW.example.COM"), now_s) == leaf);
  CHECK(cache.find(key_of("ww.example.com"), now_s) == nullptr);
  CHECK(cache.find(key_of("www.example.com", 2), now_s) == nullptr);
  CHECK(cache.find(key_of("www.example.com", 1, 2), now_s) == nullptr);
  auto other_dates = key_of("www.example.com");
  other_dates.dates = MintDates::always_valid;
  CHECK(cache.find(other_dates, now_s) == nullptr);
  CHECK(cache.statistics().hits == 2);
  CHECK(cache.statistics().misses == 4);
}

TEST_CASE("the first of two that were minted at once is kept") {
  LeafCache cache(1);
  const auto first = leaf_of();
  CHECK(cache.keep(key_of("a"), first, now_s) == first);
  CHECK(cache.keep(key_of("a"), leaf_of(), now_s) == first);
  CHECK(cache.statistics().entries == 1);
}

TEST_CASE("one that is about to end is minted anew; one that had ended already is kept for a while") {
  LeafCache cache(1);
  const int64_t end = now_s + 86400;
  (void)cache.keep(key_of("a"), leaf_of(100, end), now_s);
  CHECK(cache.find(key_of("a"), end - limits::leaf_cache_margin_s - 1) != nullptr);
  CHECK(cache.find(key_of("a"), end - limits::leaf_cache_margin_s) == nullptr);
  CHECK(cache.statistics().entries == 0);
  (void)cache.keep(key_of("expired"), leaf_of(100, now_s - 86400), now_s);
  CHECK(cache.find(key_of("expired"), now_s + limits::leaf_cache_margin_s - 1) != nullptr);
  CHECK(cache.find(key_of("expired"), now_s + limits::leaf_cache_margin_s) == nullptr);
}

TEST_CASE("it stays within its bounds of entries and of bytes, and the least recently used goes first") {
  LeafCache few(1, {160, 1 << 20});
  for (int i = 0; i < 1000; ++i) {
    (void)few.keep(key_of(std::to_string(i)), leaf_of(), now_s);
    (void)few.find(key_of("0"), now_s);
  }
  CHECK(few.statistics().entries <= 160);
  CHECK(few.statistics().entries >= 100);
  CHECK(few.statistics().evictions == 1000 - few.statistics().entries);
  CHECK(few.find(key_of("0"), now_s) != nullptr);
  CHECK(few.find(key_of("999"), now_s) != nullptr);
  LeafCache small(1, {100'000, 160'000});
  for (int i = 0; i < 1000; ++i) (void)small.keep(key_of(std::to_string(i)), leaf_of(1000), now_s);
  CHECK(small.statistics().bytes <= 160'000);
  CHECK(small.statistics().entries > 50);
  const size_t before = small.statistics().entries;
  const auto huge = leaf_of(20'000);
  CHECK(small.keep(key_of("huge"), huge, now_s) == huge);  // handed back, but not kept
  CHECK(small.statistics().entries == before);
}

TEST_CASE("workers share it") {
  LeafCache cache(7, {64, 1 << 20});
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread)
    threads.emplace_back([&cache] {
      for (int i = 0; i < 2000; ++i) {
        const std::string name = std::to_string(i % 200);
        if (!cache.find(key_of(name), now_s)) (void)cache.keep(key_of(name), leaf_of(), now_s);
      }
    });
  for (std::thread& thread : threads) thread.join();
  const auto statistics = cache.statistics();
  CHECK(statistics.hits + statistics.misses == 8000);
  CHECK(statistics.entries <= 64);
}
