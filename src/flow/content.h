// Content: the body of one message whose verdict is pending. Finds out what rules ask of it (size, type, hashes), and holds the
// bytes of it that must not be passed on before the verdict. Of a body with a Content-Encoding both are told: what it is decoded, and
// what it is to a program that does not decode it.
//
// Owns what it holds and the decoder's memory; both count as relay memory. Lives only while the verdict is pending. One worker.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/file_type.h"
#include "base/md5.h"
#include "flow/world.h"
#include "rules/judge.h"
#include "scan/decoder.h"
#include "tls/digest.h"

namespace sluice::flow {

class Content {
 public:
  struct About {
    rules::Needs wanted = rules::needs_nothing;  // by any rule, not only by those that are undecided now
    std::optional<uint64_t> length;              // announced
    std::optional<scan::Codings> codings;        // nullopt: unknown ones
    uint64_t hold_max_bytes = 0;
  };
  Content(World& world, const About& about);
  ~Content();
  Content(const Content&) = delete;
  Content& operator=(const Content&) = delete;

  /// The next bytes of the body: looks at them, and holds them. False: there is no room for them.
  [[nodiscard]] bool add(std::span<const uint8_t> bytes);
  /// The body is complete.
  void end();

  /// What is known by now. Valid as long as this object.
  [[nodiscard]] rules::Content facts() const;
  /// More is known than when facts() were last taken, and it may decide.
  [[nodiscard]] bool has_news() const { return news_; }
  void tell_news() { news_ = false; }
  [[nodiscard]] bool has_ended() const { return ended_; }
  /// It will never be known what this is.
  [[nodiscard]] bool is_unreadable() const { return unreadable_; }

  [[nodiscard]] uint64_t size() const { return size_; }        // so far
  [[nodiscard]] uint64_t held_bytes() const { return held_; }
  /// What may not stay: the oldest bytes, beyond hold_max_bytes.
  [[nodiscard]] uint64_t excess_bytes() const { return held_ > hold_max_ ? held_ - hold_max_ : 0; }
  /// The oldest bytes, `most` of them or less; empty: nothing is held. They stay until drop().
  [[nodiscard]] std::span<const uint8_t> oldest(uint64_t most) const;
  void drop(size_t count);  // of what oldest() gave

 private:
  struct Hashes {
    Md5 md5;
    tls::RunningSha256 sha256;

    void update(std::span<const uint8_t> bytes);
  };
  struct Digests {
    std::array<uint8_t, 16> md5{};
    std::array<uint8_t, 32> sha256{};
  };
  /// The first bytes of one reading of the body, until its type is known.
  struct Typing {
    bool is_known = false;
    std::vector<uint8_t> prefix{};
    FileTypes types{};

    /// True: its type has just become known.
    [[nodiscard]] bool add(std::span<const uint8_t> bytes);
    void settle();
  };
  [[nodiscard]] bool keep(std::span<const uint8_t> bytes);
  void look(std::span<const uint8_t> bytes);
  void decode(std::span<const uint8_t> bytes);
  void take_decoded(std::span<const uint8_t> bytes);
  void take_coded(std::span<const uint8_t> bytes);
  [[nodiscard]] bool is_type_known() const { return decoded_.is_known && coded_.is_known; }
  void give_up();
  void count_decoder(size_t bytes);

  World& world_;
  uint64_t hold_max_;
  std::optional<uint64_t> length_;
  bool wants_size_;
  bool wants_type_;
  bool news_ = false;
  bool ended_ = false;
  bool unreadable_ = false;
  bool is_coded_ = false;

  std::vector<std::vector<uint8_t>> blocks_;  // the oldest first
  size_t taken_ = 0;                          // of the first block
  uint64_t held_ = 0;
  uint64_t size_ = 0;
  uint64_t size_told_ = 0;

  std::unique_ptr<scan::Decoder> decoder_;  // null: there is no coding, or enough has been seen
  size_t decoder_bytes_ = 0;
  Typing decoded_;
  Typing coded_;  // known from the start where the coding tells it
  std::unique_ptr<Hashes> hashes_;        // null: nobody asks, or they are done
  std::unique_ptr<Hashes> coded_hashes_;  // null also where there is no coding
  Digests digests_;
  Digests coded_digests_;
  bool hashes_known_ = false;
};

}  // namespace sluice::flow
