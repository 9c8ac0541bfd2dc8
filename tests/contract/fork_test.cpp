// tests/contract/fork_test.cpp -- a child of fork() may go on with Flash, whatever others did then
#include <doctest/doctest.h>

#include <atomic>
#include <thread>
#include <vector>

#include <flash/flash.h>

#include "core/sanitizers.h"
#include "in_child.h"

using namespace flash;
using flash::test::in_child;

namespace {

/// Steps of a small model; the sum of its weights.
double trained(int steps) {
  manual_seed(5);
  nn::Sequential model(nn::Linear(8, 16), nn::ReLU(), nn::Linear(16, 3));
  optim::AdamW opt(model.parameters(), {.lr = 1e-2});
  for (int i = 0; i < steps; ++i) {
    const Tensor loss = square(model(randn({32, 8}))).mean();
    opt.zero_grad();
    loss.backward();
    opt.step();
  }
  double sum = 0;
  for (const Tensor& p : model.parameters()) sum += p.sum().item();
  return sum;
}

class Squares final : public data::Dataset {
 public:
  std::int64_t size() const override { return 64; }
  data::Batch get_batch(std::span<const std::int64_t> indices, const data::Draw&) const override {
    std::vector<float> v;
    for (const std::int64_t i : indices) v.push_back(static_cast<float>(i * i));
    const Tensor x = from_vector(v, {static_cast<std::int64_t>(v.size())});
    return {x, x};
  }
};

}  // namespace

TEST_CASE("a child of fork() computes, while threads of the parent were in the midst of it") {
#if FLASH_THREAD_SANITIZER
  MESSAGE("skipped: the thread sanitizer does not follow threads through a fork");
  return;
#endif
  const double expected = trained(5);
  Tensor pending = ones({1000}) * 3;
  std::atomic<bool> stop{false};
  std::vector<Tensor> theirs(3);
  std::atomic<int> ready{0};
  std::vector<std::thread> busy;
  for (std::size_t t = 0; t < theirs.size(); ++t)
    busy.emplace_back([&, t] {
      theirs[t] = arange(100).to(f32) + static_cast<double>(t);  // stays recorded on this thread
      ++ready;
      for (std::int64_t n = 1; !stop; n = n % 5000 + 37) {
        const Scope label("busy " + std::to_string(n));
        const Tensor x = ones({n, 3}).set_requires_grad();
        (exp(x) * 2).sum().backward();
        (void)x.grad().sum().item();
        (void)memory_stats();
      }
    });
  while (ready < 3) std::this_thread::yield();
  for (int round = 0; round < 25; ++round) {
    CAPTURE(round);
    CHECK(in_child([&] {
            if (pending.sum().item() != 3000) return 1;
            if (theirs[1].sum().item() != 5050) return 2;  // of a thread that is not here
            if (trained(5) != expected) return 3;
            return in_child([&] { return trained(5) == expected ? 0 : 4; });
          }) == 0);
  }
  stop = true;
  for (std::thread& t : busy) t.join();
  CHECK(pending.sum().item() == 3000);
  CHECK(trained(5) == expected);
}

TEST_CASE("a child of fork() asks for GPUs, while a thread of the parent opened their driver") {
#if FLASH_THREAD_SANITIZER
  MESSAGE("skipped: the thread sanitizer does not follow threads through a fork");
  return;
#endif
  for (const int wait_us : {200, 1000, 5000, 20000}) {
    CAPTURE(wait_us);
    // Of a process that has opened none so far, if this one has not.
    CHECK(in_child([&] {
            std::thread opens([] { (void)is_available("vulkan"); });
            usleep(static_cast<useconds_t>(wait_us));
            const int of_child = in_child([] {
              (void)is_available("vulkan");
              (void)devices();
              return ones({3}, {.device = "cpu"}).sum().item() == 3 ? 0 : 1;
            });
            opens.join();
            return of_child;
          }) == 0);
  }
}

TEST_CASE("a child goes on where the parent's data loader was, with workers of its own") {
#if FLASH_THREAD_SANITIZER
  MESSAGE("skipped: the thread sanitizer does not follow threads through a fork");
  return;
#endif
  data::DataLoader loader(std::make_shared<Squares>(), {.batch_size = 4, .workers = 2});
  auto at = loader.begin();
  for (int n = 1; n < 5; ++n) ++at;
  const auto rest = [&] {
    double sum = 0;
    int left = 0;
    for (++at; at != loader.end(); ++at, ++left) sum += at->x.sum().item();
    return left == 11 ? sum : -1;
  };
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  CHECK(in_child([&] {
          const double sum = rest();
          return write(ends[1], &sum, sizeof sum) == sizeof sum ? 0 : 1;
        }) == 0);
  close(ends[1]);  // so that nobody waits for a child that has written nothing
  double of_child = 0;
  REQUIRE(read(ends[0], &of_child, sizeof of_child) == sizeof of_child);
  close(ends[0]);
  CHECK(of_child > 0);
  CHECK(of_child == rest());
}
