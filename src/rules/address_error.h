// Why a text is no address and no network, and what would be right. Pure; only asked once Cidr::parse() has
// refused it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace sluice::rules {

/// Whether a text was meant as an address or a network rather than as a name, however wrong it is:
/// "192.168.1.*", "10.0.0.1-9", "[2001:db8::1]", a MAC address.
[[nodiscard]] bool looks_like_address(std::string_view text);

/// What is wrong with a text that is nearly an address, and what to write; nullopt when it is not near one.
[[nodiscard]] std::optional<std::string> address_hint(std::string_view text);

/// One sentence for a text that Cidr::parse() refuses: the hint, or what is allowed.
[[nodiscard]] std::string address_error(std::string_view text);

}  // namespace sluice::rules
