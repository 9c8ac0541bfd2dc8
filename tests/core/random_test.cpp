// tests/core/random_test.cpp -- Philox against Random123's published vectors; generators
#include "core/random.h"

#include <doctest/doctest.h>

#include <set>
#include <thread>
#include <vector>

#include "core/error.h"

using namespace flash;

TEST_CASE("philox4x32-10 gives Random123's known answers") {
  // Random123, tests/kat_vectors, lines "philox4x32 10".
  CHECK(philox({0, 0, 0, 0}, {0, 0}) ==
        PhiloxWords{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  const std::uint32_t f = 0xffffffff;
  CHECK(philox({f, f, f, f}, {f, f}) ==
        PhiloxWords{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        PhiloxWords{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("element i of a tensor is word i % 4 of block base + i / 4, across the 32-bit border") {
  const std::uint64_t seed = 0x299f31d0a4093822, base = 0xfffffffe;
  for (std::uint64_t i = 0; i < 16; ++i) {
    const std::uint64_t block = base + i / 4;
    const PhiloxWords words =
        philox({static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32), 0, 0},
               {0xa4093822, 0x299f31d0});
    CHECK(philox_element(seed, base, i) == words[i % 4]);
  }
}

TEST_CASE("uniform floats lie in [0, 1)") {
  CHECK(uniform_from_word(0) == 0.0f);
  CHECK(uniform_from_word(0xffffffff) == 1.0f - 0x1p-24f);
  CHECK(uniform_from_word(0x80000000) == 0.5f);
}

TEST_CASE("a generator reserves whole blocks and can be saved and continued") {
  Generator g(7);
  CHECK(g.reserve(1) == 0);
  CHECK(g.reserve(4) == 1);
  CHECK(g.reserve(5) == 2);
  CHECK(g.reserve(0) == 4);
  const Generator::State saved = g.state();
  CHECK(saved == Generator::State{7, 4});
  CHECK(g.reserve(400) == 4);
  Generator other;
  other.set_state(saved);
  CHECK(other.reserve(400) == 4);
  CHECK(other.state() == g.state());
  g.manual_seed(9);
  CHECK(g.state() == Generator::State{9, 0});
  CHECK_THROWS_AS(g.reserve(-1), ValueError);
}

TEST_CASE("threads never get the same block from one generator") {
  Generator g;
  std::vector<std::uint64_t> got[4];
  std::vector<std::thread> threads;
  for (auto& mine : got) {
    threads.emplace_back([&g, &mine] {
      for (int i = 0; i < 1000; ++i) mine.push_back(g.reserve(8));
    });
  }
  for (auto& t : threads) t.join();
  std::set<std::uint64_t> all;
  for (const auto& mine : got) all.insert(mine.begin(), mine.end());
  CHECK(all.size() == 4000);
  CHECK(g.state().offset == 8000);
}

TEST_CASE("manual_seed sets the global generator") {
  const Generator::State before = default_generator().state();
  manual_seed(42);
  CHECK(default_generator().state() == Generator::State{42, 0});
  default_generator().set_state(before);
}
