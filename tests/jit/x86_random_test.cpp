// tests/jit/x86_random_test.cpp -- compiled kernels give the interpreter's bits, whatever the
// kernel
#include <doctest/doctest.h>

#include <string>

#include "random_kernel.h"

using namespace flash;
using namespace flash::test;

TEST_CASE("random kernels: every target, split or not, has the interpreter's bits") {
  const int begin = first_kernel();
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
