// core/random.h -- Philox 4x32-10, the one source of random bits, and generators that hand them out
//
// Element i of a random tensor whose block counter starts at `base` takes word i % 4 of
// philox({lo32(base + i/4), hi32(base + i/4), 0, 0}, {lo32(seed), hi32(seed)}). So any kernel, on
// any device and in any order, makes the same numbers, and a mask can be made again, not stored.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "export.h"

namespace flash {

using PhiloxWords = std::array<std::uint32_t, 4>;
using PhiloxKey = std::array<std::uint32_t, 2>;

/// Philox 4x32 with ten rounds: J. Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3",
/// SC 2011; the constants are those of its table 2.
constexpr PhiloxWords philox(PhiloxWords counter, PhiloxKey key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * counter[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * counter[2];
    counter = {
        static_cast<std::uint32_t>(p1 >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(p1),
        static_cast<std::uint32_t>(p0 >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(p0)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return counter;
}

/// The four words of block `block` of the stream `seed`.
constexpr PhiloxWords philox_block(std::uint64_t seed, std::uint64_t block) {
  return philox({static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32), 0, 0},
                {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
}

/// Word of element `i` of a tensor drawn at block `base`: the definition above, for references.
constexpr std::uint32_t philox_element(std::uint64_t seed, std::uint64_t base, std::uint64_t i) {
  return philox_block(seed, base + i / 4)[i % 4];
}

/// A word as a float in [0, 1): its top 24 bits, so that every value is exact.
constexpr float uniform_from_word(std::uint32_t word) {
  return static_cast<float>(word >> 8) * 0x1p-24f;
}

/// Hands out disjoint pieces of one Philox stream. Every member may be called from several threads
/// (each call is atomic; seeding while another thread draws gives either order).
class FLASH_API Generator {
 public:
  /// Everything there is to save: restoring it continues the stream exactly.
  struct State {
    std::uint64_t seed = 0;
    std::uint64_t offset = 0;  ///< next block, in units of four words
    friend bool operator==(const State&, const State&) = default;
  };

  explicit Generator(std::uint64_t seed = 0) : seed_(seed) {}
  Generator(const Generator&) = delete;
  Generator& operator=(const Generator&) = delete;

  /// Starts the stream `seed` from its beginning.
  void manual_seed(std::uint64_t seed);
  std::uint64_t seed() const { return seed_.load(std::memory_order_relaxed); }

  /// Takes the blocks for `n` elements, ceil(n / 4), and returns the first one's counter.
  /// Throws ValueError when n is negative.
  std::uint64_t reserve(std::int64_t n);

  State state() const;
  void set_state(const State& state);

 private:
  std::atomic<std::uint64_t> seed_;
  std::atomic<std::uint64_t> offset_{0};
};

/// The generator that random ops use when none is given. Lives until the process ends.
FLASH_API Generator& default_generator();

/// default_generator().manual_seed(seed): the same seed gives the same numbers.
FLASH_API void manual_seed(std::uint64_t seed);

}  // namespace flash
