// jit/cache/sha256.cpp -- FIPS 180-4, sections 4.1.2, 4.2.2, 5.1.1, 5.3.3 and 6.2
#include "jit/cache/sha256.h"

#include <algorithm>
#include <bit>

namespace flash::jit {
namespace {

/// Section 4.2.2: of the cube roots of the first 64 primes, the first 32 bits behind the point.
constexpr std::uint32_t kRound[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

std::uint32_t load_be(const std::byte* at) {
  std::uint32_t word = 0;
  for (int i = 0; i < 4; ++i) word = word << 8 | static_cast<std::uint32_t>(at[i]);
  return word;
}

}  // namespace

void Sha256::block(const std::byte* at) {
  std::uint32_t w[64];
  for (int t = 0; t < 16; ++t) w[t] = load_be(at + 4 * t);
  for (int t = 16; t < 64; ++t) {
    const std::uint32_t x = w[t - 15], y = w[t - 2];
    w[t] = w[t - 16] + (std::rotr(x, 7) ^ std::rotr(x, 18) ^ x >> 3) + w[t - 7] +
           (std::rotr(y, 17) ^ std::rotr(y, 19) ^ y >> 10);
  }
  auto [a, b, c, d, e, f, g, h] = state_;
  for (int t = 0; t < 64; ++t) {
    const std::uint32_t choice = (e & f) ^ (~e & g), majority = (a & b) ^ (a & c) ^ (b & c);
    const std::uint32_t t1 =
        h + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) + choice + kRound[t] + w[t];
    const std::uint32_t t2 = (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + majority;
    h = g, g = f, f = e, e = d + t1;
    d = c, c = b, b = a, a = t1 + t2;
  }
  const std::uint32_t sum[8] = {a, b, c, d, e, f, g, h};
  for (std::size_t i = 0; i < 8; ++i) state_[i] += sum[i];
}

void Sha256::add(io::ByteSpan bytes) {
  while (!bytes.empty()) {
    const auto filled = static_cast<std::size_t>(bytes_ % 64);
    if (filled == 0 && bytes.size() >= 64) {
      block(bytes.data());
      bytes_ += 64;
      bytes = bytes.subspan(64);
      continue;
    }
    const std::size_t count = std::min(64 - filled, bytes.size());
    std::copy_n(bytes.begin(), count, pending_.begin() + static_cast<std::ptrdiff_t>(filled));
    bytes_ += count;
    bytes = bytes.subspan(count);
    if (filled + count == 64) block(pending_.data());
  }
}

Digest Sha256::finish() {
  const std::uint64_t bits = bytes_ * 8;
  // A one, zeros up to eight bytes short of a block, and the length in bits (section 5.1.1).
  std::array<std::byte, 72> tail{std::byte{0x80}};
  const auto zeros = static_cast<std::size_t>((119 - bytes_ % 64) % 64);
  for (std::size_t i = 0; i < 8; ++i)
    tail[1 + zeros + i] = static_cast<std::byte>(bits >> (56 - 8 * i) & 0xff);
  add(io::ByteSpan(tail).first(1 + zeros + 8));
  Digest out;
  for (std::size_t i = 0; i < 32; ++i)
    out[i] = static_cast<std::byte>(state_[i / 4] >> (24 - 8 * (i % 4)) & 0xff);
  return out;
}

}  // namespace flash::jit
