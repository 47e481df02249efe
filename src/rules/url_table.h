// UrlTable: a URL -> the groups of URL patterns that it matches, over all patterns of all rules at once.
//
// A host-only pattern without scheme and port is a host pattern and lies in the HostTable; here is everything
// else but regular expressions. The host selects *places* (one for each host pattern); in a place, exact
// paths and the beginnings that prefixes ask for are looked up by hash, so the cost does not grow with the
// number of patterns. Globs with a '*' inside are compared one by one in their place; those of any host are
// found by four bytes of theirs first. Immutable after build, shared by all threads.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "rules/host_table.h"
#include "rules/set_pool.h"
#include "rules/url_pattern.h"

namespace sluice::rules {

/// A canonical URL in its parts; views into it. With an empty target it stands for a CONNECT.
struct UrlParts {
  bool is_https = true;
  std::string_view host;  // without brackets
  uint16_t port = 0;      // the scheme's own when the URL names none
  std::string_view target;
  /// False when `canonical` is no URL (it is empty, or not canonical at all).
  [[nodiscard]] static bool split(std::string_view canonical, UrlParts& parts);
};

class UrlTable {
 public:
  /// Directories of a URL's path, from "/" on, that directory patterns are looked for in: as many as Safe Browsing tries
  /// (URLs and Hashing, "Suffix/prefix expressions"). Each costs a look-up in every place.
  static constexpr size_t directories_max = 4;

  UrlTable() = default;

  [[nodiscard]] bool empty() const { return entries_.empty(); }
  [[nodiscard]] size_t size() const { return entries_.size(); }
  [[nodiscard]] size_t memory_bytes() const;

  /// Calls sink(SetId) with the groups of every pattern that matches; a group may come more than once.
  template <class Sink>
  void find(const UrlParts& url, const NameHash& hash, const SetPool& sets, Sink&& sink) const {
    if (entries_.empty() || (url.target.empty() && !has_none_)) return;
    const Probe probe(url, hash);
    visit(0, probe, hash, sink);
    hosts_.find(url.host, sets, [&](uint32_t place) { visit(place, probe, hash, sink); });
  }

 private:
  friend class UrlTableBuilder;

  struct Entry {
    uint64_t key = 0;
    uint32_t place = 0;
    uint32_t text = 0;  // in texts_
    uint32_t text_bytes = 0;
    SetId groups = set_empty;
    uint16_t port = 0;
    UrlPattern::Scheme scheme = UrlPattern::Scheme::any;
    UrlPattern::Path path = UrlPattern::Path::none;
    bool with_query = false;
  };
  struct Place {
    bool has_none = false;
    bool has_exact = false;
    bool has_directory = false;
    uint32_t lengths_first = 0;  // of its prefixes, in prefix_lengths_, ascending
    uint32_t lengths_count = 0;
    uint32_t globs_first = 0;  // in globs_
    uint32_t globs_count = 0;
  };
  struct Probe {
    const UrlParts& url;
    std::string_view path;
    uint64_t path_hash = 0;
    uint64_t target_hash = 0;
    Probe(const UrlParts& parts, const NameHash& hash)
        : url(parts), path(parts.target.substr(0, parts.target.find('?'))) {
      if (parts.target.empty()) return;
      path_hash = hash.of(path);
      target_hash = path.size() == parts.target.size() ? path_hash : hash.of(parts.target);
    }
  };

  [[nodiscard]] static uint64_t key_of(uint32_t place, UrlPattern::Path path, uint64_t text_hash) {
    uint64_t key = (text_hash ^ (uint64_t{place} << 2 | static_cast<uint64_t>(path))) * 0x9e3779b97f4a7c15u;
    return key ^ key >> 32;
  }
  [[nodiscard]] std::string_view text_of(const Entry& entry) const {
    return std::string_view(texts_).substr(entry.text, entry.text_bytes);
  }
  [[nodiscard]] static bool admits(const Entry& entry, const UrlParts& url) {
    return (entry.port == 0 || entry.port == url.port) &&
           (entry.scheme == UrlPattern::Scheme::any ||
            (entry.scheme == UrlPattern::Scheme::https) == url.is_https);
  }

  template <class Sink>
  void look_up(uint32_t place, UrlPattern::Path path, uint64_t text_hash, std::string_view text,
               const UrlParts& url, Sink&& sink) const {
    const uint64_t key = key_of(place, path, text_hash);
    for (size_t at = key & mask_;; at = (at + 1) & mask_) {
      if (index_[at] == 0) return;
      if (entries_[index_[at] - 1].key != key) continue;
      for (size_t i = index_[at] - 1; i < entries_.size() && entries_[i].key == key; ++i)
        if (entries_[i].place == place && entries_[i].path == path && text_of(entries_[i]) == text &&
            admits(entries_[i], url))
          sink(entries_[i].groups);
      return;
    }
  }

  template <class Sink>
  void visit(uint32_t number, const Probe& probe, const NameHash& hash, Sink&& sink) const {
    const Place& place = places_[number];
    if (place.has_none) look_up(number, UrlPattern::Path::none, 0, "", probe.url, sink);
    const std::string_view target = probe.url.target;
    if (target.empty()) return;  // CONNECT: paths never match
    if (place.has_exact) {
      look_up(number, UrlPattern::Path::exact, probe.path_hash, probe.path, probe.url, sink);
      if (probe.path.size() != target.size())
        look_up(number, UrlPattern::Path::exact, probe.target_hash, target, probe.url, sink);
    }
    for (uint32_t i = 0; i < place.lengths_count; ++i) {
      const uint32_t length = prefix_lengths_[place.lengths_first + i];
      if (length > target.size()) break;
      const std::string_view front = target.substr(0, length);
      look_up(number, UrlPattern::Path::prefix, hash.of(front), front, probe.url, sink);
    }
    if (place.has_directory) visit_directories(number, probe, hash, sink);
    for (uint32_t i = 0; i < place.globs_count; ++i) try_glob(globs_[place.globs_first + i], probe, sink);
    if (number == 0) try_any_host_globs(probe, sink);
  }
  /// The directories that the path lies in, and the path itself when it is one.
  template <class Sink>
  void visit_directories(uint32_t number, const Probe& probe, const NameHash& hash, Sink&& sink) const {
    size_t bytes = 0;
    for (size_t tried = 0; tried < directories_max && bytes < probe.path.size(); ++tried) {
      const size_t slash = probe.path.find('/', bytes);
      if (slash == std::string_view::npos) return;
      bytes = slash + 1;
      const std::string_view front = probe.path.substr(0, bytes);
      look_up(number, UrlPattern::Path::directory, hash.of(front), front, probe.url, sink);
    }
    if (bytes < probe.path.size() && probe.path.ends_with('/'))
      look_up(number, UrlPattern::Path::directory, probe.path_hash, probe.path, probe.url, sink);
  }
  template <class Sink>
  void try_glob(uint32_t index, const Probe& probe, Sink&& sink) const {
    const Entry& entry = entries_[index];
    if (admits(entry, probe.url) &&
        glob_matches(text_of(entry), entry.with_query ? probe.url.target : probe.path))
      sink(entry.groups);
  }

  // Four bytes that stand in a glob stand in everything that it matches.
  static constexpr size_t gram_bytes = 4;
  static constexpr size_t gram_bits = 12;
  [[nodiscard]] static size_t gram_slot(const char* bytes) {
    uint32_t word;
    std::memcpy(&word, bytes, sizeof word);
    return static_cast<size_t>((word * 0x9e3779b1u) >> (32 - gram_bits));
  }
  struct Gram {
    uint32_t word = 0;
    uint32_t glob = 0;
  };
  template <class Sink>
  void try_any_host_globs(const Probe& probe, Sink&& sink) const {
    if (grams_.empty()) return;
    const std::string_view target = probe.url.target;
    for (size_t at = 0; at + gram_bytes <= target.size(); ++at) {
      const size_t slot = gram_slot(target.data() + at);
      uint32_t word;
      std::memcpy(&word, target.data() + at, sizeof word);
      for (uint32_t i = gram_starts_[slot]; i < gram_starts_[slot + 1]; ++i)
        if (grams_[i].word == word) try_glob(grams_[i].glob, probe, sink);
    }
  }

  HostTable hosts_;                        // host -> places
  std::vector<Place> places_ = {Place{}};  // 0: any host
  bool has_none_ = false;                  // one of them has
  std::vector<Entry> entries_;             // by key; those with the same are neighbours
  std::vector<uint32_t> index_;            // open addressing over the keys: the first entry + 1; 0: free
  size_t mask_ = 0;
  std::string texts_;
  std::vector<uint32_t> prefix_lengths_;
  std::vector<uint32_t> globs_;
  std::vector<Gram> grams_;  // of the globs of any host, by slot
  std::vector<uint32_t> gram_starts_;
};

/// Collects patterns and builds the table. The order of add() does not matter.
class UrlTableBuilder {
 public:
  /// `pattern` is not is_host(). False when the table is full (4 GiB of texts).
  [[nodiscard]] bool add(const UrlPattern& pattern, uint32_t group);

  /// Consumes what was added.
  [[nodiscard]] UrlTable build(const NameHash& hash, SetPool& sets);

 private:
  struct Added {
    UrlTable::Entry entry;
    uint32_t group = 0;
  };
  [[nodiscard]] uint32_t place_of(const UrlPattern& pattern);
  void index(UrlTable& table) const;
  static void place_prefixes_and_globs(UrlTable& table);

  std::unordered_map<std::string, uint32_t> places_;  // numbered from 1; the key: a host pattern's kind, then its name
  std::vector<Added> added_;
  std::string texts_;
};

}  // namespace sluice::rules
