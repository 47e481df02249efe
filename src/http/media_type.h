// What a message says that its body is: Content-Type, which may be there more than once. Pure; any thread.
#pragma once

#include <string>
#include <vector>

#include "http/headers.h"

namespace sluice::http {

/// The media types that Content-Type names, in lower case and without parameters: of all fields, divided at every comma, because
/// programs differ in which of them they take (the Fetch standard: the last that is valid). What is no type/subtype, and "*/*", is left
/// out unless there is nothing else.
///
/// `type`: the one that all agree on; empty when there is none, or several that differ. Those are in `others` then.
void media_types_of(const Headers& headers, std::string& type, std::vector<std::string>& others);

}  // namespace sluice::http
