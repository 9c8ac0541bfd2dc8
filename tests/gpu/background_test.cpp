// tests/gpu/background_test.cpp -- kernels that compile in the background, while the generic kernel
// does their work
#include <doctest/doctest.h>
#include <flash/flash.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "core/allocator.h"
#include "core/device.h"
#include "core/error.h"
#include "fake.h"
#include "in_child.h"
#include "jit/device_runner.h"
#include "jit/random_kernel.h"
#include "kernels/gpu/background.h"

using namespace flash;
using namespace flash::test;

namespace {

/// Whether this process is for tests of this kind: the cache of a process is where its first use
/// has found it.
bool is_cold() {
  if (std::getenv("FAKE_GPU_COLD")) return true;
  MESSAGE("skipped: for FAKE_GPU_COLD=1");
  return false;
}

/// A runtime that compiles in the background, with its generic kernel there.
class Cold {
 public:
  explicit Cold(const Fake& fake) : runtimes_(fake.open()) {
    // The first kernels are waited for, until the generic one is compiled.
    for (int adds = 1; adds < 2000 && device().counters.generic_launches == 0; ++adds) {
      check(adds);
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    REQUIRE(device().counters.generic_launches > 0);
  }
  DeviceRuntime& device() { return *runtimes_[0]; }
  void wait_for_compilations() {
    for (int i = 0; i < 6000 && device().pending() > 0; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    REQUIRE(device().pending() == 0);
  }

  /// x + x + … + x, of which each number of terms is a kernel of its own. Says what it is for.
  std::shared_ptr<LoadedKernel> load(int adds) {
    Nest nest = sum(adds, nullptr, nullptr);
    return device().load(nest.kernel, CodeKind::kBest);
  }
  void run(const LoadedKernel& kernel, int adds) {
    constexpr std::size_t kN = 100;
    Block* const a = device().allocator().allocate(4 * kN);
    Block* const b = device().allocator().allocate(4 * kN);
    const std::vector<float> x(kN, 3.f);
    device().from_host(a->data, x.data(), 4 * kN, {});
    Nest nest = sum(adds, a->data, b->data);
    std::unique_ptr<Recording> kept;
    device().begin_run(kept, {});
    try {
      const std::int64_t* args = device().bind_args(nest.args, {});
      const Launch launch{&kernel, args, nest.args.data(), 1};
      device().launch({&launch, 1}, {});
      device().prepare_run({});
    } catch (...) {
      device().drop_run({});
      device().allocator().free(a);
      device().allocator().free(b);
      throw;
    }
    device().end_run({});
    std::vector<float> got(kN);
    device().to_host(got.data(), b->data, 4 * kN, {});
    CHECK((got == std::vector<float>(kN, 3.f * static_cast<float>(adds + 1))));
    device().allocator().free(a);
    device().allocator().free(b);
  }
  void check(int adds) { run(*load(adds), adds); }

 private:
  static Nest sum(int adds, void* from, void* to) {
    Nest nest(ir::Form::kRow, {{ir::Role::kLoop, 100}});
    const int in = nest.access(DType::kF32, from, {4}), out = nest.access(DType::kF32, to, {4});
    nest.b.begin_loop();
    const ir::Value x = nest.b.load(in, ir::Type::kF32);
    ir::Value s = x;
    for (int i = 0; i < adds; ++i) s = nest.b.add(s, x);
    nest.b.store(out, s);
    return nest;
  }

  std::vector<std::unique_ptr<DeviceRuntime>> runtimes_;
};

/// Tests a runtime of each kind that has nothing left to compile.
void with_each(void (*test)(const Fake&, Cold&)) {
  if (!is_cold()) return;
  for (const Fake& fake : fakes()) {
    CAPTURE(fake.name);
    fake.reset();
    Cold cold(fake);
    cold.wait_for_compilations();
    test(fake, cold);
  }
}

}  // namespace

TEST_CASE(
    "cold: a kernel that is not compiled yet runs by the generic one, and then by its own code") {
  with_each([](const Fake&, Cold& cold) {
    const std::uint64_t before = cold.device().counters.generic_launches;
    const auto kernel = cold.load(5000);
    CHECK(kernel->pending);
    CHECK(cold.device().pending() > 0);
    cold.run(*kernel, 5000);
    CHECK(cold.device().counters.generic_launches > before);
    cold.wait_for_compilations();
    const std::uint64_t after = cold.device().counters.generic_launches;
    for (int i = 0; i < 3; ++i) cold.run(*kernel, 5000);
    CHECK(cold.device().counters.generic_launches == after);
  });
}

TEST_CASE(
    "cold: a compilation that fails in the background is an error of the next run, which may try") {
  with_each([](const Fake& fake, Cold& cold) {
    const char* const compile = fake.pick("nvrtcCompileProgram", "hiprtcCompileProgram");
    fake.fail(compile, 1, 6);
    const auto kernel = cold.load(6000);
    cold.wait_for_compilations();
    fake.fail(compile, 1, 6);
    CHECK_THROWS_AS(cold.run(*kernel, 6000), DeviceError);
    cold.run(*kernel, 6000);
    const std::uint64_t before = cold.device().counters.generic_launches;
    cold.run(*kernel, 6000);
    CHECK(cold.device().counters.generic_launches == before);
  });
}

TEST_CASE("cold: what was compiled, but not loaded, is not compiled again") {
  with_each([](const Fake& fake, Cold& cold) {
    fake.fail(fake.pick("cuModuleLoadData", "hipModuleLoadData"), 1, 2);
    const auto kernel = cold.load(6500);
    cold.wait_for_compilations();
    const std::uint64_t stored = stats().disk_stored, hits = stats().disk_hits;
    cold.run(*kernel, 6500);
    CHECK(stats().disk_stored == stored);
    CHECK(stats().disk_hits == hits + 1);
  });
}

TEST_CASE("cold: a kernel on the disk that the driver refuses is compiled again") {
  with_each([](const Fake& fake, Cold& cold) {
    cold.check(6700);
    cold.wait_for_compilations();
    fake.fail(fake.pick("cuModuleLoadData", "hipModuleLoadData"), 1, 209);  // no code for it
    const std::uint64_t rejected = stats().disk_rejected, stored = stats().disk_stored;
    const auto again = cold.load(6700);
    CHECK(stats().disk_rejected == rejected + 1);
    cold.wait_for_compilations();
    CHECK(stats().disk_stored == stored + 1);
    cold.run(*again, 6700);
    const std::uint64_t hits = stats().disk_hits;
    CHECK(!cold.load(6700)->pending);
    CHECK(stats().disk_hits == hits + 1);
  });
}

TEST_CASE("cold: a kernel counts as compiled when it is") {
  with_each([](const Fake&, Cold& cold) {
    const std::uint64_t before = stats().kernels_compiled;
    const auto kernel = cold.load(6600);
    cold.wait_for_compilations();
    CHECK(stats().kernels_compiled == before + 1);
  });
}

TEST_CASE("cold: a generic kernel without a function is done without") {
  if (!is_cold()) return;
  for (const Fake& fake : fakes()) {
    CAPTURE(fake.name);
    fake.reset();
    { Cold cold(fake); }  // it is on the disk
    const auto runtimes = fake.open();
    fake.fail(fake.pick("cuModuleGetFunction", "hipModuleGetFunction"), 1, 500);
    Nest nest(ir::Form::kRow, {{ir::Role::kLoop, 10}});
    std::vector<float> x(10, 1.f);
    const int at = nest.access(DType::kF32, x.data(), {4});
    nest.b.begin_loop();
    const ir::Value v = nest.b.load(at, ir::Type::kF32);
    nest.b.store(at, nest.b.add(v, v));
    CHECK(!runtimes[0]->load(nest.kernel, CodeKind::kBest)->pending);
  }
}

TEST_CASE("cold: kernels that are dropped, and runtimes that are closed, while they compile") {
  if (!is_cold()) return;
  for (const Fake& fake : fakes()) {
    CAPTURE(fake.name);
    fake.reset();
    Cold cold(fake);
    for (int adds = 7000; adds < 7010; ++adds) cold.load(adds);
    cold.check(7010);
  }
}

TEST_CASE("the generic kernel does what a runtime asks of any other") {
  const std::string before = std::getenv("FLASH_COMPILE");
  setenv("FLASH_COMPILE", "generic", 1);
  for (const Fake& fake : fakes()) {
    CAPTURE(fake.name);
    fake.reset();
    const auto runtimes = fake.open();
    DeviceRuntime& device = *runtimes[0];
    int rows = 0, columns = 0, splits = 0;
    std::uint64_t runs = 0;
    for (int seed = 100; seed < 160; ++seed) {
      RandomKernel k(static_cast<std::uint64_t>(seed));
      CAPTURE(seed);
      INFO(k.text());
      const auto want = k.run(Target::kInterpreter);
      const auto runner = on_device(device, k.memory(), true);
      REQUIRE(difference(k.run(runner), want) == "");
      ++runs;
      const bool row = k.kernel().form == ir::Form::kRow;
      rows += row && k.kernel().has_reduce();
      columns += !row;
      if (!k.can_split()) continue;
      const auto split = on_device(device, k.memory(), true);
      REQUIRE(difference(k.run_split(split, 1 << seed % 4), want) == "");
      ++runs;
      ++splits;
    }
    CHECK(device.counters.generic_launches == runs);
    CHECK(rows > 0);
    CHECK(columns > 0);
    CHECK(splits > 0);
  }
  setenv("FLASH_COMPILE", before.c_str(), 1);
}

TEST_CASE("what would take the generic kernel long is waited for") {
  const std::string before = std::getenv("FLASH_COMPILE");
  setenv("FLASH_COMPILE", "generic", 1);
  const auto runtimes = Fake::cuda().open();
  setenv("FLASH_COMPILE", before.c_str(), 1);
  DeviceRuntime& device = *runtimes[0];
  struct Size {
    std::int64_t outer, run;
    bool generic;
  };
  // Long ones, and short ones of which there are many: each has blocks of its own.
  for (const Size& size : {Size{1, 1'000, true}, Size{1, 1'000'000, false}, Size{8'000, 2, true},
                           Size{9'000, 2, false}, Size{140'000, 2, false}}) {
    const std::int64_t outer = size.outer, run = size.run;
    CAPTURE(outer);
    CAPTURE(run);
    const std::int64_t n = outer * run;
    std::vector<float> x(static_cast<std::size_t>(n), 1.f), sums(3);
    Nest nest(ir::Form::kRow, {{ir::Role::kLoop, outer}, {ir::Role::kLoop, run}});
    const int in = nest.access(DType::kF32, x.data(), {4 * run, 4});
    std::vector<int> out, partials;
    for (float& sum : sums) {
      out.push_back(nest.access(DType::kF32, &sum, {0, 0}));
      partials.push_back(nest.partials(DType::kF32, 1));
    }
    nest.b.begin_loop();
    ir::Value v = nest.b.load(in, ir::Type::kF32);
    std::vector<ir::Value> totals;
    for (const int p : partials) {
      totals.push_back(nest.b.reduce(ir::ReduceKind::kSum, v, p));
      v = nest.b.add(v, v);
    }
    nest.b.begin_row();
    for (std::size_t i = 0; i < totals.size(); ++i) nest.b.store(out[i], totals[i]);
    const auto bytes = [](std::vector<float>& v) {
      return std::span(reinterpret_cast<unsigned char*>(v.data()), 4 * v.size());
    };
    const std::uint64_t before = device.counters.generic_launches;
    std::vector<std::span<unsigned char>> memory = nest.partial_memory();
    memory.insert(memory.end(), {bytes(x), bytes(sums)});
    nest.run(on_device(device, memory, true));
    const auto total = static_cast<float>(n);
    CHECK((sums == std::vector{total, 2 * total, 4 * total}));
    CHECK(device.counters.generic_launches - before == (size.generic ? 1 : 0));
  }
}

TEST_CASE("background jobs: all are done, on as many threads as there may be") {
  std::atomic<int> done{0}, running{0}, most{0};
  std::mutex mutex;
  std::set<std::thread::id> threads;
  {
    gpu::Background background(3);
    for (int i = 0; i < 50; ++i)
      background.add([&] {
        int now = running.fetch_add(1) + 1, seen = most.load();
        while (now > seen && !most.compare_exchange_weak(seen, now)) {
        }
        {
          const std::lock_guard lock(mutex);
          threads.insert(std::this_thread::get_id());
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        running.fetch_sub(1);
        done.fetch_add(1);
      });
    while (done.load() < 50) std::this_thread::yield();
  }
  CHECK(threads.count(std::this_thread::get_id()) == 0);
  CHECK(threads.size() <= 3);
  CHECK(most.load() <= 3);
}

TEST_CASE(
    "background jobs: what has begun is ended, what has not is dropped, and what comes later "
    "is done at once") {
  gpu::Background background(1);
  std::atomic<bool> begun{false}, ended{false}, second{false};
  background.add([&] {
    begun = true;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    ended = true;
  });
  background.add([&] { second = true; });
  while (!begun) std::this_thread::yield();
  background.stop();
  CHECK(ended);
  CHECK(!second);
  std::thread::id by;
  background.add([&] { by = std::this_thread::get_id(); });
  CHECK((by == std::this_thread::get_id()));
}

TEST_CASE("background jobs: a child of a fork lets them be") {
#if FLASH_THREAD_SANITIZER
  MESSAGE("skipped: the thread sanitizer does not follow threads through a fork");
  return;
#endif
  auto background = std::make_unique<gpu::Background>(1);
  std::atomic<bool> done{false};
  background->add([&] { done = true; });
  while (!done) std::this_thread::yield();  // its thread waits for more
  CHECK(in_child([&] {
          bool here = false;
          background->add([&] { here = true; });
          background.reset();
          return here ? 5 : 6;
        }) == 5);
}

TEST_CASE("background jobs: a child of a fork exits while the parent's are at work") {
#if FLASH_THREAD_SANITIZER
  MESSAGE("skipped: the thread sanitizer does not follow threads through a fork");
  return;
#endif
  gpu::Background background(1);
  std::atomic<bool> begun{false}, end{false};
  background.add([&] {
    begun = true;
    while (!end) std::this_thread::yield();
  });
  background.add([] {});
  while (!begun) std::this_thread::yield();
  CHECK(in_child([]() -> int {
          alarm(20);  // it would wait for the parent's thread forever
          std::exit(7);
        }) == 7);
  end = true;
}

TEST_CASE("background jobs: a process that exits waits for what has begun") {
#if FLASH_THREAD_SANITIZER
  MESSAGE("skipped: the thread sanitizer does not follow threads through a fork");
  return;
#endif
  int pipe_of[2];
  REQUIRE(pipe(pipe_of) == 0);
  CHECK(in_child([&]() -> int {
          auto* const background = new gpu::Background(1);  // lives as long as the process
          std::atomic<bool> begun{false};
          background->add([&] {
            begun = true;
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
            if (write(pipe_of[1], "x", 1) != 1) std::abort();
          });
          while (!begun) std::this_thread::yield();
          std::exit(7);
        }) == 7);
  close(pipe_of[1]);
  char c = 0;
  CHECK(read(pipe_of[0], &c, 1) == 1);
  close(pipe_of[0]);
}
