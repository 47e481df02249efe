// The contract of a fuzz target, and what runs it.
//
// A target is tests/fuzz/NAME_fuzz.cc. It includes this header and defines LLVMFuzzerTestOneInput, which
// feeds `data` to one parser and CHECKs whatever must hold for every input; it must be deterministic and keep
// no state between calls. Its corpus is tests/fuzz/corpus/NAME/, one input per file, named in a
// sentence-with-dashes.
//
// `make fuzz` links targets with driver.cc, which replays the corpus and then mutates it from a printed seed,
// with any compiler. `make fuzz FUZZER=libfuzzer` needs clang and links libFuzzer's own main instead. One
// thread.
#pragma once

#include <cstddef>
#include <cstdint>

/// Returns 0. `data` is an allocation of exactly `size` bytes, so that a sanitizer sees a read past its end.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
