// tests/gpu/graph_test.cpp -- a plan's runs become a graph, with the same bits and nothing left
// behind
#include <doctest/doctest.h>
#include <flash/flash.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "core/device.h"
#include "fake.h"
#include "small_training.h"

using namespace flash;
using namespace flash::test;

namespace {

struct Counts {
  explicit Counts(const Fake& fake)
      : launches(fake.calls(fake.pick("cuLaunchKernel", "hipModuleLaunchKernel"))),
        copies(fake.calls(fake.pick("cuMemcpyHtoDAsync_v2", "hipMemcpyHtoDAsync"))),
        recorded(
            fake.calls(fake.pick("cuGraphInstantiateWithFlags", "hipGraphInstantiateWithFlags"))),
        replayed(fake.calls(fake.pick("cuGraphLaunch", "hipGraphLaunch"))) {}
  long launches, copies, recorded, replayed;
};

}  // namespace

TEST_CASE("a steady training loop is replayed, and has the CPU's weights") {
  for (const Fake& fake : fakes()) {
    CAPTURE(fake.name);
    SmallTraining there(Device(fake.name)), here("cpu");
    for (int i = 0; i < 4; ++i) {
      there.step(16);
      here.step(16);
    }
    const Counts before(fake);
    const std::uint64_t replays = stats().replays;
    for (int i = 0; i < 6; ++i) {
      there.step(16);
      here.step(16);
    }
    const Counts after(fake);
    CHECK(stats().replays - replays >= 6);
    CHECK(after.replayed - before.replayed >= 6);
    CHECK(after.recorded == before.recorded);
    CHECK((there.weights() == here.weights()));
  }
}

TEST_CASE("what comes now and then is launched one by one, and the graph stays") {
  for (const Fake& fake : fakes()) {
    CAPTURE(fake.name);
    SmallTraining there(Device(fake.name)), here("cpu");
    const auto both = [&](std::int64_t batch) {
      there.step(batch);
      here.step(batch);
    };
    for (int i = 0; i < 4; ++i) both(16);
    both(7);
    both(16);
    const Counts before(fake);
    for (int i = 0; i < 4; ++i) {
      both(16);
      both(i % 2 ? 7 : 3);
    }
    const Counts after(fake);
    CHECK(after.recorded == before.recorded);
    CHECK(after.replayed - before.replayed >= 4);
    CHECK((there.weights() == here.weights()));
    for (int i = 0; i < 4; ++i) both(7);  // and takes its place when it comes to stay
    CHECK(Counts(fake).recorded > after.recorded);
    CHECK((there.weights() == here.weights()));
  }
}

TEST_CASE("threads that run one plan have graphs of their own") {
  for (const Fake& fake : fakes()) {
    CAPTURE(fake.name);
    const auto program = [](Device d, float first) {
      Tensor x = full({9, 8}, first, {.device = d});
      std::vector<float> all;
      for (int i = 0; i < 8; ++i) {
        x = softmax(matmul(x, ones({8, 8}, {.device = d})).sum(0, true) * 0.25 + x, 1) + first;
        x = x.amax(1, true) * x;
        x.eval();
      }
      return x.to_vector<float>();
    };
    std::vector<std::thread> threads;
    std::atomic<int> wrong{0};
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&, t] {
        if (program(Device(fake.name), static_cast<float>(t)) !=
            program("cpu", static_cast<float>(t)))
          ++wrong;
      });
    for (std::thread& t : threads) t.join();
    CHECK(wrong == 0);
  }
}

TEST_CASE("a bad index in a replayed run is told as ever") {
  for (const Fake& fake : fakes()) {
    CAPTURE(fake.name);
    const Device d(fake.name);
    const Tensor table = ones({4, 2}, {.device = d});
    const auto read = [&](std::int64_t row) {
      const Tensor rows = tensor({std::int64_t{1}, row}, DType::kI64).to(d);
      const Tensor seen = embedding(rows, table);
      return (softmax(seen, 1).sum() + seen.sum(0, true).amax(1).sum() + seen.sum(1).sum()).item();
    };
    const std::uint64_t replays = stats().replays;
    for (int i = 0; i < 4; ++i) CHECK(read(2) == read(3));
    CHECK(stats().replays > replays);
    CHECK_THROWS_WITH_AS(read(9), doctest::Contains("index 9 (item 1) is out of range"),
                         IndexError);
    CHECK(read(2) == read(3));
  }
}

TEST_CASE("a plan's kernels are compiled side by side; what compiled is kept when one does not") {
  const Fake fake = Fake::cuda();
  const char* const compile = "nvrtcCompileProgram";
  const auto program = [](Device d) {
    const Tensor x = full({5, 7}, 0.5, {.device = d});
    const Tensor a = (x * 1.5 + 3).sum(1), b = (x - 11).amax(0), c = exp(x * 0.125).mean();
    const Tensor e = matmul(x, x.t()) * 2.25;  // four kernels of sizes that nothing shares
    eval_all();
    return a.sum().item() + b.sum().item() + c.item() + e.sum().item();
  };
  const long before = fake.calls(compile);
  fake.fail(compile, 2, 6);
  CHECK_THROWS_AS(program("cuda:0"), DeviceError);
  const long failed = fake.calls(compile);
  CHECK(failed - before >= 2);
  eval_all();
  const double want = program("cpu"), got = program("cuda:0");
  CHECK(got == want);
  const long all = fake.calls(compile) - before;
  program("cuda:0");
  CHECK(fake.calls(compile) - before == all);
}

TEST_CASE("a leaf kernel that does not compile fails its run alone; the run's others are kept") {
  for (const Fake& fake : fakes()) {
    CAPTURE(fake.name);
    const char* const compile = fake.pick("nvrtcCompileProgram", "hiprtcCompileProgram");
    const Device d(fake.name);
    const Tensor x = full({6, 9}, 0.75, {.device = d}), y = full({9, 4}, -0.5, {.device = d});
    const auto program = [&] {
      const Tensor a = log1p(abs(matmul(x, y)) * 1.25), b = cos(matmul(y.t(), x.t()) + 0.125);
      eval_all();
      return a.sum().item() + b.sum().item();
    };
    eval_all();
    const long before = fake.calls(compile);
    fake.fail(compile, 2, 6);
    CHECK_THROWS_AS(program(), DeviceError);
    CHECK(fake.calls(compile) - before == 2);
    const double first = program();
    CHECK(first == program());
    CHECK(fake.calls(compile) - before >= 3);
  }
}
