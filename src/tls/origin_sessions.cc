#include "tls/origin_sessions.h"

#include <utility>

namespace sluice::tls {

namespace {

/// All of the key in one string. Lengths stand in front, so that no two keys have the same text.
std::string text_of(const OriginSessions::Key& key) {
  std::string text;
  text.reserve(16 + 2 + 8 + 2 + key.name.size() + key.alpn.size());
  text.append(reinterpret_cast<const char*>(key.origin.address.bytes.data()),
              key.origin.address.bytes.size());
  const auto number = [&](uint64_t value, size_t bytes) {
    for (; bytes > 0; --bytes) text += static_cast<char>(value >> (8 * (bytes - 1)) & 0xff);
  };
  number(key.origin.port, 2);
  number(key.trust, 8);
  number(key.name.size(), 2);
  text += key.name;
  text += key.alpn;
  return text;
}

}  // namespace

const OriginSessions::Entry* OriginSessions::find(const Key& key, int64_t now_s) {
  const auto found = by_key_.find(text_of(key));
  if (found == by_key_.end()) return nullptr;
  // A clock that was set back tells nothing about its age.
  const int64_t begun_s = found->second->entry.begun_s;
  if (now_s < begun_s || now_s - begun_s >= origin_session_s) {
    const auto node = found->second;
    by_key_.erase(found);
    by_use_.erase(node);
    return nullptr;
  }
  by_use_.splice(by_use_.begin(), by_use_, found->second);
  return &found->second->entry;
}

void OriginSessions::put(const Key& key, Entry entry) {
  if (!entry.session || entries_max_ == 0) return;
  std::string text = text_of(key);
  if (const auto found = by_key_.find(text); found != by_key_.end()) {
    found->second->entry = std::move(entry);
    by_use_.splice(by_use_.begin(), by_use_, found->second);
    return;
  }
  if (by_use_.size() >= entries_max_) {
    by_key_.erase(by_use_.back().key);
    by_use_.pop_back();
  }
  by_use_.push_front({std::move(text), std::move(entry)});
  by_key_.emplace(by_use_.front().key, by_use_.begin());
}

void OriginSessions::forget(const Key& key) {
  const auto found = by_key_.find(text_of(key));
  if (found == by_key_.end()) return;
  const auto node = found->second;
  by_key_.erase(found);
  by_use_.erase(node);
}

}  // namespace sluice::tls
