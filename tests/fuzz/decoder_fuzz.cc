// A coded body. The first byte says which codings, the second how it is cut and how much room there is; then
// the body. Cut or whole, the result is the same, and memory stays within its bounds.
#include <algorithm>
#include <string>
#include <vector>

#include "base/byte_reader.h"
#include "base/check.h"
#include "fuzz/driver.h"
#include "scan/decoder.h"

using namespace sluice;
using scan::Decoder;

namespace {

constexpr std::string_view fields[] = {"gzip",     "deflate",       "br",         "zstd",
                                       "gzip, br", "deflate, gzip", "zstd, gzip", "br, deflate, zstd"};
constexpr size_t made_bytes_max = 1 << 20;  // enough to see; a bomb would take long

struct Outcome {
  std::string text;
  int fault = -1;
  bool operator==(const Outcome&) const = default;
};

Outcome decode(const scan::Codings& codings, std::span<const uint8_t> body, size_t step, size_t room) {
  Decoder decoder(codings);
  Outcome outcome;
  std::vector<uint8_t> out(room);
  while (!body.empty()) {
    const std::vector<uint8_t> piece(body.begin(),
                                     body.begin() + static_cast<ptrdiff_t>(std::min(step, body.size())));
    body = body.subspan(piece.size());
    ByteReader in(piece);
    for (;;) {
      const Decoder::Step made = decoder.run(in, out);
      SLUICE_CHECK(made.made <= room);
      SLUICE_CHECK(decoder.bytes_held() <= codings.size() * (limits::decoder_window_bytes_max + (2U << 20)));
      outcome.text.append(reinterpret_cast<const char*>(out.data()), made.made);
      if (made.status == Decoder::Status::failed) {
        outcome.fault = static_cast<int>(decoder.fault());
        return outcome;
      }
      if (outcome.text.size() > made_bytes_max) return outcome;
      if (made.status == Decoder::Status::need_input) break;
      SLUICE_CHECK(made.made == room);
    }
    SLUICE_CHECK(in.empty());
  }
  if (const auto fault = decoder.end()) outcome.fault = static_cast<int>(*fault);
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  scan::Codings codings;
  SLUICE_CHECK(codings.add_field(fields[data[0] % std::size(fields)]));
  const auto body = std::span(data, size).subspan(2);
  Outcome whole = decode(codings, body, SIZE_MAX, 65536);
  Outcome cut = decode(codings, body, 1U + data[1] % 16, 1U + data[1] / 16 * 37);
  if (whole.fault == static_cast<int>(scan::DecodeFault::truncated) || whole.fault == -1)
    SLUICE_CHECK(cut.fault == whole.fault);
  // What was made before a fault depends on where the bytes are cut; what was made without one does not.
  const size_t same = std::min({whole.text.size(), cut.text.size(), made_bytes_max});
  SLUICE_CHECK(whole.text.compare(0, same, cut.text, 0, same) == 0);
  if (whole.fault == -1) SLUICE_CHECK(same == made_bytes_max || whole.text.size() == cut.text.size());
  return 0;
}
