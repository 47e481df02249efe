#include "tls/verdict_cache.h"

#include <algorithm>
#include <array>
#include <list>
#include <unordered_map>

#include "base/check.h"
#include "base/limits.h"
#include "tls/digest.h"

namespace sluice::tls {
namespace {

/// SHA-256 over all that a verdict depends on, except the time.
using Key = std::array<uint8_t, 32>;
struct KeyHash {
  size_t operator()(const Key& key) const {
    size_t hash = 0;
    for (size_t i = 0; i < sizeof hash; ++i) hash = hash << 8 | key[i];
    return hash;
  }
};

void append(Bytes& text, ByteView part) {
  for (unsigned shift = 0; shift < 32; shift += 8) text.push_back(static_cast<uint8_t>(part.size() >> shift));
  text.insert(text.end(), part.begin(), part.end());
}

void append_name(Bytes& text, const RequestedName& name) {
  if (const auto* address = std::get_if<IpAddress>(&name)) {
    const std::string shown = address->to_string();
    text.push_back('a');
    append(text, ByteView(reinterpret_cast<const uint8_t*>(shown.data()), shown.size()));
    return;
  }
  std::string host(*std::get_if<std::string_view>(&name));
  for (char& c : host)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  if (host.ends_with('.')) host.pop_back();
  text.push_back('n');
  append(text, ByteView(reinterpret_cast<const uint8_t*>(host.data()), host.size()));
}

}  // namespace

struct VerdictCache::Rooms {
  struct Entry {
    Key key;
    std::shared_ptr<const OriginVerdict> verdict;
    int64_t judged_at = 0;
  };

  size_t entries_max;
  ChainMemory memory;
  std::list<Entry> entries;  // the one used last in front
  std::unordered_map<Key, std::list<Entry>::iterator, KeyHash> by_key;
  Bytes scratch;  // what the key is the hash of; kept for its storage
  uint64_t hits = 0;
  uint64_t misses = 0;

  Key key_of(const Trust& trust, const SentChain& chain, const RequestedName& name) {
    scratch.clear();
    for (unsigned shift = 0; shift < 64; shift += 8)
      scratch.push_back(static_cast<uint8_t>(trust.id() >> shift));
    scratch.push_back(chain.staple_was_asked ? 1 : 0);
    append_name(scratch, name);
    append(scratch, chain.staple);
    if (chain.digest != nullptr)
      append(scratch, *chain.digest);
    else
      for (const ByteView certificate : chain.certificates) append(scratch, certificate);
    Key key{};
    sha256(scratch, key);
    return key;
  }

  void forget_last() {
    by_key.erase(entries.back().key);
    entries.pop_back();
  }
};

VerdictCache::VerdictCache(size_t entries_max) : rooms_(std::make_unique<Rooms>()) {
  SLUICE_CHECK(entries_max > 0);
  rooms_->entries_max = entries_max;
}
VerdictCache::VerdictCache() : VerdictCache(limits::verdicts_per_worker_max) {}
VerdictCache::~VerdictCache() = default;
VerdictCache::VerdictCache(VerdictCache&&) noexcept = default;
VerdictCache& VerdictCache::operator=(VerdictCache&&) noexcept = default;

std::shared_ptr<const OriginVerdict> VerdictCache::judge(const Trust& trust, const SentChain& chain,
                                                         const RequestedName& name, int64_t now_s) {
  Rooms& rooms = *rooms_;
  const Key key = rooms.key_of(trust, chain, name);
  const auto found = rooms.by_key.find(key);
  if (found != rooms.by_key.end()) {
    const auto entry = found->second;
    // A clock that was set back may make what was expired valid, and the other way round.
    if (entry->judged_at <= now_s && now_s <= entry->verdict->valid_until) {
      ++rooms.hits;
      rooms.entries.splice(rooms.entries.begin(), rooms.entries, entry);
      return entry->verdict;
    }
    rooms.entries.erase(entry);
    rooms.by_key.erase(found);
  }
  ++rooms.misses;
  auto verdict = std::make_shared<const OriginVerdict>(judge_chain(trust, chain, name, now_s, rooms.memory));
  rooms.entries.push_front({key, verdict, now_s});
  rooms.by_key.emplace(key, rooms.entries.begin());
  if (rooms.entries.size() > rooms.entries_max) rooms.forget_last();
  return verdict;
}

size_t VerdictCache::learn(const Trust& trust, std::span<const std::shared_ptr<const Certificate>> chain,
                           int64_t now_s) {
  Rooms& rooms = *rooms_;
  SentChain sent;
  std::vector<ByteView> ders;
  for (const auto& certificate : chain) ders.emplace_back(certificate->der);
  sent.certificates = ders;
  // Whatever its name and purpose: of a path without fault the memory keeps the intermediates, of others
  // nothing.
  (void)judge_chain(trust, sent, RequestedName(std::string_view()), now_s, rooms.memory);
  const auto lacked_one = [&](const Rooms::Entry& entry) {
    const auto& waiting = entry.verdict->missing_issuer_of;
    return waiting != nullptr && std::ranges::any_of(chain.subspan(1), [&](const auto& issuer) {
             return std::ranges::equal(issuer->subject, waiting->issuer);
           });
  };
  for (const auto& entry : rooms.entries)
    if (lacked_one(entry)) rooms.by_key.erase(entry.key);
  return std::erase_if(rooms.entries, lacked_one);
}

size_t VerdictCache::size() const { return rooms_->entries.size(); }
uint64_t VerdictCache::hits() const { return rooms_->hits; }
uint64_t VerdictCache::misses() const { return rooms_->misses; }

}  // namespace sluice::tls
