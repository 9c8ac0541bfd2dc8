// tests/gpu/driver_test.cpp -- a runtime on a fake driver: memory, copies, order, kernels
#include <doctest/doctest.h>

#include <cstdlib>
#include <cstring>
#include <numeric>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/allocator.h"
#include "core/error.h"
#include "fake.h"
#include "jit/random_kernel.h"

using namespace flash;
using namespace flash::test;

namespace {

/// An environment variable, for a while.
class Variable {
 public:
  Variable(const char* name, std::size_t value) : name_(name) {
    if (const char* text = std::getenv(name)) before_ = text;
    setenv(name, std::to_string(value).c_str(), 1);
  }
  ~Variable() { before_ ? setenv(name_, before_->c_str(), 1) : unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* const name_;
  std::optional<std::string> before_;
};

std::vector<float> range(std::size_t n) {
  std::vector<float> x(n);
  std::iota(x.begin(), x.end(), 0.f);
  return x;
}

/// x := x · x for n floats.
struct Square {
  Nest nest;
  explicit Square(std::int64_t n, void* at) : nest(ir::Form::kRow, {{ir::Role::kLoop, n}}) {
    const int in = nest.access(DType::kF32, at, {4}), out = nest.access(DType::kF32, at, {4});
    nest.b.begin_loop();
    const ir::Value x = nest.b.load(in, ir::Type::kF32);
    nest.b.store(out, nest.b.mul(x, x));
    nest.set_chunk(100);
  }
  std::int64_t tiles(std::int64_t n) const { return (n + 99) / 100; }
};

}  // namespace

TEST_CASE("a runtime for each device that the driver has, and what it is") {
  for (const Fake& fake : fakes()) {
    CAPTURE(fake.name);
    fake.reset();
    const auto runtimes = fake.open();
    REQUIRE(runtimes.size() == 2);
    CHECK(runtimes[1]->id().str() == fake.name + ":1");
    const std::string text = runtimes[0]->description();
    CHECK(text.find(fake.pick("Fake H 0, sm_90a", "Fake MI 0, gfx90a")) != std::string::npos);
    CHECK(text.find("1 GiB") != std::string::npos);
    CHECK(text.find(fake.pick("driver 13.0, NVRTC 13.0", "driver 7.0.51831, hiprtc 13.0")) !=
          std::string::npos);
  }
}

TEST_CASE("copies of every size arrive whole, also when the source changes at once") {
  for (const Fake& fake : fakes()) {
    CAPTURE(fake.name);
    const auto runtimes = fake.open();
    DeviceRuntime& device = *runtimes[0];
    for (const std::size_t n : {1u, 1000u, 700'000u, 9'000'000u}) {
      CAPTURE(n);
      const std::vector<float> want = range(n);
      std::vector<float> source = want, got(n, -1.f);
      Block* const a = device.allocator().allocate(4 * n);
      Block* const b = device.allocator().allocate(4 * n);
      device.from_host(a->data, source.data(), 4 * n, {});
      std::memset(source.data(), 0xee, 4 * n);
      device.copy(b->data, a->data, 4 * n, {});
      device.to_host(got.data(), b->data, 4 * n, {});
      CHECK((got == want));
      device.allocator().free(a);
      device.allocator().free(b);
    }
  }
}

TEST_CASE("work runs in order, and a freed block serves what is enqueued next") {
  for (const Fake& fake : fakes()) {
    CAPTURE(fake.name);
    const auto runtimes = fake.open();
    DeviceRuntime& device = *runtimes[0];
    constexpr std::size_t kN = 1000;
    Block* const block = device.allocator().allocate(4 * kN);
    Square square(kN, block->data);
    const auto kernel = device.load(square.nest.kernel, CodeKind::kBest);
    CHECK(device.load(square.nest.kernel, CodeKind::kPortable)->listing().empty());
    std::vector<std::vector<float>> got(20, std::vector<float>(kN));
    Block* kept[20] = {};
    for (int round = 0; round < 20; ++round) {  // nothing waits in between
      const std::vector<float> x(kN, static_cast<float>(round));
      device.from_host(block->data, x.data(), 4 * kN, {});
      const std::int64_t* args = device.bind_args(square.nest.args, {});
      const Launch launch{kernel.get(), args, square.nest.args.data(), square.tiles(kN)};
      device.launch({&launch, 1}, {});
      Block* const temporary = device.allocator().allocate(4 * kN);
      device.copy(temporary->data, block->data, 4 * kN, {});
      device.allocator().free(temporary);  // the next round's, before this one's copy out of it
      Block* const result = kept[round] = device.allocator().allocate(8 * kN);
      device.copy(result->data, temporary->data, 4 * kN, {});
    }
    for (int round = 0; round < 20; ++round) {
      device.to_host(got[0].data(), kept[round]->data, 4 * kN, {});
      CHECK((got[0] == std::vector<float>(kN, static_cast<float>(round * round))));
      device.allocator().free(kept[round]);
    }
    CHECK(fake.calls(fake.pick("cuLaunchKernel", "hipModuleLaunchKernel")) >= 20);
    CHECK(device.allocator().stats().cache_hits >= 19);
    device.allocator().free(block);
  }
}

TEST_CASE("threads that launch at the same time keep their ArgBlocks apart") {
  for (const Fake& fake : fakes()) {
    CAPTURE(fake.name);
    const auto runtimes = fake.open();
    DeviceRuntime& device = *runtimes[0];
    constexpr std::size_t kN = 300;
    std::vector<std::thread> threads;
    std::atomic<int> wrong{0};
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&, t] {
        Block* const block = device.allocator().allocate(4 * kN);
        Square square(kN, block->data);
        const auto kernel = device.load(square.nest.kernel, CodeKind::kBest);
        for (int round = 0; round < 10; ++round) {
          const std::vector<float> x(kN, static_cast<float>(t + 1));
          device.from_host(block->data, x.data(), 4 * kN, {});
          const std::int64_t* args = device.bind_args(square.nest.args, {});
          const Launch launch{kernel.get(), args, square.nest.args.data(), square.tiles(kN)};
          device.launch({&launch, 1}, {});
          std::vector<float> got(kN);
          device.to_host(got.data(), block->data, 4 * kN, {});
          if (got != std::vector<float>(kN, static_cast<float>((t + 1) * (t + 1)))) ++wrong;
        }
        device.allocator().free(block);
      });
    for (std::thread& thread : threads) thread.join();
    CHECK(wrong == 0);
  }
}

TEST_CASE("without memory the cache is given back, and then it is an error that says so") {
  for (const Fake& fake : fakes()) {
    CAPTURE(fake.name);
    const auto runtimes = fake.open();
    Allocator& allocator = runtimes[0]->allocator();
    constexpr std::size_t kHalf = std::size_t{500} << 20;
    allocator.free(allocator.allocate(kHalf, "first"));
    allocator.free(allocator.allocate(kHalf + (64 << 20), "second"));  // the cache has to go
    CHECK(allocator.stats().cached < kHalf + (100 << 20));
    Block* const big = allocator.allocate(kHalf, "weights");
    const auto too_much = [&] { allocator.allocate(2 * kHalf, "more"); };
    const std::string start = "out of memory on " + fake.name + ":0";
    CHECK_THROWS_WITH_AS(too_much(), doctest::Contains(start.c_str()), OutOfMemory);
    allocator.free(big);
    Block* const again = allocator.allocate(kHalf, "again");
    allocator.free(again);
  }
}

TEST_CASE("a device's limits are measured once, in what memory there is, and leave none behind") {
  constexpr std::size_t kMiB = 1 << 20;
  for (const Fake& fake : fakes()) {
    CAPTURE(fake.name);
    const Variable memory("FAKE_GPU_MEMORY",
                          static_cast<std::size_t>(fake.live("memory")) + 128 * kMiB);
    const auto runtimes = fake.open();
    DeviceRuntime& device = *runtimes[0];
    const long before = fake.live("memory");
    const MachineLimits limits = device.limits();
    CHECK(limits.gb_per_s > 0.001);
    CHECK(limits.gflop_per_s > 0.001);
    CHECK(fake.live("memory") == before);
    const char* const launch = fake.pick("cuLaunchKernel", "hipModuleLaunchKernel");
    const long launches = fake.calls(launch);
    CHECK(device.limits().gb_per_s == limits.gb_per_s);
    CHECK(fake.calls(launch) == launches);

    const auto crowded = fake.open();
    std::vector<Block*> blocks;
    const auto take = [&](std::size_t mib) {
      blocks.push_back(crowded[0]->allocator().allocate(mib * kMiB));
    };
    for (const std::size_t mib : {64, 32, 16, 8, 4}) take(mib);
    CHECK(crowded[0]->limits().gb_per_s > 0.001);  // smaller arrays
    take(2);
    CHECK(crowded[1]->limits().gb_per_s == 0);
    CHECK(crowded[1]->limits().gflop_per_s == 0);
    for (Block* block : blocks) crowded[0]->allocator().free(block);
  }
}

TEST_CASE("a call that fails while limits are measured is an error, and the next try measures") {
  for (const Fake& fake : fakes()) {
    CAPTURE(fake.name);
    const Variable memory("FAKE_GPU_MEMORY",
                          static_cast<std::size_t>(fake.live("memory")) + (128u << 20));
    for (const char* call : {fake.pick("cuEventElapsedTime", "hipEventElapsedTime"),
                             fake.pick("cuEventCreate", "hipEventCreateWithFlags"),
                             fake.pick("cuEventRecord", "hipEventRecord"),
                             fake.pick("cuLaunchKernel", "hipModuleLaunchKernel"),
                             fake.pick("cuMemAlloc_v2", "hipMalloc")}) {
      CAPTURE(call);
      const auto runtimes = fake.open();
      const long before = fake.live("memory"), events = fake.live("event");
      fake.fail(call, 1, 1);
      CHECK_THROWS_WITH_AS(runtimes[0]->limits(), doctest::Contains("(1)"), DeviceError);
      CHECK(fake.live("memory") == before);
      CHECK(fake.live("event") - events <= 1);  // of what is sent there
    }
    const auto runtimes = fake.open();
    fake.fail(fake.pick("cuEventElapsedTime", "hipEventElapsedTime"), 3, 1);
    CHECK_THROWS_AS(runtimes[0]->limits(), DeviceError);
    CHECK(runtimes[0]->limits().gb_per_s > 0.001);
    fake.reset();
  }
}

TEST_CASE("nothing is left when a runtime goes") {
  for (const Fake& fake : fakes()) {
    CAPTURE(fake.name);
    constexpr const char* kKinds[] = {"memory", "blocks", "pinned",  "stream",
                                      "event",  "module", "context", "program"};
    std::vector<long> before;
    for (const char* what : kKinds) before.push_back(fake.live(what));
    {
      const auto runtimes = fake.open();
      DeviceRuntime& device = *runtimes[0];
      Block* const block = device.allocator().allocate(4000);
      Square square(1000, block->data);
      const auto kernel = device.load(square.nest.kernel, CodeKind::kBest);
      const std::vector<float> x(1000);
      device.from_host(block->data, x.data(), 4000, {});
      const Launch launch{kernel.get(), device.bind_args(square.nest.args, {}),
                          square.nest.args.data(), 10};
      device.launch({&launch, 1}, {});
      device.synchronize({});
      device.allocator().free(block);
    }
    for (std::size_t i = 0; i < before.size(); ++i) {
      const std::string what = kKinds[i];
      CAPTURE(what);
      CHECK(fake.live(what) == before[i]);
    }
  }
}
