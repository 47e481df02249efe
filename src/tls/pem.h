// PEM (RFC 7468): text -> labelled blocks, and back. Pure; any thread.
//
// Text outside of blocks is ignored, as everybody does (bag attributes, `openssl x509 -text`). Inside, base64
// is strict except for white space. Old private keys may have headers (RFC 1421); of these only "ENCRYPTED"
// means something here.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "tls/der.h"

namespace sluice::tls {

struct PemBlock {
  std::string label;          // "CERTIFICATE", "PRIVATE KEY" …
  Bytes content;              // empty when encrypted
  size_t line = 0;            // of its BEGIN, from 1
  bool is_encrypted = false;  // "ENCRYPTED PRIVATE KEY", or the header that says so
};

struct PemFault {
  size_t line = 0;
  const char* what = "";  // static text: "no END line for this BEGIN", …
};

/// All blocks in their order; none is no fault. Keys pass through here: wipe() them when they are done with.
[[nodiscard]] tl::expected<std::vector<PemBlock>, PemFault> read_pem(std::string_view text);

/// A block in lines of 64 characters, with a line break at its end.
[[nodiscard]] std::string write_pem(std::string_view label, ByteView content);

/// Overwrites key material in a way that the compiler must not leave out.
void wipe(std::span<uint8_t> secret);
void wipe(std::string& secret);
void wipe(std::vector<PemBlock>& blocks);

}  // namespace sluice::tls
