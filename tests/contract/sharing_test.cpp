// tests/contract/sharing_test.cpp -- tensors that several threads share, and threads that end
//
// Values are whole numbers, or compared as bits with a run on one thread: nothing may depend on who
// comes first. The thread sanitizer runs this as well (./dev sanitize thread contract).
#include <doctest/doctest.h>

#include <atomic>
#include <deque>
#include <thread>
#include <vector>

#include <flash/flash.h>

#include "contract/on_threads.h"
#include "core/thread_traces.h"

using namespace flash;

TEST_CASE("what one thread records another may read, extend and write to") {
  std::vector<Tensor> made(200);
  on_threads(1, [&](int) {
    const Tensor x = arange(50).to(f64);
    for (std::size_t i = 0; i < made.size(); ++i)
      made[i] = (x * static_cast<double>(i)).view({5, 10}).t();
    // Recorded, not computed: the other threads do that.
    std::thread other([&] {
      for (std::size_t i = 0; i < made.size(); i += 2) {
        const Tensor twice = made[i] + made[i];
        CHECK(sum(twice).item() == 2.0 * 1225 * static_cast<double>(i));
        made[i].add_(1);
      }
    });
    other.join();
    for (std::size_t i = 1; i < made.size(); i += 2) made[i].mul_(2);
  });
  for (std::size_t i = 0; i < made.size(); ++i)
    CHECK(sum(made[i]).item() ==
          1225.0 * static_cast<double>(i) * (i % 2 ? 2 : 1) + (i % 2 ? 0 : 50));
}

TEST_CASE("several threads may read one pending tensor at once") {
  for (int round = 0; round < 20; ++round) {
    const Tensor x = arange(1000).to(f64);
    const Tensor y = sum(exp(x * 0.0) * x);  // pending on this thread
    on_threads(4, [&](int i) {
      if (i % 2)
        CHECK(y.item() == 499500);
      else
        CHECK((y + i).item() == 499500 + i);
    });
  }
}

namespace {

/// On GPUs, for the arguments of its launches.
bool keeps_block_a_thread() { return default_device().type() != DeviceType::kCpu; }

}  // namespace

TEST_CASE("a thread that ends with pending work leaves its values behind") {
  for (const bool also_dropped : {false, true}) {
    CAPTURE(also_dropped);
    Tensor kept, view, leaf = zeros({4}, f64);
    leaf.eval();
    const std::uint64_t blocks = memory_stats().live_blocks;
    std::thread([&] {
      // What this thread computes with before is still there at its end.
      CHECK(sum(matmul(ones({70, 70}), ones({70, 70}))).item() == 70 * 70 * 70);
      const Tensor x = full({6}, 2, f64);
      kept = x * 3 + sum(matmul(ones({60, 90}, f64), ones({90, 60}, f64))) * 0.0;
      view = (kept + 1).view({2, 3}).t();
      leaf.add_(5);
      if (also_dropped) {
        const Tensor nobodys = exp(x) + kept;
      }
    }).join();
    CHECK(kept.to_vector<double>() == std::vector<double>(6, 6));
    CHECK(view.to_vector<double>() == std::vector<double>(6, 7));
    CHECK(leaf.to_vector<double>() == std::vector<double>(4, 5));
    kept = view = Tensor();
    if (!keeps_block_a_thread()) CHECK(memory_stats().live_blocks == blocks);
  }
  // Its trace serves later threads: there are not more traces than threads at a time.
  const Trace* first = nullptr;
  for (int i = 0; i < 50; ++i)
    std::thread([&] {
      const Tensor x = ones({3}) + 1;
      const Trace* mine = &this_trace(default_device());
      if (!first) first = mine;
      CHECK(mine == first);
    }).join();
}

TEST_CASE("what died on its own thread is not computed by another thread's reading") {
  const auto blocks = memory_stats().live_blocks;
  Tensor kept;
  std::atomic<int> step{0};
  const auto reach = [&](int n) {
    while (step.load() < n) std::this_thread::yield();
  };
  std::thread owner([&] {
    const Tensor x = arange(1000);
    kept = x + 1;
    std::vector<Tensor> dead(100);
    for (std::size_t i = 0; i < dead.size(); ++i) dead[i] = x * static_cast<double>(i);
    dead.clear();  // dropped at this thread's next operation, which comes last
    step = 1;
    reach(2);
    CHECK(sum(x).item() == 499500);
  });
  reach(1);
  CHECK(kept.to_vector<std::int64_t>()[999] == 1000);
  if (!keeps_block_a_thread()) CHECK(memory_stats().live_blocks == blocks + 2);  // x and kept
  step = 2;
  owner.join();
  kept = Tensor();
  if (!keeps_block_a_thread()) CHECK(memory_stats().live_blocks == blocks);
}

TEST_CASE("models that train at the same time give the bits of training alone") {
  std::deque<Training> alone, together;  // they stay where they are
  for (const std::uint64_t seed : {3, 4, 5}) {
    alone.emplace_back(seed);
    together.emplace_back(seed);
  }
  for (Training& t : alone) t.run();
  on_threads(3, [&](int i) { together[static_cast<std::size_t>(i)].run(); });
  for (std::size_t i = 0; i < alone.size(); ++i) {
    CHECK(alone[i].losses == together[i].losses);
    CHECK((alone[i].bits() == together[i].bits()));
    CHECK((alone[i].bits() != alone[(i + 1) % alone.size()].bits()));
  }
}

TEST_CASE("threads add their gradients to the leaves they share, and none is lost") {
  for (int round = 0; round < 10; ++round) {
    Tensor w = ones({4, 3}), b = zeros({3});
    w.set_requires_grad();
    b.set_requires_grad();
    constexpr int kThreads = 4, kSteps = 25;
    on_threads(kThreads, [&](int i) {
      for (int k = 0; k < kSteps; ++k) {
        const Tensor x = full({2, 4}, i + 1, f32);
        sum(matmul(x, w) + b).backward();
        if (k % 5 == i) eval_all();
      }
    });
    // Each step adds 2·(i + 1) to every weight's gradient and 2 to every bias's.
    const float sum_of_x = kSteps * 2 * (1 + 2 + 3 + 4);
    CHECK(w.grad().to_vector<float>() == std::vector<float>(12, sum_of_x));
    CHECK(b.grad().to_vector<float>() == std::vector<float>(3, kThreads * kSteps * 2));
  }
}

TEST_CASE("a thread that ends while its work fails leaves the reason in the values") {
  const Tensor table = ones({3, 2});
  table.eval();
  Tensor lost;
  const Tensor before = table * 2;
  std::thread([&] { lost = embedding(full({1}, 7, i64), table) + 1; }).join();
  CHECK_THROWS_WITH_AS(lost.to_vector<float>(), doctest::Contains("out of range"), Error);
  CHECK_THROWS_WITH_AS((lost + 1).to_vector<float>(), doctest::Contains("out of range"), Error);
  CHECK(before.to_vector<float>() == std::vector<float>(6, 2));
}
