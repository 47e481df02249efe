#include "scan/decoder.h"

#include <brotli/decode.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "base/check.h"

namespace sluice::scan {

namespace {

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

bool is_same(std::string_view text, std::string_view name) {
  return std::equal(text.begin(), text.end(), name.begin(), name.end(),
                    [](char a, char b) { return lower(a) == b; });
}

/// malloc() that remembers sizes, so that bytes_held() can tell. The size stands in front of each block.
struct Counted {
  size_t bytes = 0;

  static constexpr size_t front = alignof(std::max_align_t);
  void* take(size_t size) {
    auto* block = static_cast<uint8_t*>(std::malloc(size + front));
    if (block == nullptr) return nullptr;
    std::memcpy(block, &size, sizeof size);
    bytes += size + front;
    return block + front;
  }
  void give(void* memory) {
    if (memory == nullptr) return;
    auto* block = static_cast<uint8_t*>(memory) - front;
    size_t size = 0;
    std::memcpy(&size, block, sizeof size);
    bytes -= size + front;
    std::free(block);
  }
};

}  // namespace

const char* to_string(Coding coding) {
  switch (coding) {
    case Coding::gzip:
      return "gzip";
    case Coding::deflate:
      return "deflate";
    case Coding::br:
      return "br";
    case Coding::zstd:
      return "zstd";
  }
  return "?";
}

const char* to_string(DecodeFault fault) {
  switch (fault) {
    case DecodeFault::malformed:
      return "malformed";
    case DecodeFault::truncated:
      return "truncated";
    case DecodeFault::trailing:
      return "trailing";
    case DecodeFault::bomb:
      return "bomb";
    case DecodeFault::memory:
      return "memory";
  }
  return "?";
}

bool Codings::add_field(std::string_view value) {
  while (!value.empty()) {
    const size_t comma = std::min(value.find(','), value.size());
    std::string_view name = value.substr(0, comma);
    value.remove_prefix(std::min(comma + 1, value.size()));
    while (!name.empty() && (name.front() == ' ' || name.front() == '\t')) name.remove_prefix(1);
    while (!name.empty() && (name.back() == ' ' || name.back() == '\t')) name.remove_suffix(1);
    if (name.empty() || is_same(name, "identity")) continue;
    const auto coding = is_same(name, "gzip") || is_same(name, "x-gzip") ? std::optional(Coding::gzip)
                        : is_same(name, "deflate")                       ? std::optional(Coding::deflate)
                        : is_same(name, "br")                            ? std::optional(Coding::br)
                        : is_same(name, "zstd")                          ? std::optional(Coding::zstd)
                                                                         : std::nullopt;
    if (!coding || count_ == codings_.size()) return false;
    codings_[count_++] = *coding;
  }
  return true;
}

/// One coding, and the bytes that wait between it and the one before it.
class DecoderStage {
 public:
  enum class State : uint8_t {
    begin,     // has seen nothing
    running,   // inside of the stream
    complete,  // at its end, or between two gzip members or zstd frames
    padding,   // at its end, and what follows must be nothing
    trailing,  // and is something
    malformed,
    no_memory
  };

  DecoderStage() = default;
  DecoderStage(const DecoderStage&) = delete;
  DecoderStage& operator=(const DecoderStage&) = delete;
  virtual ~DecoderStage() = default;

  /// Takes from `in` and writes to `out` until one of them is used up, or it has failed. Returns the bytes
  /// written.
  size_t decode(ByteReader& in, std::span<uint8_t> out) {
    size_t written = 0;
    while (written < out.size() && !has_failed() && state_ != State::padding) {
      const size_t before = in.left();
      const State was = state_;
      const size_t now = step(in, out.subspan(written));
      written += now;
      if (now == 0 && in.left() == before && state_ == was) break;
    }
    if (state_ == State::padding) pass_padding(*in.bytes(in.left()));
    made += written;
    return written;
  }
  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] bool has_failed() const {
    return state_ == State::malformed || state_ == State::trailing || state_ == State::no_memory;
  }
  [[nodiscard]] virtual size_t bytes_held() const = 0;

  uint64_t made = 0;
  std::vector<uint8_t> between;  // what the stage before has made …
  size_t waiting_at = 0;         // … and of it what waits to be taken
  size_t waiting = 0;

 protected:
  /// Some progress: bytes taken, written, or a change of state.
  virtual size_t step(ByteReader& in, std::span<uint8_t> out) = 0;
  void pass_padding(std::span<const uint8_t> bytes) {
    constexpr std::string_view nothing("\0 \t\r\n", 5);
    const bool is_nothing = as_text(bytes).find_first_not_of(nothing) == std::string_view::npos;
    state_ = is_nothing ? State::padding : State::trailing;
  }

  State state_ = State::begin;
};

namespace {

using State = DecoderStage::State;

/// zlib: gzip (RFC 1952) and deflate, which means zlib (RFC 1950) but is sent bare by some servers (RFC 9110
/// section 8.4.1.2).
class InflateStage final : public DecoderStage {
 public:
  explicit InflateStage(bool is_gzip) : is_gzip_(is_gzip) {}
  ~InflateStage() override { close(); }
  [[nodiscard]] size_t bytes_held() const override { return memory_.bytes; }

 private:
  size_t step(ByteReader& in, std::span<uint8_t> out) override {
    if (is_open_) return inflate_some(in, out);
    // The first two bytes tell which deflate it is, and whether another gzip member follows.
    while (!in.empty() && peeked_ < peek_.size()) peek_[peeked_++] = *in.u8();
    const bool is_first = state_ == State::begin || state_ == State::running;
    if (peeked_ != 0 && state_ == State::begin) state_ = State::running;
    if (!is_first && (!is_gzip_ || (peeked_ > 0 && peek_[0] != 0x1f) || (peeked_ > 1 && peek_[1] != 0x8b))) {
      if (peeked_ != 0) pass_padding(std::span<const uint8_t>(peek_).first(peeked_));
      return 0;
    }
    if (peeked_ == peek_.size()) open();
    return 0;
  }

  void open() {
    const unsigned header = peek_[0] * 256U + peek_[1];
    const bool is_zlib = (peek_[0] & 15) == 8 && peek_[0] >> 4 <= 7 && header % 31 == 0;
    stream_ = {};
    stream_.opaque = &memory_;
    stream_.zalloc = [](void* owner, uInt items, uInt size) {
      return static_cast<Counted*>(owner)->take(size_t{items} * size);
    };
    stream_.zfree = [](void* owner, void* block) { static_cast<Counted*>(owner)->give(block); };
    is_open_ = inflateInit2(&stream_, is_gzip_ ? MAX_WBITS + 16 : is_zlib ? MAX_WBITS : -MAX_WBITS) == Z_OK;
    state_ = is_open_ ? State::running : State::no_memory;
  }

  void close() {
    if (is_open_) inflateEnd(&stream_);
    is_open_ = false;
  }

  size_t inflate_some(ByteReader& in, std::span<uint8_t> out) {
    const bool is_peeked = peeked_ != 0;
    const std::span<const uint8_t> input =
        is_peeked ? std::span<const uint8_t>(peek_).first(peeked_) : in.rest();
    // zlib counts in 32 bits; what is more comes with the next step.
    const auto input_bytes = static_cast<uInt>(std::min<size_t>(input.size(), 1U << 30));
    const auto output_bytes = static_cast<uInt>(std::min<size_t>(out.size(), 1U << 30));
    stream_.next_in = const_cast<Bytef*>(input.data());  // zlib does not write to it
    stream_.avail_in = input_bytes;
    stream_.next_out = out.data();
    stream_.avail_out = output_bytes;
    settle(inflate(&stream_, Z_NO_FLUSH));
    const size_t taken = input_bytes - stream_.avail_in;
    if (is_peeked) {
      std::copy(peek_.begin() + static_cast<ptrdiff_t>(taken), peek_.end(), peek_.begin());
      peeked_ -= taken;
      // Two peeked bytes are taken without making one: that is progress, which the caller cannot see.
      if (peeked_ == 0 && state_ == State::running && stream_.avail_out == output_bytes)
        return inflate_some(in, out);
    } else {
      (void)in.bytes(taken);
    }
    const size_t written = output_bytes - stream_.avail_out;
    if (state_ == State::complete) close();
    return written;
  }

  void settle(int result) {
    switch (result) {  // not an enum
      case Z_OK:
      case Z_BUF_ERROR:  // no progress was possible
        return;
      case Z_STREAM_END:
        state_ = State::complete;
        return;
      case Z_MEM_ERROR:
        state_ = State::no_memory;
        return;
      default:
        state_ = State::malformed;
    }
  }

  z_stream stream_{};
  Counted memory_;
  bool is_gzip_;
  bool is_open_ = false;
  std::array<uint8_t, 2> peek_{};
  size_t peeked_ = 0;
};

/// RFC 7932. Large windows stay off, so that 16 MiB is the most.
class BrotliStage final : public DecoderStage {
 public:
  ~BrotliStage() override {
    if (decoder_ != nullptr) BrotliDecoderDestroyInstance(decoder_);
  }
  [[nodiscard]] size_t bytes_held() const override { return memory_.bytes; }

 private:
  size_t step(ByteReader& in, std::span<uint8_t> out) override {
    if (state_ == State::complete && !in.empty()) state_ = State::padding;
    if (state_ == State::begin && !in.empty()) begin();
    if (state_ != State::running) return 0;
    size_t input_left = in.left();
    const uint8_t* input = in.rest().data();
    size_t room = out.size();
    uint8_t* output = out.data();
    const BrotliDecoderResult result =
        BrotliDecoderDecompressStream(decoder_, &input_left, &input, &room, &output, nullptr);
    (void)in.bytes(in.left() - input_left);
    if (result == BROTLI_DECODER_RESULT_SUCCESS) state_ = State::complete;
    if (result == BROTLI_DECODER_RESULT_ERROR) {
      const bool is_memory = BrotliDecoderGetErrorCode(decoder_) <= BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MODES;
      state_ = is_memory ? State::no_memory : State::malformed;
    }
    return out.size() - room;
  }

  void begin() {
    decoder_ = BrotliDecoderCreateInstance(
        [](void* owner, size_t size) { return static_cast<Counted*>(owner)->take(size); },
        [](void* owner, void* block) { static_cast<Counted*>(owner)->give(block); }, &memory_);
    state_ = decoder_ == nullptr ? State::no_memory : State::running;
  }

  Counted memory_;
  BrotliDecoderState* decoder_ = nullptr;
};

/// RFC 8878; the window as RFC 9659 limits it for the web.
class ZstdStage final : public DecoderStage {
 public:
  ~ZstdStage() override { ZSTD_freeDStream(decoder_); }
  [[nodiscard]] size_t bytes_held() const override {
    return decoder_ == nullptr ? 0 : ZSTD_sizeof_DStream(decoder_);
  }

 private:
  size_t step(ByteReader& in, std::span<uint8_t> out) override {
    if (state_ == State::begin && !in.empty()) begin();
    if (state_ == State::complete && !in.empty()) state_ = State::running;  // another frame
    if (state_ != State::running || (in.empty() && !is_full_)) return 0;  // it counts calls without progress
    ZSTD_inBuffer input{in.rest().data(), in.left(), 0};
    ZSTD_outBuffer output{out.data(), out.size(), 0};
    const size_t result = ZSTD_decompressStream(decoder_, &output, &input);
    (void)in.bytes(input.pos);
    is_full_ = output.pos == output.size;
    if (result == 0) state_ = State::complete;
    if (ZSTD_isError(result) != 0) state_ = State::malformed;
    return output.pos;
  }

  void begin() {
    decoder_ = ZSTD_createDStream();
    const bool is_ready =
        decoder_ != nullptr &&
        ZSTD_isError(ZSTD_DCtx_setParameter(decoder_, ZSTD_d_windowLogMax, limits::zstd_window_log_max)) == 0;
    state_ = is_ready ? State::running : State::no_memory;
  }

  ZSTD_DStream* decoder_ = nullptr;
  bool is_full_ = false;  // it may have more to give
};

std::unique_ptr<DecoderStage> stage_for(Coding coding) {
  switch (coding) {
    case Coding::gzip:
      return std::make_unique<InflateStage>(true);
    case Coding::deflate:
      return std::make_unique<InflateStage>(false);
    case Coding::br:
      return std::make_unique<BrotliStage>();
    case Coding::zstd:
      return std::make_unique<ZstdStage>();
  }
  return nullptr;
}

}  // namespace

Decoder::Decoder(const Codings& codings) : count_(codings.size()) {
  SLUICE_CHECK(count_ != 0);
  for (size_t i = 0; i < count_; ++i) stages_[i] = stage_for(codings[count_ - 1 - i]);
}
Decoder::Decoder(Decoder&&) noexcept = default;
Decoder& Decoder::operator=(Decoder&&) noexcept = default;
Decoder::~Decoder() = default;

/// What stage `index` makes of `in`, by way of those before it.
size_t Decoder::pull(size_t index, ByteReader& in, std::span<uint8_t> out) {
  DecoderStage& stage = *stages_[index];
  if (index == 0) {
    const size_t before = in.left();
    const size_t written = stage.decode(in, out);
    taken_ += before - in.left();
    return written;
  }
  size_t written = 0;
  for (;;) {
    ByteReader input(std::span<const uint8_t>(stage.between).subspan(stage.waiting_at, stage.waiting));
    written += stage.decode(input, out.subspan(written));
    stage.waiting_at += stage.waiting - input.left();
    stage.waiting = input.left();
    if (written == out.size() || stage.has_failed() || stage.waiting != 0) return written;
    if (stage.between.empty()) stage.between.resize(limits::decoder_between_bytes);
    stage.waiting_at = 0;
    stage.waiting = pull(index - 1, in, stage.between);
    if (stage.waiting == 0) return written;
    if (is_bomb()) return written;
  }
}

bool Decoder::is_bomb() const {
  for (size_t i = 0; i < count_; ++i) {
    const uint64_t made = stages_[i]->made;
    if (made > limits::decoded_free_bytes && made / limits::decoded_ratio_max > taken_) return true;
  }
  return false;
}

Decoder::Step Decoder::run(ByteReader& in, std::span<uint8_t> out) {
  SLUICE_CHECK(!out.empty());
  if (has_failed_) return {Status::failed, 0};
  const size_t written = pull(count_ - 1, in, out);
  made_ += written;
  const auto fail = [&](DecodeFault fault) {
    has_failed_ = true;
    fault_ = fault;
    return Step{Status::failed, written};
  };
  for (size_t i = 0; i < count_; ++i) {
    if (stages_[i]->state() == State::no_memory) return fail(DecodeFault::memory);
    if (stages_[i]->state() == State::trailing) return fail(DecodeFault::trailing);
    if (stages_[i]->has_failed()) return fail(DecodeFault::malformed);
  }
  if (is_bomb()) return fail(DecodeFault::bomb);
  if (written == out.size()) return {Status::output_full, written};
  if (!in.empty()) return fail(DecodeFault::malformed);  // room and input, and yet no progress
  return {Status::need_input, written};
}

std::optional<DecodeFault> Decoder::end() const {
  if (has_failed_) return fault_;
  if (taken_ == 0) return std::nullopt;
  for (size_t i = 0; i < count_; ++i) {
    const State state = stages_[i]->state();
    if (state != State::complete && state != State::padding) return DecodeFault::truncated;
  }
  return std::nullopt;
}

size_t Decoder::bytes_held() const {
  size_t bytes = 0;
  for (size_t i = 0; i < count_; ++i) bytes += stages_[i]->bytes_held() + stages_[i]->between.capacity();
  return bytes;
}

}  // namespace sluice::scan
