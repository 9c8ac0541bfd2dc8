// tests/jit/x86_random_test.cpp -- compiled kernels give the interpreter's bits, whatever the
// kernel
#include <doctest/doctest.h>

#include <cstdlib>
#include <string>

#include "random_kernel.h"

using namespace flash;
using namespace flash::test;

namespace {

int kernels_wanted(int by_default) {
  const char* n = std::getenv("FLASH_TEST_KERNELS");
  return n != nullptr ? std::atoi(n) : by_default;
}

using Outputs = std::vector<std::vector<unsigned char>>;

// Where two runs differ first; empty if they do not.
std::string difference(const Outputs& got, const Outputs& want) {
  for (std::size_t o = 0; o < want.size(); ++o)
    for (std::size_t i = 0; i < want[o].size(); ++i)
      if (got[o][i] != want[o][i])
        return "output " + std::to_string(o) + ", byte " + std::to_string(i) + " of " +
               std::to_string(want[o].size());
  return "";
}

}  // namespace

TEST_CASE("random kernels: every target, split or not, has the interpreter's bits") {
  const char* first = std::getenv("FLASH_TEST_SEED");
  const int begin = first != nullptr ? std::atoi(first) : 1;
  for (int seed = begin; seed < begin + kernels_wanted(600); ++seed) {
    RandomKernel k(static_cast<std::uint64_t>(seed));
    CAPTURE(seed);
    INFO(k.text());
    const auto want = k.run(Target::kInterpreter);
    for (const Target t : targets()) {
      CAPTURE(std::string(name(t)));
      if (t != Target::kInterpreter) REQUIRE(difference(k.run(t, seed % 3 == 0), want) == "");
      if (k.can_split()) REQUIRE(difference(k.run_split(t, 1 << seed % 4), want) == "");
    }
  }
}
