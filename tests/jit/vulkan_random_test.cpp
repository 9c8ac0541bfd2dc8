// tests/jit/vulkan_random_test.cpp -- kernels on a Vulkan device have the interpreter's bits
#include <doctest/doctest.h>

#include "device_runner.h"
#include "random_kernel.h"
#include "vulkan_here.h"

using namespace flash;
using namespace flash::test;

TEST_CASE("random kernels on Vulkan have the interpreter's bits, whole and split") {
  DeviceRuntime* device = vulkan_here();
  if (device == nullptr) return;
  const int begin = first_kernel(), count = kernels_wanted(40);
  for (int seed = begin; seed < begin + count; ++seed) {
    RandomKernel k(static_cast<std::uint64_t>(seed));
    CAPTURE(seed);
    INFO(k.text());
    const auto want = k.run(Target::kInterpreter);
    REQUIRE(difference(k.run(on_device(*device, k.memory())), want) == "");
    if (!k.can_split()) continue;
    REQUIRE(difference(k.run_split(on_device(*device, k.memory()), 1 << seed % 4), want) == "");
  }
}
