#include "rules/url_table.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <limits>
#include <tuple>

#include "base/check.h"

namespace sluice::rules {

bool UrlParts::split(std::string_view canonical, UrlParts& parts) {
  const size_t scheme = canonical.find("://");
  if (scheme == std::string_view::npos) return false;
  parts.is_https = canonical.substr(0, scheme) == "https";
  canonical.remove_prefix(scheme + 3);
  const size_t slash = std::min(canonical.find('/'), canonical.size());
  std::string_view authority = canonical.substr(0, slash);
  parts.target = slash < canonical.size() ? canonical.substr(slash) : std::string_view("/");
  parts.port = parts.is_https ? 443 : 80;
  const size_t colon = authority.rfind(':');
  if (colon != std::string_view::npos && authority.find(']', colon) == std::string_view::npos) {
    const std::string_view digits = authority.substr(colon + 1);
    (void)std::from_chars(digits.data(), digits.data() + digits.size(), parts.port);
    authority = authority.substr(0, colon);
  }
  if (authority.starts_with('[') && authority.ends_with(']'))
    authority = authority.substr(1, authority.size() - 2);
  parts.host = authority;
  return true;
}

size_t UrlTable::memory_bytes() const {
  return hosts_.memory_bytes() + entries_.capacity() * sizeof(Entry) + index_.capacity() * sizeof(uint32_t) +
         places_.capacity() * sizeof(Place) + texts_.capacity();
}

uint32_t UrlTableBuilder::place_of(const UrlPattern& pattern) {
  if (pattern.any_host) return 0;
  const auto kind = pattern.address ? HostPattern::Kind::exact : pattern.host.kind;
  std::string key(1, static_cast<char>(kind));
  // An address is written as URLs write it; names never look so.
  key += pattern.address ? pattern.address->to_string() : pattern.host.name;
  return places_.try_emplace(std::move(key), static_cast<uint32_t>(places_.size() + 1)).first->second;
}

bool UrlTableBuilder::add(const UrlPattern& pattern, uint32_t group) {
  if (texts_.size() + pattern.target.size() > std::numeric_limits<uint32_t>::max() ||
      added_.size() + 1 >= std::numeric_limits<uint32_t>::max())
    return false;
  Added& added = added_.emplace_back();
  added.group = group;
  added.entry.place = place_of(pattern);
  added.entry.text = static_cast<uint32_t>(texts_.size());
  added.entry.text_bytes = static_cast<uint32_t>(pattern.target.size());
  added.entry.port = pattern.port;
  added.entry.scheme = pattern.scheme;
  added.entry.path = pattern.path;
  added.entry.with_query = pattern.has_query();
  texts_ += pattern.target;
  return true;
}

void UrlTableBuilder::index(UrlTable& table) const {
  size_t size = 16;
  while (size < table.entries_.size() * 2) size *= 2;
  table.index_.assign(size, 0);
  table.mask_ = size - 1;
  for (size_t i = 0; i < table.entries_.size(); ++i) {
    if (i > 0 && table.entries_[i].key == table.entries_[i - 1].key) continue;
    size_t at = table.entries_[i].key & table.mask_;
    while (table.index_[at] != 0) at = (at + 1) & table.mask_;
    table.index_[at] = static_cast<uint32_t>(i + 1);
  }
}

void UrlTableBuilder::place_prefixes_and_globs(UrlTable& table) {
  std::vector<std::pair<uint32_t, uint32_t>> lengths;  // place, length
  std::vector<std::pair<uint32_t, uint32_t>> globs;    // place, entry
  std::vector<std::pair<size_t, UrlTable::Gram>> grams;
  for (uint32_t i = 0; i < table.entries_.size(); ++i) {
    const UrlTable::Entry& entry = table.entries_[i];
    UrlTable::Place& place = table.places_[entry.place];
    switch (entry.path) {
      case UrlPattern::Path::none:
        place.has_none = table.has_none_ = true;
        break;
      case UrlPattern::Path::exact:
        place.has_exact = true;
        break;
      case UrlPattern::Path::directory:
        place.has_directory = true;
        break;
      case UrlPattern::Path::prefix:
        lengths.emplace_back(entry.place, entry.text_bytes);
        break;
      case UrlPattern::Path::glob: {
        // The longest literal piece says most.
        std::string_view rest = table.text_of(entry);
        std::string_view longest;
        while (!rest.empty()) {
          const std::string_view piece = rest.substr(0, rest.find('*'));
          if (piece.size() > longest.size()) longest = piece;
          rest.remove_prefix(std::min(piece.size() + 1, rest.size()));
        }
        if (entry.place != 0 || longest.size() < UrlTable::gram_bytes) {
          globs.emplace_back(entry.place, i);
          break;
        }
        // Its last four bytes: many begin alike ("/wp-content/…").
        const char* const at = longest.data() + longest.size() - UrlTable::gram_bytes;
        UrlTable::Gram gram{0, i};
        std::memcpy(&gram.word, at, sizeof gram.word);
        grams.emplace_back(UrlTable::gram_slot(at), gram);
        break;
      }
    }
  }
  std::sort(lengths.begin(), lengths.end());
  lengths.erase(std::unique(lengths.begin(), lengths.end()), lengths.end());
  for (const auto& [number, length] : lengths) {
    UrlTable::Place& place = table.places_[number];
    if (place.lengths_count++ == 0) place.lengths_first = static_cast<uint32_t>(table.prefix_lengths_.size());
    table.prefix_lengths_.push_back(length);
  }
  std::sort(globs.begin(), globs.end());
  for (const auto& [number, entry] : globs) {
    UrlTable::Place& place = table.places_[number];
    if (place.globs_count++ == 0) place.globs_first = static_cast<uint32_t>(table.globs_.size());
    table.globs_.push_back(entry);
  }
  std::sort(grams.begin(), grams.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  table.gram_starts_.assign((size_t{1} << UrlTable::gram_bits) + 1, 0);
  for (const auto& [slot, gram] : grams) {
    ++table.gram_starts_[slot + 1];
    table.grams_.push_back(gram);
  }
  for (size_t i = 1; i < table.gram_starts_.size(); ++i) table.gram_starts_[i] += table.gram_starts_[i - 1];
}

UrlTable UrlTableBuilder::build(const NameHash& hash, SetPool& sets) {
  UrlTable table;
  if (added_.empty()) return table;
  table.texts_ = std::move(texts_);
  for (Added& added : added_) {
    UrlTable::Entry& entry = added.entry;
    const uint64_t text_hash = entry.path == UrlPattern::Path::none ? 0 : hash.of(table.text_of(entry));
    entry.key = UrlTable::key_of(entry.place, entry.path, text_hash);
  }
  const auto order = [&](const Added& added) {
    const UrlTable::Entry& entry = added.entry;
    return std::tuple(entry.key, entry.place, entry.path, table.text_of(entry), entry.port, entry.scheme);
  };
  std::sort(added_.begin(), added_.end(),
            [&](const Added& a, const Added& b) { return order(a) < order(b); });
  for (size_t i = 0; i < added_.size(); ++i) {
    if (i == 0 || order(added_[i]) != order(added_[i - 1])) table.entries_.push_back(added_[i].entry);
    SetId& groups = table.entries_.back().groups;
    groups = sets.with(groups, added_[i].group);
  }
  table.places_.resize(places_.size() + 1);
  NameTableBuilder hosts;
  for (const auto& [key, place] : places_) {
    const auto kind = static_cast<HostPattern::Kind>(key[0]);
    SLUICE_CHECK(hosts.add(std::string_view(key).substr(1), HostTable::element(place, kind)));
  }
  places_.clear();
  table.hosts_ = HostTable(hosts.build(hash, sets), hash);
  index(table);
  place_prefixes_and_globs(table);
  added_.clear();
  return table;
}

}  // namespace sluice::rules
