// tests/contract/sharing_test.cpp -- tensors that several threads share, and threads that end
//
// Values are whole numbers, or compared as bits with a run on one thread: nothing may depend on who
// comes first. The thread sanitizer runs this as well (./dev sanitize thread contract).
#include <doctest/doctest.h>

#include <atomic>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include <flash/flash.h>

#include "contract/fuzz_machine.h"
#include "contract/small_net.h"
#include "core/thread_traces.h"

using namespace flash;

namespace {

/// Runs f(0) … f(n - 1), each on a thread of its own that starts when all are there; what one of
/// them throws fails the test.
void on_threads(int n, const std::function<void(int)>& f) {
  std::atomic<int> waiting{n};
  std::vector<std::string> errors(static_cast<std::size_t>(n));
  std::vector<std::thread> threads;
  for (int i = 0; i < n; ++i)
    threads.emplace_back([&, i] {
      waiting.fetch_sub(1);
      while (waiting.load() > 0) std::this_thread::yield();
      try {
        f(i);
      } catch (const std::exception& e) {
        errors[static_cast<std::size_t>(i)] = e.what();
      }
    });
  for (std::thread& t : threads) t.join();
  for (const std::string& e : errors) CHECK(e == "");
}

}  // namespace

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
    CHECK(memory_stats().live_blocks == blocks);
  }
  // Its trace serves later threads: there are not more traces than threads at a time.
  const Trace* first = nullptr;
  for (int i = 0; i < 50; ++i)
    std::thread([&] {
      const Tensor x = ones({3}) + 1;
      const Trace* mine = &this_trace(Device());
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
  CHECK(memory_stats().live_blocks == blocks + 2);  // x and kept
  step = 2;
  owner.join();
  kept = Tensor();
  CHECK(memory_stats().live_blocks == blocks);
}

namespace {

/// Two small models with the data of each; what training them leaves, as bits.
struct Training {
  explicit Training(std::uint64_t seed) : random(seed) {
    manual_seed(seed);
    model = std::make_unique<SmallNet>();
    for (int i = 0; i < 12; ++i) {
      x.push_back(randn({8 + i % 3, 1, 8, 8}, f32, &random));
      y.push_back(randint(0, 5, {8 + i % 3}, &random));
    }
    eval_all();
  }
  void run() {
    optim::AdamW opt(model->parameters(), {.lr = 1e-2});
    for (std::size_t i = 0; i < x.size(); ++i) {
      const Tensor loss = cross_entropy((*model)(x[i]), y[i]);
      if (i % 4 == 0) losses.push_back(loss.item());
      opt.zero_grad();
      loss.backward();
      opt.step();
    }
  }
  std::vector<std::vector<std::uint8_t>> bits() const {
    std::vector<std::vector<std::uint8_t>> all;
    for (const Tensor& p : model->parameters()) all.push_back(fuzz::bytes_of(p.detach()));
    return all;
  }

  Generator random;
  std::unique_ptr<SmallNet> model;
  std::vector<Tensor> x, y;
  std::vector<double> losses;
};

}  // namespace

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
