// tests/kernels/vulkan_replay_test.cpp -- runs of a plan that are replayed on Vulkan have the CPU's
// bits
#include <doctest/doctest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "core/error.h"
#include "core/evaluator.h"
#include "jit/evaluators/jit_evaluator.h"
#include "small_training.h"
#include "vulkan_here.h"

using namespace flash;
using namespace flash::test;

namespace {

/// Half a dozen launches, with scalars that are words of ArgBlocks.
Tensor program(const Tensor& x, float scale) {
  Tensor y = softmax(x * scale, 1).sum(0, true) + x;
  y = softmax(y + scale, 1).amax(1, true) * y;
  return y - y.sum(0, true) * 0.125;
}

std::uint64_t replays() { return stats().replays; }

}  // namespace

TEST_CASE("a plan that comes again is replayed on Vulkan, whatever its inputs and scalars") {
  if (vulkan_here() == nullptr) return;
  manual_seed(5);
  const std::uint64_t before = replays();
  for (int i = 0; i < 10; ++i) {
    const auto scale = 0.25f + static_cast<float>(i);
    const Tensor x = randn({9, 8});
    CHECK((program(x.to("vulkan"), scale).to_vector<float>() ==
           program(x, scale).to_vector<float>()));
  }
  CHECK(replays() - before == 9);
}

TEST_CASE("shapes that take turns have a recording each on Vulkan") {
  if (vulkan_here() == nullptr) return;
  manual_seed(6);
  const auto run = [](std::int64_t rows) {
    const Tensor x = randn({rows, 24});
    const std::uint64_t before = replays();
    CHECK(
        (program(x.to("vulkan"), 0.5f).to_vector<float>() == program(x, 0.5f).to_vector<float>()));
    return replays() - before;
  };
  for (int i = 0; i < 3; ++i) CHECK(run(5) == (i > 0));
  for (int i = 0; i < 4; ++i) {
    CHECK(run(i % 2 ? 7 : 3) == (i > 1));
    CHECK(run(5) == 1);
  }
  for (int i = 0; i < 3; ++i) CHECK(run(7) == 1);
}

TEST_CASE("a steady training loop is replayed on Vulkan, and has the CPU's weights") {
  if (vulkan_here() == nullptr) return;
  SmallTraining there(Device("vulkan")), here("cpu");
  const auto steps = [&](int n, std::int64_t batch) {
    const std::uint64_t before = replays();
    for (int i = 0; i < n; ++i) {
      there.step(batch);
      here.step(batch);
    }
    return replays() - before;
  };
  steps(4, 16);
  CHECK(steps(6, 16) >= 6);
  CHECK((there.weights() == here.weights()));
  steps(1, 7);
  CHECK(steps(4, 16) >= 4);
  CHECK((there.weights() == here.weights()));
}

TEST_CASE("a state that is updated in place is updated by replayed runs on Vulkan") {
  if (vulkan_here() == nullptr) return;
  const auto loop = [](const Device& device) {
    Tensor weight = full({6, 5}, 1.0, {.device = device});
    Tensor momentum = zeros({6, 5}, {.device = device});
    for (int i = 0; i < 10; ++i) {
      const Tensor gradient = softmax(weight, 1) - softmax(weight + 0.5, 0);
      momentum.mul_(0.9).add_(gradient * (0.1f * static_cast<float>(i)));
      weight.sub_(momentum).mul_(0.99);
      weight.narrow(0, 1, 2).add_(weight.sum(1, true).sum(0, true) * 0.01);
      eval_all();  // and nobody waits
    }
    return weight.to_vector<float>();
  };
  const std::uint64_t before = replays();
  CHECK((loop(Device("vulkan")) == loop("cpu")));
  CHECK(replays() - before >= 8);
}

TEST_CASE("leaf kernels are replayed on Vulkan, and say which index was bad") {
  if (vulkan_here() == nullptr) return;
  const auto read = [&](const Device& d, std::int64_t row) {
    const Tensor table = arange(0, 8).to(DType::kF32).reshape({4, 2}).to(d);
    const Tensor rows = tensor({std::int64_t{1}, row}, DType::kI64).to(d);
    const Tensor seen = embedding(rows, table);
    const Tensor product = matmul(seen, seen.transpose(0, 1));
    return (softmax(product, 1).sum() + seen.sum(0, true).amax(1).sum()).item<float>();
  };
  const Device d("vulkan");
  for (int i = 0; i < 4; ++i) CHECK(read(d, i) == read("cpu", i));
  const std::uint64_t before = replays();
  CHECK(read(d, 2) == read("cpu", 2));
  CHECK(replays() > before);
  CHECK_THROWS_WITH_AS(read(d, 9), doctest::Contains("index 9 (item 1) is out of range"),
                       IndexError);
  CHECK(read(d, 3) == read("cpu", 3));
  CHECK(replays() > before + 2);  // the one that failed was one
}

TEST_CASE("threads that run one plan on Vulkan have recordings of their own") {
  if (vulkan_here() == nullptr) return;
  const auto loop = [](const Device& d, float first) {
    Tensor x = full({9, 8}, first, {.device = d});
    for (int i = 0; i < 12; ++i) {
      x = program(x, 0.5f + first);
      x.eval();
    }
    return x.to_vector<float>();
  };
  loop(Device("vulkan"), 0);
  const std::uint64_t before = replays();
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      const auto first = static_cast<float>(t);
      if (loop(Device("vulkan"), first) != loop("cpu", first)) ++wrong;
    });
  for (std::thread& t : threads) t.join();
  CHECK(wrong == 0);
  CHECK(replays() - before >= 4 * 8);
}

TEST_CASE("a plan that is forgotten on Vulkan while its replay is in flight finishes") {
  if (vulkan_here() == nullptr) return;
  install_evaluator(jit::make_evaluator({.name = "forgetful", .plans = 1, .kernels = 1}));
  use_evaluator("forgetful");
  const Device d("vulkan");
  const Tensor x = randn({9, 8});
  const Tensor there = x.to(d);
  for (int round = 0; round < 3; ++round) {
    Tensor y;
    for (int i = 0; i < 3; ++i) {
      y = program(there, 0.5f);
      y.eval();
    }
    Tensor other = exp(there * 2.0);  // another plan in its place
    other.eval();
    CHECK((y.to_vector<float>() == program(x, 0.5f).to_vector<float>()));
    CHECK((other.to_vector<float>() == exp(x * 2.0).to_vector<float>()));
  }
  use_evaluator("fuse");
}

TEST_CASE("while launches are recorded on Vulkan they are made one by one") {
  if (vulkan_here() == nullptr) return;
  const Tensor x = ones({9, 8}, {.device = Device("vulkan")});
  for (int i = 0; i < 3; ++i) program(x, 3.0f).eval();
  const std::uint64_t before = replays();
  kernel_history();
  record_kernels(true);
  Tensor y = program(x, 3.0f);
  y.eval();
  record_kernels(false);
  CHECK(replays() == before);
  CHECK(kernel_history().size() >= 4);
  CHECK((y.to_vector<float>() == program(x, 3.0f).to_vector<float>()));
  CHECK(replays() == before + 1);
}
