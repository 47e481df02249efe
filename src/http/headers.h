// The header fields of one message: names and values as they came, in their order, in one block of memory.
//
// Owns the bytes (one arena) and a table of offsets into it: two allocations per message head, however many
// fields it has, and none when the memory of the message before is used again. Views that it returns are
// valid until the next add(), set() or clear(). Not tied to a version of HTTP. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::http {

/// The fields that this room has to understand; every other one is `other`.
enum class Name : uint8_t {
  other,
  accept,
  connection,
  content_length,
  content_type,
  expect,
  host,
  keep_alive,
  proxy_connection,
  te,
  trailer,
  transfer_encoding,
  upgrade,
};
[[nodiscard]] Name name_of_field(std::string_view name);  // in any case

struct Header {
  std::string_view name;   // as it came
  std::string_view value;  // without the white space around it; bytes above 0x7f are left as they are
  Name known = Name::other;
};

/// Equal apart from ASCII upper and lower case, of two texts of one length.
[[nodiscard]] bool same_letters(std::string_view one, std::string_view other);
[[nodiscard]] inline bool begins_with_letters(std::string_view text, std::string_view letters) {
  return text.size() >= letters.size() && same_letters(text.substr(0, letters.size()), letters);
}
/// Equal apart from ASCII upper and lower case.
// Most names differ in length, so that is asked without a call.
[[nodiscard]] inline bool same_name(std::string_view one, std::string_view other) {
  return one.size() == other.size() && same_letters(one, other);
}

/// A part of Headers' arena. Offsets, because the arena moves when it grows.
struct Slice {
  uint32_t at = 0;
  uint32_t size = 0;
};

class Headers {
 public:
  [[nodiscard]] size_t size() const { return slots_.size(); }
  [[nodiscard]] bool empty() const { return slots_.empty(); }
  [[nodiscard]] Header operator[](size_t index) const {
    const Slot& slot = slots_[index];
    return {text({slot.name_at, slot.name_size}), text({slot.value_at, slot.value_size}), slot.known};
  }
  /// The first of that name, and how many there are.
  [[nodiscard]] std::optional<std::string_view> find(Name known) const;
  [[nodiscard]] std::optional<std::string_view> find(std::string_view name) const;
  [[nodiscard]] size_t count(Name known) const;

  void add(std::string_view name, std::string_view value);
  /// The first of that name gets the value and keeps its place, others of that name go; added when there is
  /// none.
  void set(std::string_view name, std::string_view value);
  size_t remove(std::string_view name);  // how many went

  /// Keeps the memory for the next message; release() gives it back.
  void clear();
  void release();
  [[nodiscard]] size_t bytes_held() const;

  // For heads and for the parser, which keep other text of the message in the same arena.
  [[nodiscard]] std::string_view text(Slice slice) const { return {arena_.data() + slice.at, slice.size}; }
  [[nodiscard]] size_t arena_bytes() const { return arena_.size(); }
  void reserve(size_t bytes);
  Slice append(std::string_view text);
  void push(Slice name, Slice value);           // both already in the arena; the value is trimmed
  bool operator==(const Headers& other) const;  // the same fields in the same order, byte for byte

 private:
  struct Slot {  // 16 bytes
    uint32_t name_at = 0;
    uint16_t name_size =
        0;  // a head is at most limits::http_head_bytes_max = 64 KiB, colon and line end included
    Name known = Name::other;
    uint32_t value_at = 0;
    uint32_t value_size = 0;
  };

  std::string arena_;
  std::vector<Slot> slots_;
};

/// Calls `each(token)` for the elements of a comma-separated list, without white space and without empty
/// ones.
template <class Each>
void for_each_token(std::string_view list, Each&& each) {
  while (!list.empty()) {
    const size_t comma = list.find(',');
    std::string_view token = list.substr(0, comma);
    list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
    while (!token.empty() && (token.front() == ' ' || token.front() == '\t')) token.remove_prefix(1);
    while (!token.empty() && (token.back() == ' ' || token.back() == '\t')) token.remove_suffix(1);
    if (!token.empty()) each(token);
  }
}

}  // namespace sluice::http
