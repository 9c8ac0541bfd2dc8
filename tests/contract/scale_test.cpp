// tests/contract/scale_test.cpp -- long runs: what they hold, plan and compile stays what it was at
// the start
//
// Counted are bytes, blocks, plans and compilations, never time; `./dev bench scale` has times and
// resident memory.
#include <doctest/doctest.h>

#include <flash/flash.h>

#include "bench/models.h"
#include "core/allocator.h"

#include "contract/op_table.h"

using namespace flash;

namespace {

/// What could grow.
struct Held {
  std::size_t live, live_blocks, reserved;
  std::uint64_t plans, compiled;
};
Held held() {
  eval_all();
  const MemoryStats m = memory_stats();
  const Stats s = stats();
  return {m.live, m.live_blocks, m.live + m.cached, s.plan_misses, s.kernels_compiled};
}
void check_equal(const Held& now, const Held& then) {
  CHECK(now.live == then.live);
  CHECK(now.live_blocks == then.live_blocks);
  CHECK(now.reserved == then.reserved);
  CHECK(now.plans == then.plans);
  CHECK(now.compiled == then.compiled);
}

}  // namespace

TEST_CASE("10,000 training steps hold at their end what they held at step 100") {
  use_evaluator("fuse");
  manual_seed(3);
  Generator random(5);
  bench::SmallMlp model;
  optim::AdamW opt(model.parameters(), {.lr = 1e-3});
  double loss_sum = 0;
  Held at_100{}, at_end{};
  for (int step = 1; step <= 10000; ++step) {
    const Tensor x = randn({16, 8}, f32, &random);
    const Tensor y = argmax(x.slice(1, 0, 4), 1);
    const Tensor loss = cross_entropy(model(x), y);
    opt.zero_grad();
    loss.backward();
    opt.step();
    if (step % 50 == 0) loss_sum += loss.item();
    if (step == 100) at_100 = held();
    if (step == 10000) at_end = held();
  }
  check_equal(at_end, at_100);
  CHECK(loss_sum < 200 * 0.7);  // it learned; at the start a loss is log 4 = 1.4
  MESSAGE("live " << at_100.live << " bytes in " << at_100.live_blocks << " blocks, reserved "
                  << at_100.reserved << ", at step 100; " << at_end.live << ", "
                  << at_end.live_blocks << ", " << at_end.reserved << " at step 10,000");
}

TEST_CASE("training over 1,000 lengths of a sequence plans and compiles for the first few only") {
  for (const char* evaluator : {"fuse", "eager"}) {
    CAPTURE(std::string(evaluator));
    use_evaluator(evaluator);
    manual_seed(3);
    Generator random(5);
    bench::Reader model;
    optim::SGD opt(model.parameters(), {.lr = 1e-2});
    const Tensor y = from_vector(std::vector<std::int64_t>{0, 2});
    const auto step = [&](std::int64_t length) {
      const Tensor loss = cross_entropy(model(randint(0, 11, {2, length}, {}, &random)), y);
      opt.zero_grad();
      loss.backward();
      opt.step();
      return loss.item();
    };
    for (const std::int64_t length : {2, 7, 64, 3}) step(length);
    const Held before = held();
    // Every length once, in an order that jumps: 617 and 1,000 have no common divisor.
    double total = 0;
    for (std::int64_t i = 0; i < 1000; ++i) total += step(2 + i * 617 % 1000);
    const Held after = held();
    CHECK(total / 1000 < 1.2);
    CHECK(after.plans == before.plans);
    // GPUs have a kernel for each size of a product's tile, which lengths choose.
    const bool on_cpu = default_device().type() == DeviceType::kCpu;
    CHECK(after.compiled <= before.compiled + (on_cpu ? 0 : 4));
    CHECK(after.live == before.live);
    CHECK(after.live_blocks == before.live_blocks);
  }
  use_evaluator("fuse");
}

TEST_CASE("inference of 500 operations peaks within 1.2 times of what eager execution does") {
  const Tensor x = rand({256, 512}), w = randn({512, 512}) * 0.04;
  x.eval();
  w.eval();
  // Eager execution computes each operation when it is called, and frees what nobody holds.
  const auto peak = [&](bool eager) {
    use_evaluator(eager ? "eager" : "fuse");
    NoGrad guard;
    const auto chain = [&] {
      Tensor y = x;
      for (int i = 0; i < 500; ++i) {
        switch (i % 10) {
          case 0:
            y = matmul(y, w);
            break;
          case 3:
            y = softmax(y, -1);
            break;
          case 5:
            y = y.flip(1) + x;
            break;
          case 7:
            y = sub(y, y.slice(0, 0, 1));
            break;
          default:
            y = i % 2 ? tanh(y) : y * 1.5;
        }
        if (eager) y.eval();
      }
      y.eval();
    };
    chain();
    eval_all();
    const std::size_t start = memory_stats().live;
    reset_peak_memory_stats();
    chain();
    return memory_stats().peak - start;
  };
  const std::size_t eager = peak(true), fused = peak(false);
  CHECK(eager >= 2 * 256 * 512 * sizeof(float));
  CHECK(fused * 10 <= eager * 12);
  MESSAGE("peak " << fused << " bytes fused, " << eager << " eager");
  use_evaluator("fuse");
}
