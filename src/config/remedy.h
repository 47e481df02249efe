// What to write instead of a key, a word or a value of the wrong type: the part of a message behind what is
// wrong. Pure.
//
// Each returns an empty text when nothing better is known than what is allowed here.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "config/toml.h"

namespace sluice::config {

/// A key that the table `path` ("gateway", "access.rules.when"; empty for the document) does not know:
/// ": did you mean 'client'?", "; it is a key of [gateway]".
[[nodiscard]] std::string key_remedy(std::string_view path, std::string_view key);

/// A word that is none of `names`, which `key` of the table `path` takes: ": did you mean \"block\"?",
/// "; \"bump\" is an action of [[tls.rules]]".
[[nodiscard]] std::string word_remedy(std::string_view path, std::string_view key, std::string_view word,
                                      std::span<const std::string_view> names);

/// A value of another type than `key` of the table `path` takes: "; write [\"eth1\"]".
enum class Wanted : uint8_t { boolean, integer, string, array, table };
[[nodiscard]] std::string type_remedy(std::string_view path, std::string_view key, Wanted wanted,
                                      const Value& found);

/// A number, or true or false, where a string is wanted: "; write \"1.2\"".
[[nodiscard]] std::string quotes_remedy(const Value& found);

/// The list that a string with commas was meant as: "[\"80\", \"443\"]"; empty when it has none.
[[nodiscard]] std::string list_in(std::string_view text);

}  // namespace sluice::config
