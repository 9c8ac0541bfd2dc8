// core/random.cpp -- generators: a seed and an atomic position
#include "core/random.h"

#include <string>

#include "core/error.h"

namespace flash {

void Generator::manual_seed(std::uint64_t seed) { set_state({seed, 0}); }

std::uint64_t Generator::reserve(std::int64_t n) {
  if (n < 0) {
    throw ValueError("Generator::reserve: " + std::to_string(n) +
                     " elements asked for (want 0 or more)");
  }
  const auto blocks = (static_cast<std::uint64_t>(n) + 3) / 4;
  return offset_.fetch_add(blocks, std::memory_order_relaxed);
}

Generator::State Generator::state() const {
  return {seed(), offset_.load(std::memory_order_relaxed)};
}

void Generator::set_state(const State& state) {
  seed_.store(state.seed, std::memory_order_relaxed);
  offset_.store(state.offset, std::memory_order_relaxed);
}

Generator& default_generator() {
  static Generator generator;  // trivially destructible: safe to use until the very end
  return generator;
}

void manual_seed(std::uint64_t seed) { default_generator().manual_seed(seed); }

}  // namespace flash
