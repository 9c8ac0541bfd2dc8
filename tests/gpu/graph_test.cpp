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

TEST_CASE("shapes that take turns have a graph each; what never comes again has none") {
  for (const Fake& fake : fakes()) {
    CAPTURE(fake.name);
    SmallTraining there(Device(fake.name)), here("cpu");
    const auto both = [&](std::int64_t batch) {
      there.step(batch);
      here.step(batch);
    };
    for (int i = 0; i < 4; ++i) both(16);
    for (int i = 0; i < 2; ++i)
      for (const std::int64_t batch : {7, 16, 3}) both(batch);
    const Counts before(fake);
    for (int i = 0; i < 3; ++i)
      for (const std::int64_t batch : {7, 16, 3}) both(batch);
    for (std::int64_t batch = 20; batch < 24; ++batch) both(batch);
    both(16);
    const Counts after(fake);
    CHECK(after.recorded == before.recorded);
    CHECK(after.replayed - before.replayed >= 10);
    CHECK((there.weights() == here.weights()));
  }
}

TEST_CASE("where graphs are seldom replayed no more are made") {
  const Fake fake = Fake::cuda();
  const Device d(fake.name);
  const auto run = [&](std::int64_t rows) {
    const Tensor x = full({rows, 6}, 0.5, {.device = d});
    const Tensor y = softmax(x.sum(0, true) + x, 1).amax(0, true) * x;
    return (y.sum(1, true) - y.mean(0, true)).sum().item();
  };
  const Counts before(fake);
  for (std::int64_t rows = 2; rows < 42; ++rows)
    for (int twice = 0; twice < 2; ++twice) run(rows);
  const long made = Counts(fake).recorded - before.recorded;
  CHECK(made >= 1);
  CHECK(made <= 20);
}

TEST_CASE("products by a library are replayed although their operands take turns in memory") {
  const Fake fake = Fake::cuda();
  const Tensor w = rand({64, 64}).to(DType::kF16).to(Device(fake.name));
  std::vector<Tensor> inputs;
  for (int i = 0; i < 3; ++i)
    inputs.push_back(rand({32, 64}).to(DType::kF16).to(Device(fake.name)));
  eval_all();
  const auto run = [&](int i) {
    Tensor h = inputs[static_cast<std::size_t>(i % 3)];
    for (int layer = 0; layer < 3; ++layer) h = relu(matmul(h, w)) * 0.125;
    h.eval();
    return h;
  };
  Tensor kept;
  for (int i = 0; i < 18; ++i) kept = run(i);
  const std::uint64_t before = stats().replays;
  for (int i = 0; i < 12; ++i) kept = run(i);
  CHECK(stats().replays - before >= 6);
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

TEST_CASE("a leaf kernel that does not compile leaves all as it was: it may be tried again") {
  for (const Fake& fake : fakes()) {
    CAPTURE(fake.name);
    const char* const compile = fake.pick("nvrtcCompileProgram", "hiprtcCompileProgram");
    const auto step = [](Device d, auto&& before_eval) {
      const Tensor x = full({6, 9}, 0.5, {.device = d}), other = full({3}, 2, {.device = d});
      Tensor w = full({9, 4}, -0.25, {.device = d});
      eval_all();
      const Tensor y = relu(matmul(x, w) * 0.3125 + 1), g = matmul(x.t(), y);
      w -= g * 0.0625;
      const Tensor beside = other * 3.5;
      before_eval(w);
      std::vector<float> all = w.to_vector<float>();
      for (const float v : beside.to_vector<float>()) all.push_back(v);
      return all;
    };
    const std::vector<float> want = step("cpu", [](Tensor&) {});
    const std::vector<float> got = step(Device(fake.name), [&](Tensor& w) {
      for (const int nth : {1, 2, 3, 4, 5}) {
        fake.fail(compile, nth, 6);
        try {
          w.eval();
          break;
        } catch (const DeviceError&) {
        }
      }
      fake.fail("", 0, 0);
    });
    CHECK((got == want));
  }
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
