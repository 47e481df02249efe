#include "flow/content.h"

#include <algorithm>
#include <array>

#include "base/byte_reader.h"
#include "base/give_back.h"
#include "scan/file_type.h"

namespace sluice::flow {

namespace {

/// Bytes in gzip and zstd begin with their own mark, so they are a gzip or zstd to whoever does not decode them. (Rules that forbid
/// archives do not mean a page that is sent compressed.) In deflate and br they can begin with anything.
bool shows_itself(scan::Coding outermost) { return outermost == scan::Coding::gzip || outermost == scan::Coding::zstd; }

/// Compressed bytes are not meant to be a type, so only one that is recognised counts. A few such bytes are text by accident.
FileTypes recognised(const FileTypes& types) {
  FileTypes found;
  types.for_each([&](FileType type) {
    if (type != FileType::unknown && class_of(type) != FileClass::text) found.add(type);
  });
  return found;
}

}  // namespace

Content::Content(World& world, const About& about)
    : world_(world),
      hold_max_(about.hold_max_bytes),
      length_(about.length),
      wants_size_((about.wanted & rules::needs_size) != 0 && !about.length),
      wants_type_((about.wanted & rules::needs_prefix) != 0) {
  decoded_.is_known = coded_.is_known = !wants_type_;
  const bool wants_hashes = (about.wanted & rules::needs_whole_body) != 0;
  if (!wants_type_ && !wants_hashes) return;
  if (!about.codings) {
    give_up();
    return;
  }
  const scan::Codings& codings = *about.codings;
  is_coded_ = !codings.empty();
  if (!is_coded_ || shows_itself(codings[codings.size() - 1])) coded_.is_known = true;
  if (is_coded_) decoder_ = std::make_unique<scan::Decoder>(codings);
  if (wants_hashes) hashes_ = std::make_unique<Hashes>();
  if (wants_hashes && is_coded_) coded_hashes_ = std::make_unique<Hashes>();
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

void Content::Hashes::update(std::span<const uint8_t> bytes) {
  md5.update(bytes);
  sha256.update(bytes);
}

bool Content::Typing::add(std::span<const uint8_t> bytes) {
  if (is_known) return false;
  const size_t fits = std::min(bytes.size(), limits::content_prefix_bytes - prefix.size());
  prefix.insert(prefix.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(fits));
  if (prefix.size() < limits::content_prefix_bytes) return false;
  settle();
  return true;
}

void Content::Typing::settle() {
  if (is_known) return;
  types = scan::file_types_of(prefix);
  is_known = true;
  give_back(prefix);
}

void Content::look(std::span<const uint8_t> bytes) {
  if (unreadable_) return;
  if (!is_coded_) return take_decoded(bytes);
  take_coded(bytes);
  if (decoder_ != nullptr) decode(bytes);
}

void Content::decode(std::span<const uint8_t> bytes) {
  std::array<uint8_t, 16 * 1024> room;
  ByteReader in(bytes);
  for (;;) {
    const scan::Decoder::Step step = decoder_->run(in, room);
    take_decoded(std::span<const uint8_t>(room).first(step.made));
    if (step.status == scan::Decoder::Status::failed) return give_up();
    if (decoded_.is_known && hashes_ == nullptr) {  // enough has been seen
      count_decoder(0);
      decoder_.reset();
      return;
    }
    if (step.status == scan::Decoder::Status::need_input) break;
  }
  count_decoder(decoder_->bytes_held());
}

void Content::take_decoded(std::span<const uint8_t> bytes) {
  if (hashes_ != nullptr) hashes_->update(bytes);
  if (decoded_.add(bytes)) news_ = true;
}

void Content::take_coded(std::span<const uint8_t> bytes) {
  if (coded_hashes_ != nullptr) coded_hashes_->update(bytes);
  if (!coded_.add(bytes)) return;
  coded_.types = recognised(coded_.types);
  news_ = true;
}

/// What is known already stays known.
void Content::give_up() {
  unreadable_ = news_ = true;
  hashes_.reset();
  coded_hashes_.reset();
  give_back(decoded_.prefix);
  give_back(coded_.prefix);
  count_decoder(0);
  decoder_.reset();
}

void Content::end() {
  ended_ = news_ = true;
  if (unreadable_) return;
  if (decoder_ != nullptr && decoder_->end()) return give_up();
  decoded_.settle();
  coded_.settle();
  coded_.types = recognised(coded_.types);
  if (hashes_ == nullptr) return;
  digests_ = {hashes_->md5.finish(), hashes_->sha256.finish()};
  if (coded_hashes_ != nullptr) coded_digests_ = {coded_hashes_->md5.finish(), coded_hashes_->sha256.finish()};
  hashes_known_ = true;
  hashes_.reset();
  coded_hashes_.reset();
}

rules::Content Content::facts() const {
  rules::Content facts;
  const bool size_known = ended_ || length_.has_value();
  facts.size_known = size_known ? rules::Known::yes : rules::Known::not_yet;
  facts.size = ended_ ? size_ : length_.value_or(0);
  facts.size_at_least = size_;
  facts.type_known = is_type_known() && wants_type_ ? rules::Known::yes : rules::Known::not_yet;
  facts.types = &decoded_.types;
  if (!coded_.types.empty()) facts.coded_types = &coded_.types;
  facts.hashes_known = hashes_known_ ? rules::Known::yes : rules::Known::not_yet;
  facts.has_hashes = hashes_known_;
  facts.md5 = digests_.md5;
  facts.sha256 = digests_.sha256;
  facts.has_coded_hashes = hashes_known_ && is_coded_;
  facts.coded_md5 = coded_digests_.md5;
  facts.coded_sha256 = coded_digests_.sha256;
  facts.unreadable = unreadable_;
  return facts;
}

}  // namespace sluice::flow
