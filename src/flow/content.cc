#include "flow/content.h"

#include <algorithm>
#include <array>

#include "base/byte_reader.h"
#include "base/give_back.h"
#include "scan/file_type.h"

namespace sluice::flow {

Content::Content(World& world, const About& about)
    : world_(world),
      hold_max_(about.hold_max_bytes),
      length_(about.length),
      wants_size_((about.wanted & rules::needs_size) != 0 && !about.length),
      wants_type_((about.wanted & rules::needs_prefix) != 0) {
  const bool wants_hashes = (about.wanted & rules::needs_whole_body) != 0;
  if (!wants_type_ && !wants_hashes) return;
  if (!about.codings) {
    give_up();
    return;
  }
  if (!about.codings->empty()) decoder_ = std::make_unique<scan::Decoder>(*about.codings);
  if (wants_hashes) hashes_ = std::make_unique<Hashes>();
}

Content::~Content() {
  for (const auto& block : blocks_) world_.relay_memory_bytes -= block.capacity();
  count_decoder(0);
}

void Content::count_decoder(size_t bytes) {
  world_.relay_memory_bytes += bytes;
  world_.relay_memory_bytes -= decoder_bytes_;
  decoder_bytes_ = bytes;
}

// --- what is held ----------------------------------------------------------------------------------------------------

/// In blocks, so that a body that comes in small pieces costs little more than its bytes.
bool Content::keep(std::span<const uint8_t> bytes) {
  held_ += bytes.size();
  if (!blocks_.empty()) {
    std::vector<uint8_t>& last = blocks_.back();
    const size_t fits = std::min(bytes.size(), last.capacity() - last.size());
    last.insert(last.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(fits));
    bytes = bytes.subspan(fits);
  }
  if (!bytes.empty()) {
    std::vector<uint8_t>& block = blocks_.emplace_back();
    block.reserve(std::max(bytes.size(), limits::held_block_bytes));
    block.assign(bytes.begin(), bytes.end());
    world_.relay_memory_bytes += block.capacity();
  }
  if (world_.relay_memory_bytes <= world_.relay_memory_max_bytes) return true;
  ++world_.counters.relay_memory_limit_hits;
  return false;
}

std::span<const uint8_t> Content::oldest(uint64_t most) const {
  if (blocks_.empty()) return {};
  const auto left = std::span<const uint8_t>(blocks_.front()).subspan(taken_);
  return left.first(static_cast<size_t>(std::min<uint64_t>(left.size(), most)));
}

void Content::drop(size_t count) {
  taken_ += count;
  held_ -= count;
  if (taken_ < blocks_.front().size()) return;
  world_.relay_memory_bytes -= blocks_.front().capacity();
  blocks_.erase(blocks_.begin());
  taken_ = 0;
}

// --- what is known ---------------------------------------------------------------------------------------------------

bool Content::add(std::span<const uint8_t> bytes) {
  size_ += bytes.size();
  if (wants_size_ && size_ - size_told_ >= limits::size_step_bytes) {
    size_told_ = size_;
    news_ = true;
  }
  look(bytes);
  return keep(bytes);
}

void Content::look(std::span<const uint8_t> bytes) {
  if (unreadable_ || ((!wants_type_ || type_known_) && hashes_ == nullptr)) return;
  if (decoder_ == nullptr) return take_decoded(bytes);
  decode(bytes);
}

void Content::decode(std::span<const uint8_t> bytes) {
  std::array<uint8_t, 16 * 1024> room;
  ByteReader in(bytes);
  for (;;) {
    const scan::Decoder::Step step = decoder_->run(in, room);
    take_decoded(std::span<const uint8_t>(room).first(step.made));
    if (step.status == scan::Decoder::Status::failed) return give_up();
    if ((!wants_type_ || type_known_) && hashes_ == nullptr) {  // enough has been seen
      count_decoder(0);
      decoder_.reset();
      return;
    }
    if (step.status == scan::Decoder::Status::need_input) break;
  }
  count_decoder(decoder_->bytes_held());
}

void Content::take_decoded(std::span<const uint8_t> bytes) {
  if (hashes_ != nullptr) {
    hashes_->md5.update(bytes);
    hashes_->sha256.update(bytes);
  }
  if (!wants_type_ || type_known_) return;
  const size_t fits = std::min(bytes.size(), limits::content_prefix_bytes - prefix_.size());
  prefix_.insert(prefix_.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(fits));
  if (prefix_.size() == limits::content_prefix_bytes) settle_type();
}

void Content::settle_type() {
  types_ = scan::file_types_of(prefix_);
  type_known_ = news_ = true;
  give_back(prefix_);
}

/// What is known already stays known.
void Content::give_up() {
  unreadable_ = news_ = true;
  hashes_.reset();
  give_back(prefix_);
  count_decoder(0);
  decoder_.reset();
}

void Content::end() {
  ended_ = news_ = true;
  if (unreadable_) return;
  if (decoder_ != nullptr && decoder_->end()) return give_up();
  if (wants_type_ && !type_known_) settle_type();
  if (hashes_ == nullptr) return;
  md5_ = hashes_->md5.finish();
  sha256_ = hashes_->sha256.finish();
  hashes_known_ = true;
  hashes_.reset();
}

rules::Content Content::facts() const {
  rules::Content facts;
  const bool size_known = ended_ || length_.has_value();
  facts.size_known = size_known ? rules::Known::yes : rules::Known::not_yet;
  facts.size = ended_ ? size_ : length_.value_or(0);
  facts.size_at_least = size_;
  facts.type_known = type_known_ ? rules::Known::yes : rules::Known::not_yet;
  facts.types = &types_;
  facts.hashes_known = hashes_known_ ? rules::Known::yes : rules::Known::not_yet;
  facts.has_hashes = hashes_known_;
  facts.md5 = md5_;
  facts.sha256 = sha256_;
  facts.unreadable = unreadable_;
  return facts;
}

}  // namespace sluice::flow
