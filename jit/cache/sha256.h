// jit/cache/sha256.h -- SHA-256: names of cache entries, and proof that their bytes are whole
//
// Written here because nothing that Flash links has it, and a dependency of some megabytes for one
// function is none worth having. Some 150 MB/s: 20 kB of source take an eighth of a millisecond,
// their compilation far more.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "core/io/file.h"

namespace flash::jit {

using Digest = std::array<std::byte, 32>;

/// Takes bytes piece by piece; finish() once, last.
class Sha256 {
 public:
  void add(io::ByteSpan bytes);
  Digest finish();

 private:
  void block(const std::byte* at);

  std::array<std::uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::byte, 64> pending_{};
  std::uint64_t bytes_ = 0;
};

}  // namespace flash::jit
