// tests/kernels/vulkan_timing_test.cpp -- times of launches are the device's, and so are its limits
#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/storage.h"
#include "history.h"
#include "in_child.h"
#include "kernels/vulkan/engine.h"
#include "kernels/vulkan/runtime.h"
#include "vulkan_here.h"

using namespace flash;
using namespace flash::test;

TEST_CASE("the history of Vulkan has the CPU's names and bytes, times of its own and limits") {
  if (vulkan_here() == nullptr) return;
  const MachineLimits limits = machine_limits("vulkan");
  CHECK(limits.gb_per_s > 0);
  CHECK(limits.gflop_per_s > 0);
  CHECK(machine_limits("vulkan").gb_per_s == limits.gb_per_s);
  check_history(history_of_three("vulkan"), history_of_three("cpu"), limits);
}

TEST_CASE("a time on Vulkan is how long the device worked, not how long the call took") {
  if (vulkan_here() == nullptr) return;
  const double small = time_of_exp(64, "vulkan"), large = time_of_exp(400'000, "vulkan");
  CAPTURE(small);
  CAPTURE(large);
  CHECK(large > 4 * small);
}

TEST_CASE("a Vulkan stopwatch times nothing as well, and one that is given up holds nobody back") {
  DeviceRuntime* const device = vulkan_here();
  if (device == nullptr) return;
  const Ref<Buffer> a = Buffer::allocate(*device, 4000), b = Buffer::allocate(*device, 4000);
  const auto idle = device->start_timing({});
  idle->stop();
  CHECK(idle->microseconds() >= 0);
  { const auto given_up = device->start_timing({}); }
  {
    const auto never_asked = device->start_timing({});
    device->copy(a->data(), b->data(), 4000, {});
    never_asked->stop();
  }
  const auto copy = device->start_timing({});
  device->copy(a->data(), b->data(), 4000, {});
  copy->stop();
  CHECK(copy->microseconds() > 0);
  CHECK(copy->microseconds() == copy->microseconds());
#if !FLASH_THREAD_SANITIZER
  CHECK(in_child([&] {
          try {
            copy->microseconds();
          } catch (const DeviceError&) {
            return 0;
          }
          return 1;
        }) == 0);
#endif
}

TEST_CASE("a Vulkan queue without a clock is waited for by those who time it") {
  if (vulkan_here() == nullptr) return;
  const auto gpu =
      std::make_shared<vulkan::Gpu>(*vulkan::instance(), vulkan::candidates().at(0), 0);
  gpu->clock_bits = 0;
  const auto engine = std::make_shared<vulkan::Engine>(gpu);
  const std::unique_ptr<RawMemory> memory = engine->take_memory();
  constexpr std::size_t kBytes = 1 << 20;
  void* const data = memory->allocate(kBytes);
  REQUIRE(data != nullptr);
  vulkan::Timer timer(engine, {});
  timer.start();
  const vulkan::Place place = engine->place_of(data);
  const vulkan::Command copy{
      .to = place, .from = {place.buffer, place.offset + kBytes / 2}, .bytes = kBytes / 2};
  engine->enqueue({&copy, 1}, {});
  timer.stop();
  CHECK(timer.microseconds() > 0);
  memory->free(data, kBytes);
}
