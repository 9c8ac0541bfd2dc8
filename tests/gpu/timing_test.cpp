// tests/gpu/timing_test.cpp -- times of launches are the device's, and nobody waits for them
#include <doctest/doctest.h>
#include <flash/flash.h>

#include <algorithm>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/log.h"
#include "core/storage.h"
#include "fake.h"
#include "history.h"
#include "in_child.h"

using namespace flash;
using namespace flash::test;

namespace {

struct Events {
  explicit Events(const Fake& fake)
      : made(fake.calls(fake.pick("cuEventCreate", "hipEventCreateWithFlags"))),
        recorded(fake.calls(fake.pick("cuEventRecord", "hipEventRecord"))),
        waits(fake.calls(fake.pick("cuEventSynchronize", "hipEventSynchronize")) +
              fake.calls(fake.pick("cuStreamSynchronize", "hipStreamSynchronize"))),
        copies(fake.calls(fake.pick("cuMemcpyHtoDAsync_v2", "hipMemcpyHtoDAsync")) +
               fake.calls(fake.pick("cuMemcpyDtoHAsync_v2", "hipMemcpyDtoHAsync"))) {}
  long made, recorded, waits, copies;
};

}  // namespace

TEST_CASE("the history of a GPU has the CPU's names and bytes, and times of its own") {
  const std::vector<KernelRecord> want = history_of_three("cpu");
  for (const Fake& fake : fakes()) {
    CAPTURE(fake.name);
    check_history(history_of_three(Device(fake.name)), want, {100, 100});
  }
  const MachineLimits limits = machine_limits("cuda:0");
  CHECK(history_of_three("cuda:0")[0].share(limits) > 0);
}

TEST_CASE("a time is how long the device worked, not how long the call took") {
  for (const Fake& fake : fakes()) {
    CAPTURE(fake.name);
    const double small = time_of_exp(64, Device(fake.name));
    const double large = time_of_exp(400'000, Device(fake.name));
    CAPTURE(small);
    CAPTURE(large);
    CHECK(large > 4 * small);
  }
}

TEST_CASE(
    "while launches are timed nobody waits for them, and otherwise there are no more events") {
  for (const Fake& fake : fakes()) {
    CAPTURE(fake.name);
    const Device d(fake.name);
    const Tensor x = full({40, 40}, 0.5, {.device = d});
    const auto step = [&] {
      Tensor y = exp(x + 2.75);
      y.eval();
      Tensor z = matmul(y, x);
      z.eval();
    };
    step();
    kernel_history();
    const Events before(fake);
    for (int i = 0; i < 5; ++i) step();
    const Events plain(fake);
    CHECK(plain.recorded - before.recorded == plain.copies - before.copies);

    record_kernels(true);
    for (int i = 0; i < 5; ++i) step();
    record_kernels(false);
    const Events timed(fake);
    CHECK(timed.recorded - plain.recorded == timed.copies - plain.copies + 2 * 10);
    CHECK(timed.waits == plain.waits);
    CHECK(kernel_history().size() == 10);
    CHECK(Events(fake).waits > timed.waits);
  }
}

TEST_CASE("a long record keeps few events, and its order") {
  for (const Fake& fake : fakes()) {
    CAPTURE(fake.name);
    const Tensor x = full({8}, 0.5, {.device = Device(fake.name)});
    x.eval();
    kernel_history();
    // Each copy to the device may keep one as well.
    const auto events = [&] { return fake.live("event") - Events(fake).copies; };
    const long before = events();
    long most = 0;
    const auto records = history_of([&] {
      for (int i = 0; i < 1300; ++i) {
        Tensor y = i % 2 ? x + 1.25 : x * 1.25;
        y.eval();
        most = std::max(most, events() - before);
      }
    });
    CHECK(records.size() == 1300);
    CHECK(most <= 2 * 1025);
    int wrong = 0;
    for (std::size_t i = 0; i < records.size(); ++i)
      wrong += records[i].name != (i % 2 ? "add" : "mul") || !(records[i].microseconds > 0);
    CHECK(wrong == 0);
    CHECK(events() <= before);
  }
}

TEST_CASE("a stopwatch times nothing as well, and one that is given up holds nobody back") {
  for (const Fake& fake : fakes()) {
    CAPTURE(fake.name);
    const auto runtimes = fake.open();
    DeviceRuntime& device = *runtimes[0];
    const Ref<Buffer> a = Buffer::allocate(device, 4000), b = Buffer::allocate(device, 4000);
    const auto idle = device.start_timing({});
    idle->stop();
    CHECK(idle->microseconds() >= 0);
    { const auto given_up = device.start_timing({}); }
    device.copy(a->data(), b->data(), 4000, {});
    const auto copy = device.start_timing({});
    device.copy(a->data(), b->data(), 4000, {});
    copy->stop();
    CHECK(copy->microseconds() > 0);
    CHECK(copy->microseconds() == copy->microseconds());
  }
}

TEST_CASE("what cannot be timed any more has no time, and that is no error") {
  const logging::Level level = logging::level();
  logging::set_level(logging::Level::kOff);
  const Fake fake = Fake::cuda();
  const Tensor x = full({8}, 0.5, {.device = "cuda:0"});
  x.eval();
  const auto step = [&] {
    Tensor y = x + 1.5;
    y.eval();
  };
  kernel_history();
  record_kernels(true);
  step();
  step();
  record_kernels(false);
  fake.fail("cuEventElapsedTime", 1, 1);
  const auto records = kernel_history();
  fake.fail("", 0, 0);
  REQUIRE(records.size() == 2);
  CHECK(records[0].microseconds == 0);
  CHECK(records[0].name == "add");
  CHECK(records[1].microseconds > 0);

  record_kernels(true);
  step();
  record_kernels(false);
#if !FLASH_THREAD_SANITIZER
  CHECK(in_child([&] {
          const auto of_parent = kernel_history();
          return of_parent.size() == 1 && of_parent[0].microseconds == 0 ? 0 : 1;
        }) == 0);
#endif
  CHECK(kernel_history().at(0).microseconds > 0);
  logging::set_level(level);
}
