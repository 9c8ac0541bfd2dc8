// tests/contract/memory_test.cpp -- no memory, at every request of a training step in turn
#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include <flash/flash.h>

#include "contract/small_net.h"
#include "fuzz/prelude.h"

using namespace flash;

namespace {

/// Refuses one request, the one that `left` others come before.
struct RefuseOnce final : AllocationPolicy {
  explicit RefuseOnce(int before) : left(before) {}
  bool admits(std::size_t, std::size_t) override { return left-- != 0; }
  int left;
};

/// What one run of three steps leaves, and what it was told about memory.
struct Run {
  std::vector<std::vector<std::uint8_t>> weights;
  std::vector<double> losses;
  std::vector<std::string> errors;
  int requests = 0;  ///< of the second step
};

/// Trains three steps; in the second, request number `refused` finds no memory (none if negative).
/// After each error there is memory again, and what threw is asked for once more.
Run run_with(int refused) {
  Run run;
  manual_seed(3);
  SmallNet model;
  optim::AdamW opt(model.parameters(), {.lr = 1e-2});
  const auto insist = [&](const auto& work, const auto& again) {
    try {
      work();
    } catch (const OutOfMemory& e) {
      run.errors.push_back(e.what());
      again();
    }
  };
  for (int step = 0; step < 3; ++step) {
    if (step == 1) set_allocation_policy(std::make_unique<RefuseOnce>(refused));
    Tensor x, y;
    const std::vector<float> pixels(8 * 64, 0.25f + static_cast<float>(step));
    const auto load = [&] {
      x = from_vector(pixels, {8, 1, 8, 8}) * rand({8, 1, 8, 8});
      y = from_vector(std::vector<std::int64_t>{0, 1, 2, 3, 4, 0, 1, 2}, {8});
    };
    const Generator::State before = default_generator().state();
    insist(load, [&] {
      default_generator().set_state(before);
      load();
    });
    const Tensor loss = cross_entropy(model(x), y);
    const auto read = [&] { run.losses.push_back(loss.item()); };
    insist(read, read);
    opt.zero_grad();
    loss.backward();
    insist([&] { opt.step(); }, [] { eval_all(); });
    if (step == 1) {
      const auto policy = set_allocation_policy(nullptr);
      run.requests = refused - static_cast<RefuseOnce&>(*policy).left;
    }
  }
  for (const Tensor& p : model.parameters()) run.weights.push_back(fuzz::bytes_of(p));
  return run;
}

}  // namespace

TEST_CASE("without memory at any request of a training step, the step can be finished afterwards") {
  for (const char* evaluator : {"fuse", "eager"}) {
    CAPTURE(std::string(evaluator));
    use_evaluator(evaluator);
    const Run whole = run_with(-1);
    REQUIRE(whole.requests > 3);
    const auto blocks = memory_stats().live_blocks;
    for (int refused = 0; refused < whole.requests; ++refused) {
      CAPTURE(refused);
      const Run run = run_with(refused);
      REQUIRE(run.errors.size() == 1);
      CHECK(run.errors[0].find("the allocation policy refused") != std::string::npos);
      const auto largest = run.errors[0].find("the largest: ");
      REQUIRE(largest != std::string::npos);
      CHECK(run.errors[0].find("(unlabelled)", largest) == std::string::npos);
      CHECK(run.losses == whole.losses);
      CHECK(run.weights == whole.weights);
      CHECK(memory_stats().live_blocks == blocks);
    }
    MESSAGE(std::string(evaluator) << ": " << whole.requests << " requests refused, one a run");
  }
  use_evaluator("fuse");
}
