#include "http/headers.h"

#include <algorithm>

#include "base/check.h"

namespace sluice::http {

namespace {

// What heads commonly need: 16 fields of a browser's request are some 700 bytes, a response's 20 some 900.
constexpr size_t slots_at_once = 24;

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

std::string_view trimmed(std::string_view text) {
  const auto is_space = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace

bool same_letters(std::string_view one, std::string_view other) {
  for (size_t i = 0; i < one.size(); ++i) {
    if (lower(one[i]) != lower(other[i])) return false;
  }
  return true;
}

Name name_of_field(std::string_view name) {
  const auto is = [name](std::string_view known) { return same_name(name, known); };
  switch (name.size()) {
    case 2:
      return is("te") ? Name::te : Name::other;
    case 4:
      return is("host") ? Name::host : Name::other;
    case 6:
      return is("accept") ? Name::accept : is("expect") ? Name::expect : Name::other;
    case 7:
      return is("upgrade") ? Name::upgrade : is("trailer") ? Name::trailer : Name::other;
    case 10:
      return is("connection") ? Name::connection : is("keep-alive") ? Name::keep_alive : Name::other;
    case 12:
      return is("content-type") ? Name::content_type : Name::other;
    case 14:
      return is("content-length") ? Name::content_length : Name::other;
    case 16:
      return is("proxy-connection") ? Name::proxy_connection : Name::other;
    case 17:
      return is("transfer-encoding") ? Name::transfer_encoding : Name::other;
    default:
      return Name::other;  // not an enum: any length
  }
}

std::optional<std::string_view> Headers::find(Name known) const {
  for (const Slot& slot : slots_) {
    if (slot.known == known) return text({slot.value_at, slot.value_size});
  }
  return std::nullopt;
}

std::optional<std::string_view> Headers::find(std::string_view name) const {
  for (const Slot& slot : slots_) {
    if (same_name(text({slot.name_at, slot.name_size}), name)) return text({slot.value_at, slot.value_size});
  }
  return std::nullopt;
}

size_t Headers::count(Name known) const {
  return static_cast<size_t>(
      std::count_if(slots_.begin(), slots_.end(), [known](const Slot& slot) { return slot.known == known; }));
}

void Headers::add(std::string_view name, std::string_view value) {
  const Slice name_slice = append(name);
  push(name_slice, append(value));
}

void Headers::set(std::string_view name, std::string_view value) {
  const auto is_same = [&](const Slot& slot) {
    return same_name(text({slot.name_at, slot.name_size}), name);
  };
  const auto first = std::find_if(slots_.begin(), slots_.end(), is_same);
  if (first == slots_.end()) return add(name, value);
  slots_.erase(std::remove_if(first + 1, slots_.end(), is_same), slots_.end());
  const Slice at = append(value);
  first->value_at = at.at;
  first->value_size = at.size;
}

size_t Headers::remove(std::string_view name) {
  return std::erase_if(slots_, [&](const Slot& slot) {
    return same_name(text({slot.name_at, slot.name_size}), name);
  });
}

void Headers::clear() {
  arena_.clear();
  slots_.clear();
}

void Headers::release() {
  std::string().swap(arena_);  // assigning an empty one would keep the memory
  std::vector<Slot>().swap(slots_);
}

size_t Headers::bytes_held() const {
  const bool is_inline = arena_.capacity() == std::string().capacity();
  return (is_inline ? 0 : arena_.capacity()) + slots_.capacity() * sizeof(Slot);
}

void Headers::reserve(size_t bytes) {
  arena_.reserve(bytes);
  slots_.reserve(slots_at_once);
}

Slice Headers::append(std::string_view text) {
  const Slice slice{static_cast<uint32_t>(arena_.size()), static_cast<uint32_t>(text.size())};
  arena_.append(text);
  return slice;
}

void Headers::push(Slice name, Slice value) {
  SLUICE_CHECK(name.size <= UINT16_MAX);
  const std::string_view inner = trimmed(text(value));
  value.at = static_cast<uint32_t>(inner.data() - arena_.data());
  value.size = static_cast<uint32_t>(inner.size());
  slots_.push_back(
      {name.at, static_cast<uint16_t>(name.size), name_of_field(text(name)), value.at, value.size});
}

bool Headers::operator==(const Headers& other) const {
  if (size() != other.size()) return false;
  for (size_t i = 0; i < size(); ++i) {
    const Header mine = (*this)[i];
    const Header theirs = other[i];
    if (mine.name != theirs.name || mine.value != theirs.value) return false;
  }
  return true;
}

}  // namespace sluice::http
