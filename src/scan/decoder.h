// Content-Encoding undone (RFC 9110 section 8.4): gzip, deflate, br and zstd, also several in a row, as a
// stream.
//
// Owns the decompressors' memory, which is allocated with the first byte and bounded
// (limits::decoder_window_bytes_max for each coding). The caller bounds the output: a call writes into the
// span that it is given, and takes no more input than that needs. One thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "base/byte_reader.h"
#include "base/limits.h"

namespace sluice::scan {

enum class Coding : uint8_t { gzip, deflate, br, zstd };
[[nodiscard]] const char* to_string(Coding coding);

/// The codings of one body, in the order in which they were applied. Empty: the body is what it is.
class Codings {
 public:
  [[nodiscard]] size_t size() const { return count_; }
  [[nodiscard]] bool empty() const { return count_ == 0; }
  [[nodiscard]] Coding operator[](size_t index) const { return codings_[index]; }

  /// Adds the codings of one Content-Encoding field; call it for each of them in their order. "identity" adds
  /// nothing; x-gzip is gzip. False: one that is not known here, or more than limits::content_codings_max;
  /// such a body cannot be read.
  [[nodiscard]] bool add_field(std::string_view value);

 private:
  std::array<Coding, limits::content_codings_max> codings_{};
  uint8_t count_ = 0;
};

enum class DecodeFault : uint8_t {
  malformed,  // not what the coding says
  truncated,  // the body ended before the coding's end
  trailing,   // something follows the coding's end, and programs differ in what they make of it
  bomb,       // limits::decoded_free_bytes and limits::decoded_ratio_max
  memory      // no memory for a window
};
[[nodiscard]] const char* to_string(DecodeFault fault);

class DecoderStage;  // one coding; decoder.cc

class Decoder {
 public:
  explicit Decoder(const Codings& codings);
  Decoder(Decoder&&) noexcept;
  Decoder& operator=(Decoder&&) noexcept;
  ~Decoder();

  enum class Status : uint8_t {
    need_input,   // `in` is empty, and everything that it gave has been written
    output_full,  // call again with more room
    failed        // fault() says why; stays so
  };
  struct Step {
    Status status = Status::need_input;
    size_t made = 0;  // bytes written to the front of `out`
  };
  /// Takes from `in` and writes to `out`, which must not be empty. Padding (zero bytes, spaces, line ends) may follow a complete
  /// gzip, deflate or br stream, and is taken and ignored. Anything else there that is no further gzip member is a fault: browsers
  /// ignore it, but a program that saves the body as it came has it.
  [[nodiscard]] Step run(ByteReader& in, std::span<uint8_t> out);

  /// After the body's last byte was given and run() has said need_input: empty when every coding has come to
  /// its end. A body of no bytes at all is complete.
  [[nodiscard]] std::optional<DecodeFault> end() const;
  [[nodiscard]] DecodeFault fault() const { return fault_; }  // with Status::failed

  [[nodiscard]] uint64_t bytes_taken() const { return taken_; }
  [[nodiscard]] uint64_t bytes_made() const { return made_; }
  /// Memory of the decompressors, for accounting.
  [[nodiscard]] size_t bytes_held() const;

 private:
  size_t pull(size_t index, ByteReader& in, std::span<uint8_t> out);
  [[nodiscard]] bool is_bomb() const;

  std::array<std::unique_ptr<DecoderStage>, limits::content_codings_max>
      stages_;  // the last coding applied comes first
  size_t count_ = 0;
  bool has_failed_ = false;
  DecodeFault fault_ = DecodeFault::malformed;
  uint64_t taken_ = 0;
  uint64_t made_ = 0;
};

}  // namespace sluice::scan
