// tests/jit/philox_ir_test.cpp -- random bits in kernels against Random123's published vectors
#include <doctest/doctest.h>

#include "core/random.h"
#include "jit/ir/math.h"
#include "run_kernel.h"
#include "ulp.h"

using namespace flash;
using namespace flash::test;

namespace {
std::int32_t bits(std::uint64_t x) {
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(x));
}
}  // namespace

TEST_CASE("philox in a kernel gives Random123's known answer for counter and key zero") {
  // kat_vectors of Random123 1.09: philox4x32 10, all zero.
  const std::vector<std::int32_t> want = {bits(0x6627e8d5), bits(0xe169c58d), bits(0xbc57ac4c),
                                          bits(0x9b00dbd8)};
  const std::vector<std::int32_t> word = {0, 1, 2, 3};
  for (const Target t : targets()) {
    CAPTURE(name(t));
    const auto got = map<std::int32_t, std::int32_t>(
        t,
        [](ir::Builder& b, ir::Value w) {
          const ir::Value zero = b.i32(0);
          return ir::philox(b, zero, zero, zero, zero, w);
        },
        word);
    CHECK(got == want);
  }
}

TEST_CASE("philox in a kernel gives the stream of core/random.h, by word value and by constant") {
  std::vector<std::int32_t> lo, hi, want[4];
  const std::uint64_t seed = 0x123456789abcdef0u;
  Random random;
  for (int i = 0; i < 1000; ++i) {
    const std::uint64_t counter = random.bits();
    lo.push_back(bits(counter));
    hi.push_back(bits(counter >> 32));
    const PhiloxWords w = philox_block(seed, counter);
    for (std::size_t k = 0; k < 4; ++k) want[k].push_back(bits(w[k]));
  }
  for (const Target t : targets())
    for (const bool constant : {false, true})
      for (int word = 0; word < 4; ++word) {
        CAPTURE(name(t));
        CAPTURE(word);
        const auto got = map<std::int32_t, std::int32_t>(
            t, BinaryF([&](ir::Builder& b, ir::Value l, ir::Value h) {
              const ir::Value w =
                  constant
                      ? b.i32(word)
                      : b.binary(ir::Op::kAnd, b.binary(ir::Op::kOr, l, b.i32(-1)), b.i32(word));
              return ir::philox(b, l, h, b.i32(bits(seed)), b.i32(bits(seed >> 32)), w);
            }),
            lo, hi);
        CHECK(got == want[word]);
      }
}

TEST_CASE("uniform numbers are exact multiples of 2^-24 and 2^-53 in [0, 1)") {
  const std::vector<std::int32_t> word = {0, 255, 256, -1, bits(0x80000000), bits(0x12345678)};
  const std::vector<std::int32_t> other = {0, 63, 64, -1, bits(0x7fffffff), bits(0x9abcdef0)};
  for (const Target t : targets()) {
    CAPTURE(name(t));
    const auto f = map<float, std::int32_t>(t, ir::uniform_f32, word);
    const auto d = map<double, std::int32_t>(t, BinaryF(ir::uniform_f64), word, other);
    for (std::size_t i = 0; i < word.size(); ++i) {
      const auto high = static_cast<std::uint32_t>(word[i]),
                 low = static_cast<std::uint32_t>(other[i]);
      CHECK(f[i] == uniform_from_word(high));
      const std::uint64_t all = std::uint64_t{high >> 5} << 26 | low >> 6;
      CHECK(d[i] == static_cast<double>(all) * 0x1p-53);
      CHECK(f[i] < 1);
      CHECK(d[i] < 1);
    }
  }
}
