// Why a message is refused, and with which status. Values; any thread.
#pragma once

#include <cstdint>

namespace sluice::http {

enum class Refusal : uint8_t {
#define SLUICE_REFUSAL(name, status, text) name,
#include "http/refusal.def"
#undef SLUICE_REFUSAL
};
[[nodiscard]] const char* name_of(Refusal reason);  // "length_and_encoding", stable, for logs
[[nodiscard]] const char* text_of(Refusal reason);  // a sentence for people, without a full stop
/// What the client is answered: 400, 413, 414, 431, 501 or 505 when its request was refused, 502 for an
/// origin's response.
[[nodiscard]] uint16_t status_of_request(Refusal reason);
inline constexpr uint16_t status_of_response = 502;

}  // namespace sluice::http
